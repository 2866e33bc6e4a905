/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* register: all sockets of a request are checked, then all are taken, or none. */
#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/base/rate-limit.h"
#include "broker/core/describe.h"
#include "broker/core/hold.h"
#include "broker/core/lives.h"
#include "broker/core/registration.h"
#include "broker/core/shares.h"
#include "broker/model/socket-check.h"

static int inspect(struct core *c, const struct request *rq, size_t i, struct socket_facts *facts)
{
	if (!rq->sockets)
		return c->host.inspect(c->host.self, rq->fds[i], facts);
	*facts = rq->sockets[i].facts;
	return rq->sockets[i].looked;
}

static int inspect_all(struct core *c, const struct request *rq, struct registration *reg,
		       struct sb_error *error)
{
	uint64_t netns = c->host.netns_cookie(c->host.self);

	for (size_t i = 0; i < reg->n_sockets; i++) {
		struct member *m = &reg->members[i];
		struct socket_facts facts;
		int r = inspect(c, rq, i, &facts);

		if (r < 0)
			return sb_fail(error, -r, "socket %zu cannot be looked at: %s", i,
				       strerror(-r));
		r = socket_check(&facts, i, netns, error);
		if (r < 0)
			return r;
		*m = (struct member){
			.cookie = facts.cookie,
			.protocol = (uint8_t)facts.protocol,
			.dual = socket_is_dual_stack(&facts),
			.reuseport = facts.reuseport,
			.pid = rq->actor->pid,
			.uid = rq->actor->uid,
			.gid = rq->actor->gid,
			.unit = rq->actor->unit[0] ? rq->actor->unit : NULL,
			.since = c->host.now(c->host.self),
			.copy = -1,
		};
		sb_address_from_sockaddr(&facts.local, &m->address, &m->port);
		for (size_t k = 0; k < i; k++)
			if (reg->members[k].cookie == m->cookie)
				return sb_fail(error, EINVAL,
					       "sockets %zu and %zu of the request are the same "
					       "socket",
					       k, i);
	}
	return 0;
}

struct kinds {
	const struct member *members;
	size_t n;
};

static bool replaced(const struct member *m, const void *data)
{
	const struct kinds *new = data;

	for (size_t i = 0; i < new->n; i++)
		if (member_same_kind(m, &new->members[i]))
			return true;
	return false;
}

/* A socket that is registered already keeps its slot, unless it left it (shutdown() takes a
 * listener out, another listen() does not bring it back). */
static const struct member *find_in_slot(struct core *c, const struct label *l, uint64_t cookie)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (l->members[i].cookie == cookie && member_alive(c, &l->members[i]))
			return &l->members[i];
	return NULL;
}

static bool has_cookie(const struct member *m, const void *data)
{
	return m->cookie == *(const uint64_t *)data;
}

/* The life of who serves the sockets, which ones under WhenEmpty=hold need. */
static int find_life(struct core *c, const struct request *rq, struct registration *reg,
		     struct sb_error *error)
{
	pid_t pid = rq->actor->pid;
	int r = 0;

	if (reg->life)
		return 0;
	if (reg->other) /* a porter passes nothing on that is no pidfd */
		r = reg->pidfd < 0 ? -EBADF : c->host.pidfd_pid(c->host.self, reg->pidfd, &pid);
	if (r == -ESRCH)
		return sb_fail(error, ESRCH, "the process of the passed pidfd has ended");
	if (r < 0)
		return sb_fail(error, EBADF,
			       "PIDFD=yes, but the last file descriptor of the request is no "
			       "pidfd (pidfd_open)");
	return life_new(c, pid, reg->other ? reg->pidfd : rq->pidfd, &reg->life, error);
}

/* Under WhenEmpty=hold the broker keeps a copy of M, a socket of L; OLD is the same, as it was
 * registered before, or NULL. */
static int keep_copy(struct core *c, const struct request *rq, struct registration *reg,
		     const struct label *l, struct member *m, const struct member *old, int fd,
		     struct sb_error *error)
{
	int r = fd < 0 ? request_refuse_files(error) : find_life(c, rq, reg, error);

	if (r < 0)
		return r;
	if (old && old->copy >= 0) {
		m->copy = old->copy;
	} else {
		r = c->host.copy(c->host.self, fd, &m->copy);
		if (r < 0)
			return sb_fail(error, -r, "label %s: its sockets cannot be kept: %s",
				       l->name, strerror(-r));
		reg->copies[reg->n_copies++] = m->copy;
	}
	m->life = reg->life;
	m->served_by = m->life ? m->life->pid : 0;
	if (!m->life || m->life->ended)
		hold_begin(c, l, m);
	return 0;
}

/* A slot for socket I: the one that a porter has put it into, or another. */
static int find_slot(struct core *c, const struct request *rq, struct registration *reg,
		     const struct label *l, size_t i, struct sb_error *error)
{
	struct member *m = &reg->members[i];
	int r;

	if (rq->sockets)
		return member_own(c, l, m, &rq->sockets[i], error);
	r = member_store(c, l, m, rq->fds[i], error);
	if (r == 0)
		reg->stored[reg->n_stored++] = *m;
	return r;
}

/* What was reserved for sockets that have no other slot is theirs now. */
static void take_slots(const struct request *rq, const struct registration *reg)
{
	for (size_t i = 0; rq->sockets && i < reg->n_sockets; i++)
		rq->sockets[i].taken = reg->members[i].slot == rq->sockets[i].slot;
}

