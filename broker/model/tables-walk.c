/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The walk of the BPF program, in user space. */
#include "broker/model/tables-layout.h"

#define NO_LABEL (-1)

struct walk {
	const struct tables *tables;
	const struct packet *packet;
	struct key key;
	bool v6;
	unsigned tried; /* prefixes */
};

static int64_t search_intervals(const uint64_t *intervals, uint32_t n, uint32_t port)
{
	uint32_t low = 0, high = n; /* the last interval that does not begin after PORT */

	for (int i = 0; i < SB_SEARCH_MAX && high - low > 1; i++) {
		uint32_t middle = low + (high - low) / 2;

		if (SB_INTERVAL_FIRST(intervals[middle]) <= port)
			low = middle;
		else
			high = middle;
	}
	if (n == 0 || port < SB_INTERVAL_FIRST(intervals[low]) ||
	    port > SB_INTERVAL_LAST(intervals[low]))
		return NO_LABEL;
	return SB_INTERVAL_LABEL(intervals[low]);
}

static int64_t match_entry(struct walk *w, uint32_t ref)
{
	struct entry e;

	if (w->tried++ >= SB_OUTWARD_MAX || !entry_read(w->tables, w->v6, ref, &e) ||
	    key_common(w->key, e.key) < e.length)
		return NO_LABEL;
	if (w->packet->protocol == IPPROTO_TCP)
		return search_intervals(e.intervals, e.n_tcp, w->packet->port);
	return search_intervals(e.intervals + e.n_tcp, e.n_udp, w->packet->port);
}

static int64_t match_internal(struct walk *w, const struct node *n)
{
	unsigned index = key_index(w->key, n->pos);
	int64_t label;

	for (unsigned l = SB_STRIDE; l-- > 0;) {
		unsigned bit = internal_bit(index, l);

		if (!(n->internal >> bit & 1))
			continue;
		label = match_entry(w, tables_refs(w->tables)[node_internal_slot(n, bit)]);
		if (label != NO_LABEL)
			return label;
	}
	return NO_LABEL;
}

/* Down to the longest prefix, then outward until the ports match. */
static int64_t match_trie(struct walk *w, size_t slot)
{
	struct node path[SB_LEVELS_MAX];
	unsigned depth = 0;
	int64_t label = NO_LABEL;

	while (depth < SB_LEVELS_MAX) {
		uint32_t ref = __atomic_load_n(&tables_refs(w->tables)[slot], __ATOMIC_ACQUIRE);
		struct node *n = &path[depth];
		unsigned index;

		if (ref & SB_REF_ENTRY) {
			label = match_entry(w, ref);
			break;
		}
		if (ref == 0 || !node_read(w->tables, w->v6, ref, n) ||
		    key_common(w->key, n->key) < n->pos)
			break;
		depth++;
		index = key_index(w->key, n->pos);
		if (!(n->children >> index & 1))
			break;
		slot = node_child_slot(n, index);
	}
	while (label == NO_LABEL && depth-- > 0)
		label = match_internal(w, &path[depth]);
	return label;
}

int64_t tables_match(const struct tables *t, const struct packet *p)
{
	bool v6 = p->destination.family == AF_INET6;
	struct walk w = {
		.tables = t,
		.packet = p,
		.key = key_of(p->destination.bytes, p->destination.family),
		.v6 = v6,
	};
	int64_t label = NO_LABEL;

	if (t->capacity < tables_first_block(t))
		return NO_LABEL;
	if (t->wide_word[v6])
		label = match_trie(&w, tables_root_slot(t, w.key, v6, SB_WIDE_BITS));
	if (label == NO_LABEL)
		label = match_trie(&w, tables_root_slot(t, w.key, v6, SB_DIRECT_BITS));
	if (label == NO_LABEL)
		label = match_trie(&w, tables_root_slot(t, w.key, v6, 0));
	return label;
}
