/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/inherit.h"

#include <string.h>

#include "broker/base/log.h"
#include "broker/core/describe.h"
#include "broker/core/hold.h"
#include "broker/model/socket-check.h"

/* Whom status names: the service manager. */
#define MANAGER_PID 1

static int inspect(struct core *c, int fd, struct member *ret, struct sb_error *error)
{
	struct socket_facts facts;
	int r = c->host.inspect(c->host.self, fd, &facts);

	if (r < 0)
		return sb_fail(error, -r, "%s", strerror(-r));
	r = socket_check(&facts, 0, c->host.netns_cookie(c->host.self), error);
	if (r < 0)
		return r;
	*ret = (struct member){
		.cookie = facts.cookie,
		.protocol = (uint8_t)facts.protocol,
		.dual = socket_is_dual_stack(&facts),
		.reuseport = facts.reuseport,
		.pid = MANAGER_PID,
		.since = c->host.now(c->host.self),
		.inherited = true,
		.copy = -1,
	};
	sb_address_from_sockaddr(&facts.local, &ret->address, &ret->port);
	return 0;
}

static bool has_cookie(const struct member *m, const void *data)
{
	return m->cookie == *(const uint64_t *)data;
}

/* What is known of it from an earlier run: its slot, and who serves it. */
static bool recall(const struct label *l, struct member *m)
{
	for (size_t i = 0; i < l->n_members; i++) {
		const struct member *known = &l->members[i];

		if (known->cookie != m->cookie)
			continue;
		*m = *known;
		m->inherited = true;
		m->own = false;
		return true;
	}
	return false;
}

static int add(struct core *c, struct label *l, struct member *m, int fd, struct sb_error *error)
{
	struct members_change change = { 0 };
	bool known = recall(l, m), kept = m->copy >= 0;
	int r = known ? 0 : member_store(c, l, m, fd, error);

	if (r < 0)
		return r;
	if (l->when_empty == WHEN_EMPTY_HOLD && !kept) {
		m->copy = fd;
		if (!m->life)
			hold_begin(c, l, m);
	}
	m->hold_ends_us = 0;
	r = members_change_begin(c, &change, l);
	members_change_drop(&change, has_cookie, &m->cookie);
	if (r == 0)
		r = members_change_add(&change, m);
	r = r < 0 ? sb_fail(error, -r, "%s", strerror(-r)) : members_apply(c, &change, 1, error);
	members_change_end(&change, 1);
	if (r < 0 && !known)
		member_unstore(c, m);
	return r;
}

static int inherit(struct core *c, struct core_passed_fd *passed, struct sb_error *error)
{
	struct label *l = NULL;
	bool created = false;
	struct member m;
	int r = sb_label_check(passed->name, error);

	if (r == 0)
		r = inspect(c, passed->fd, &m, error);
	if (r == 0)
		r = core_label_get(c, passed->name, &l, &created, error);
	if (r == 0)
		r = add(c, l, &m, passed->fd, error);
	if (r < 0) {
		if (created)
			core_label_collect(c, l);
		return r;
	}
	if (l->when_empty != WHEN_EMPTY_HOLD)
		log_warning(
			"label %s: a socket of a socket unit is there, which nobody can take: its "
			"file does not say WhenEmpty=hold",
			l->name);
	/* Now it is the label's. */
	if (m.copy == passed->fd) {
		passed->fd = -1;
		c->watch.watch(c->watch.self, m.copy); /* without it nobody is started for it */
	}
	return 0;
}

void inherit_sockets(struct core *c, struct core_passed_fd *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct sb_error error = { 0 };

		if (fds[i].fd < 0 || fds[i].name[0] == '_')
			continue;
		if (inherit(c, &fds[i], &error) < 0)
			log_error("the socket that the service manager passed as %s is not taken: "
				  "%s",
				  fds[i].name, error.message);
		else
			log_info("label %s: a socket of a socket unit is there", fds[i].name);
	}
}
