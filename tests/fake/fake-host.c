/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fake/fake-host.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct fake_host *fake_host_new(struct fake_calls *calls)
{
	struct fake_host *h = calloc(1, sizeof(*h));

	if (!h)
		abort();
	h->calls = calls;
	h->now = 1000000;
	h->ephemeral = (struct sb_ports){ 32768, 60999 };
	return h;
}

void fake_host_free(struct fake_host *h)
{
	free(h);
}

struct socket_facts *fake_facts(struct fake_host *h, int fd)
{
	size_t i = (size_t)(fd - FAKE_FD_FIRST);

	return fd >= FAKE_FD_FIRST && i < h->n_sockets ? &h->sockets[i] : NULL;
}

int fake_socket(struct fake_host *h, int protocol, const char *address, uint16_t port)
{
	int fd = FAKE_FD_FIRST + (int)h->n_sockets;
	struct socket_facts *f = &h->sockets[h->n_sockets];
	struct sockaddr_in *v4 = (struct sockaddr_in *)&f->local;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&f->local;
	bool is6 = strchr(address, ':') != NULL;

	if (h->n_sockets++ == FAKE_SOCKETS_MAX)
		abort();
	*f = (struct socket_facts){
		.is_socket = true,
		.domain = is6 ? AF_INET6 : AF_INET,
		.type = protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM,
		.protocol = protocol,
		.listening = protocol == IPPROTO_TCP,
		.bound = true,
		.v6only = is6 && strcmp(address, "::") != 0,
		.has_netns_cookie = true,
		.netns_cookie = FAKE_NETNS_COOKIE,
		.cookie = (uint64_t)fd,
	};
	f->local.ss_family = (sa_family_t)f->domain;
	if (is6)
		v6->sin6_port = htons(port);
	else
		v4->sin_port = htons(port);
	if (inet_pton(f->domain, address, is6 ? (void *)&v6->sin6_addr : &v4->sin_addr) != 1)
		abort();
	return fd;
}

int fake_dup(struct fake_host *h, int fd)
{
	h->sockets[h->n_sockets] = *fake_facts(h, fd);
	return FAKE_FD_FIRST + (int)h->n_sockets++;
}

void fake_unit(struct fake_host *h, pid_t pid, const char *name)
{
	h->units[h->n_units].pid = pid;
	snprintf(h->units[h->n_units++].name, sizeof(h->units[0].name), "%s", name);
}

static int inspect(void *self, int fd, struct socket_facts *ret)
{
	struct fake_host *h = self;
	const struct socket_facts *f = fake_facts(h, fd);
	int r = fake_call(h->calls, FAKE_CALL_inspect);

	if (r < 0)
		return r;
	if (!f)
		return -EBADF;
	*ret = *f;
	return 0;
}

static int unit(void *self, pid_t pid, int pidfd, char *buf, size_t size)
{
	struct fake_host *h = self;
	int r = fake_call(h->calls, FAKE_CALL_unit);

	if (r < 0)
		return r;
	buf[0] = '\0';
	for (size_t i = 0; i < h->n_units; i++)
		if (h->units[i].pid == pid)
			snprintf(buf, size, "%s", h->units[i].name);
	return 0;
}

static uint64_t now(void *self)
{
	const struct fake_host *h = self;

	return h->now;
}

static uint64_t netns_cookie(void *self)
{
	return FAKE_NETNS_COOKIE;
}

static int surroundings(void *self, struct surroundings *ret)
{
	const struct fake_host *h = self;
	int r = fake_call(h->calls, FAKE_CALL_surroundings);

	if (r < 0)
		return r;
	ret->listeners = calloc(h->n_listeners + 1, sizeof(*ret->listeners));
	ret->addresses = calloc(1, sizeof(*ret->addresses));
	if (!ret->listeners || !ret->addresses) {
		surroundings_clear(ret);
		return -ENOMEM;
	}
	memcpy(ret->listeners, h->listeners, h->n_listeners * sizeof(*ret->listeners));
	ret->n_listeners = h->n_listeners;
	ret->addresses[0] = h->own_address;
	ret->n_addresses = h->own_address.family != 0;
	ret->ephemeral = h->ephemeral;
	return 0;
}

struct host_port fake_host_port(struct fake_host *h)
{
	return (struct host_port){
		.self = h,
		.inspect = inspect,
		.unit = unit,
		.now = now,
		.netns_cookie = netns_cookie,
		.surroundings = surroundings,
	};
}
