/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/connection.h"

#include <event2/event.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"
#include "broker/io/loop.h"
#include "protocol/wire.h"

/* Bytes of replies that the kernel keeps for one client; it doubles the number and counts its own
 * overhead. A few of the largest: what does not fit waits here, and nothing more is read. */
#define SEND_BUFFER (2 * SB_WIRE_PACKET_MAX)

/* There is no event for "the peer has read": it is looked at after a while, then twice as long. */
#define UNTAKEN_PAUSE_US 1000
#define UNTAKEN_PAUSE_MAX_US 64000

static void set_state(struct connection *c, enum connection_state state)
{
	static const char *const names[] = { "reading", "waiting", "writing", "untaken", "closed" };

	if (c->state == state)
		return;
	log_debug("client %u: %s -> %s", c->id, names[c->state], names[state]);
	c->state = state;
}

static void read_again(struct connection *c)
{
	set_state(c, CONNECTION_READING);
	if (!event_pending(c->read_event, EV_READ, NULL) &&
	    loop_add(c->read_event, c->owner->timeout_us) < 0)
		set_state(c, CONNECTION_CLOSED);
}

/* Every callback is between these two; C may be gone after the second. */
static void begin(struct connection *c)
{
	c->busy = true;
}

static void end(struct connection *c)
{
	c->busy = false;
	if (c->state == CONNECTION_CLOSED)
		c->owner->closed(c->owner, c);
	else if (c->state != CONNECTION_READING)
		event_del(c->read_event);
}

/* -- fds that the client has not taken ------------------------------------------------------- */

static bool is_taken(const struct connection *c)
{
	int bytes;

	return ioctl(c->fd, SIOCOUTQ, &bytes) == 0 && bytes == 0;
}

static void look_later(struct connection *c)
{
	if (loop_add(c->taken_event, c->untaken_pause_us) < 0)
		set_state(c, CONNECTION_CLOSED);
	if (c->untaken_pause_us < UNTAKEN_PAUSE_MAX_US)
		c->untaken_pause_us *= 2;
}

static void note_untaken(struct connection *c)
{
	c->untaken = true;
	c->untaken_since_us = clock_monotonic_us();
	c->untaken_pause_us = UNTAKEN_PAUSE_US;
	look_later(c);
}

static void note_taken(struct connection *c)
{
	c->untaken = false;
	event_del(c->taken_event);
	if (c->owner->taken)
		c->owner->taken(c->owner, c);
}

static void on_taken_timer(evutil_socket_t fd, short what, void *data)
{
	struct connection *c = data;

	begin(c);
	if (!is_taken(c) && clock_monotonic_us() - c->untaken_since_us > c->owner->timeout_us) {
		set_state(c, CONNECTION_CLOSED);
	} else if (!is_taken(c)) {
		look_later(c);
	} else {
		note_taken(c);
		if (c->state == CONNECTION_UNTAKEN)
			read_again(c);
	}
	end(c);
}

/* -- replies --------------------------------------------------------------------------------- */

static void pending_clear(struct connection *c)
{
	sb_close_all(c->pending_fds, c->n_pending_fds);
	free(c->pending_fds);
	free(c->pending);
	c->pending = NULL;
	c->pending_fds = NULL;
	c->n_pending_fds = 0;
}

/* Takes FDS, also on failure. */
static int pending_set(struct connection *c, const char *packet, size_t length, const int *fds,
		       size_t n_fds)
{
	c->pending = malloc(length);
	c->pending_fds = calloc(n_fds + 1, sizeof(*fds));
	if (!c->pending || !c->pending_fds) {
		sb_close_all(fds, n_fds);
		return -ENOMEM;
	}
	memcpy(c->pending, packet, length);
	c->pending_length = length;
	for (; c->n_pending_fds < n_fds; c->n_pending_fds++)
		c->pending_fds[c->n_pending_fds] = fds[c->n_pending_fds];
	return 0;
}

/* The queue is full: C waits until the client reads, but not for ever. */
static bool must_wait(int r)
{
	return r == -EAGAIN || r == -ENOBUFS;
}

static void wait_to_write(struct connection *c)
{
	set_state(c, loop_add(c->write_event, c->owner->timeout_us) < 0 ? CONNECTION_CLOSED
									: CONNECTION_WRITING);
}

static void sent(struct connection *c, bool fds)
{
	read_again(c);
	if (fds)
		note_untaken(c);
}

