/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which passed sockets are taken. Each refusal has its own sentence that says what to do. Pure. */
#pragma once

#include "broker/base/socket-facts.h"
#include "protocol/errors.h"

/*
 * 0, or a negative errno with a sentence. INDEX is the socket's place in its request, for the
 * sentence. NETNS is the cookie of the steered network namespace (0: unknown, not compared).
 *
 * The kernel takes many sockets into a sockmap that can never be selected, or that would let a
 * packet cross network namespaces (bpf_sk_assign has no netns and no device check), so everything
 * is checked here.
 */
int socket_check(const struct socket_facts *f, size_t index, uint64_t netns,
		 struct sb_error *error);

/* Whether an accepted IPv6 socket takes IPv4 packets too. bind() to one IPv6 address makes a socket
 * IPv6-only, which IPV6_V6ONLY then tells. */
bool socket_is_dual_stack(const struct socket_facts *f);
