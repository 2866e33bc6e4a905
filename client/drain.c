/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What still waits in a listener that has been replaced. */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

#include "client/sockbroker.h"

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* accept(2) reports errors of the connection that it would have returned; the next one may be
 * fine. */
static int is_of_one_connection(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return 1;
	default:
		return 0;
	}
}

int sockbroker_drain(int listener, int quiet, int limit, int (*take)(int fd, void *data),
		     void *data)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int64_t start = now_ms();
	int taken = 0;

	if (quiet < 0 || limit < 0 || !take)
		return -EINVAL;
	for (;;) {
		int64_t left = start + limit - now_ms();
		int n, fd;

		if (left < 0)
			left = 0;
		n = poll(&p, 1, left < quiet ? (int)left : quiet);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return taken;
		if (n < 0)
			continue;
		if (p.revents & POLLNVAL)
			return -EBADF;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && !is_of_one_connection(errno))
			return -errno;
		if (fd < 0)
			continue;
		taken++;
		n = take(fd, data);
		if (n < 0)
			return n;
	}
}
