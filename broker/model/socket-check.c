/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/socket-check.h"

#include <stdio.h>
#include <string.h>

#include "protocol/address.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static const char *domain_name(int domain, char *buf, size_t size)
{
	switch (domain) {
	case AF_UNIX:
		return "AF_UNIX";
	case AF_NETLINK:
		return "AF_NETLINK";
	case AF_PACKET:
		return "AF_PACKET";
	case AF_VSOCK:
		return "AF_VSOCK";
	default:
		snprintf(buf, size, "number %d", domain);
		return buf;
	}
}

static const char *local_text(const struct socket_facts *f, char buf[static SB_ADDRESS_TEXT_MAX])
{
	struct sb_address address;
	uint16_t port;

	if (sb_address_from_sockaddr(&f->local, &address, &port) < 0)
		return "?";
	return sb_endpoint_format(&address, port, buf);
}

static int check_kind(const struct socket_facts *f, size_t index, struct sb_error *error)
{
	char name[32];

	if (!f->is_socket)
		return sb_fail(error, ENOTSOCK,
			       "file descriptor %zu of the request is not a socket", index);
	if (f->domain != AF_INET && f->domain != AF_INET6)
		return sb_fail(error, EAFNOSUPPORT,
			       "socket %zu is of domain %s; only IPv4 (AF_INET) and IPv6 "
			       "(AF_INET6) sockets can take steered packets",
			       index, domain_name(f->domain, name, sizeof(name)));
	if (f->type != SOCK_STREAM && f->type != SOCK_DGRAM)
		return sb_fail(error, ESOCKTNOSUPPORT,
			       "socket %zu is of type %s; only stream (TCP) and datagram (UDP) "
			       "sockets can take steered packets",
			       index,
			       f->type == SOCK_RAW         ? "SOCK_RAW"
			       : f->type == SOCK_SEQPACKET ? "SOCK_SEQPACKET"
							   : "another kind");
	if (f->protocol == IPPROTO_MPTCP)
		return sb_fail(error, EPROTONOSUPPORT,
			       "socket %zu is an MPTCP listener, which the kernel does not take "
			       "into a sockmap; listen with plain TCP (Go programs since 1.24 use "
			       "MPTCP by default: set GODEBUG=multipathtcp=0 or "
			       "ListenConfig.SetMultipathTCP(false))",
			       index);
	if (f->protocol != IPPROTO_TCP && f->protocol != IPPROTO_UDP)
		return sb_fail(error, EPROTONOSUPPORT,
			       "socket %zu speaks IP protocol %d; only TCP and UDP are supported",
			       index, f->protocol);
	return 0;
}

static int check_state(const struct socket_facts *f, size_t index, struct sb_error *error)
{
	char local[SB_ADDRESS_TEXT_MAX];

	if (f->connected)
		return sb_fail(
			error, EISCONN,
			f->protocol == IPPROTO_TCP
				? "TCP socket %zu (%s) is a connection, not a listener; pass "
				  "the socket that listen() was called on"
				: "UDP socket %zu (%s) is connected; only an unconnected "
				  "socket can take packets from everyone",
			index, local_text(f, local));
	if (f->protocol == IPPROTO_TCP && !f->listening)
		return sb_fail(error, ENOTCONN,
			       "TCP socket %zu (%s) is not listening; call listen() before "
			       "registering it",
			       index, local_text(f, local));
	if (f->protocol == IPPROTO_UDP && !f->bound)
		return sb_fail(error, EDESTADDRREQ,
			       "UDP socket %zu is not bound; bind() it before registering it "
			       "(any local address will do)",
			       index);
	return 0;
}

int socket_check(const struct socket_facts *f, size_t index, uint64_t netns, struct sb_error *error)
{
	char local[SB_ADDRESS_TEXT_MAX];
	int r;

	r = check_kind(f, index, error);
	if (r < 0)
		return r;
	/* Before its state: in another namespace the state does not matter. */
	if (netns && f->has_netns_cookie && f->netns_cookie != netns)
		return sb_fail(error, EXDEV,
			       "socket %zu (%s) belongs to another network namespace than the one "
			       "that is steered; it would swallow connections or take packets "
			       "across the namespaces. Run a broker for that namespace (--netns)",
			       index, local_text(f, local));
	r = check_state(f, index, error);
	if (r < 0)
		return r;
	if (f->device[0])
		return sb_fail(error, ENODEV,
			       "socket %zu (%s) is bound to the device %s (SO_BINDTODEVICE); "
			       "packets that come in elsewhere would be steered to it and never "
			       "answered. Leave the binding out; a rule's prefix says what it gets",
			       index, local_text(f, local), f->device);
	return 0;
}

bool socket_is_dual_stack(const struct socket_facts *f)
{
	return f->domain == AF_INET6 && !f->v6only;
}
