/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Starting on top of what an earlier run left. The saved state says what was meant, the sockmap
 * says what is still alive; what no longer fits is dropped with a line in the log. Traffic keeps
 * flowing through the old rules and groups until each is replaced in one step.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/fdstore.h"
#include "broker/core/hold.h"
#include "broker/core/inherit.h"
#include "broker/core/replay.h"
#include "broker/model/snapshot.h"

/* What groups of the kernel may still lead to; not to be used before they are stored anew. */
struct reserved {
	struct slot_list *lists; /* stretches of slot_lists by group id; count 0: none */
	struct range slots;      /* of sockets that are gone, or that nobody knows */
	bool alone;              /* core_saved::alone */
};

/*
 * A saved socket is believed when its slot holds the same cookie under the same owner: 1, 0, or a
 * negative errno when the kernel does not tell. Where the owners were made anew the cookie is
 * enough: it names one socket for as long as the kernel runs.
 */
static int is_true(struct core *c, const struct label *l, const struct member *m)
{
	const uint32_t wanted = SB_SLOT_OWNER(l->id, m->protocol == IPPROTO_UDP);
	uint64_t cookie;
	uint32_t owner;
	int r = c->dataplane.slot_cookie(c->dataplane.self, m->slot, &cookie);

	if (r == 0)
		r = c->dataplane.slot_owner(c->dataplane.self, m->slot, &owner);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (cookie != m->cookie || (owner != wanted && owner != SB_SLOT_OWNER_UNKNOWN))
		return 0;
	r = owner == wanted ? 0 : c->dataplane.slot_adopt(c->dataplane.self, m->slot, wanted);
	return r < 0 ? r : 1;
}

/* Nothing is dropped on a doubt: traffic flows without a broker, the next start may know. */
static int drop_lost_members(struct core *c, struct reserved *rs, struct label *l,
			     struct sb_error *error)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < l->n_members; i++) {
		struct member *m = &l->members[i];
		char local[SB_ADDRESS_TEXT_MAX];
		int found = r < 0 ? 1 : is_true(c, l, m);

		if (found < 0)
			r = sb_fail(error, EIO, "label %s: slot %" PRIu32 " cannot be read: %s",
				    l->name, m->slot, strerror(-found));
		if (found) {
			l->members[kept++] = *m;
			continue;
		}
		if (!m->own) /* those went with the earlier run */
			log_notice("label %s: socket %s %s was closed while no broker ran", l->name,
				   sb_protocol_name(m->protocol),
				   sb_endpoint_format(&m->address, m->port, local));
		range_take_at(&rs->slots, m->slot, 1);
		free(m->unit);
	}
	l->n_members = kept;
	return r;
}

/* Sockets that packets are steered to by what an earlier run left; a negative errno when the kernel
 * does not tell. */
static int count_living(struct core *c)
{
	struct dataplane_info info = { 0 };
	int n = 0;

	c->dataplane.info(c->dataplane.self, &info);
	if (!info.took_over)
		return 0;
	for (uint32_t slot = 0; slot < SB_SLOTS_MAX; slot++) {
		uint64_t cookie;
		uint32_t owner;
		int r = c->dataplane.slot_owner(c->dataplane.self, slot, &owner);

		if (r == 0 && (owner == 0 || owner == SB_SLOT_RESERVED))
			continue;
		if (r == 0)
			r = c->dataplane.slot_cookie(c->dataplane.self, slot, &cookie);
		if (r < 0 && r != -ENOENT)
			return r;
		n += r == 0;
	}
	return n;
}

/* The saved labels are missing or of no use (CODE, for the reason WHAT). With no socket alive
 * nothing is lost by going on without them; else that would take them off the air. */
static int without_labels(struct core *c, int code, const char *what, struct sb_error *error)
{
	int n = count_living(c);

	if (n == 0)
		return 0;
	if (n < 0)
		return sb_fail(error, EIO,
			       "the saved labels and sockets %s, and the slots cannot be "
			       "read: %s",
			       what, strerror(-n));
	return sb_fail(error, code,
		       "the saved labels and sockets %s, but %d pinned sockets are in use; traffic "
		       "goes on as it is; %s, start with the right --state, or remove what is in "
		       "the pin directory to start afresh",
		       what, n,
		       code == EOPNOTSUPP
			       ? "run the newer sockbroker (a downgrade is not possible)"
			       : "restore the files labels and labels.journal in the state "
				 "directory");
}

static int restore_labels(struct core *c, struct reserved *rs, const struct core_saved *saved,
			  struct sb_error *error)
{
	struct sb_error damage = { 0 };
	char what[256];
	struct registry *fresh;
	int r = 0;

