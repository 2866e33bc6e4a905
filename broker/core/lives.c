/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/lives.h"

#include <string.h>

#include "broker/core/fdstore.h"

int life_adopt(struct core *c, pid_t pid, int *pidfd, struct sb_error *error)
{
	struct life *life = calloc(1, sizeof(*life));
	int r;

	if (!life)
		return sb_fail(error, ENOMEM, "out of memory");
	r = c->watch.watch(c->watch.self, *pidfd);
	if (r < 0) {
		free(life);
		return sb_fail(error, -r, "process %d cannot be watched: %s", (int)pid,
			       strerror(-r));
	}
	life->pid = pid;
	life->pidfd = TAKE_FD(*pidfd);
	LIST_INSERT_HEAD(&c->lives, life, entry);
	return 0;
}

int life_new(struct core *c, pid_t pid, int pidfd, struct life **ret, struct sb_error *error)
{
	int own = -1, r;

	*ret = NULL;
	r = pidfd >= 0 ? c->host.copy(c->host.self, pidfd, &own)
		       : c->host.pidfd(c->host.self, pid, &own);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return sb_fail(error, -r, "process %d cannot be watched: %s", (int)pid,
			       strerror(-r));
	r = life_adopt(c, pid, &own, error);
	if (r < 0)
		c->host.close(c->host.self, own);
	else
		*ret = LIST_FIRST(&c->lives);
	return r;
}

struct life *life_find_pid(const struct core *c, pid_t pid, const struct life *but)
{
	struct life *life;

	LIST_FOREACH(life, &c->lives, entry)
	if (life->pid == pid && !life->ended && life != but)
		return life;
	return NULL;
}

struct life *life_find(const struct core *c, int fd)
{
	struct life *life;

	LIST_FOREACH(life, &c->lives, entry)
	if (life->pidfd == fd)
		return life;
	return NULL;
}

void life_collect(struct core *c, struct life *life)
{
	if (!life || life->n_members > 0)
		return;
	if (life->stored)
		fdstore_remove_life(c, life);
	c->watch.unwatch(c->watch.self, life->pidfd);
	c->host.close(c->host.self, life->pidfd);
	LIST_REMOVE(life, entry);
	free(life);
}

void lives_collect(struct core *c)
{
	struct life *life, *next;

	for (life = LIST_FIRST(&c->lives); life; life = next) {
		next = LIST_NEXT(life, entry);
		life_collect(c, life);
	}
}

void life_add(struct life *life)
{
	if (life)
		life->n_members++;
}

void life_remove(struct core *c, struct life *life)
{
	if (!life)
		return;
	life->n_members--;
	life_collect(c, life);
}
