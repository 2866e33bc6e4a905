/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/label.h"

#include <string.h>

const char *when_empty_name(enum when_empty w)
{
	return w == WHEN_EMPTY_PASS ? "pass" : w == WHEN_EMPTY_HOLD ? "hold" : "drop";
}

const char *activation_state_name(enum activation_state s)
{
	return s == ACTIVATION_FAILED ? "failed" : s == ACTIVATION_ASKED ? "starting" : "ready";
}

struct label *label_new(const char *name)
{
	struct label *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	strncpy(l->name, name, SB_LABEL_MAX);
	l->max_sockets = LABEL_SOCKETS_DEFAULT;
	l->hold_timeout_us = LABEL_HOLD_TIMEOUT_DEFAULT_US;
	return l;
}

void members_free(struct member *members, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		quota_charge_clear(&members[i].charge);
		free(members[i].unit);
	}
	free(members);
}

void label_free(struct label *l)
{
	if (!l)
		return;
	members_free(l->members, l->n_members);
	policy_clear(&l->policy);
	free(l->description);
	free(l->activation.unit);
	free(l);
}

size_t label_rules(const struct label *l)
{
	return l->n_rules[0][0] + l->n_rules[0][1] + l->n_rules[1][0] + l->n_rules[1][1];
}

size_t members_handed_in(const struct member *members, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += !members[i].own;
	return found;
}

size_t label_sockets(const struct label *l)
{
	return members_handed_in(l->members, l->n_members);
}

bool member_takes(const struct member *m, unsigned kind)
{
	if ((m->protocol == IPPROTO_UDP) != !!(kind & SB_GROUP_UDP))
		return false;
	if (m->own)
		return (kind & ~(unsigned)SB_GROUP_UDP) == SB_GROUP_HOLD;
	switch (kind & ~(unsigned)SB_GROUP_UDP) {
	case SB_GROUP_V4:
		return m->address.family == AF_INET;
	case SB_GROUP_V6:
		return m->address.family == AF_INET6;
	case SB_GROUP_DUAL:
		return m->address.family == AF_INET6 && m->dual;
	default:
		return false;
	}
}

bool member_in_group(const struct member *m, unsigned kind)
{
	return !m->withheld && member_takes(m, kind);
}

bool member_same_kind(const struct member *a, const struct member *b)
{
	return a->protocol == b->protocol && a->address.family == b->address.family;
}

bool member_served(const struct member *m)
{
	return !m->own && m->held_since == 0;
}

bool member_waits_first(const struct member *m)
{
	return m->own || m->inherited;
}

/* Whether a served socket takes packets that try group KIND: those of IPv4 try two. */
static bool any_served(const struct member *members, size_t n, unsigned kind)
{
	unsigned udp = kind & SB_GROUP_UDP;
	bool v6 = (kind & ~(unsigned)SB_GROUP_UDP) == SB_GROUP_V6;

	for (size_t i = 0; i < n; i++) {
		const struct member *m = &members[i];

		if (member_served(m) && (v6 ? member_in_group(m, udp | SB_GROUP_V6)
					    : member_in_group(m, udp | SB_GROUP_V4) ||
							 member_in_group(m, udp | SB_GROUP_DUAL)))
			return true;
	}
	return false;
}

size_t members_group_slots(const struct member *members, size_t n, unsigned kind, uint32_t *slots)
{
	bool served = any_served(members, n, kind);
	size_t found = 0;

	for (size_t i = 0; i < n && found < SB_GROUP_SLOTS_MAX; i++) {
		const struct member *m = &members[i];

		if (member_in_group(m, kind) && (m->own || !served || member_served(m)))
			slots[found++] = m->slot;
	}
	return found;
}
