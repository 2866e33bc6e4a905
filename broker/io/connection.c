/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/connection.h"

#include <event2/event.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/io/peer.h"

static void set_state(struct connection *c, enum connection_state state)
{
	static const char *const names[] = { "reading", "writing", "closed" };

	if (c->state == state)
		return;
	log_debug("client pid %d uid %u: %s -> %s", (int)c->actor.pid, (unsigned)c->actor.uid,
		  names[c->state], names[state]);
	c->state = state;
}

static void close_pending(struct connection *c)
{
	while (c->n_pending_fds > 0)
		sb_close(c->pending_fds[--c->n_pending_fds]);
}

/* Sends what waits. A client that went away, or whose queue is full for ever, is closed. */
static void flush(struct connection *c)
{
	int r = sb_packet_send(c->fd, c->pending, c->pending_length, c->pending_fds,
			       c->n_pending_fds, MSG_DONTWAIT);

	if (r == -EAGAIN || r == -ENOBUFS) {
		set_state(c, CONNECTION_WRITING);
		event_del(c->read_event);
		if (event_add(c->write_event, server_timeout(c->server)) < 0)
			set_state(c, CONNECTION_CLOSED);
		return;
	}
	close_pending(c);
	if (r < 0) {
		set_state(c, CONNECTION_CLOSED);
		return;
	}
	if (c->state == CONNECTION_WRITING &&
	    event_add(c->read_event, server_timeout(c->server)) < 0)
		set_state(c, CONNECTION_CLOSED);
	else
		set_state(c, CONNECTION_READING);
}

/* The table of REPLY cannot be made. What was carried out must not look refused for that, and a
 * refusal keeps its reason. */
static void do_without_table(struct reply *reply, bool short_form, int reason)
{
	struct sb_writer *w = &reply->writer;
	size_t before = w->length;
	struct sb_error error = { 0 };

	sb_fail(&error, reason, "the reply's table cannot be made: %s", strerror(reason));
	if (!reply->table_optional) {
		sb_writer_refuse(w, short_form, &error);
		return;
	}
	if (short_form || strncmp(w->buffer, "OK=1\n", 5) != 0)
		return;
	sb_writer_add(w, "WARNING", "done, but %s", error.message);
	if (sb_writer_finish(w) < 0) { /* no room */
		w->error = 0;
		w->length = before;
	}
}

/* Turns a reply into the packet that waits. */
static void queue_reply(struct connection *c, struct reply *reply, bool short_form)
{
	int r;

	memcpy(c->pending_fds, reply->fds, reply->n_fds * sizeof(reply->fds[0]));
	c->n_pending_fds = reply->n_fds;
	if (reply->has_table) {
		r = sb_memfd_new_sealed("sockbroker-reply",
					reply->table.data ? reply->table.data : "",
					reply->table.length);
		if (r < 0)
			do_without_table(reply, short_form, -r);
		else
			c->pending_fds[c->n_pending_fds++] = r;
	}
	memcpy(c->pending, reply->writer.buffer, reply->writer.length);
	c->pending_length = reply->writer.length;
}

static void answer(struct connection *c, struct sb_packet *packet)
{
	struct sb_message *message = server_message(c->server);
	struct reply reply = { 0 };
	struct sb_error error = { 0 };
	struct request request = {
		.message = message,
		.actor = &c->actor,
		.pidfd = c->pidfd,
		.fds = packet->fds,
		.n_fds = packet->n_fds,
	};

	/* A packet that is not understood is answered in the form that it seems to have. */
	if (sb_message_decode(message, packet->data, packet->length, &error) < 0)
		sb_writer_refuse(&reply.writer, message->short_form, &error);
	else
		server_handle(c->server, &request, &reply);
	/* Before the reply goes out: who has it may count on the fds being gone. */
	sb_packet_close(packet);
	queue_reply(c, &reply, message->short_form);
	sb_text_free(&reply.table);
	flush(c);
}

/* Its first bytes tell the form that its sender reads. */
static void refuse_packet(struct connection *c, const struct sb_packet *packet, int reason)
{
	bool short_form = sb_packet_seems_short(packet->data, packet->length);
	struct reply reply = { 0 };
	struct sb_error error = { 0 };

	sb_fail(&error, EMSGSIZE,
		"the packet is longer than %d bytes, or carries more than %d file descriptors or "
		"some that this process has no room for",
		SB_WIRE_PACKET_MAX, SB_WIRE_FDS_MAX);
	log_debug("client pid %d: packet refused: %s", (int)c->actor.pid, strerror(-reason));
	sb_writer_refuse(&reply.writer, short_form, &error);
	queue_reply(c, &reply, short_form);
	flush(c);
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct connection *c = data;
	struct sb_packet *packet = server_packet(c->server);
	int r;

	if (what & EV_TIMEOUT) {
		set_state(c, CONNECTION_CLOSED);
	} else {
		r = sb_packet_receive(c->fd, packet);
		if (r > 0)
			answer(c, packet);
		else if (r == -EMSGSIZE || r == -EMFILE)
			refuse_packet(c, packet, r);
		else if (r != -EAGAIN && r != -EINTR)
			set_state(c, CONNECTION_CLOSED);
	}
	if (c->state == CONNECTION_CLOSED)
		server_drop(c->server, c);
	/* c may be gone here */
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
	struct connection *c = data;

	if (what & EV_TIMEOUT)
		set_state(c, CONNECTION_CLOSED);
	else
		flush(c);
	if (c->state == CONNECTION_CLOSED)
		server_drop(c->server, c);
	/* c may be gone here */
}

struct connection *connection_new(struct server *server, struct event_base *base, int fd,
				  const struct timeval *timeout)
{
	_cleanup_close_ int owned = fd;
	_cleanup_(connection_freep) struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->server = server;
	c->fd = TAKE_FD(owned);
	if (peer_read(c->fd, &c->actor, &c->pidfd) < 0)
		return NULL;
	c->read_event = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->write_event = event_new(base, c->fd, EV_WRITE, on_writable, c);
	if (!c->read_event || !c->write_event || event_add(c->read_event, timeout) < 0)
		return NULL;
	return TAKE_PTR(c);
}

void connection_free(struct connection *c)
{
	if (!c)
		return;
	if (c->read_event)
		event_free(c->read_event);
	if (c->write_event)
		event_free(c->write_event);
	close_pending(c);
	sb_close(c->pidfd);
	sb_close(c->fd);
	free(c);
}
