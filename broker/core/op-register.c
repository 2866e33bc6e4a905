/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* register: all sockets of a request are checked, then all are taken, or none. */
#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/core-internal.h"
#include "broker/core/describe.h"
#include "broker/model/socket-check.h"

#define REGISTER_LABELS_MAX 64 /* labels of one request */

/* One label of the request and the fds that are meant for it. */
struct part {
	const char *name;
	struct label *label;
	bool created;
	size_t first, count;
};

struct registration {
	struct part parts[REGISTER_LABELS_MAX];
	size_t n_parts;
	bool add;
	struct member members[SB_WIRE_FDS_MAX]; /* by fd; units borrowed from the actor */
	uint32_t filled[SB_WIRE_FDS_MAX];       /* slots that hold a socket now */
	size_t n_filled;
	struct members_change changes[REGISTER_LABELS_MAX];
	size_t n_changes;
};

static int parse_count(const char *value, size_t left, size_t *ret, struct sb_error *error)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9' || n == 0)
		return sb_fail(error, EINVAL, "COUNT=%s is not a number of sockets", value);
	if (n > left)
		return sb_fail(error, EBADF, "COUNT=%lu, but only %zu sockets are left", n, left);
	*ret = n;
	return 0;
}

/* LABEL= with its COUNT=, repeated; a label without a count takes all that are left. */
static int parse_parts(const struct request *rq, struct registration *reg, struct sb_error *error)
{
	const struct sb_message *m = rq->message;
	size_t used = 0;
	int r;

	for (size_t i = 0; i < m->n_fields; i++) {
		struct part *p = &reg->parts[reg->n_parts];

		if (!strcmp(m->fields[i].key, "COUNT") &&
		    (i == 0 || strcmp(m->fields[i - 1].key, "LABEL") != 0))
			return sb_fail(error, EINVAL,
				       "COUNT=%s does not follow a LABEL=", m->fields[i].value);
		if (strcmp(m->fields[i].key, "LABEL") != 0)
			continue;
		if (reg->n_parts == REGISTER_LABELS_MAX)
			return sb_fail(error, EMSGSIZE, "more than %d labels in one request",
				       REGISTER_LABELS_MAX);
		r = sb_label_check(m->fields[i].value, error);
		if (r < 0)
			return r;
		for (size_t k = 0; k < reg->n_parts; k++)
			if (!strcmp(reg->parts[k].name, m->fields[i].value))
				return sb_fail(error, EINVAL, "label %s comes twice",
					       m->fields[i].value);
		p->name = m->fields[i].value;
		p->first = used;
		p->count = rq->n_fds - used;
		if (i + 1 < m->n_fields && !strcmp(m->fields[i + 1].key, "COUNT")) {
			r = parse_count(m->fields[i + 1].value, rq->n_fds - used, &p->count, error);
			if (r < 0)
				return r;
		}
		if (p->count == 0)
			return sb_fail(error, EBADF, "no socket is left for label %s", p->name);
		used += p->count;
		reg->n_parts++;
	}
	if (reg->n_parts == 0)
		return sb_fail(error, EINVAL, "the request lacks LABEL=");
	if (used != rq->n_fds)
		return sb_fail(error, EBADF, "%zu sockets came, but only %zu have a label",
			       rq->n_fds, used);
	return 0;
}

static int parse_mode(const struct request *rq, bool *add, struct sb_error *error)
{
	const char *mode;
	int r;

	*add = false;
	if (sb_message_count(rq->message, "MODE") == 0)
		return 0;
	r = request_need(rq, "MODE", &mode, error);
	if (r < 0)
		return r;
	if (strcmp(mode, "add") != 0 && strcmp(mode, "replace") != 0)
		return sb_fail(error, EINVAL, "MODE= is add or replace, not \"%s\"", mode);
	*add = !strcmp(mode, "add");
	return 0;
}

/* A label without a file is known to nobody but admins, so the refusal for it is the same whether
 * it exists or not. */
static int authorize(struct core *c, struct request *rq, const char *name, struct sb_error *error)
{
	const struct label *l = registry_find(c->registry, name);
	const struct policy *policy = l && l->configured ? &l->policy : NULL;
	const struct policy_groups *groups = &c->settings.groups;
	bool group = c->settings.admin_group[0] != '\0';

	if (!rq->actor->unit[0]) /* for the decision, and for status */
		c->host.unit(c->host.self, rq->actor->pid, rq->pidfd, rq->actor->unit,
			     sizeof(rq->actor->unit));
	if (policy_may_register(rq->actor, groups, policy))
		return 0;
	return sb_fail(error, EPERM,
		       "uid %u may not register under label %s: only root%s%s%s%s may%s",
		       (unsigned)rq->actor->uid, name, group ? ", group " : "",
		       group ? c->settings.admin_group : "", policy && policy->summary ? ", " : "",
		       policy && policy->summary ? policy->summary : "",
		       policy ? "" : " (it has no label file with AllowUser= or the like)");
}

