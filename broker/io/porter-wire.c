/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/porter-wire.h"

#include <string.h>
#include <sys/socket.h>

#include "protocol/wire-io.h"

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SB_WIRE_FDS_MAX * sizeof(int))];
};

int porter_send(int socket, const struct porter_header *header, const void *data, const int *fds,
		size_t n_fds, int flags)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)header, .iov_len = sizeof(*header) },
		{ .iov_base = (void *)data, .iov_len = header->length },
	};
	ssize_t n = sb_send_with_fds(socket, iov, 2, fds, n_fds, flags);

	return n < 0 ? (int)n : 0;
}

static void take_fds(struct porter_message *m, struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	m->n_fds = 0;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return;
	m->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(m->fds, CMSG_DATA(c), m->n_fds * sizeof(int));
}

int porter_receive(int socket, struct porter_message *m, int flags)
{
	union control control;
	struct iovec iov[2] = {
		{ .iov_base = &m->header, .iov_len = sizeof(m->header) },
		{ .iov_base = m->data, .iov_len = sizeof(m->data) },
	};
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	do
		n = recvmsg(socket, &msg, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	m->n_fds = 0;
	if (n <= 0)
		return n < 0 ? -errno : 0;
	take_fds(m, &msg);
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || (size_t)n < sizeof(m->header) ||
	    (size_t)n != sizeof(m->header) + m->header.length) {
		porter_message_close(m);
		return -EPROTO;
	}
	return 1;
}

void porter_message_close(struct porter_message *m)
{
	sb_close_all(m->fds, m->n_fds);
	m->n_fds = 0;
}
