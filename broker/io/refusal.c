/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/refusal.h"

#include <sys/socket.h>

#include "protocol/wire-io.h"

/* Packets that are taken from a client. */
#define DRAIN_MAX 64

void refusal_send(int fd, const struct sb_error *error)
{
	struct sb_writer writer = { 0 };

	sb_writer_refuse(&writer, false, error);
	sb_packet_send(fd, writer.buffer, writer.length, NULL, 0, MSG_DONTWAIT);
	shutdown(fd, SHUT_RDWR);
}

enum next {
	NEXT_NOTHING,
	NEXT_PACKET, /* without files */
	NEXT_OTHER,
};

/* Every packet comes with its sender's credentials, by SO_PASSCRED, but the end does not. There is
 * no room for anything else: files would show as MSG_CTRUNC, and stay in the queue. */
static enum next look(int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
	char c;
	struct iovec data = { .iov_base = &c, .iov_len = sizeof(c) };
	struct msghdr m = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	if (recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT) < 0 || (m.msg_flags & MSG_CTRUNC))
		return NEXT_OTHER;
	return m.msg_controllen > 0 ? NEXT_PACKET : NEXT_NOTHING;
}

bool refusal_drain(int fd)
{
	enum next next;
	char c;

	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int)) < 0)
		return false;
	for (int i = 0; i < DRAIN_MAX; i++) {
		next = look(fd);
		if (next != NEXT_PACKET)
			return next == NEXT_NOTHING;
		if (recv(fd, &c, 1, MSG_DONTWAIT) < 0)
			return false;
	}
	return false;
}