static int inspect_all(struct core *c, const struct request *rq, struct registration *reg,
		       struct sb_error *error)
{
	uint64_t netns = c->host.netns_cookie(c->host.self);

	for (size_t i = 0; i < rq->n_fds; i++) {
		struct member *m = &reg->members[i];
		struct socket_facts facts;
		int r = c->host.inspect(c->host.self, rq->fds[i], &facts);

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

static int fill_slot(struct core *c, struct registration *reg, const struct label *l,
		     struct member *m, int fd, struct sb_error *error)
{
	int64_t slot = range_take(&c->registry->slots, 1);
	char local[SB_ADDRESS_TEXT_MAX];
	int r;

	if (slot < 0)
		return sb_fail(error, E2BIG, "all %d slots of the broker are in use", SB_SLOTS_MAX);
	r = c->dataplane.slot_store(c->dataplane.self, (uint32_t)slot,
				    SB_SLOT_OWNER(l->id, m->protocol == IPPROTO_UDP), fd);
	if (r < 0) {
		range_give(&c->registry->slots, (uint32_t)slot, 1);
		return sb_fail(error, EIO, "label %s: the kernel does not take socket %s: %s",
			       l->name, sb_endpoint_format(&m->address, m->port, local),
			       strerror(-r));
	}
	m->slot = (uint32_t)slot;
	reg->filled[reg->n_filled++] = m->slot;
	return 0;
}

static int prepare_part(struct core *c, const struct request *rq, struct registration *reg,
			const struct part *p, struct sb_error *error)
{
	struct members_change *change = &reg->changes[reg->n_changes++];
	struct kinds kinds = { &reg->members[p->first], p->count };
	int r = members_change_begin(c, change, p->label);

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
			r = fill_slot(c, reg, p->label, m, rq->fds[i], error);
		if (r < 0)
			return r;
		if (members_change_add(change, m) < 0)
			return sb_fail(error, ENOMEM, "out of memory");
	}
	for (unsigned kind = 0; kind < SB_GROUPS_PER_LABEL; kind++) {
		size_t n = 0;

		for (size_t i = 0; i < change->n_members; i++)
			n += member_in_group(&change->members[i], kind);
		if (n > SB_GROUP_SLOTS_MAX)
			return sb_fail(
				error, E2BIG,
				"label %s would have %zu sockets of one protocol and family, "
				"the program looks at %d at most",
				p->name, n, SB_GROUP_SLOTS_MAX);
	}
	if (change->n_members > p->label->max_sockets)
		return sb_fail(error, ENOSPC,
			       "label %s would have %zu sockets, it may have %u (MaxSockets=)",
			       p->name, change->n_members, p->label->max_sockets);
	return 0;
}

static void undo_slots(struct core *c, const struct registration *reg)
{
	for (size_t i = 0; i < reg->n_filled; i++)
		if (c->dataplane.slot_clear(c->dataplane.self, reg->filled[i]) == 0)
			range_give(&c->registry->slots, reg->filled[i], 1);
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
			struct sb_error *error)
{
	int r = 0;

	for (size_t i = 0; i < reg->n_parts && r == 0; i++)
		r = authorize(c, rq, reg->parts[i].name, error);
	if (r == 0)
		r = inspect_all(c, rq, reg, error);
	for (size_t i = 0; i < reg->n_parts && r == 0; i++)
		r = core_label_get(c, reg->parts[i].name, &reg->parts[i].label,
				   &reg->parts[i].created, error);
	for (size_t i = 0; i < reg->n_parts && r == 0; i++)
		r = prepare_part(c, rq, reg, &reg->parts[i], error);
	if (r == 0)
		r = members_apply(c, reg->changes, reg->n_changes, error);
	if (r < 0) {
		undo_slots(c, reg);
		for (size_t i = 0; i < reg->n_parts; i++)
			if (reg->parts[i].created)
				core_label_collect(c, reg->parts[i].label);
	}
	members_change_end(reg->changes, reg->n_changes);
	return r;
}

int op_register(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	_cleanup_free_ struct registration *reg = calloc(1, sizeof(*reg));
	int r;

	if (!reg)
		return sb_fail(error, ENOMEM, "out of memory");
	r = parse_mode(rq, &reg->add, error);
	if (r == 0)
		r = parse_parts(rq, reg, error);
	if (r == 0)
		r = register_all(c, rq, reg, error);
	if (r < 0)
		return r;
	sb_writer_add(&reply->writer, "SOCKETS", "%zu", rq->n_fds);
	for (size_t i = 0; i < reg->n_parts; i++) {
		const struct label *l = reg->parts[i].label;

		log_info("label %s: %zu sockets %s by uid %u, pid %d; %zu in all", l->name,
			 reg->parts[i].count, reg->add ? "added" : "registered",
			 (unsigned)rq->actor->uid, (int)rq->actor->pid, l->n_members);
		warn_families(&reg->parts[i], reply);
	}
	return 0;
}
