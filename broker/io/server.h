/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The broker's Unix socket: accepts clients, reads one packet at a time of each, sends one reply
 * for each, in turn. A client that does not read its replies is not read from either; none can make
 * another wait.
 */
#pragma once

#include "broker/core/request.h"
#include "broker/io/loop.h"

struct server;

struct server_options {
	unsigned max_connections;
	unsigned max_connections_per_user;
	uint64_t timeout_us; /* a connection that is silent, or does not read, for so long is closed
			      */
};

/* Answers one request: see core_request(). */
typedef void (*server_handler)(void *data, struct request *request, struct reply *reply);

/*
 * Serves LISTENER, a listening, non-blocking AF_UNIX SOCK_SEQPACKET socket (owned from now on, also
 * on failure). HANDLER is called in the loop. LOOP must outlive the server. NULL: out of memory.
 */
struct server *server_new(struct loop *loop, int listener, const struct server_options *options,
			  server_handler handler, void *data);
/* Closes the listener and all connections. */
void server_free(struct server *s);
SB_DEFINE_CLEANUP(struct server, server_free)

/* New limits; connections that are open already stay. */
void server_configure(struct server *s, const struct server_options *options);

/*
 * A new listening socket at PATH: a stale one there is replaced, one that somebody listens on is
 * not (-EADDRINUSE). Mode 0666: who may do what is decided by credentials. The caller owns the fd.
 */
int server_listen(const char *path, struct sb_error *error);