void connection_reply(struct connection *c, const char *packet, size_t length, const int *fds,
		      size_t n_fds)
{
	bool busy = c->busy;
	int r = sb_packet_send(c->fd, packet, length, fds, n_fds, MSG_DONTWAIT);

	begin(c);
	if (must_wait(r)) {
		if (pending_set(c, packet, length, fds, n_fds) < 0)
			set_state(c, CONNECTION_CLOSED);
		else
			wait_to_write(c);
	} else {
		sb_close_all(fds, n_fds);
		if (r < 0) /* the client went away */
			set_state(c, CONNECTION_CLOSED);
		else
			sent(c, n_fds > 0);
	}
	if (busy)
		return;
	end(c);
}

static void on_writable(evutil_socket_t fd, short what, void *data)
{
	struct connection *c = data;
	bool fds = c->n_pending_fds > 0;
	int r = -ETIMEDOUT;

	begin(c);
	if (!(what & EV_TIMEOUT))
		r = sb_packet_send(c->fd, c->pending, c->pending_length, c->pending_fds,
				   c->n_pending_fds, MSG_DONTWAIT);
	if (must_wait(r)) {
		wait_to_write(c);
	} else {
		pending_clear(c);
		if (r < 0)
			set_state(c, CONNECTION_CLOSED);
		else
			sent(c, fds);
	}
	end(c);
}

/* -- requests -------------------------------------------------------------------------------- */

/* Its first bytes tell the form that its sender reads. */
static void refuse_packet(struct connection *c, int reason)
{
	const struct sb_packet *packet = &c->owner->packet;
	bool short_form = sb_packet_seems_short(packet->data, packet->length);
	struct sb_writer writer = { 0 };
	struct sb_error error = { 0 };

	sb_fail(&error, EMSGSIZE,
		"the packet is longer than %d bytes, or carries more than %d file descriptors or "
		"some that this process has no room for",
		SB_WIRE_PACKET_MAX, SB_WIRE_FDS_MAX);
	log_debug("client %u: packet refused: %s", c->id, strerror(-reason));
	sb_writer_refuse(&writer, short_form, &error);
	connection_reply(c, writer.buffer, writer.length, NULL, 0);
}

static void read_packet(struct connection *c)
{
	struct sb_packet *packet = &c->owner->packet;
	int r = sb_packet_receive(c->fd, packet);

	if (r > 0) {
		set_state(c, CONNECTION_WAITING);
		c->owner->came(c->owner, c);
		sb_packet_close(packet);
	} else if (r == -EMSGSIZE || r == -EMFILE) {
		refuse_packet(c, r);
	} else if (r != -EAGAIN && r != -EINTR) {
		set_state(c, CONNECTION_CLOSED);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
	struct connection *c = data;

	begin(c);
	if (c->untaken && is_taken(c))
		note_taken(c);
	if (what & EV_TIMEOUT)
		set_state(c, CONNECTION_CLOSED);
	else if (c->untaken)
		set_state(c, CONNECTION_UNTAKEN);
	else
		read_packet(c);
	end(c);
}

/* -- its life -------------------------------------------------------------------------------- */

struct connection *connection_new(struct connection_owner *owner, int fd, unsigned id, void *data)
{
	_cleanup_close_ int owned = fd;
	_cleanup_(connection_freep) struct connection *c = calloc(1, sizeof(*c));
	int bytes = SEND_BUFFER;

	if (!c)
		return NULL;
	c->owner = owner;
	c->data = data;
	c->id = id;
	c->fd = TAKE_FD(owned);
	setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	c->read_event = event_new(owner->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->write_event = event_new(owner->base, c->fd, EV_WRITE, on_writable, c);
	c->taken_event = event_new(owner->base, -1, 0, on_taken_timer, c);
	if (!c->read_event || !c->write_event || !c->taken_event ||
	    loop_add(c->read_event, owner->timeout_us) < 0)
		return NULL;
	/* Who connects has something to say: to look at once saves a turn of the loop. */
	event_active(c->read_event, EV_READ, 0);
	return TAKE_PTR(c);
}

int connection_take_fd(struct connection *c)
{
	event_del(c->read_event);
	event_del(c->write_event);
	return TAKE_FD(c->fd);
}

void connection_free(struct connection *c)
{
	if (!c)
		return;
	if (c->read_event)
		event_free(c->read_event);
	if (c->write_event)
		event_free(c->write_event);
	if (c->taken_event)
		event_free(c->taken_event);
	pending_clear(c);
	sb_close(c->fd);
	free(c);
}
