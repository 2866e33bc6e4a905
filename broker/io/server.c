/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/server.h"

#include <event2/event.h>
#include <limits.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "broker/base/log.h"
#include "broker/base/rate-limit.h"
#include "broker/io/answer.h"
#include "broker/io/connection.h"
#include "broker/io/keepers.h"
#include "broker/io/peer.h"
#include "broker/io/porters.h"
#include "broker/io/refusal.h"
#include "broker/io/scribe.h"

/* Accepting rests so long when there are no fds or no memory: the event is level-triggered and
 * would spin otherwise. */
#define ACCEPT_PAUSE_MS 200
/* Clients accepted in one turn of the loop. */
#define ACCEPT_BATCH 16
/* Clients that may wait to be accepted, whatever a socket unit says: a crowd of one user's is in
 * front of another's. Further ones wait in their connect(). */
#define LISTEN_BACKLOG 256

/* Fds that no client's connection may take: for the files of a request and for the broker's own
 * work, and as many again for those who administer. */
#define FDS_RESERVED (SB_WIRE_FDS_MAX + 67)

/* A client that administers. */
struct admin {
	struct client client;          /* first: what is delivered to */
	LIST_ENTRY(admin) entry;       /* server::admins */
	struct connection *connection; /* owned */
};

struct server {
	struct connection_owner owner; /* first: what connections know of it */
	int listener;
	struct event *accept_event, *resume_event;
	struct event *review_event; /* of who administers */
	struct keepers *keepers;    /* borrowed */
	struct answerer answerer;
	struct porters *porters;
	LIST_HEAD(, admin) admins;
	unsigned n_accepted;        /* for the log */
	int fds_max;                /* RLIMIT_NOFILE */
	struct rate_limit failures; /* of lines in the log */
};

/* -- clients that administer ------------------------------------------------------------------ */

static void admin_free(struct admin *a)
{
	connection_free(a->connection);
	client_clear(&a->client);
	free(a);
}

static void on_closed(struct connection_owner *owner, struct connection *c)
{
	struct admin *a = c->data;

	LIST_REMOVE(a, entry);
	admin_free(a);
}

static void reply(struct connection *c, struct answer *answer)
{
	size_t n = answer->n_fds;

	answer->n_fds = 0;
	connection_reply(c, answer->writer.buffer, answer->writer.length, answer->fds, n);
}

static void on_came(struct connection_owner *owner, struct connection *c)
{
	struct server *s = (struct server *)owner;
	struct sb_packet *packet = &owner->packet;
	struct admin *a = c->data;
	struct request request = { .fds = packet->fds, .n_fds = packet->n_fds };
	struct answer answer;
	bool answered =
		answer_begin(&s->answerer, packet->data, packet->length, &request, &answer) < 0 ||
		answer_end(&s->answerer, &a->client, packet->data, packet->length, &request,
			   &answer);

	/* Before the reply goes out: who has it may count on the fds being gone. */
	sb_packet_close(packet);
	if (answered)
		reply(c, &answer);
}

static void on_deliver(struct client *client, struct answer *answer)
{
	reply(((struct admin *)client)->connection, answer);
}

static void add_admin(struct server *s, int fd, const struct actor *actor, int pidfd)
{
	struct admin *a = calloc(1, sizeof(*a));

	if (a) {
		a->client = (struct client){
			.actor = *actor,
			.pidfd = pidfd,
			.deliver = on_deliver,
		};
		a->connection = connection_new(&s->owner, fd, s->n_accepted, a);
		if (a->connection) {
			LIST_INSERT_HEAD(&s->admins, a, entry);
			return;
		}
		free(a);
	} else {
		close(fd);
	}
	sb_close(pidfd);
}

/* Those who are no administrators any more: what they have sent may be anything. */
static void on_review(evutil_socket_t fd, short what, void *data)
{
	struct server *s = data;
	struct admin *a, *next;

	for (a = LIST_FIRST(&s->admins); a; a = next) {
		next = LIST_NEXT(a, entry);
		if (s->answerer.calls.is_admin(s->answerer.calls.data, &a->client.actor))
			continue;
		LIST_REMOVE(a, entry);
		keepers_take(s->keepers, a->client.actor.uid, connection_take_fd(a->connection));
		admin_free(a);
	}
}

/* -- accepting -------------------------------------------------------------------------------- */

/* The kernel gives the lowest free number: a high one says that those below are in use. */
static bool too_many_fds(const struct server *s, int fd, bool admin)
{
	return fd >= s->fds_max - (admin ? 1 : 2) * FDS_RESERVED;
}

static void turn_away(struct server *s, int fd, const struct actor *actor, bool admin)
{
	struct sb_error error = { 0 };

	sb_fail(&error, EAGAIN,
		"the broker has almost no file descriptors left (RLIMIT_NOFILE is %d)", s->fds_max);
	if (admin) { /* trusted with what it has sent; others are left to porters */
		refusal_send(fd, &error);
		close(fd);
	} else {
		porters_refuse(s->porters, fd, actor, &error);
	}
	log_limited(&s->failures, LOG_WARNING, "uid %u pid %d turned away: %s",
		    (unsigned)actor->uid, (int)actor->pid, error.message);
}

