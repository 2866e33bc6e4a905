/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing the sockets of labels. The order, and why:
 *   1. the new slot lists are written where nobody looks yet;
 *   2. the new state is written aside: the most likely failure comes before anything is visible;
 *   3. each changed group is published by one store: from one packet to the next;
 *   4. the state is committed; if that fails, 3 is undone;
 *   5. only then the slots of sockets that left are emptied: a packet that read the old group word
 *      still finds them, or reads the word again.
 */
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/hold.h"
#include "broker/core/shares.h"

static int copy_member(struct member *to, const struct member *from)
{
	*to = *from;
	to->charge = (struct quota_charge){ 0 };
	if (from->unit) {
		to->unit = strdup(from->unit);
		if (!to->unit)
			return -ENOMEM;
	}
	return 0;
}

int members_change_add(struct members_change *m, const struct member *member)
{
	struct member *bigger = reallocarray(m->members, m->n_members + 1, sizeof(*bigger));
	int r;

	if (!bigger)
		return -ENOMEM;
	m->members = bigger;
	r = copy_member(&m->members[m->n_members], member);
	if (r < 0)
		return r;
	m->n_members++;
	return 0;
}

bool member_gone(const struct core *c, const struct member *m)
{
	uint64_t cookie;
	int r = c->dataplane.slot_cookie(c->dataplane.self, m->slot, &cookie);

	return r == -ENOENT || (r == 0 && cookie != m->cookie);
}

static int refuse_socket(const struct label *l, const struct member *m, int r,
			 struct sb_error *error)
{
	char local[SB_ADDRESS_TEXT_MAX];

	return sb_fail(error, EIO, "label %s: the kernel does not take socket %s: %s", l->name,
		       sb_endpoint_format(&m->address, m->port, local), strerror(-r));
}

int member_own(struct core *c, const struct label *l, struct member *m,
	       const struct request_socket *s, struct sb_error *error)
{
	int r = s->stored;

	if (r == 0)
		r = c->dataplane.slot_adopt(c->dataplane.self, s->slot,
					    SB_SLOT_OWNER(l->id, m->protocol == IPPROTO_UDP));
	m->slot = s->slot;
	return r < 0 ? refuse_socket(l, m, r, error) : 0;
}

int member_store(struct core *c, const struct label *l, struct member *m, int fd,
		 struct sb_error *error)
{
	int64_t slot = range_take(&c->registry->slots, 1);
	int r;

	if (slot < 0)
		return sb_fail(error, E2BIG, "all %d slots of the broker are in use", SB_SLOTS_MAX);
	r = c->dataplane.slot_store(c->dataplane.self, (uint32_t)slot,
				    SB_SLOT_OWNER(l->id, m->protocol == IPPROTO_UDP), fd);
	if (r < 0) {
		range_give(&c->registry->slots, (uint32_t)slot, 1);
		return refuse_socket(l, m, r, error);
	}
	m->slot = (uint32_t)slot;
	return 0;
}

void member_unstore(struct core *c, const struct member *m)
{
	if (c->dataplane.slot_clear(c->dataplane.self, m->slot) == 0)
		range_give(&c->registry->slots, m->slot, 1);
}

