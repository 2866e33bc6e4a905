/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One client: reads a packet at a time, and sends one reply for each, in turn. Its owner answers:
 * the server for those that the broker's process serves itself, or a porter (porter.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "protocol/wire-io.h"

struct connection;
struct event;
struct event_base;

struct connection_owner {
	struct event_base *base; /* borrowed */
	/* A client that is silent, or does not take its reply, for so long loses its connection. */
	uint64_t timeout_us;
	/* The one packet buffer: a connection uses it only while its callback runs. */
	struct sb_packet packet;

	/* A packet came. Its fds are closed afterwards, but for those that the owner takes out. It
	 * answers with connection_reply(), at once or later. */
	void (*came)(struct connection_owner *owner, struct connection *c);
	/* The client has taken the fds of its last reply. NULL: nobody wants to know. */
	void (*taken)(struct connection_owner *owner, struct connection *c);
	/* C is at its end: connection_free() it. The last thing that a callback of C does. */
	void (*closed)(struct connection_owner *owner, struct connection *c);
};

enum connection_state {
	CONNECTION_READING, /* waits for a request */
	CONNECTION_WAITING, /* for the owner's answer; nothing is read meanwhile, nor in the next
			       two */
	CONNECTION_WRITING, /* a reply did not go out yet */
	CONNECTION_UNTAKEN, /* a request is there, but the fds of the last reply still lie in the
			       queue */
	CONNECTION_CLOSED,
};

struct connection {
	struct connection_owner *owner; /* borrowed */
	void *data;                     /* the owner's */
	unsigned id;                    /* the owner's name for it, for the log */
	int fd;                         /* owned */
	enum connection_state state;
	struct event *read_event, *write_event, *taken_event; /* owned */
	bool busy; /* a callback of it runs, which looks at the state at its end */

	/* The reply that waits in CONNECTION_WRITING; all owned. */
	char *pending;
	size_t pending_length;
	int *pending_fds;
	size_t n_pending_fds;

	/* The fds of the last reply are in the queue of its socket. */
	bool untaken;
	uint64_t untaken_since_us;
	uint64_t untaken_pause_us; /* until it is looked at again */
};

/* Takes FD (also on failure), a connected socket that does not block. NULL: out of memory. */
struct connection *connection_new(struct connection_owner *owner, int fd, unsigned id, void *data);
void connection_free(struct connection *c);
/* Lets go of the fd, which is the caller's from now on; all that is left to do then is to free C.
 */
int connection_take_fd(struct connection *c);
SB_DEFINE_CLEANUP(struct connection, connection_free)

/*
 * Answers the packet that came last. FDS are closed in any case. If the client cannot take it now,
 * it waits. Outside of came() C may be gone when this returns.
 */
void connection_reply(struct connection *c, const char *packet, size_t length, const int *fds,
		      size_t n_fds);
