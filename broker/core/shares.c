/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/shares.h"

#include <inttypes.h>

/* -- sockets ---------------------------------------------------------------------------------- */

static uint64_t count_members(const struct member *members, size_t n, uid_t uid)
{
	uint64_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += !members[i].own && members[i].uid == uid;
	return found;
}

/* Those among them that U holds: what could not be charged is not taken from it either. */
static uint64_t count_charged(const struct member *members, size_t n, const struct quota_user *u)
{
	uint64_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += members[i].charge.user == u;
	return found;
}

/* The user with this UID (NULL: root, who has no share), once it is known how many slots are
 * nobody's; IN_HAND are in use for what UID asks for. */
static int find_user(struct core *c, uid_t uid, size_t in_hand, struct quota_user **ret,
		     struct sb_error *error)
{
	if (uid == 0)
		return 0;
	*ret = quota_user_get(c->quota, uid);
	if (!*ret)
		return sb_fail(error, ENOMEM, "out of memory");
	quota_set_unshared(c->quota, QUOTA_SOCKETS,
			   c->registry->slots.used - quota_used(c->quota, QUOTA_SOCKETS) - in_hand);
	return 0;
}

int shares_check_members(struct core *c, const struct members_change *changes, size_t n, uid_t uid,
			 size_t in_hand, struct sb_error *error)
{
	_cleanup_(quota_user_putp) struct quota_user *u = NULL;
	uint64_t held, after, share;
	int r = find_user(c, uid, in_hand, &u, error);

	if (r < 0 || !u)
		return r;
	held = after = quota_held(u, QUOTA_SOCKETS);
	share = quota_share(u, QUOTA_SOCKETS);
	for (size_t i = 0; i < n; i++) {
		const struct label *l = changes[i].label;

		after -= count_charged(l->members, l->n_members, u);
		after += count_members(changes[i].members, changes[i].n_members, uid);
	}
	if (after <= share || after <= held)
		return 0;
	return sb_fail(error, EDQUOT,
		       "uid %u has %" PRIu64 " sockets registered, and would have %" PRIu64
		       "; its share of the broker's %d slots is %" PRIu64 " just now",
		       (unsigned)uid, held, after, SB_SLOTS_MAX, share);
}

int shares_charge_reserved(struct core *c, uid_t uid, size_t n, struct quota_charge *charge,
			   struct sb_error *error)
{
	_cleanup_(quota_user_putp) struct quota_user *u = NULL;
	int r = find_user(c, uid, 0, &u, error);

	if (r < 0 || !u)
		return r;
	if (quota_charge(charge, u, QUOTA_SOCKETS, n) == 0)
		return 0;
	return sb_fail(error, EDQUOT,
		       "uid %u has %" PRIu64 " sockets registered or on their way, and sends %zu "
		       "more; its share of the broker's %d slots is %" PRIu64 " just now",
		       (unsigned)uid, quota_held(u, QUOTA_SOCKETS), n, SB_SLOTS_MAX,
		       quota_share(u, QUOTA_SOCKETS));
}

void shares_settle_members(struct core *c, struct label *l)
{
	for (size_t i = 0; i < l->n_members; i++) {
		struct member *m = &l->members[i];
		struct quota_user *u;

		if (m->own || m->uid == 0 || m->charge.user)
			continue;
		u = quota_user_get(c->quota, m->uid);
		if (!u) /* out of memory: it goes uncharged */
			return;
		quota_charge_anyway(&m->charge, u, QUOTA_SOCKETS, 1);
		quota_user_put(u);
	}
}

/* -- rules ------------------------------------------------------------------------------------ */

uint8_t shares_owner(struct core *c, uid_t uid)
{
	uint8_t unused = 0;

	if (uid == 0)
		return 0;
	for (uint8_t i = 1; i <= RULE_OWNERS_MAX; i++) {
		if (c->owners[i].n > 0 && c->owners[i].uid == uid)
			return i;
		if (c->owners[i].n == 0 && !unused)
			unused = i;
	}
	/* With more users than there are numbers, the rules of the last ones are nobody's. */
	c->owners[unused].uid = unused ? uid : 0;
	return unused;
}

static uint64_t count_owned(const struct core *c)
{
	uint64_t n = 0;

	for (uint8_t i = 1; i <= RULE_OWNERS_MAX; i++)
		n += c->owners[i].n;
	return n;
}

int shares_check_rules(struct core *c, uint8_t owner, size_t n, bool all, struct sb_error *error)
{
	_cleanup_(quota_user_putp) struct quota_user *u = NULL;
	uint64_t held, share, unshared = ruleset_count(c->rules) - count_owned(c);

	if (owner == 0)
		return 0;
	u = quota_user_get(c->quota, c->owners[owner].uid);
	if (!u)
		return sb_fail(error, ENOMEM, "out of memory");
	quota_set(c->quota, QUOTA_RULES, c->settings.max_rules);
	held = quota_held(u, QUOTA_RULES);
	quota_set_unshared(c->quota, QUOTA_RULES, unshared);
	share = quota_share(u, QUOTA_RULES);
	if (all) { /* half of what label files leave, as of one who is alone */
		unshared = ruleset_count(c->config_rules);
		held = 0;
		share = unshared < c->settings.max_rules ? (c->settings.max_rules - unshared) / 2
							 : 0;
	}
	if (held + n <= share)
		return 0;
	return sb_fail(error, EDQUOT,
		       "uid %u has %" PRIu64 " runtime rules, and would have %" PRIu64
		       "; its share of MaxRules= is %" PRIu64 " just now",
		       (unsigned)c->owners[owner].uid, quota_held(u, QUOTA_RULES), held + n, share);
}

void shares_count_rule(struct core *c, const struct rule *r, int sign)
{
	if (r->owner)
		c->owners[r->owner].n += (size_t)sign;
}

void shares_forget_rules(struct core *c)
{
	for (uint8_t i = 1; i <= RULE_OWNERS_MAX; i++)
		c->owners[i].n = 0;
}

void shares_settle_rules(struct core *c)
{
	for (uint8_t i = 1; i <= RULE_OWNERS_MAX; i++) {
		struct rule_owner *o = &c->owners[i];
		struct quota_user *u;

		if (o->charge.amount == o->n)
			continue;
		u = quota_user_get(c->quota, o->uid);
		quota_charge_clear(&o->charge);
		if (u)
			quota_charge_anyway(&o->charge, u, QUOTA_RULES, o->n);
		quota_user_put(u);
	}
}

void shares_clear(struct core *c)
{
	for (uint8_t i = 1; i <= RULE_OWNERS_MAX; i++)
		quota_charge_clear(&c->owners[i].charge);
}