	if (!saved->labels)
		return without_labels(c, ENOENT, "are missing", error);
	r = snapshot_decode(c->registry, saved->labels, saved->labels_length, &damage);
	if (r == 0 && saved->labels_damage)
		r = sb_fail(&damage, EPROTO, "%s", saved->labels_damage);
	if (r == 0 && saved->labels_journal)
		r = snapshot_replay(c->registry, saved->labels_journal,
				    saved->labels_journal_length, &damage);
	if (r == -ENOMEM)
		return sb_fail(error, ENOMEM, "the saved labels and sockets: %s", damage.message);
	if (r < 0) {
		snprintf(what, sizeof(what), "%s (%.200s)",
			 r == -EOPNOTSUPP ? "were written by a newer sockbroker" : "are damaged",
			 damage.message);
		r = without_labels(c, -r, what, error);
		if (r < 0)
			return r;
		log_error("the saved labels and sockets cannot be used, starting without them: %s",
			  damage.message);
		fresh = registry_new();
		if (!fresh)
			return sb_fail(error, ENOMEM, "out of memory");
		registry_free(c->registry);
		c->registry = fresh;
		return 0;
	}
	for (struct label *l = registry_next(c->registry, NULL); l && r == 0;
	     l = registry_next(c->registry, l)) {
		r = drop_lost_members(c, rs, l, error);
		l->max_sockets = c->settings.max_sockets;
	}
	return r;
}

static int reserve_lists(struct core *c, struct reserved *rs, struct sb_error *error)
{
	for (uint32_t id = 0; id < SB_GROUPS_MAX; id++) {
		struct slot_list *g = &rs->lists[id];
		int r = c->dataplane.group_load(c->dataplane.self, id, &g->offset, &g->count, NULL);

		if (r < 0)
			return sb_fail(error, EIO, "group %" PRIu32 " cannot be read: %s", id,
				       strerror(-r));
		if (g->count && range_take_at(&c->registry->lists, g->offset, g->count) < 0)
			g->count = 0; /* nonsense: out of bounds, or two groups share it */
	}
	return 0;
}

/* Slots of which the state does not know: a crash may have left a socket there. */
static int reserve_slots(struct core *c, struct reserved *rs, struct sb_error *error)
{
	for (uint32_t slot = 0; slot < SB_SLOTS_MAX; slot++) {
		uint32_t owner;
		int r = c->dataplane.slot_owner(c->dataplane.self, slot, &owner);

		if (r < 0)
			return sb_fail(error, EIO, "slot %" PRIu32 " cannot be read: %s", slot,
				       strerror(-r));
		if (owner != 0 && range_take_at(&c->registry->slots, slot, 1) == 0)
			range_take_at(&rs->slots, slot, 1);
	}
	return 0;
}

static int reserved_init(struct reserved *rs)
{
	rs->lists = calloc(SB_GROUPS_MAX, sizeof(*rs->lists));
	return rs->lists ? range_init(&rs->slots, SB_SLOTS_MAX) : -ENOMEM;
}

static void reserved_clear(struct core *c, struct reserved *rs)
{
	for (uint32_t id = 0; rs->lists && id < SB_GROUPS_MAX; id++)
		if (rs->lists[id].count)
			range_give(&c->registry->lists, rs->lists[id].offset, rs->lists[id].count);
	free(rs->lists);
	range_clear(&rs->slots);
}

/* The process that an earlier broker sent there (reserve.c) may still be held up on its way: this
 * run does not use the slot. */
static bool keep_reserved(struct core *c, const struct reserved *rs, uint32_t slot)
{
	uint32_t owner;

	if (rs->alone || c->dataplane.slot_owner(c->dataplane.self, slot, &owner) < 0 ||
	    owner != SB_SLOT_RESERVED)
		return false;
	if (c->dataplane.slot_clear(c->dataplane.self, slot) == 0)
		c->dataplane.slot_adopt(c->dataplane.self, slot, SB_SLOT_RESERVED);
	return true;
}

