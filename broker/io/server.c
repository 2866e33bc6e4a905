/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/server.h"

#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>

#include "broker/base/log.h"
#include "broker/io/connection.h"

/* Accepting rests so long when there are no fds or no memory: the event is level-triggered and
 * would spin otherwise. */
#define ACCEPT_PAUSE_MS 200
/* Clients accepted in one turn of the loop. */
#define ACCEPT_BATCH 16

struct server {
	struct event_base *base; /* borrowed */
	int listener;
	struct event *accept_event, *resume_event;
	struct server_options options;
	struct timeval timeout;
	server_handler handler;
	void *data;
	LIST_HEAD(, connection) connections;
	unsigned n_connections;
	struct sb_packet packet;
	struct sb_message message;
};

void server_handle(struct server *s, struct request *request, struct reply *reply)
{
	s->handler(s->data, request, reply);
}

const struct timeval *server_timeout(const struct server *s)
{
	return &s->timeout;
}

struct sb_packet *server_packet(struct server *s)
{
	return &s->packet;
}

struct sb_message *server_message(struct server *s)
{
	return &s->message;
}

void server_drop(struct server *s, struct connection *c)
{
	LIST_REMOVE(c, entry);
	s->n_connections--;
	connection_free(c);
}

static unsigned connections_of(const struct server *s, uid_t uid)
{
	const struct connection *c;
	unsigned n = 0;

	LIST_FOREACH(c, &s->connections, entry)
	n += c->actor.uid == uid;
	return n;
}

/* Tells why, as far as the client's queue takes it, and closes. In the long form: nothing was read
 * yet that would tell which form the client speaks (docs/PROTOCOL.md). */
static void turn_away(struct connection *c, const char *sentence)
{
	struct sb_writer writer = { 0 };
	struct sb_error error = { 0 };

	sb_fail(&error, EDQUOT, "%s", sentence);
	sb_writer_refuse(&writer, false, &error);
	sb_packet_send(c->fd, writer.buffer, writer.length, NULL, 0, MSG_DONTWAIT);
	log_info("uid %u pid %d turned away: %s", (unsigned)c->actor.uid, (int)c->actor.pid,
		 sentence);
	connection_free(c);
}

static void add_client(struct server *s, int fd)
{
	struct connection *c = connection_new(s, s->base, fd, &s->timeout);

	if (!c)
		return;
	if (s->n_connections >= s->options.max_connections) {
		turn_away(c, "the broker has as many connections as it may (MaxConnections=)");
		return;
	}
	if (connections_of(s, c->actor.uid) >= s->options.max_connections_per_user) {
		turn_away(c, "your user has as many connections as it may "
			     "(MaxConnectionsPerUser=)");
		return;
	}
	LIST_INSERT_HEAD(&s->connections, c, entry);
	s->n_connections++;
}

static void pause_accepting(struct server *s, int reason)
{
	static const struct timeval pause = { .tv_usec = ACCEPT_PAUSE_MS * 1000 };

	log_warning("accepting clients rests for %d ms: %s", ACCEPT_PAUSE_MS, strerror(reason));
	event_del(s->accept_event);
	event_add(s->resume_event, &pause);
}

static void on_resume(evutil_socket_t fd, short what, void *data)
{
	struct server *s = data;

	event_add(s->accept_event, NULL);
}

/* accept(2): errors of one client (ECONNABORTED and network errors) and those of this process (no
 * fds, no memory) are told apart; none ends the broker. */
static void on_accept(evutil_socket_t listener, short what, void *data)
{
	struct server *s = data;

	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			add_client(s, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			pause_accepting(s, errno);
		else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_warning("a client could not be accepted: %s", strerror(errno));
		return;
	}
}

struct server *server_new(struct loop *loop, int listener, const struct server_options *options,
			  server_handler handler, void *data)
{
	_cleanup_close_ int owned = listener;
	_cleanup_(server_freep) struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	LIST_INIT(&s->connections);
	s->listener = TAKE_FD(owned);
	s->base = loop_base(loop);
	s->handler = handler;
	s->data = data;
	server_configure(s, options);
	s->accept_event = event_new(s->base, s->listener, EV_READ | EV_PERSIST, on_accept, s);
	s->resume_event = event_new(s->base, -1, EV_TIMEOUT, on_resume, s);
	if (!s->accept_event || !s->resume_event || event_add(s->accept_event, NULL) < 0)
		return NULL;
	return TAKE_PTR(s);
}

void server_free(struct server *s)
{
	struct connection *c;

	if (!s)
		return;
	while ((c = LIST_FIRST(&s->connections)))
		server_drop(s, c);
	if (s->accept_event)
		event_free(s->accept_event);
	if (s->resume_event)
		event_free(s->resume_event);
	sb_close(s->listener);
	free(s);
}

void server_configure(struct server *s, const struct server_options *options)
{
	s->options = *options;
	s->timeout.tv_sec = (time_t)(options->timeout_us / 1000000);
	s->timeout.tv_usec = (suseconds_t)(options->timeout_us % 1000000);
}