static void add_client(struct server *s, int fd)
{
	struct actor actor;
	int pidfd;
	bool admin;

	if (peer_read(fd, &actor, &pidfd) < 0)
		actor.uid = (uid_t)-1; /* a stranger */
	s->n_accepted++;
	log_debug("client %u is pid %d uid %u", s->n_accepted, (int)actor.pid, (unsigned)actor.uid);
	admin = s->answerer.calls.is_admin(s->answerer.calls.data, &actor);
	if (too_many_fds(s, pidfd > fd ? pidfd : fd, admin)) {
		sb_close(pidfd);
		turn_away(s, fd, &actor, admin);
	} else if (admin) {
		add_admin(s, fd, &actor, pidfd);
	} else {
		porters_admit(s->porters, fd, &actor, pidfd);
	}
}

static void pause_accepting(struct server *s, int reason)
{
	log_limited(&s->failures, LOG_WARNING, "accepting clients rests for %d ms: %s",
		    ACCEPT_PAUSE_MS, strerror(reason));
	event_del(s->accept_event);
	loop_add(s->resume_event, ACCEPT_PAUSE_MS * 1000);
}

static void on_resume(evutil_socket_t fd, short what, void *data)
{
	struct server *s = data;

	event_add(s->accept_event, NULL);
}

/* Whether accept(2) failed for the client that would have been next, and there may be others behind
 * it. Anything else (no fds, no memory, a security policy) will not be better at once. */
static bool is_of_one_client(int reason)
{
	switch (reason) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENOPROTOOPT:
	case ENONET:
	case EOPNOTSUPP:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

/* No error ends the broker, and none makes it spin. */
static void on_accept(evutil_socket_t listener, short what, void *data)
{
	struct server *s = data;
	unsigned failed = 0;

	if (keepers_are_full(s->keepers)) {
		pause_accepting(s, ETOOMANYREFS);
		return;
	}
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			add_client(s, fd);
		else if (errno == EAGAIN)
			return;
		else if (!is_of_one_client(errno) || ++failed == ACCEPT_BATCH) {
			pause_accepting(s, errno);
			return;
		}
	}
}

/* -- its life --------------------------------------------------------------------------------- */

static void read_fd_limit(struct server *s)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	getrlimit(RLIMIT_NOFILE, &limit);
	s->fds_max = limit.rlim_cur < INT_MAX ? (int)limit.rlim_cur : INT_MAX;
}

/* A client's pidfd stays here. */
static void warn_of_fd_limit(const struct server *s, const struct server_options *options)
{
	if (s->fds_max <= 2 * FDS_RESERVED)
		log_warning("RLIMIT_NOFILE is %d, too little for anybody but administrators",
			    s->fds_max);
	else if ((uint64_t)s->fds_max < (uint64_t)options->max_connections + 3 * FDS_RESERVED)
		log_warning(
			"RLIMIT_NOFILE is %d, too little for MaxConnections=%u: clients will be "
			"turned away earlier",
			s->fds_max, options->max_connections);
}

struct server *server_new(struct loop *loop, int listener, const struct server_options *options,
			  const struct server_calls *calls, struct quota *quota,
			  struct zygote *zygote, struct keepers *keepers,
			  const struct porter_files *files)
{
	_cleanup_close_ int owned = listener;
	_cleanup_(server_freep) struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	LIST_INIT(&s->admins);
	s->listener = TAKE_FD(owned);
	s->owner.base = loop_base(loop);
	s->owner.came = on_came;
	s->owner.closed = on_closed;
	listen(s->listener, LISTEN_BACKLOG);
	s->answerer.calls = *calls;
	s->failures = (struct rate_limit){ .burst = 3, .interval_us = 10000000 };
	read_fd_limit(s);
	s->answerer.meter = meter_new();
	s->answerer.scribes = scribes_new(s->owner.base, &s->answerer);
	if (!s->answerer.meter || !s->answerer.scribes)
		return NULL;
	s->keepers = keepers;
	s->porters =
		porters_new(s->owner.base, &s->answerer, quota, zygote, keepers, files, options);
	if (!s->porters)
		return NULL;
	server_configure(s, options);
	s->accept_event = event_new(s->owner.base, s->listener, EV_READ | EV_PERSIST, on_accept, s);
	s->resume_event = event_new(s->owner.base, -1, EV_TIMEOUT, on_resume, s);
	s->review_event = event_new(s->owner.base, -1, EV_TIMEOUT, on_review, s);
	if (!s->accept_event || !s->resume_event || !s->review_event ||
	    event_add(s->accept_event, NULL) < 0)
		return NULL;
	return TAKE_PTR(s);
}

void server_free(struct server *s)
{
	struct admin *a;

	if (!s)
		return;
	while ((a = LIST_FIRST(&s->admins)))
		on_closed(&s->owner, a->connection);
	porters_free(s->porters);
	scribes_free(s->answerer.scribes);
	meter_free(s->answerer.meter);
	if (s->accept_event)
		event_free(s->accept_event);
	if (s->resume_event)
		event_free(s->resume_event);
	if (s->review_event)
		event_free(s->review_event);
	sb_close(s->listener);
	free(s);
}

void server_configure(struct server *s, const struct server_options *options)
{
	s->owner.timeout_us = options->timeout_us;
	porters_configure(s->porters, options);
	/* Not here: one of them may be who asked for this. */
	if (s->review_event)
		event_active(s->review_event, EV_TIMEOUT, 0);
	warn_of_fd_limit(s, options);
}

void server_forked(struct server *s)
{
	struct admin *a;

	s->listener = sb_close(s->listener);
	LIST_FOREACH(a, &s->admins, entry)
	a->connection->fd = sb_close(a->connection->fd);
	porters_forked(s->porters);
}
