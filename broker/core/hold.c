/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/hold.h"

#include <string.h>

#include "broker/base/log.h"
#include "broker/core/activation.h"
#include "broker/core/fdstore.h"
#include "broker/core/lives.h"

void hold_alarm(struct core *c, uint64_t at_us)
{
	if (at_us == 0 || (c->alarm_us && c->alarm_us <= at_us))
		return;
	c->alarm_us = at_us;
	c->watch.alarm(c->watch.self, at_us);
}

void hold_begin(struct core *c, const struct label *l, struct member *m)
{
	m->held_since = c->host.now(c->host.self);
	if (m->probation.since_us)
		m->hold_ends_us = m->probation.hold_ends_us;
	else if (!member_waits_first(m))
		m->hold_ends_us = c->host.monotonic_us(c->host.self) + l->hold_timeout_us;
	m->probation = (struct probation){ 0 };
}

void hold_forget(struct member *m)
{
	m->copy = -1;
	m->life = NULL;
	m->served_by = 0;
	m->held_since = m->hold_ends_us = 0;
	m->probation = (struct probation){ 0 };
}

unsigned hold_waiting(struct core *c, const struct member *m)
{
	uint32_t n = 0;

	if (member_served(m) || m->copy < 0 || c->host.waiting(c->host.self, m->copy, &n) < 0)
		return 0;
	return n;
}

int hold_empty(struct core *c, const struct label *l, struct member *m)
{
	unsigned n = hold_waiting(c, m);
	int r = c->host.empty(c->host.self, m->copy);

	c->watch.unwatch(c->watch.self, m->copy);
	if (r == 0)
		r = c->watch.watch(c->watch.self, m->copy);
	if (r < 0)
		return r;
	m->wait_since = m->hold_ends_us = 0;
	if (n > 0)
		log_notice("label %s: %u waiting connections were reset", l->name, n);
	return 0;
}

/* -- what a change needs ---------------------------------------------------------------------- */

static bool is_own_of(const struct member *m, unsigned udp, unsigned v6)
{
	return m->own && (m->protocol == IPPROTO_UDP) == udp &&
	       (m->address.family == AF_INET6) == v6;
}

/* Whether the broker keeps a socket that packets of this kind wait in, beside its own ones. */
static bool is_covered(const struct members_change *m, unsigned udp, unsigned v6)
{
	unsigned base = udp ? SB_GROUP_UDP : 0;

	for (size_t i = 0; i < m->n_members; i++) {
		const struct member *member = &m->members[i];

		if (member->copy < 0 || member->own)
			continue;
		if (v6 ? member_takes(member, base | SB_GROUP_V6)
		       : member_takes(member, base | SB_GROUP_V4) ||
				    member_takes(member, base | SB_GROUP_DUAL))
			return true;
	}
	return false;
}

static int own_member(struct core *c, int fd, int protocol, struct member *ret)
{
	struct socket_facts facts;
	int r = c->host.inspect(c->host.self, fd, &facts);

	if (r < 0)
		return r;
	*ret = (struct member){
		.cookie = facts.cookie,
		.protocol = (uint8_t)protocol,
		.since = c->host.now(c->host.self),
		.own = true,
		.copy = fd,
	};
	sb_address_from_sockaddr(&facts.local, &ret->address, &ret->port);
	return 0;
}

static int make_own(struct core *c, struct members_change *m, unsigned udp, unsigned v6,
		    struct sb_error *error)
{
	int protocol = udp ? IPPROTO_UDP : IPPROTO_TCP, fd;
	struct member member;
	int r = c->host.own_socket(c->host.self, protocol, v6 ? AF_INET6 : AF_INET, &fd);

	if (r < 0)
		goto fail;
	r = own_member(c, fd, protocol, &member);
	if (r == 0)
		r = c->watch.watch(c->watch.self, fd);
	if (r < 0) {
		c->host.close(c->host.self, fd);
		goto fail;
	}
	r = member_store(c, m->label, &member, fd, error);
	if (r == 0 && members_change_add(m, &member) < 0) {
		member_unstore(c, &member);
		r = sb_fail(error, ENOMEM, "out of memory");
	}
	if (r < 0) {
		c->watch.unwatch(c->watch.self, fd);
		c->host.close(c->host.self, fd);
		return r;
	}
	m->made[v6][udp] = fd;
	return 0;
fail:
	return sb_fail(error, -r, "label %s: no socket can be made for its packets to wait in: %s",
		       m->label->name, strerror(-r));
}

static bool has_copy(const struct member *m, const void *data)
{
	return m->copy == *(const int *)data;
}

static const struct member *find_own(const struct members_change *m, unsigned udp, unsigned v6)
{
	for (size_t i = 0; i < m->n_members; i++)
		if (is_own_of(&m->members[i], udp, v6))
			return &m->members[i];
	return NULL;
}

static bool wants_own(const struct members_change *m, unsigned udp, unsigned v6)
{
	return m->when_empty == WHEN_EMPTY_HOLD && m->n_rules[v6][udp] > 0 &&
	       !is_covered(m, udp, v6);
}

