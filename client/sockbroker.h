/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libsockbroker: hand sockets to a running sockbrokerd, and ask it things.
 *
 *	struct sockbroker *sb = sockbroker_new();
 *
 *	if (sockbroker_connect(sb, NULL) < 0 || sockbroker_register(sb, "web", &fd, 1, 0) < 0)
 *		errx(1, "%s", sockbroker_error(sb));
 *	sockbroker_free(sb);
 *
 * RETURN VALUES. Unless said otherwise a call returns 0, or a negative errno. After a negative one
 * sockbroker_error() is a sentence for a person and sockbroker_failure() says who failed. A request
 * that is refused changes nothing in the broker.
 *
 * FILE DESCRIPTORS that go into a call stay the caller's: the broker works on duplicates, and the
 * caller may close its own as soon as the call has returned. A file descriptor that a call hands
 * out is the caller's to close, and is close-on-exec.
 *
 * THREADS. There is no global state. A handle, with the tables that came from it, is for one thread
 * at a time; different handles may be used by different threads at once. sockbroker_listen_fds()
 * reads (and with its flag changes) the environment, so call it before threads are started.
 *
 * A handle holds one connection and does one request at a time. When the connection is lost, or a
 * reply did not come in time, the handle is not connected any more: sockbroker_connect() again.
 * The broker closes a connection that was silent for some time (10 s, if its configuration does not
 * say otherwise), so connect when there is something to ask.
 *
 * SIGPIPE is never raised. No call prints, exits, or installs a signal handler.
 */
#ifndef SOCKBROKER_H
#define SOCKBROKER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct sockbroker;

/* ---- The handle ---- */

/* A new handle without a connection; NULL when out of memory. Every call below may be given NULL
 * for its handle and then returns -ENOMEM, so that only the last result need be looked at. */
struct sockbroker *sockbroker_new(void);

/* Closes the connection and frees the handle, not the tables that came from it. NULL is fine. */
void sockbroker_free(struct sockbroker *sb);

/*
 * How long, in milliseconds, one request may take from its first byte to its reply; also how long
 * sockbroker_connect() may wait. -1: for ever. A new handle has SOCKBROKER_TIMEOUT_DEFAULT.
 * -EINVAL for less than -1.
 */
#define SOCKBROKER_TIMEOUT_DEFAULT 30000
int sockbroker_set_timeout(struct sockbroker *sb, int milliseconds);

/*
 * Connects to the broker at PATH, or with NULL to the one that SOCKBROKER_SOCKET names, or else to
 * /run/sockbroker/sockbroker.sock. A connection that the handle had is closed first. The errno is
 * that of connect(2), -ENAMETOOLONG, or -ETIMEDOUT.
 */
int sockbroker_connect(struct sockbroker *sb, const char *path);

/* Uses FD, a connected SOCK_SEQPACKET socket, which then belongs to the handle (it is not taken,
 * and not closed, when the call fails) and is made non-blocking. -ENOTSOCK, -EPROTOTYPE. */
int sockbroker_connect_fd(struct sockbroker *sb, int fd);

/* Why the last call on SB failed: one sentence, no newline, never NULL; "" when it did not fail.
 * Valid until the next call on SB. With NULL: "out of memory". */
const char *sockbroker_error(const struct sockbroker *sb);

/* Who failed in the last call. */
enum sockbroker_failure {
	SOCKBROKER_NO_FAILURE = 0,
	SOCKBROKER_LOCAL = 1,   /* nothing was asked: an argument, or this process's own limits */
	SOCKBROKER_REFUSED = 2, /* the broker answered, with a refusal */
	SOCKBROKER_UNREACHABLE = 3, /* not connected, no answer in time, or not a broker's answer:
				     * whether the request was carried out is not known */
};
enum sockbroker_failure sockbroker_failure(const struct sockbroker *sb);

/* The INDEXth (from 0) warning that came with the last OK, or NULL behind the last one. Valid until
 * the next call on SB. */