int members_change_begin(struct core *c, struct members_change *m, struct label *l)
{
	*m = (struct members_change){
		.label = l,
		.when_empty = l->when_empty,
		.rewrite = c->starting,
		.withhold = l->activation.state == ACTIVATION_FAILED,
	};
	memcpy(m->n_rules, l->n_rules, sizeof(m->n_rules));
	for (size_t i = 0; i < l->n_members; i++) {
		int r;

		if (member_gone(c, &l->members[i]))
			continue;
		r = members_change_add(m, &l->members[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

void members_change_end(struct members_change *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		members_free(m[i].members, m[i].n_members);
		m[i].members = NULL;
		m[i].n_members = 0;
	}
}

size_t members_change_drop(struct members_change *m,
			   bool (*drop)(const struct member *member, const void *data),
			   const void *data)
{
	size_t kept = 0, n = m->n_members;

	for (size_t i = 0; i < n; i++) {
		if (drop(&m->members[i], data))
			free(m->members[i].unit);
		else
			m->members[kept++] = m->members[i];
	}
	m->n_members = kept;
	return n - kept;
}

static void swap_members(struct members_change *m)
{
	struct label *l = m->label;
	struct members_change old = *m;

	m->members = l->members;
	m->n_members = l->n_members;
	m->when_empty = l->when_empty;
	memcpy(m->groups, l->groups, sizeof(m->groups));
	l->members = old.members;
	l->n_members = old.n_members;
	l->when_empty = old.when_empty;
	memcpy(l->groups, old.groups, sizeof(l->groups));
}

static bool same_group(const struct slot_list *a, const struct slot_list *b)
{
	return a->offset == b->offset && a->count == b->count;
}

/* Gives back the lists of M that its label does not use. */
static void give_lists(struct core *c, const struct members_change *m)
{
	for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL; kind++) {
		const struct slot_list *g = &m->groups[kind];

		if (g->count && !same_group(g, &m->label->groups[kind]))
			range_give(&c->registry->lists, g->offset, g->count);
	}
}

/* Writes the slot lists of the wanted members; lists that stay the same are kept. */
static int prepare_lists(struct core *c, struct members_change *m, struct sb_error *error)
{
	const struct label *l = m->label;

	memcpy(m->groups, l->groups, sizeof(m->groups));
	for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL; kind++) {
		uint32_t slots[SB_GROUP_SLOTS_MAX], old[SB_GROUP_SLOTS_MAX];
		size_t n = members_group_slots(m->members, m->n_members, kind, slots);
		size_t n_old = members_group_slots(l->members, l->n_members, kind, old);
		int64_t offset = 0;
		int r;

		if (!m->rewrite && n == n_old && !memcmp(slots, old, n * sizeof(*slots)))
			continue;
		if (n > 0) {
			offset = range_take(&c->registry->lists, (uint32_t)n);
			if (offset < 0) {
				give_lists(c, m);
				return sb_fail(error, E2BIG,
					       "label %s: no room for a list of %zu sockets",
					       l->name, n);
			}
		}
		m->groups[kind] = (struct slot_list){ (uint32_t)offset, (uint32_t)n };
		r = n ? c->dataplane.list_store(c->dataplane.self, (uint32_t)offset, slots, n) : 0;
		if (r < 0) {
			give_lists(c, m);
			return sb_fail(error, EIO, "label %s: its slot list cannot be written: %s",
				       l->name, strerror(-r));
		}
	}
	return 0;
}

/* Stores the words of the groups of NOW where they differ from those of BEFORE, or of those kinds
 * in ONLY. Groups that have sockets come first: a packet that goes from one to the next must not
 * find both without. */
static int store_groups(struct core *c, const struct label *l, const struct slot_list *now,
			enum when_empty when_empty, unsigned only, uint8_t *stored)
{
	for (unsigned empty = 0; empty < 2; empty++) {
		for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL; kind++) {
			uint32_t group = l->id * SB_GROUPS_PER_LABEL + kind;
			int r;

			if (!(only & 1U << kind) || (now[kind].count == 0) != empty)
				continue;
			r = c->dataplane.group_store(c->dataplane.self, group, now[kind].offset,
						     now[kind].count, when_empty);
			if (r < 0)
				return r;
			*stored |= (uint8_t)(1U << kind);
		}
	}
	return 0;
}

int members_publish(struct core *c, struct members_change *m, bool early, struct sb_error *error)
{
	const struct label *l = m->label;
	unsigned changed = 0;
	int r;

	for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL; kind++)
		if (m->rewrite || !same_group(&l->groups[kind], &m->groups[kind]) ||
		    l->when_empty != m->when_empty)
			changed |= 1U << kind;
	m->early = early;
	r = store_groups(c, l, l->groups, l->when_empty, changed, &m->stored);
	return r < 0 ? sb_fail(error, EIO, "label %s: its group cannot be written: %s", l->name,
			       strerror(-r))
		     : 0;
}