/* Of those that stay when they are given up. */
static bool is_withheld(const struct members_change *m, const struct member *member)
{
	return m->withhold && !member_served(member) && member_waits_first(member);
}

int hold_adjust(struct core *c, struct members_change *m, struct sb_error *error)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned v6 = i / 2, udp = i % 2;
		const struct member *own = find_own(m, udp, v6);
		bool wanted = wants_own(m, udp, v6);
		int r = wanted && !own ? make_own(c, m, udp, v6, error) : 0;

		if (r < 0)
			return r;
		if (!wanted && own)
			members_change_drop(m, has_copy, &(int){ own->copy });
	}
	for (size_t i = 0; i < m->n_members; i++) {
		if (m->when_empty != WHEN_EMPTY_HOLD)
			hold_forget(&m->members[i]);
		m->members[i].withheld = is_withheld(m, &m->members[i]);
	}
	return 0;
}

void hold_undo(struct core *c, struct members_change *m)
{
	for (unsigned i = 0; i < 4; i++) {
		int fd = m->made[i / 2][i % 2];

		if (fd == 0)
			continue;
		for (size_t k = 0; k < m->n_members; k++)
			if (m->members[k].copy == fd && !c->starting)
				member_unstore(c, &m->members[k]);
		members_change_drop(m, has_copy, &fd);
		c->watch.unwatch(c->watch.self, fd);
		c->host.close(c->host.self, fd);
	}
	memset(m->made, 0, sizeof(m->made));
}

/* -- after a change --------------------------------------------------------------------------- */

static const struct member *find_copy(const struct label *l, int copy)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (l->members[i].copy == copy)
			return &l->members[i];
	return NULL;
}

static void settle_former(struct core *c, struct members_change *m, const struct member *former)
{
	const struct member *present;

	life_remove(c, former->life);
	if (former->copy < 0)
		return;
	present = find_copy(m->label, former->copy);
	if (!present || (!member_served(former) && member_served(present)))
		c->watch.unwatch(c->watch.self, former->copy);
	if (present)
		return;
	m->n_reset += hold_waiting(c, former);
	if (former->inherited && !member_served(former)) /* closing it would reset nothing */
		c->host.empty(c->host.self, former->copy);
	fdstore_remove_member(c, former);
	c->host.discard(c->host.self, former->uid, former->copy);
}

/* Keeps what is new beyond our end. */
static void store(struct core *c, const struct members_change *former, const struct member *m)
{
	bool known = m->copy < 0;

	if (m->life && !m->life->stored) {
		fdstore_push_life(c, m->life);
		m->life->stored = true;
	}
	for (size_t i = 0; i < former->n_members && !known; i++)
		known = former->members[i].copy == m->copy;
	if (!known)
		fdstore_push_member(c, m);
}

static bool was_served(const struct members_change *former, const struct member *m)
{
	for (size_t i = 0; i < former->n_members; i++)
		if (former->members[i].cookie == m->cookie && former->members[i].life == m->life)
			return true;
	return false;
}

/* Whether a service serves one of L's sockets that did not do so before. */
static bool has_come(const struct label *l, const struct members_change *former)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (member_served(&l->members[i]) && l->members[i].life &&
		    !was_served(former, &l->members[i]))
			return true;
	return false;
}

void hold_settle(struct core *c, struct members_change *m)
{
	const struct label *l = m->label;

	for (size_t i = 0; i < l->n_members; i++) {
		life_add(l->members[i].life);
		store(c, m, &l->members[i]);
		hold_alarm(c, l->members[i].hold_ends_us);
		hold_alarm(c, l->members[i].probation.look_us);
	}
	if (has_come(l, m))
		activation_settle(m->label);
	for (size_t i = 0; i < m->n_members; i++)
		settle_former(c, m, &m->members[i]);
	memset(m->made, 0, sizeof(m->made));
	if (m->n_reset > 0)
		log_notice("label %s: %u waiting connections were reset", l->name, m->n_reset);
}

/* -- what changes the need -------------------------------------------------------------------- */

int hold_refresh(struct core *c, struct label *l, const size_t (*n_rules)[2],
		 struct sb_error *error)
{
	struct members_change change = { 0 };
	bool needed = false;
	int r;

	if (l->when_empty != WHEN_EMPTY_HOLD)
		return 0;
	r = members_change_begin(c, &change, l);
	if (r < 0) {
		members_change_end(&change, 1);
		return sb_fail(error, -r, "label %s: %s", l->name, strerror(-r));
	}
	if (n_rules)
		memcpy(change.n_rules, n_rules, sizeof(change.n_rules));
	for (unsigned i = 0; i < 4 && !needed; i++)
		needed = wants_own(&change, i % 2, i / 2) != !!find_own(&change, i % 2, i / 2);
	for (size_t i = 0; i < change.n_members && !needed; i++)
		needed = change.members[i].withheld != is_withheld(&change, &change.members[i]);
	r = needed ? members_apply(c, &change, 1, error) : 0;
	members_change_end(&change, 1);
	return r;
}
