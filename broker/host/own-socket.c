/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/host/own-socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "protocol/cleanup.h"

/* The kernel takes it down to net.core.somaxconn. */
#define BACKLOG 65535
/* More than the largest default buffer has room for; takes some milliseconds. */
#define DATAGRAMS_MAX 16384

static int bind_loopback(int fd, int family)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int r = family == AF_INET6 ? bind(fd, (struct sockaddr *)&v6, sizeof(v6))
				   : bind(fd, (struct sockaddr *)&v4, sizeof(v4));

	return r < 0 ? -errno : 0;
}

static int set(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

int own_socket_open(int protocol, int family)
{
	bool tcp = protocol == IPPROTO_TCP, v6 = family == AF_INET6;
	_cleanup_close_ int fd =
		socket(family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, protocol);
	int r = fd < 0 ? -errno : 0;

	if (r == 0 && v6)
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	/* Where loopback is down it has no address. */
	if (r == 0)
		r = v6 ? set(fd, IPPROTO_IPV6, IPV6_FREEBIND) : set(fd, IPPROTO_IP, IP_FREEBIND);
	if (r == 0 && !tcp)
		r = v6 ? set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO) : set(fd, IPPROTO_IP, IP_PKTINFO);
	if (r == 0)
		r = bind_loopback(fd, family);
	if (r == 0 && tcp && listen(fd, BACKLOG) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

static int option(int fd, int name, int *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, name, ret, &size) < 0 ? -errno : 0;
}

static int listener_info(int fd, struct tcp_info *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &size) < 0 ? -errno : 0;
}

bool own_socket_may_linger(int fd)
{
	int type, listening;

	return option(fd, SO_TYPE, &type) == 0 && option(fd, SO_ACCEPTCONN, &listening) == 0 &&
	       type == SOCK_STREAM && !listening;
}

int own_socket_waiting(int fd, uint32_t *ret)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct tcp_info info;
	int r;

	/* A service's socket that no longer listens may be locked, by a call of its own. */
	if (own_socket_may_linger(fd)) {
		*ret = 0;
		return 0;
	}
	/* Of a listener tcpi_unacked is the length of its accept queue (tcp_get_info). */
	r = listener_info(fd, &info);
	if (r == 0) {
		*ret = info.tcpi_state == TCP_LISTEN ? info.tcpi_unacked : 0;
		return 0;
	}
	if (r != -EOPNOTSUPP && r != -ENOPROTOOPT)
		return r;
	if (poll(&p, 1, 0) < 0)
		return -errno;
	*ret = p.revents & POLLIN ? 1 : 0;
	return 0;
}

static int empty_datagrams(int fd)
{
	for (unsigned i = 0; i < DATAGRAMS_MAX; i++)
		if (recv(fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) < 0)
			return errno == EAGAIN ? 0 : -errno;
	return 0;
}

int own_socket_empty(int fd)
{
	struct tcp_info info;
	uint32_t n;
	int r = own_socket_waiting(fd, &n);

	if (r < 0 || n == 0)
		return r;
	if (listener_info(fd, &info) < 0)
		return empty_datagrams(fd);
	/* A listener that is shut down resets all that wait, and can listen again. Its backlog is
	 * told as tcpi_sacked (tcp_get_info). */
	if (shutdown(fd, SHUT_RD) < 0 || listen(fd, (int)info.tcpi_sacked) < 0)
		return -errno;
	return 0;
}
