/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages to a porter, some of which it has no room for just now. Internal to io/. */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "broker/io/porter-wire.h"

struct event;
struct event_base;
struct keepers;

struct outbox {
	int fd;                                    /* borrowed */
	struct keepers *keepers;                   /* borrowed */
	uid_t uid;                                 /* of the porter's clients */
	bool broken;                               /* a message is lost */
	struct event *write_event;                 /* owned */
	STAILQ_HEAD(parcel_queue, parcel) parcels; /* in their order */
};

/*
 * What is sent over FD. It is read from all the while: a porter that cannot get rid of what it says
 * does not listen. There is no bound for what waits but that each client waits for one reply at a
 * time. Fds that do not get there, which may be sockets of UID's, are the KEEPERS'. -ENOMEM.
 */
int outbox_init(struct outbox *o, struct event_base *base, int fd, struct keepers *keepers,
		uid_t uid);
/* Lets go of what waits. A zeroed one is fine. */
void outbox_clear(struct outbox *o);

/* Sends a message, now or later. FDS are taken. That the other end is gone is nobody's business
 * here: its reader sees it. When a message is lost (out of memory), the reader is made to see an
 * end: whoever waits for the message must not wait for ever. */
void outbox_send(struct outbox *o, const struct porter_header *header, const void *data,
		 const int *fds, size_t n_fds);

bool outbox_is_empty(const struct outbox *o);
