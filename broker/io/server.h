/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The broker's Unix socket. Clients that administer are served here; those of other users each by a
 * porter of their user (porter.h), so that nobody else waits for what one of them does. From each
 * client one packet is read at a time and one reply sent for it, in turn.
 */
#pragma once

#include "broker/core/request.h"
#include "broker/io/loop.h"
#include "broker/model/quota.h"

struct keepers;
struct server;
struct zygote;

/* Limits are for users that do not administer: those always get in, as long as there are fds. */
struct server_options {
	uint64_t timeout_us; /* a connection that is silent, or does not read, for so long is closed
			      */
	unsigned max_connections; /* together */
	unsigned max_connections_per_user;
	uint64_t max_reply_bytes;        /* of tables that nobody has taken yet, together */
	uint64_t reply_bytes_per_minute; /* of tables, for one user */
};

/* What the server has to ask, see core/core.h. All are called in the loop. */
struct server_calls {
	void *data;
	void (*handle)(void *data, struct request *request, struct reply *reply);
	bool (*is_admin)(void *data, const struct actor *actor);
	enum files_wanted (*wants_files)(void *data, struct request *request);
	int (*reserve)(void *data, uid_t uid, uint32_t *slots, size_t n,
		       struct quota_charge *charge, struct sb_error *error);
	void (*release)(void *data, const struct request_socket *sockets, size_t n);
	bool (*takes_long)(void *data, const struct request *request);
	/* In a forked process, which ends soon: lets go of what the next broker will want. */
	void (*forked)(void *data);
};

/* What porters get; borrowed. */
struct porter_files {
	int sockmap; /* into which they store sockets */
	int lock;    /* whatever it is: it stays open as long as one of them is there */
};

/*
 * Serves LISTENER, a listening, non-blocking AF_UNIX SOCK_SEQPACKET socket (owned from now on, also
 * on failure). Connections and bytes are charged to QUOTA. ZYGOTE makes porter_main()s; what nobody
 * may be waited for to close is KEEPERS'. LOOP, QUOTA, ZYGOTE and KEEPERS must outlive the server.
 * NULL: out of memory.
 */
struct server *server_new(struct loop *loop, int listener, const struct server_options *options,
			  const struct server_calls *calls, struct quota *quota,
			  struct zygote *zygote, struct keepers *keepers,
			  const struct porter_files *files);
/* Closes the listener and all connections. */
void server_free(struct server *s);
SB_DEFINE_CLEANUP(struct server, server_free)

/* In a forked process: closes the listener and all connections, whose ends would not be seen
 * otherwise while the process is there. */
void server_forked(struct server *s);

/* New limits. Connections that are open already stay, but for those of clients that were served as
 * administrators and are none any more: these end soon. */
void server_configure(struct server *s, const struct server_options *options);

/*
 * A new listening socket at PATH: a stale one there is replaced, one that somebody listens on is
 * not (-EADDRINUSE). Mode 0666: who may do what is decided by credentials. The caller owns the fd.
 */
int server_listen(const char *path, struct sb_error *error);
