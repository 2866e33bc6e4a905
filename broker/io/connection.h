/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One client. Internal to io/server. */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>

#include "broker/io/server.h"
#include "broker/model/policy.h"
#include "protocol/wire-io.h"

struct event;

enum connection_state {
	CONNECTION_READING, /* waits for a request */
	CONNECTION_WRITING, /* a reply did not go out yet; nothing is read meanwhile */
	CONNECTION_CLOSED,  /* to be freed by its owner */
};

struct connection {
	LIST_ENTRY(connection) entry; /* server::connections */
	struct server *server;        /* borrowed */
	int fd;                       /* owned */
	int pidfd;                    /* owned, -1: none */
	struct actor actor;
	enum connection_state state;
	struct event *read_event, *write_event; /* owned */

	/* The reply that waits in CONNECTION_WRITING. */
	char pending[SB_WIRE_PACKET_MAX + 1];
	size_t pending_length;
	int pending_fds[SB_WIRE_FDS_MAX]; /* owned */
	size_t n_pending_fds;
};

/* Takes FD (also on failure). NULL: out of memory, or the peer's credentials cannot be read. */
struct connection *connection_new(struct server *server, struct event_base *base, int fd,
				  const struct timeval *timeout);
void connection_free(struct connection *c);
SB_DEFINE_CLEANUP(struct connection, connection_free)

/* -- server.c, called by the connection ---------------------------------------------------- */

void server_handle(struct server *s, struct request *request, struct reply *reply);
const struct timeval *server_timeout(const struct server *s);
/* Frees C, which is CONNECTION_CLOSED. The last thing a callback of C does. */
void server_drop(struct server *s, struct connection *c);
/* The one packet buffer of the loop: a connection uses it only while its callback runs. */
struct sb_packet *server_packet(struct server *s);
struct sb_message *server_message(struct server *s);
