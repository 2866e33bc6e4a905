/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/blocks.h"

#include <errno.h>
#include <stdlib.h>

struct blocks blocks_begin(const struct tables *t)
{
	return (struct blocks){ .tables = *t, .intervals.by_rule = t->numbers };
}

void blocks_end(struct blocks *b)
{
	intervals_clear(&b->intervals);
	free(b->rules);
	b->rules = NULL;
}

/* References have 31 bits. */
static int take(struct blocks *b, size_t words, size_t *offset)
{
	struct tables *t = &b->tables;

	if (t->used > t->capacity || words > t->capacity - t->used ||
	    t->used + words > SB_REF_ENTRY)
		return -ENOSPC;
	*offset = t->used;
	t->used += words;
	return 0;
}

/* Copies the rules of one prefix: they may lie in several chunks. */
static int take_rules(struct blocks *b, struct ruleset_cursor *c, size_t *n)
{
	struct ruleset_cursor ahead = *c;
	const struct rule *r;

	*n = 0;
	while ((r = ruleset_next(&ahead))) {
		if (*n > 0 && rule_compare_prefix(r, &b->rules[0]) != 0)
			break;
		if (*n == b->rules_allocated) {
			size_t allocated = *n ? *n * 2 : 16;
			struct rule *rules = realloc(b->rules, allocated * sizeof(rules[0]));

			if (!rules)
				return -ENOMEM;
			b->rules = rules;
			b->rules_allocated = allocated;
		}
		b->rules[(*n)++] = *r;
		*c = ahead;
	}
	return 0;
}

static void write_entry(struct blocks *b, size_t offset, size_t n_tcp)
{
	const struct intervals *v = &b->intervals;
	const struct rule *r = &b->rules[0];
	uint64_t *w = b->tables.words + offset;
	struct key k = key_of(r->address, r->family);

	if (r->family == AF_INET6) {
		*w++ = k.hi;
		*w++ = k.lo;
		*w++ = r->prefix_length;
	} else {
		*w++ = k.hi | r->prefix_length;
	}
	*w++ = n_tcp | (uint64_t)(v->count - n_tcp) << 32;
	for (size_t i = 0; i < v->count; i++)
		*w++ = SB_INTERVAL(v->items[i].first, v->items[i].last, v->items[i].label);
	for (size_t i = 0; b->tables.numbers && i < v->count; i++)
		*w++ = v->items[i].number;
}

int blocks_add_entry(struct blocks *b, struct ruleset_cursor *c, uint32_t *ref)
{
	size_t n, n_tcp = 0, tcp_intervals, words, offset;
	int r;

	*ref = 0;
	r = take_rules(b, c, &n);
	if (r < 0 || n == 0)
		return r;
	while (n_tcp < n && b->rules[n_tcp].protocol == IPPROTO_TCP)
		n_tcp++;
	b->intervals.count = 0;
	r = intervals_add(&b->intervals, b->rules, n_tcp);
	if (r < 0)
		return r;
	tcp_intervals = b->intervals.count;
	r = intervals_add(&b->intervals, b->rules + n_tcp, n - n_tcp);
	if (r < 0)
		return r;
	words = b->intervals.count * (b->tables.numbers ? 2 : 1);
	r = take(b, entry_words(b->rules[0].family == AF_INET6) + words, &offset);
	if (r < 0)
		return r;
	if (!blocks_measuring(b))
		write_entry(b, offset, tcp_intervals);
	*ref = SB_REF_ENTRY | (uint32_t)offset;
	return 0;
}

int blocks_add_node(struct blocks *b, bool v6, struct node *n, uint32_t *ref)
{
	size_t offset;
	uint64_t *w;
	int r;

	r = take(b, node_words(v6) + (node_refs(n) + 1) / 2, &offset);
	if (r < 0)
		return r;
	n->slots = (offset + node_words(v6)) * 2;
	*ref = (uint32_t)offset;
	if (blocks_measuring(b))
		return 0;
	w = b->tables.words + offset;
	w[0] = n->children;
	w[1] = n->internal;
	w[2] = v6 ? n->key.hi : n->key.hi | n->pos;
	if (v6) {
		w[3] = n->key.lo;
		w[4] = n->pos;
	}
	if (node_refs(n) % 2) /* the half word behind the last one */
		tables_refs(&b->tables)[n->slots + node_refs(n)] = 0;
	return 0;
}