const char *sockbroker_warning(const struct sockbroker *sb, size_t index);

/* ---- Sockets ---- */

/* The most sockets that one request can carry. */
#define SOCKBROKER_FDS_MAX 253

/* Flags. */
#define SOCKBROKER_ADD 1U       /* register: join the label's sockets instead of replacing them */
#define SOCKBROKER_MOVE 2U      /* bind: take the rule away from another label */
#define SOCKBROKER_DRY_RUN 4U   /* apply: only say what would change */
#define SOCKBROKER_UNSET_ENV 8U /* listen_fds: remove LISTEN_* from the environment */

/*
 * Hands N_FDS sockets to the broker under LABEL: TCP listeners, and bound, unconnected UDP sockets.
 * From one packet to the next the label's sockets of the same protocol and family are exactly
 * these; with SOCKBROKER_ADD they join those that are there. All are taken, or none.
 *
 * Locally: -EINVAL (no sockets, unknown flag), -EMFILE (more than SOCKBROKER_FDS_MAX). The broker
 * refuses with -EPERM (LABEL is not yours), -ENOSPC or -EDQUOT (limits), and for a socket that
 * cannot be used with -ENOTSOCK, -EAFNOSUPPORT, -ESOCKTNOSUPPORT, -EPROTONOSUPPORT (MPTCP and the
 * like), -ENOTCONN (does not listen), -EISCONN, -EDESTADDRREQ (not bound), -EXDEV (another network
 * namespace) or -ENODEV (bound to a device).
 */
int sockbroker_register(struct sockbroker *sb, const char *label, const int *fds, size_t n_fds,
			unsigned int flags);

/* The sockets of one label in a request for several. */
struct sockbroker_sockets {
	const char *label;
	const int *fds;
	size_t n_fds;
};

/* The same for N_SETS labels in one request: the sockets of all labels are taken, or none.
 * -EMSGSIZE when the labels do not fit one packet (about 35 of the longest). */
int sockbroker_register_many(struct sockbroker *sb, const struct sockbroker_sockets *sets,
			     size_t n_sets, unsigned int flags);

/*
 * The same for sockets that another process serves: PIDFD (pidfd_open(2)) stands for it. Where the
 * label's WhenEmpty= is hold the broker keeps copies of the sockets, and watches that process
 * instead of the calling one to know when its service has ended. At most SOCKBROKER_FDS_MAX - 1
 * sockets. The broker refuses with -EBADF when PIDFD is no pidfd, and -ESRCH when its process has
 * ended.
 */
int sockbroker_register_for(struct sockbroker *sb, int pidfd, const struct sockbroker_sockets *sets,
			    size_t n_sets, unsigned int flags);

/*
 * Takes the sockets that the broker keeps for LABEL (WhenEmpty=hold in its label file): those that
 * a service left behind when it ended, with the connections that wait in them, or those that the
 * broker made for packets to wait in; only when there are none of these, those that a service has
 * at this time, which then share them. The calling process is their registrant from then on, and
 * the broker watches its life; it may exec(3) the service.
 *
 * RET_FDS has room for SOCKBROKER_FDS_MAX file descriptors. Returns how many there are, the
 * caller's, close-on-exec: listening TCP and bound UDP sockets, not necessarily at the addresses
 * that clients see: getsockname(2) on an accepted connection, or IP_PKTINFO, tells those.
 *
 * The broker refuses with -EPERM (LABEL is not yours), -ENOENT (no such label, or nothing is kept
 * for it), -EMFILE (more sockets than fit a reply).
 */
int sockbroker_take(struct sockbroker *sb, const char *label, int *ret_fds);

/* The same for N_LABELS labels in one request: the sockets of all of them, or nothing. The first
 * RET_COUNTS[0] of RET_FDS are LABELS[0]'s, and so on; RET_COUNTS may be NULL. */
