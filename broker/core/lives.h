/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The processes that serve the sockets of WhenEmpty=hold labels, watched by pidfd. The broker's own
 * copy of a socket hides from the kernel that its service has died, so the service is watched
 * itself.
 */
#pragma once

#include "broker/core/core-internal.h"

struct life {
	LIST_ENTRY(life) entry;
	pid_t pid;
	int pidfd; /* owned, watched until it has ended */
	bool ended;
	bool stored;      /* in the fd store */
	size_t n_members; /* of labels, not of changes under way */
};

/*
 * The life of process PID, whose pidfd is PIDFD (not consumed; -1: to be opened), with no member
 * yet: life_collect() it, whatever becomes of the request. *RET is NULL when the process cannot be
 * watched because it is gone already.
 */
int life_new(struct core *c, pid_t pid, int pidfd, struct life **ret, struct sb_error *error);

/* The life that FD watches, or NULL. */
struct life *life_find(const struct core *c, int fd);

/* One of process PID that has not ended, other than BUT (may be NULL), or NULL. */
struct life *life_find_pid(const struct core *c, pid_t pid, const struct life *but);

/* The life of process PID, whose pidfd *PIDFD is taken over (and is -1 then); with no member yet.
 */
int life_adopt(struct core *c, pid_t pid, int *pidfd, struct sb_error *error);
/* Frees all that have no members. */
void lives_collect(struct core *c);

/* One member more or less; NULL is fine. */
void life_add(struct life *life);
void life_remove(struct core *c, struct life *life);

/* Frees LIFE if it has no members; NULL is fine. */
void life_collect(struct core *c, struct life *life);