static int prepare_part(struct core *c, const struct request *rq, struct registration *reg,
			const struct part *p, struct sb_error *error)
{
	struct members_change *change = &reg->changes[reg->n_changes++];
	struct kinds kinds = { &reg->members[p->first], p->count };
	int r = members_change_begin(c, change, p->label);
	size_t n;

	if (r < 0)
		return sb_fail(error, -r, "label %s: %s", p->name, strerror(-r));
	if (!reg->add)
		members_change_drop(change, replaced, &kinds);
	for (size_t i = p->first; i < p->first + p->count; i++) {
		struct member *m = &reg->members[i];
		const struct member *old = find_in_slot(c, p->label, m->cookie);

		members_change_drop(change, has_cookie, &m->cookie);
		if (old)
			m->slot = old->slot;
		else
			r = find_slot(c, rq, reg, p->label, i, error);
		if (r == 0 && p->label->when_empty == WHEN_EMPTY_HOLD)
			r = keep_copy(c, rq, reg, p->label, m, old, rq->fds ? rq->fds[i] : -1,
				      error);
		if (r < 0)
			return r;
		if (members_change_add(change, m) < 0)
			return sb_fail(error, ENOMEM, "out of memory");
	}
	for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL; kind++) {
		n = 0;
		for (size_t i = 0; i < change->n_members; i++)
			n += member_in_group(&change->members[i], kind);
		if (n > SB_GROUP_SLOTS_MAX)
			return sb_fail(
				error, E2BIG,
				"label %s would have %zu sockets of one protocol and family, "
				"the program looks at %d at most",
				p->name, n, SB_GROUP_SLOTS_MAX);
	}
	n = members_handed_in(change->members, change->n_members);
	if (n > p->label->max_sockets)
		return sb_fail(error, ENOSPC,
			       "label %s would have %zu sockets, it may have %u (MaxSockets=)",
			       p->name, n, p->label->max_sockets);
	return 0;
}

static void undo(struct core *c, const struct registration *reg)
{
	for (size_t i = 0; i < reg->n_stored; i++)
		member_unstore(c, &reg->stored[i]);
	for (size_t i = 0; i < reg->n_copies; i++)
		c->host.close(c->host.self, reg->copies[i]);
	for (size_t i = 0; i < reg->n_parts; i++)
		if (reg->parts[i].created)
			core_label_collect(c, reg->parts[i].label);
}

/* What waited in sockets that these replace cannot move to them. */
static void warn_reset(const struct registration *reg, struct reply *reply)
{
	for (size_t i = 0; i < reg->n_changes; i++)
		if (reg->changes[i].n_reset > 0)
			reply_warn(reply,
				   "%u connections that waited for label %s were reset: they were "
				   "in another socket; a service that takes that one (sockbroker "
				   "run) gets them",
				   reg->changes[i].n_reset, reg->changes[i].label->name);
}

/* An IPv6-only socket never sees the IPv4 rules of its label: nothing is wrong with that, but it
 * is seldom meant. */
static void warn_families(const struct part *p, struct reply *reply)
{
	static const char *const names[] = { "TCP", "UDP" };

	for (unsigned udp = 0; udp < 2; udp++) {
		const struct label *l = p->label;
		unsigned kind = udp ? SB_GROUP_UDP : 0;

		if (l->n_rules[0][udp] && l->groups[kind + SB_GROUP_V6].count &&
		    !l->groups[kind + SB_GROUP_V4].count && !l->groups[kind + SB_GROUP_DUAL].count)
			reply_warn(reply,
				   "label %s has IPv4 rules for %s, but its sockets are IPv6-only "
				   "(IPV6_V6ONLY, or bound to one IPv6 address) and cannot take "
				   "IPv4 packets",
				   l->name, names[udp]);
	}
}

static int register_all(struct core *c, struct request *rq, struct registration *reg,
			struct reply *reply, struct sb_error *error)
{
	int r = 0;

	for (size_t i = 0; i < reg->n_parts && r == 0; i++)
		r = request_may_register(c, rq, reg->parts[i].name, error);
	if (r == 0 && !rq->fds && !rq->sockets)
		r = request_refuse_files(error);
	if (r == 0)
		r = inspect_all(c, rq, reg, error);
	for (size_t i = 0; i < reg->n_parts && r == 0; i++)
		r = core_label_get(c, reg->parts[i].name, &reg->parts[i].label,
				   &reg->parts[i].created, error);
	for (size_t i = 0; i < reg->n_parts && r == 0; i++)
		r = prepare_part(c, rq, reg, &reg->parts[i], error);
	if (r == 0)
		r = shares_check_members(c, reg->changes, reg->n_changes, rq->actor->uid,
					 rq->sockets ? rq->n_fds : reg->n_stored, error);
	if (r == 0)
		r = members_apply(c, reg->changes, reg->n_changes, error);
	if (r < 0) {
		undo(c, reg);
	} else {
		take_slots(rq, reg);
		warn_reset(reg, reply);
	}
	life_collect(c, reg->life);
	members_change_end(reg->changes, reg->n_changes);
	return r;
}

int op_register(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	_cleanup_free_ struct registration *reg = malloc(sizeof(*reg));
	int r;

	if (!reg)
		return sb_fail(error, ENOMEM, "out of memory");
	r = registration_parse(rq, reg, error);
	if (r == 0)
		r = register_all(c, rq, reg, reply, error);
	if (r < 0)
		return r;
	sb_writer_add(&reply->writer, "SOCKETS", "%zu", reg->n_sockets);
	for (size_t i = 0; i < reg->n_parts; i++) {
		const struct label *l = reg->parts[i].label;

		log_limited(&c->log, LOG_INFO,
			    "label %s: %zu sockets %s by uid %u, pid %d; %zu in all", l->name,
			    reg->parts[i].count, reg->add ? "added" : "registered",
			    (unsigned)rq->actor->uid, (int)rq->actor->pid, label_sockets(l));
		warn_families(&reg->parts[i], reply);
	}
	return 0;
}
