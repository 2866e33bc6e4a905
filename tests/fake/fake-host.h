/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The surroundings of a broker that has none: made-up sockets under made-up fd numbers, a clock
 * that stands still, units by pid. */
#pragma once

#include "broker/core/port.h"
#include "tests/fake/fake-calls.h"

#define FAKE_FD_FIRST 1000 /* far from real ones: a test that uses one for real fails */
#define FAKE_FILES_MAX 8192
#define FAKE_UNITS_MAX 8
#define FAKE_NETNS_COOKIE 4711

/* What an fd is: a socket, or a process. Its number is not used again. */
struct fake_file {
	struct socket_facts facts;
	pid_t pid; /* of a pidfd, else 0 */
	bool closed, of_core;
	bool ended;       /* the process of a pidfd */
	uint32_t waiting; /* connections in it */
};

struct fake_host {
	struct fake_calls *calls;
	struct fake_file files[FAKE_FILES_MAX]; /* by fd - FAKE_FD_FIRST */
	size_t n_files;
	void (*last_close)(void *data, uint64_t cookie); /* may be NULL */
	void *data;
	uint16_t next_port;
	struct {
		pid_t pid;
		char name[64];
	} units[FAKE_UNITS_MAX];
	size_t n_units;
	uint64_t now;                        /* seconds */
	uint64_t monotonic_us;               /* CLOCK_MONOTONIC */
	struct local_listener listeners[16]; /* of nobody */
	size_t n_listeners;
	struct sb_address own_address; /* family 0: none */
	struct sb_ports ephemeral;
};

struct fake_host *fake_host_new(struct fake_calls *calls);
void fake_host_free(struct fake_host *h);
struct host_port fake_host_port(struct fake_host *h);

/* A bound UDP socket or a TCP listener at ADDRESS: its fd, which is also its cookie. ADDRESS of
 * IPv6 is dual-stack when it is "::". */
int fake_socket(struct fake_host *h, int protocol, const char *address, uint16_t port);
#define fake_tcp(h, address, port) fake_socket(h, IPPROTO_TCP, address, port)
#define fake_udp(h, address, port) fake_socket(h, IPPROTO_UDP, address, port)

/* The same file under another fd. */
int fake_dup(struct fake_host *h, int fd);
/* Closes FD; with the last one of a socket it is gone, for the kernel too. */
void fake_close_fd(struct fake_host *h, int fd);
/* How many fds of this socket are open. */
size_t fake_open_fds(const struct fake_host *h, uint64_t cookie);
/* How many fds are open that the core has made and not closed. */
size_t fake_core_fds(const struct fake_host *h);
int fake_pidfd(struct fake_host *h, pid_t pid);
/* To make it worse than it is. */
struct socket_facts *fake_facts(struct fake_host *h, int fd);

void fake_unit(struct fake_host *h, pid_t pid, const char *name);
