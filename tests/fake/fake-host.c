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
	h->monotonic_us = 5000000;
	h->next_port = 40000;
	h->ephemeral = (struct sb_ports){ 32768, 60999 };
	return h;
}

void fake_host_free(struct fake_host *h)
{
	free(h);
}

static struct fake_file *file_of(struct fake_host *h, int fd)
{
	size_t i = (size_t)(fd - FAKE_FD_FIRST);

	return fd >= FAKE_FD_FIRST && i < h->n_files && !h->files[i].closed ? &h->files[i] : NULL;
}

struct socket_facts *fake_facts(struct fake_host *h, int fd)
{
	struct fake_file *f = file_of(h, fd);

	return f && !f->pid ? &f->facts : NULL;
}

static int new_file(struct fake_host *h, const struct fake_file *file)
{
	if (h->n_files == FAKE_FILES_MAX)
		abort();
	h->files[h->n_files] = *file;
	return FAKE_FD_FIRST + (int)h->n_files++;
}

int fake_socket(struct fake_host *h, int protocol, const char *address, uint16_t port)
{
	struct fake_file file = { 0 };
	struct socket_facts *f = &file.facts;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&f->local;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&f->local;
	bool is6 = strchr(address, ':') != NULL;

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
		.cookie = (uint64_t)FAKE_FD_FIRST + h->n_files,
	};
	f->local.ss_family = (sa_family_t)f->domain;
	if (is6)
		v6->sin6_port = htons(port);
	else
		v4->sin_port = htons(port);
	if (inet_pton(f->domain, address, is6 ? (void *)&v6->sin6_addr : &v4->sin_addr) != 1)
		abort();
	return new_file(h, &file);
}

int fake_pidfd(struct fake_host *h, pid_t pid)
{
	return new_file(h, &(struct fake_file){ .pid = pid });
}

int fake_dup(struct fake_host *h, int fd)
{
	struct fake_file file = *file_of(h, fd);

	file.of_core = false;
	return new_file(h, &file);
}

size_t fake_open_fds(const struct fake_host *h, uint64_t cookie)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_files; i++)
		n += !h->files[i].closed && !h->files[i].pid && h->files[i].facts.cookie == cookie;
	return n;
}

void fake_close_fd(struct fake_host *h, int fd)
{
	struct fake_file *f = file_of(h, fd);

	if (!f)
		abort();
	f->closed = true;
	if (!f->pid && f->facts.is_socket && fake_open_fds(h, f->facts.cookie) == 0 &&
	    h->last_close)
		h->last_close(h->data, f->facts.cookie);
}

size_t fake_core_fds(const struct fake_host *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_files; i++)
		n += !h->files[i].closed && h->files[i].of_core;
	return n;
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

static uint64_t monotonic_us(void *self)
{
	const struct fake_host *h = self;

	return h->monotonic_us;
}

/* FD is one that the core has to close. */
static int give(struct fake_host *h, int fd, int *ret)
{
	file_of(h, fd)->of_core = true;
	*ret = fd;
	return 0;
}

static int own_socket(void *self, int protocol, int family, int *ret)
{
	struct fake_host *h = self;
	int r = fake_call(h->calls, FAKE_CALL_own_socket);

	if (r < 0)
		return r;
	return give(
		h,
		fake_socket(h, protocol, family == AF_INET6 ? "::1" : "127.0.0.1", h->next_port++),
		ret);
}

static int copy(void *self, int fd, int *ret)
{
	struct fake_host *h = self;
	int r = fake_call(h->calls, FAKE_CALL_copy);

	if (r < 0)
		return r;
	return file_of(h, fd) ? give(h, fake_dup(h, fd), ret) : -EBADF;
}

static void close_fd(void *self, int fd)
{
	struct fake_host *h = self;

	if (!file_of(h, fd) || !file_of(h, fd)->of_core) {
		fprintf(stderr, "fake host: %d is not the core's to close\n", fd);
		abort();
	}
	fake_close_fd(h, fd);
}

static void discard(void *self, uid_t uid, int fd)
{
	close_fd(self, fd);
}

static int waiting(void *self, int fd, uint32_t *ret)
{
	struct fake_host *h = self;
	int r = fake_call(h->calls, FAKE_CALL_waiting);

	if (r < 0)
		return r;
	if (!file_of(h, fd))
		return -EBADF;
	*ret = file_of(h, fd)->waiting;
	return 0;
}

static int empty(void *self, int fd)
{
	struct fake_host *h = self;
	int r = fake_call(h->calls, FAKE_CALL_empty);

	if (r < 0)
		return r;
	if (!file_of(h, fd))
		return -EBADF;
	for (size_t i = 0; i < h->n_files; i++)
		if (h->files[i].facts.cookie == file_of(h, fd)->facts.cookie)
			h->files[i].waiting = 0;
	return 0;
}

static int open_pidfd(void *self, pid_t pid, int *ret)
{
	struct fake_host *h = self;
	int r = fake_call(h->calls, FAKE_CALL_pidfd);

	return r < 0 ? r : give(h, fake_pidfd(h, pid), ret);
}

static int pidfd_pid(void *self, int pidfd, pid_t *ret)
{
	struct fake_host *h = self;
	int r = fake_call(h->calls, FAKE_CALL_pidfd_pid);

	if (r < 0)
		return r;
	if (!file_of(h, pidfd) || !file_of(h, pidfd)->pid)
		return -EBADF;
	if (file_of(h, pidfd)->ended)
		return -ESRCH;
	*ret = file_of(h, pidfd)->pid;
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
