/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One request, one reply, one deadline. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "client/handle.h"
#include "client/number.h"

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for EVENTS until DEADLINE (-1: for ever). 0, -ETIMEDOUT or another negative errno. */
static int wait_for(const struct sockbroker *sb, short events, int64_t deadline)
{
	struct pollfd p = { .fd = sb->socket, .events = events };

	for (;;) {
		int next = sb->waiting ? sb->waiting(sb->waiting_data) : -1;
		int64_t left = -1;
		int n;

		if (deadline >= 0) {
			left = deadline - now_ms();
			if (left < 0)
				left = 0;
		}
		if (next >= 0 && (left < 0 || next < left))
			left = next;
		n = poll(&p, 1, (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && deadline >= 0 && now_ms() >= deadline)
			return -ETIMEDOUT;
	}
}

static int send_before(struct sockbroker *sb, const struct sb_writer *w, const int *fds,
		       size_t n_fds, int64_t deadline)
{
	for (;;) {
		int r = sb_packet_send(sb->socket, w->buffer, w->length, fds, n_fds, MSG_DONTWAIT);

		if (r == -EINTR)
			continue;
		if (r != -EAGAIN)
			return r;
		r = wait_for(sb, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
}

/*
 * 0 with a packet, -ECONNRESET at the end of the connection, or another negative errno. A broker
 * that closed with our request unread (too busy, say) may have left its reason: the reset is
 * reported once, ahead of what is queued, so it is stepped over once.
 */
static int receive_before(struct sockbroker *sb, int64_t deadline)
{
	bool was_reset = false;

	for (;;) {
		int r = wait_for(sb, POLLIN, deadline);

		if (r < 0)
			return r;
		r = sb_packet_receive(sb->socket, &sb->packet);
		if (r == -EAGAIN || r == -EINTR)
			continue;
		if (r == -ECONNRESET && !was_reset) {
			was_reset = true;
			continue;
		}
		if (r <= 0)
			sb->packet.n_fds = 0;
		return r == 0 ? -ECONNRESET : r < 0 ? r : 0;
	}
}

static int exchange_failed(struct sockbroker *sb, int code)
{
	switch (code) {
	case ETIMEDOUT:
		return handle_fail_unreachable(sb, code, "the broker did not answer within %g s",
					       sb->timeout / 1000.0);
	case EPIPE:
	case ECONNRESET:
		return handle_fail_unreachable(
			sb, ECONNRESET, "the broker closed the connection without an answer");
	case EMSGSIZE:
		return handle_fail_unreachable(
			sb, EPROTO, "what answers is not a broker: its packet is too long");
	default:
		return handle_fail_unreachable(sb, code, "talking to the broker failed: %s",
					       strerror(code));
	}
}

static int read_reply(struct sockbroker *sb)
{
	struct sb_error error = { 0 };
	bool answered;
	int r;

	r = sb_message_decode(&sb->reply, sb->packet.data, sb->packet.length, &error);
	if (r < 0)
		goto garbage;
	answered = sb_message_count(&sb->reply, "OK") == 1 ||
		   sb_message_count(&sb->reply, "ERROR") == 1;
	if (sb->reply.short_form || !answered) {
		sb_fail(&error, EPROTO, "a packet with neither OK= nor ERROR=");
		goto garbage;
	}
	r = sb_message_verdict(&sb->reply, &sb->error);
	if (r < 0)
		sb->failure = SOCKBROKER_REFUSED;
	return r;

garbage:
	sb->reply.n_fields = 0;
	sb_packet_close(&sb->packet);
	sb->packet.n_fds = 0;
	return handle_fail_unreachable(sb, EPROTO, "what answers is not a broker: %s",
				       error.message);
}

int handle_call(struct sockbroker *sb, const struct sb_writer *w, const int *fds, size_t n_fds)
{
	int64_t deadline = sb->timeout < 0 ? -1 : now_ms() + sb->timeout;
	int r;

	if (sb->socket < 0)
		return handle_fail_unreachable(sb, ENOTCONN, "not connected to a broker");
	r = sb_writer_finish(w);
	if (r < 0)
		return handle_fail_local(sb, -r, "the request does not fit a packet of %d bytes",
					 SB_WIRE_PACKET_MAX);
	r = send_before(sb, w, fds, n_fds, deadline);
	if (r == -EBADF)
		return handle_fail_local(sb, EBADF, "one of the file descriptors is not open");
	if (r == -ETOOMANYREFS)
		return handle_fail_local(sb, ETOOMANYREFS,
					 "too many file descriptors of this user are on their way");
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = receive_before(sb, deadline);
	if (r < 0)
		return exchange_failed(sb, -r);
	return read_reply(sb);
}

uint64_t handle_reply_number(const struct sockbroker *sb, const char *key)
{
	const char *value = sb_message_get(&sb->reply, key);
	uint64_t n;

	return value && number_parse(value, &n) ? n : 0;
}

int handle_take_file(struct sockbroker *sb, int *ret)
{
	if (sb->packet.n_fds != 1)
		return handle_fail_unreachable(sb, EPROTO,
					       "the broker's reply has %zu files instead of one",
					       sb->packet.n_fds);
	*ret = TAKE_FD(sb->packet.fds[0]);
	sb->packet.n_fds = 0;
	return 0;
}