void members_unpublish(struct core *c, struct members_change *changes, size_t n, bool early)
{
	/* When starting, what was there is not known, and what was stored is right. */
	if (c->starting)
		return;
	for (size_t i = 0; i < n; i++) {
		struct members_change *m = &changes[i];
		uint8_t back = 0;

		if (m->early != early || !m->stored)
			continue;
		if (store_groups(c, m->label, m->groups, m->when_empty, m->stored, &back) < 0)
			log_error("label %s: its groups could not be put back", m->label->name);
		m->stored = 0;
	}
}

static bool has_slot(const struct label *l, uint32_t slot)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (l->members[i].slot == slot)
			return true;
	return false;
}

/* The former members that are not among the present ones leave their slots. */
static void release_former(struct core *c, const struct members_change *m)
{
	for (size_t i = 0; i < m->n_members; i++) {
		uint32_t slot = m->members[i].slot;

		if (has_slot(m->label, slot))
			continue;
		if (c->dataplane.slot_clear(c->dataplane.self, slot) < 0)
			log_warning("label %s: slot %u could not be emptied", m->label->name, slot);
		else
			range_give(&c->registry->slots, slot, 1);
	}
}

/* Takes the first N changes out of the model again. */
static void unprepare(struct core *c, struct members_change *changes, size_t n)
{
	while (n-- > 0) {
		swap_members(&changes[n]);
		give_lists(c, &changes[n]);
		hold_undo(c, &changes[n]);
	}
}

void members_unstage(struct core *c, struct members_change *changes, size_t n)
{
	members_unpublish(c, changes, n, false);
	members_unpublish(c, changes, n, true);
	c->state.rollback(c->state.self);
	unprepare(c, changes, n);
}

static int stage_labels(struct core *c, const struct members_change *changes, size_t n,
			struct sb_error *error)
{
	_cleanup_free_ struct label **labels = calloc(n + 1, sizeof(*labels));

	if (!labels)
		return sb_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		labels[i] = changes[i].label;
	return core_stage_changed(c, labels, n, error);
}

int members_stage(struct core *c, struct members_change *changes, size_t n, struct sb_error *error)
{
	size_t prepared;
	int r = 0;

	for (prepared = 0; prepared < n; prepared++) {
		r = hold_adjust(c, &changes[prepared], error);
		if (r == 0)
			r = prepare_lists(c, &changes[prepared], error);
		if (r < 0) {
			hold_undo(c, &changes[prepared]);
			break;
		}
		swap_members(&changes[prepared]); /* label: new, change: former */
	}
	if (r == 0)
		r = stage_labels(c, changes, n, error);
	if (r < 0)
		members_unstage(c, changes, prepared);
	return r;
}

int members_commit(struct core *c, struct members_change *changes, size_t n, struct sb_error *error)
{
	int r = c->state.commit(c->state.self, error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		release_former(c, &changes[i]);
		give_lists(c, &changes[i]);
		hold_settle(c, &changes[i]);
		shares_settle_members(c, changes[i].label);
	}
	return 0;
}

int members_apply(struct core *c, struct members_change *changes, size_t n, struct sb_error *error)
{
	int r = members_stage(c, changes, n, error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r == 0; i++)
		r = members_publish(c, &changes[i], false, error);
	if (r == 0)
		r = members_commit(c, changes, n, error);
	if (r < 0)
		members_unstage(c, changes, n);
	return r;
}

static int write_label(struct core *c, struct label *l, struct sb_error *error)
{
	struct members_change change;
	int r = members_change_begin(c, &change, l);

	if (r < 0)
		sb_fail(error, -r, "label %s: %s", l->name, strerror(-r));
	else
		r = prepare_lists(c, &change, error);
	if (r == 0) {
		swap_members(&change);
		r = members_publish(c, &change, false, error);
	}
	if (r == 0) {
		hold_settle(c, &change);
		shares_settle_members(c, l);
	}
	members_change_end(&change, 1);
	return r;
}

int members_write_all(struct core *c, struct sb_error *error)
{
	int r = 0;

	for (struct label *l = registry_next(c->registry, NULL); l && r == 0;
	     l = registry_next(c->registry, l))
		r = write_label(c, l, error);
	return r;
}