int sockbroker_take_many(struct sockbroker *sb, const char *const *labels, size_t n_labels,
			 int *ret_fds, size_t *ret_counts);

/* Takes the label's sockets out: all, or those of PROTOCOL ("tcp", "udp"; NULL and "any": both).
 * *RET_SOCKETS (if not NULL) is how many. A registrant may take out its own, an admin any. */
int sockbroker_unregister(struct sockbroker *sb, const char *label, const char *protocol,
			  uint64_t *ret_sockets);

/*
 * Accepts what still waits in LISTENER after another socket has replaced it under its label, so
 * that it can be closed without losing a connection. New connections go to the other socket from
 * the moment that its sockbroker_register() returned, but some are in the queue, and some are in
 * the middle of their handshake, which they complete here: so wait for QUIET milliseconds without
 * any, several round trips of the clients (1000 is a good value), and LIMIT milliseconds at most.
 *
 * TAKE(FD, DATA) is called for each connection, and owns FD, which is close-on-exec; a negative
 * value that it returns ends the call and is what it returns. Otherwise: how many connections
 * there were, or a negative errno of poll(2) or accept(2) for which another try is no help.
 * LISTENER stays open. When other threads or processes accept from it too it should be
 * non-blocking.
 *
 * Needs no handle and no broker.
 */
int sockbroker_drain(int listener, int quiet, int limit, int (*take)(int fd, void *data),
		     void *data);

/* The first of the file descriptors that sockbroker_listen_fds() counts. */
#define SOCKBROKER_LISTEN_FDS_START 3

/*
 * The sockets that the service manager passed to this process (LISTEN_FDS, LISTEN_PID,
 * LISTEN_FDNAMES; see sd_listen_fds(3)). Needs no handle and no broker.
 *
 * Returns how many: they are SOCKBROKER_LISTEN_FDS_START and the numbers after it, and are made
 * close-on-exec. 0 when there are none, or when they are meant for another process (LISTEN_PID).
 * With RET_NAMES, *RET_NAMES is an array of as many names and a final NULL, to be freed with
 * sockbroker_free_names(); without LISTEN_FDNAMES every name is "unknown". With 0 it is NULL.
 *
 * SOCKBROKER_UNSET_ENV removes the three variables, whatever the result, so that no child takes
 * them for its own. -EINVAL: a variable is malformed, the names are not as many as the sockets, or
 * an unknown flag. -EBADF: one of the file descriptors is not open. -ENOMEM.
 */
int sockbroker_listen_fds(unsigned int flags, char ***ret_names);
void sockbroker_free_names(char **names);

/* ---- Rules ---- */

/* How many rules a request changed. */
struct sockbroker_changes {
	uint64_t added, removed, moved, unchanged;
};

struct sockbroker_table;

/*
 * Adds runtime rules: packets of PROTOCOL ("tcp", "udp", "any") to PREFIX ("192.0.2.0/24",
 * "2001:db8::1") and PORTS ("80", "8000-8999", "80,443", "any") go to LABEL, which need not exist.
 * RET (may be NULL) counts added, moved and unchanged ones. -EEXIST: another label has an equal
 * rule, and SOCKBROKER_MOVE was not given, or a rule of the same prefix and width overlaps.
 */
int sockbroker_bind(struct sockbroker *sb, const char *label, const char *protocol,
		    const char *prefix, const char *ports, unsigned int flags,
		    struct sockbroker_changes *ret);

/* Removes runtime rules; with a LABEL only if they are that label's. -ENOENT: no such rule.
 * *RET_REMOVED (if not NULL) is how many. */
int sockbroker_unbind(struct sockbroker *sb, const char *label, const char *protocol,
		      const char *prefix, const char *ports, uint64_t *ret_removed);

