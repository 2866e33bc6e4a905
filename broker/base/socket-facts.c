/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/base/socket-facts.h"

#include <arpa/inet.h>
#include <string.h>

#include "protocol/cleanup.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* asm-generic/socket.h since Linux 5.14 */
#endif

static int option(int fd, int level, int name, int *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, level, name, ret, &size) < 0 ? -errno : 0;
}

/* An option that some sockets do not have: absent counts as 0. */
static bool flag(int fd, int level, int name)
{
	int value = 0;

	return option(fd, level, name, &value) == 0 && value != 0;
}

static uint64_t option64(int fd, int name, bool *known)
{
	uint64_t value = 0;
	socklen_t size = sizeof(value);

	*known = getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0;
	return *known ? value : 0;
}

static bool has_port(const struct sockaddr_storage *ss)
{
	if (ss->ss_family == AF_INET)
		return ((const struct sockaddr_in *)ss)->sin_port != 0;
	if (ss->ss_family == AF_INET6)
		return ((const struct sockaddr_in6 *)ss)->sin6_port != 0;
	return false;
}

int socket_facts_read(int fd, struct socket_facts *facts)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(facts->local);
	bool known;
	int r;

	memset(facts, 0, sizeof(*facts));
	r = option(fd, SOL_SOCKET, SO_DOMAIN, &facts->domain);
	if (r == -ENOTSOCK)
		return 0;
	if (r < 0)
		return r;
	facts->is_socket = true;
	r = option(fd, SOL_SOCKET, SO_TYPE, &facts->type);
	if (r < 0)
		return r;
	r = option(fd, SOL_SOCKET, SO_PROTOCOL, &facts->protocol);
	if (r < 0)
		return r;
	facts->listening = flag(fd, SOL_SOCKET, SO_ACCEPTCONN);
	facts->reuseport = flag(fd, SOL_SOCKET, SO_REUSEPORT);
	facts->cookie = option64(fd, SO_COOKIE, &known);
	facts->netns_cookie = option64(fd, SO_NETNS_COOKIE, &facts->has_netns_cookie);
	if (facts->domain == AF_INET6)
		facts->v6only = flag(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (getsockname(fd, (struct sockaddr *)&facts->local, &size) == 0)
		facts->bound = has_port(&facts->local);
	size = sizeof(peer);
	/* A listener has no peer to ask for. */
	facts->connected =
		!facts->listening && getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
	size = sizeof(facts->device);
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, facts->device, &size) < 0)
		facts->device[0] = '\0';
	facts->device[sizeof(facts->device) - 1] = '\0';
	return 0;
}

uint64_t socket_facts_own_netns(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool known;

	return fd < 0 ? 0 : option64(fd, SO_NETNS_COOKIE, &known);
}
