/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/fdstore.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/hold.h"
#include "broker/core/lives.h"

#define SOCKET_PREFIX "_socket-"
#define PROCESS_PREFIX "_process-"

static const char *socket_name(uint64_t cookie, char buf[static FDSTORE_NAME_MAX + 1])
{
	snprintf(buf, FDSTORE_NAME_MAX + 1, SOCKET_PREFIX "%" PRIu64, cookie);
	return buf;
}

static const char *process_name(pid_t pid, char buf[static FDSTORE_NAME_MAX + 1])
{
	snprintf(buf, FDSTORE_NAME_MAX + 1, PROCESS_PREFIX "%d", (int)pid);
	return buf;
}

void fdstore_push_member(struct core *c, const struct member *m)
{
	char name[FDSTORE_NAME_MAX + 1];

	c->fdstore.push(c->fdstore.self, m->copy, socket_name(m->cookie, name));
}

static void remove_copies(struct core *c, uint64_t cookie)
{
	char name[FDSTORE_NAME_MAX + 1];

	c->fdstore.remove(c->fdstore.self, socket_name(cookie, name));
}

/* The first one after *M (NULL: of all) with that cookie, in *L and behind. */
static struct member *next_member(const struct core *c, uint64_t cookie, struct label **l,
				  const struct member *m)
{
	size_t i = m ? (size_t)(m - (*l)->members) + 1 : 0;

	if (!m)
		*l = registry_next(c->registry, NULL);
	for (; *l; *l = registry_next(c->registry, *l), i = 0)
		for (; i < (*l)->n_members; i++)
			if ((*l)->members[i].cookie == cookie)
				return &(*l)->members[i];
	return NULL;
}

void fdstore_remove_member(struct core *c, const struct member *m)
{
	const struct member *other = NULL;
	struct label *l = NULL;

	/* One name for all labels that hold one socket. */
	while ((other = next_member(c, m->cookie, &l, other)))
		if (other->copy >= 0)
			return;
	remove_copies(c, m->cookie);
}

void fdstore_push_life(struct core *c, const struct life *life)
{
	char name[FDSTORE_NAME_MAX + 1];

	c->fdstore.push(c->fdstore.self, life->pidfd, process_name(life->pid, name));
}

void fdstore_remove_life(struct core *c, const struct life *life)
{
	char name[FDSTORE_NAME_MAX + 1];

	/* One name for all requests of one process. */
	if (!life_find_pid(c, life->pid, life))
		c->fdstore.remove(c->fdstore.self, process_name(life->pid, name));
}

/* -- at start --------------------------------------------------------------------------------- */

static int restore_life(struct core *c, struct core_passed_fd *passed, struct sb_error *error)
{
	pid_t pid;
	int r = c->host.pidfd_pid(c->host.self, passed->fd, &pid);

	if (r < 0 && r != -ESRCH && r != -EBADF) /* nothing is dropped on a doubt */
		return sb_fail(error, -r, "%s, which the service manager kept, cannot be read: %s",
			       passed->name, strerror(-r));
	if (r < 0) { /* it has ended, or is none */
		c->fdstore.remove(c->fdstore.self, passed->name);
		return 0;
	}
	r = life_adopt(c, pid, &passed->fd, error);
	if (r == 0)
		LIST_FIRST(&c->lives)->stored = true;
	return r;
}

/* M, of L, has the copy FD (taken over). */
static int give_copy(struct core *c, const struct label *l, struct member *m, int fd,
		     struct sb_error *error)
{
	int r;

	m->copy = fd;
	m->life = m->own ? NULL : life_find_pid(c, m->served_by, NULL);
	life_add(m->life);
	if (!m->own && !m->life && m->held_since == 0)
		m->held_since = c->host.now(c->host.self); /* its end: hold_resume() */
	if (member_served(m))
		return 0;
	r = c->watch.watch(c->watch.self, m->copy);
	return r < 0 ? sb_fail(error, -r, "label %s: its held sockets cannot be watched: %s",
			       l->name, strerror(-r))
		     : 0;
}

/* Several labels may hold one socket, each with a copy of its own. */
static int restore_copy(struct core *c, struct core_passed_fd *passed, struct sb_error *error)
{
	struct socket_facts facts;
	struct label *l;
	struct member *m = NULL;
	int r = c->host.inspect(c->host.self, passed->fd, &facts), kept = passed->fd;

	if (r < 0)
		return sb_fail(error, -r, "%s, which the service manager kept, cannot be read: %s",
			       passed->name, strerror(-r));
	if (facts.is_socket)
		m = next_member(c, facts.cookie, &l, NULL);
	if (!m) {
		c->fdstore.remove(c->fdstore.self, passed->name);
		return 0;
	}
	for (r = 0; m && r == 0; m = next_member(c, facts.cookie, &l, m)) {
		int fd;

		if (m->copy >= 0)
			continue; /* the store has it twice */
		fd = TAKE_FD(passed->fd);
		if (fd < 0)
			r = c->host.copy(c->host.self, kept, &fd);
		r = r < 0 ? sb_fail(error, -r, "label %s: its held sockets cannot be copied: %s",
				    l->name, strerror(-r))
			  : give_copy(c, l, m, fd, error);
	}
	return r;
}

static int restore(struct core *c, const struct core_saved *saved, const char *prefix,
		   int (*f)(struct core *c, struct core_passed_fd *passed, struct sb_error *error),
		   struct sb_error *error)
{
	int r = 0;

	for (size_t i = 0; i < saved->n_fds && r == 0; i++)
		if (saved->fds[i].fd >= 0 && !strncmp(saved->fds[i].name, prefix, strlen(prefix)))
			r = f(c, &saved->fds[i], error);
	return r;
}

/* Processes first: sockets refer to them. */
int fdstore_restore(struct core *c, const struct core_saved *saved, struct sb_error *error)
{
	int r = restore(c, saved, PROCESS_PREFIX, restore_life, error);

	if (r == 0)
		r = restore(c, saved, SOCKET_PREFIX, restore_copy, error);
	lives_collect(c);
	return r;
}

void fdstore_clear(struct core *c)
{
	const struct life *life;

	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		for (size_t i = 0; i < l->n_members; i++)
			if (l->members[i].copy >= 0)
				remove_copies(c, l->members[i].cookie);
	LIST_FOREACH(life, &c->lives, entry)
	fdstore_remove_life(c, life);
}
