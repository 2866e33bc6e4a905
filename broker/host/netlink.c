/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/host/netlink.h"

#include <string.h>
#include <sys/socket.h>

#include "protocol/cleanup.h"

/* What the kernel recommends for dumps: include/linux/netlink.h, NLMSG_GOODSIZE and 32 KiB. */
#define DUMP_BUFFER 32768

int netlink_open(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	return fd < 0 ? -errno : fd;
}

static int send_request(int fd, int type, const void *body, size_t length)
{
	struct nlmsghdr header = {
		.nlmsg_len = (__u32)NLMSG_LENGTH(length),
		.nlmsg_type = (__u16)type,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
	};
	struct iovec parts[] = {
		{ &header, sizeof(header) },
		{ (void *)body, length },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct msghdr message = {
		.msg_name = &kernel,
		.msg_namelen = sizeof(kernel),
		.msg_iov = parts,
		.msg_iovlen = ARRAY_SIZE(parts),
	};

	return sendmsg(fd, &message, 0) < 0 ? -errno : 0;
}

static int dump_error(const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = NLMSG_DATA(message);

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return -EPROTO;
	return error->error < 0 ? error->error : -EPROTO;
}

/* One packet of the answer: 1 when it was the last. */
static int take_packet(const char *buffer, size_t length,
		       int (*each)(const struct nlmsghdr *message, void *data), void *data,
		       int *result)
{
	const struct nlmsghdr *message = (const void *)buffer;

	for (; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
		if (message->nlmsg_type == NLMSG_DONE)
			return 1;
		if (message->nlmsg_type == NLMSG_ERROR) {
			*result = dump_error(message);
			return 1;
		}
		/* The rest is read even so: the socket is used again. */
		if (*result == 0)
			*result = each(message, data);
	}
	return 0;
}

int netlink_dump(int fd, int type, const void *body, size_t length,
		 int (*each)(const struct nlmsghdr *message, void *data), void *data)
{
	_cleanup_free_ char *buffer = malloc(DUMP_BUFFER);
	int result = 0, r;

	if (!buffer)
		return -ENOMEM;
	r = send_request(fd, type, body, length);
	if (r < 0)
		return r;
	for (;;) {
		ssize_t n = recv(fd, buffer, DUMP_BUFFER, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (take_packet(buffer, (size_t)n, each, data, &result))
			return result;
	}
}
