/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sockets of a network namespace that rules could take traffic from, and its own addresses. */
#pragma once

#include "broker/core/port.h"

/* Appends the listening TCP and the bound, unconnected UDP sockets, IPv4 and IPv6, to *LIST (owned
 * by the caller, malloc) of *N. FD is a NETLINK_SOCK_DIAG socket. 0 or a negative errno. */
int listeners_read(int fd, struct local_listener **list, size_t *n);

/* The same for the addresses of its interfaces. FD is a NETLINK_ROUTE socket. */
int addresses_read(int fd, struct sb_address **list, size_t *n);
