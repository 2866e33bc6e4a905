/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel says of a file descriptor that somebody passed. Facts only: what is acceptable is
 * decided in broker/model/socket-check. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct socket_facts {
	bool is_socket;
	int domain;     /* SO_DOMAIN */
	int type;       /* SO_TYPE */
	int protocol;   /* SO_PROTOCOL: IPPROTO_TCP, IPPROTO_UDP, IPPROTO_MPTCP, ... */
	bool listening; /* SO_ACCEPTCONN */
	bool connected; /* has a peer */
	bool bound;     /* has a local port */
	bool v6only;
	bool reuseport;
	bool has_netns_cookie; /* the kernel knows SO_NETNS_COOKIE (5.14) */
	uint64_t netns_cookie;
	uint64_t cookie;               /* SO_COOKIE */
	char device[16];               /* SO_BINDTODEVICE, "" when none */
	struct sockaddr_storage local; /* getsockname */
};

/* Fills FACTS for FD (not consumed). 0, also when FD is no socket; negative errno when the kernel
 * refuses to tell (FD closed: -EBADF). */
int socket_facts_read(int fd, struct socket_facts *facts);

/* The network namespace cookie of the calling thread's namespace; 0 when the kernel has none. */
uint64_t socket_facts_own_netns(void);
