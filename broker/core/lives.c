/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/lives.h"

#include <string.h>

int life_new(struct core *c, pid_t pid, int pidfd, struct life **ret, struct sb_error *error)
{
	_cleanup_free_ struct life *life = calloc(1, sizeof(*life));
	int r;

	*ret = NULL;
	if (!life)
		return sb_fail(error, ENOMEM, "out of memory");
	life->pid = pid;
	r = pidfd >= 0 ? c->host.copy(c->host.self, pidfd, &life->pidfd)
		       : c->host.pidfd(c->host.self, pid, &life->pidfd);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return sb_fail(error, -r, "process %d cannot be watched: %s", (int)pid,
			       strerror(-r));
	r = c->watch.watch(c->watch.self, life->pidfd);
	if (r < 0) {
		c->host.close(c->host.self, life->pidfd);
		return sb_fail(error, -r, "process %d cannot be watched: %s", (int)pid,
			       strerror(-r));
	}
	LIST_INSERT_HEAD(&c->lives, life, entry);
	*ret = TAKE_PTR(life);
	return 0;
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
	c->watch.unwatch(c->watch.self, life->pidfd);
	c->host.close(c->host.self, life->pidfd);
	LIST_REMOVE(life, entry);
	free(life);
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