/* Groups of labels that nobody knows, and slots that belong to no known socket. */
static void clear_strangers(struct core *c, struct reserved *rs)
{
	size_t groups = 0, slots = rs->slots.used, alive = 0;

	for (uint32_t id = 0; id < SB_GROUPS_MAX; id++) {
		uint32_t count, empty;

		if (registry_get(c->registry, id / SB_GROUPS_PER_LABEL) ||
		    c->dataplane.group_load(c->dataplane.self, id, NULL, &count, &empty) < 0 ||
		    (count == 0 && empty == WHEN_EMPTY_DROP))
			continue;
		c->dataplane.group_store(c->dataplane.self, id, 0, 0, WHEN_EMPTY_DROP);
		groups++;
	}
	for (uint32_t slot = 0; slots > 0 && slot < SB_SLOTS_MAX; slot++) {
		uint64_t cookie;

		if (!range_has(&rs->slots, slot) || keep_reserved(c, rs, slot))
			continue;
		alive += c->dataplane.slot_cookie(c->dataplane.self, slot, &cookie) == 0;
		if (c->dataplane.slot_clear(c->dataplane.self, slot) == 0)
			range_give(&c->registry->slots, slot, 1);
	}
	if (groups + slots > 0)
		log_notice("%zu groups and %zu slots of an earlier run belonged to nobody, cleared",
			   groups, slots);
	if (alive > 0) /* a request that was cut short, or a state that was cut by somebody */
		log_warning("%zu of these slots had living sockets, which the saved state does not "
			    "know; whoever misses one can register it again",
			    alive);
}

/* Nothing is left of what was saved, and no socket that would miss it: who made rules should know.
 */
static void say_lost_rules(const struct core *c, const struct core_saved *saved,
			   const struct dataplane_info *info)
{
	size_t now = ruleset_count(c->rules);

	if (!saved->rules && !saved->journal && info->former_rules > now)
		log_warning("the saved rules are missing: %zu rules are in force, %" PRIu32
			    " were before",
			    now, info->former_rules);
}

/* Labels without a file, in one step; those with one were written by the configuration. */
static int write_other_labels(struct core *c, struct sb_error *error)
{
	struct members_change *changes = calloc(c->registry->n_labels + 1, sizeof(*changes));
	size_t n = 0;
	int r = changes ? 0 : sb_fail(error, ENOMEM, "out of memory");

	for (struct label *l = registry_next(c->registry, NULL); l && r == 0;
	     l = registry_next(c->registry, l)) {
		if (l->configured)
			continue;
		r = members_change_begin(c, &changes[n++], l);
		if (r < 0)
			sb_fail(error, -r, "label %s: %s", l->name, strerror(-r));
	}
	if (r == 0)
		r = members_apply(c, changes, n, error);
	if (changes)
		members_change_end(changes, n);
	free(changes);
	return r;
}

/*
 * What is first, the rules or the groups? When the kernel's groups are an earlier run's, they go on
 * being right for the sockets of every label, under the rules in force and under the new ones: the
 * rules are switched, then the words are stored anew, one by one. (Groups first would be wrong if
 * the state was lost: the former rules would lead to labels that only have the same numbers.) When
 * the groups were made anew, nobody reads them before the rules that come with them are switched
 * in, and from then on everybody does: all of them are written first.
 */
static int start(struct core *c, const struct core_config *config, struct reserved *rs,
		 const struct core_saved *saved, struct sb_error *error)
{
	struct dataplane_info info = { 0 };
	int r = 0;

	c->dataplane.info(c->dataplane.self, &info);
	if (info.renewed)
		r = members_write_all(c, error);
	/* Before any labels are: from then on missing rules were removed by somebody. */
	if (r == 0 && !saved->rules)
		r = replay_compact(c, c->rules, error);
	if (r == 0)
		r = core_configure(c, config, error);
	if (r == 0 && !info.renewed)
		r = write_other_labels(c, error);
	if (r < 0) {
		c->state.rollback(c->state.self);
		return r;
	}
	say_lost_rules(c, saved, &info);
	clear_strangers(c, rs);
	core_labels_collect(c);
	r = core_stage_labels(c, error);
	if (r == 0 && saved->rules && saved->journal_length > 0)
		r = replay_compact(c, c->rules, error);
	if (r < 0) {
		c->state.rollback(c->state.self);
		return r;
	}
	return c->state.commit(c->state.self, error);
}

int core_start(struct core *c, const struct core_config *config, const struct core_saved *saved,
	       struct sb_error *error)
{
	struct reserved reserved = { .alone = saved->alone };
	int r = reserved_init(&reserved);

	if (r < 0)
		sb_fail(error, -r, "out of memory");
	c->settings = config->settings;
	if (r == 0)
		r = restore_labels(c, &reserved, saved, error);
	if (r == 0)
		r = fdstore_restore(c, saved, error);
	if (r == 0)
		r = replay_rules(c, saved, error);
	c->starting = true;
	if (r == 0)
		r = reserve_lists(c, &reserved, error);
	if (r == 0)
		r = reserve_slots(c, &reserved, error);
	if (r == 0)
		r = start(c, config, &reserved, saved, error);
	c->starting = false;
	reserved_clear(c, &reserved);
	if (r < 0)
		return r;
	inherit_sockets(c, saved->fds, saved->n_fds);
	hold_resume(c);
	return 0;
}