/*
 * Makes the runtime rules exactly those of the LENGTH bytes of rule text at TEXT (lines of
 * "PROTO PREFIX PORTS LABEL"), in one atomic step. RET (may be NULL) counts what changed.
 *
 * *RET_ROWS (if RET_ROWS is not NULL) is a table, or NULL when the broker sent none, to be freed by
 * the caller. On success: records "added", "removed" and "moved" (protocol prefix ports label, and
 * from for a moved one), at most 1000. It is also set when the text is refused with -EINVAL:
 * records "bad" (line, reason), at most 20.
 */
int sockbroker_apply(struct sockbroker *sb, const char *text, size_t length, unsigned int flags,
		     struct sockbroker_changes *ret, struct sockbroker_table **ret_rows);

/* The same with the text in FD: a sealed memfd goes to the broker as it is, any other file is read
 * from where it stands to its end. -EFBIG: more than SOCKBROKER_TEXT_MAX bytes. */
#define SOCKBROKER_TEXT_MAX (64U << 20)
int sockbroker_apply_fd(struct sockbroker *sb, int fd, unsigned int flags,
			struct sockbroker_changes *ret, struct sockbroker_table **ret_rows);

/* *RET_FD is a memfd, at its start, with the rules of LABEL (NULL: all) as the text that
 * sockbroker_apply() takes, the most specific first. */
int sockbroker_rules_text(struct sockbroker *sb, const char *label, int *ret_fd);

/* ---- Queries ---- */

/*
 * Each sets *RET to a table that the caller frees; untouched on failure. What records a table has,
 * and their keys, is in sockbroker(3) and docs/PROTOCOL.md; later brokers may add records and keys.
 */

/* Records "rule", of LABEL or (NULL) all, the most specific first. */
int sockbroker_rules(struct sockbroker *sb, const char *label, struct sockbroker_table **ret);

/* Records "broker", "program", "label", "group", "socket" and "warning"; with LABEL only that
 * label's. -ENOENT: no such label. */
int sockbroker_status(struct sockbroker *sb, const char *label, struct sockbroker_table **ret);

/* What a packet of PROTOCOL ("tcp", "udp") to ADDRESS and PORT would meet; FROM_ADDRESS may be
 * NULL, FROM_PORT 0. Records "packet", "rule", "shadowed", "label", "socket", "verdict". */
int sockbroker_explain(struct sockbroker *sb, const char *protocol, const char *address,
		       uint16_t port, const char *from_address, uint16_t from_port,
		       struct sockbroker_table **ret);

/* One record "version": version, abi, kernel, protocol, netns of the broker. */
int sockbroker_version(struct sockbroker *sb, struct sockbroker_table **ret);

/* Has the broker read its configuration anew: all of it is taken, or none, and the error is the
 * first that was found. Admins only. */
int sockbroker_reload(struct sockbroker *sb);

/* Detaches the dataplane and removes what is pinned, and the broker ends: traffic goes its ordinary
 * way again. Admins only. */
int sockbroker_unload(struct sockbroker *sb);

/* ---- Tables ---- */

/*
 * Moves to the next record, which is the first one at the first call. 1: there is one; 0: the end;
 * -EPROTO: the rest is malformed. A table is read once, forwards. The strings that the three calls
 * below return stay valid until the table is freed, whatever record it has moved to since.
 */
int sockbroker_table_next(struct sockbroker_table *t);

/* The type of the current record ("rule", "socket", ...); NULL when there is no current one. */
const char *sockbroker_table_type(const struct sockbroker_table *t);

/* The value of KEY in the current record, or NULL. Numbers are decimal, truth is "yes" or "no",
 * times are seconds since the epoch. */
const char *sockbroker_table_get(const struct sockbroker_table *t, const char *key);

/* The INDEXth (from 0) pair of the current record. 1, or 0 behind the last one. */
int sockbroker_table_field(const struct sockbroker_table *t, size_t index, const char **ret_key,
			   const char **ret_value);

/* NULL is fine. A table may outlive its handle. */
void sockbroker_table_free(struct sockbroker_table *t);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
