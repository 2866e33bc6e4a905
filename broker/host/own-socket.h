/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets of the broker's own, for packets to wait in until a service takes them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A listening TCP or bound UDP socket (PROTOCOL: IPPROTO_*) of FAMILY on that family's loopback
 * address, at a port that the kernel chooses, in the network namespace of the calling thread. The
 * caller owns it. IPv6 ones take no IPv4. Negative errno on failure.
 *
 * It is what a service expects to be given: it blocks, and its options are the defaults, but for
 * UDP, which has IP_PKTINFO (IPV6_RECVPKTINFO): the kernel notes where a datagram was sent to when
 * it is queued, and that is before the service could ask for it.
 */
int own_socket_open(int protocol, int family);

/* How many connections wait in the TCP listener FD; for UDP, 1 if a datagram does. */
int own_socket_waiting(int fd, uint32_t *ret);

/* Whether the last close of the service's socket FD may take as long as the service wants: it has
 * become a connection, which may linger (SO_LINGER). Listeners and datagrams do not. Does not wait.
 */
bool own_socket_may_linger(int fd);

/*
 * Resets the connections that wait in the TCP listener FD, or drops the datagrams of the UDP socket
 * FD, for everybody who has it. It listens as before, at its port if it was bound to one: what the
 * kernel chose it chooses anew. Of a flood of datagrams some may be left. With nothing waiting the
 * socket is not touched.
 */
int own_socket_empty(int fd);
