/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The surroundings of a broker that has none: made-up sockets under made-up fd numbers, a clock
 * that stands still, units by pid. */
#pragma once

#include "broker/core/port.h"
#include "tests/fake/fake-calls.h"

#define FAKE_FD_FIRST 1000 /* far from real ones: a test that uses one for real fails */
#define FAKE_SOCKETS_MAX 1024
#define FAKE_UNITS_MAX 8
#define FAKE_NETNS_COOKIE 4711

struct fake_host {
	struct fake_calls *calls;
	struct socket_facts sockets[FAKE_SOCKETS_MAX]; /* by fd - FAKE_FD_FIRST */
	size_t n_sockets;
	struct {
		pid_t pid;
		char name[64];
	} units[FAKE_UNITS_MAX];
	size_t n_units;
	uint64_t now;
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

/* The same socket under another fd. */
int fake_dup(struct fake_host *h, int fd);
/* To make it worse than it is. */
struct socket_facts *fake_facts(struct fake_host *h, int fd);

void fake_unit(struct fake_host *h, pid_t pid, const char *name);
