/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One porter, as the broker sees it: its clients, and what they ask. Internal to io/. */
#pragma once

#include <event2/event.h>
#include <sys/queue.h>

#include "broker/io/outbox.h"
#include "broker/io/visitor.h"

/* What a porter needs of its surroundings. */
struct porter_owner {
	struct event_base *base;       /* borrowed */
	struct answerer *answerer;     /* borrowed */
	struct keepers *keepers;       /* borrowed */
	struct porter_message message; /* the one that is being read, of all porters */
	/* P's process is gone, or has had nothing to do for a while: porter_free() it. */
	void (*ended)(struct porter_owner *owner, struct porter *p);
};

struct porter {
	LIST_ENTRY(porter) entry;   /* the owner's */
	struct porter_owner *owner; /* borrowed */
	uid_t uid;
	int fd;                                /* owned */
	struct event *read_event, *idle_event; /* owned */
	struct outbox outbox;

	struct visitor **visitors; /* owned; by id */
	size_t n_ids, n_visitors;
	uint32_t first_free; /* none below it is */

	bool gone; /* the process has ended, and does nothing any more */

	uint64_t asked_us; /* since when a PORTER_PING waits for its answer; 0: none does */
	uint64_t heard_us; /* when the last one came */
};

/* FD (owned, also on failure): the other end of the process's control socket. NULL: out of memory.
 */
struct porter *porter_new(struct porter_owner *owner, uid_t uid, int fd);
/* Lets the process end, and forgets its clients. */
void porter_free(struct porter *p);
SB_DEFINE_CLEANUP(struct porter, porter_free)

void porter_configure(struct porter *p, uint64_t timeout_us);

/* Whether it has not answered for longer than any honest work takes. */
bool porter_is_stuck(const struct porter *p, uint64_t now_us);

/*
 * Hands the connection FD over, and closes it here; *CLIENT is its client from now on, and empty
 * then. -EAGAIN: it takes nothing just now; or another negative errno.
 */
int porter_adopt(struct porter *p, int fd, struct client *client);
