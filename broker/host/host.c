/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/host/host.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "broker/base/clock.h"
#include "broker/host/listeners.h"
#include "broker/host/netlink.h"
#include "broker/host/own-socket.h"
#include "broker/host/pidfd.h"

struct host {
	int own_netns, netns; /* to go there and back; -1: the steered one is the process's own */
	int (*unit)(void *self, pid_t pid, int pidfd, char *buf, size_t size);
	void *unit_self;
	void (*discard)(void *data, uid_t uid, int fd);
	void *discard_data;
	uint64_t netns_cookie;
	/* All three belong to the steered namespace, wherever the process is. */
	int diag, route, port_range;
};

static int inspect(void *self, int fd, struct socket_facts *ret)
{
	return socket_facts_read(fd, ret);
}

static int unit(void *self, pid_t pid, int pidfd, char *buf, size_t size)
{
	const struct host *h = self;

	return h->unit(h->unit_self, pid, pidfd, buf, size);
}

static uint64_t now(void *self)
{
	return clock_realtime();
}

static uint64_t monotonic_us(void *self)
{
	return clock_monotonic_us();
}

static uint64_t netns_cookie(void *self)
{
	const struct host *h = self;

	return h->netns_cookie;
}

static int read_port_range(const struct host *h, struct sb_ports *ret)
{
	char text[64];
	unsigned first, last;
	ssize_t n = pread(h->port_range, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (sscanf(text, "%u %u", &first, &last) != 2 || first > last || last > UINT16_MAX)
		return -EPROTO;
	*ret = (struct sb_ports){ (uint16_t)first, (uint16_t)last };
	return 0;
}

static int surroundings(void *self, struct surroundings *ret)
{
	const struct host *h = self;
	int r = listeners_read(h->diag, &ret->listeners, &ret->n_listeners);

	if (r == 0)
		r = addresses_read(h->route, &ret->addresses, &ret->n_addresses);
	return r == 0 ? read_port_range(h, &ret->ephemeral) : r;
}

/* What has to be opened inside the namespace. */
static int look_around(struct host *h)
{
	h->netns_cookie = socket_facts_own_netns();
	h->diag = netlink_open(NETLINK_SOCK_DIAG);
	if (h->diag < 0)
		return h->diag;
	h->route = netlink_open(NETLINK_ROUTE);
	if (h->route < 0)
		return h->route;
	/* /proc/sys/net shows the namespace of whoever opens it. */
	h->port_range = open("/proc/sys/net/ipv4/ip_local_port_range", O_RDONLY | O_CLOEXEC);
	return h->port_range < 0 ? -errno : 0;
}

/* For what has to be done inside the steered namespace. */
static int enter(const struct host *h)
{
	return h->netns >= 0 && setns(h->netns, CLONE_NEWNET) < 0 ? -errno : 0;
}

/* If this fails the broker is in the wrong place: nothing it does then would be right. */
static void leave(const struct host *h)
{
	if (h->netns >= 0 && setns(h->own_netns, CLONE_NEWNET) < 0)
		abort();
}

static int look_around_in(struct host *h, const char *netns, struct sb_error *error)
{
	int r;

	h->own_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	h->netns = open(netns, O_RDONLY | O_CLOEXEC);
	r = h->own_netns < 0 || h->netns < 0 ? -errno : enter(h);
	if (r < 0)
		return sb_fail(error, -r, "network namespace %s cannot be entered: %s", netns,
			       strerror(-r));
	r = look_around(h);
	leave(h);
	return r;
}

static int own_socket(void *self, int protocol, int family, int *ret)
{
	const struct host *h = self;
	int fd = enter(h);

	if (fd < 0)
		return fd;
	fd = own_socket_open(protocol, family);
	leave(h);
	if (fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

static int copy(void *self, int fd, int *ret)
{
	int copied = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copied < 0)
		return -errno;
	*ret = copied;
	return 0;
}

static void close_fd(void *self, int fd)
{
	sb_close(fd);
}

static void discard(void *self, uid_t uid, int fd)
{
	const struct host *h = self;

	/* At once if that is safe: the service may want to bind the address again. */
	if (h->discard && own_socket_may_linger(fd))
		h->discard(h->discard_data, uid, fd);
	else
		sb_close(fd);
}

void host_set_discard(struct host *h, void (*f)(void *data, uid_t uid, int fd), void *data)
{
	h->discard = f;
	h->discard_data = data;
}

static int waiting(void *self, int fd, uint32_t *ret)
{
	return own_socket_waiting(fd, ret);
}

static int empty(void *self, int fd)
{
	return own_socket_empty(fd);
}

static int open_pidfd(void *self, pid_t pid, int *ret)
{
	int fd = pidfd_of(pid);

	if (fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

static int pidfd_pid(void *self, int pidfd, pid_t *ret)
{
	return pidfd_read_pid(pidfd, ret);
}

int host_open(struct host **ret, const char *netns,
	      int (*unit_of)(void *self, pid_t pid, int pidfd, char *buf, size_t size),
	      void *unit_self, struct sb_error *error)
{
	_cleanup_(host_freep) struct host *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return sb_fail(error, ENOMEM, "out of memory");
	h->unit = unit_of;
	h->unit_self = unit_self;
	h->own_netns = h->netns = h->diag = h->route = h->port_range = -1;
	r = netns ? look_around_in(h, netns, error) : look_around(h);
	if (r < 0)
		return error->code ? r
				   : sb_fail(error, -r, "the network namespace cannot be read: %s",
					     strerror(-r));
	*ret = TAKE_PTR(h);
	return 0;
}

void host_free(struct host *h)
{
	if (!h)
		return;
	sb_close(h->own_netns);
	sb_close(h->netns);
	sb_close(h->diag);
	sb_close(h->route);
	sb_close(h->port_range);
	free(h);
}

struct host_port host_port(struct host *h)
{
	return (struct host_port){
		.self = h,
		.inspect = inspect,
		.unit = unit,
		.now = now,
		.netns_cookie = netns_cookie,
		.monotonic_us = monotonic_us,
		.surroundings = surroundings,
		.own_socket = own_socket,
		.copy = copy,
		.close = close_fd,
		.discard = discard,
		.waiting = waiting,
		.empty = empty,
		.pidfd = open_pidfd,
		.pidfd_pid = pidfd_pid,
	};
}
