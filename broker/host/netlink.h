/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dump requests over netlink; just what asking the kernel for sockets and addresses takes. */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>

/* A netlink socket of PROTOCOL (NETLINK_ROUTE, NETLINK_SOCK_DIAG) in the calling thread's network
 * namespace, where it stays. The caller owns it. Negative errno. */
int netlink_open(int protocol);

/*
 * Sends the request of LENGTH bytes at BODY as message TYPE with NLM_F_DUMP, and calls EACH for
 * every message of the answer. EACH returns 0, or a negative errno that ends the dump. Waits for
 * the kernel, which answers from its tables at once.
 */
int netlink_dump(int fd, int type, const void *body, size_t length,
		 int (*each)(const struct nlmsghdr *message, void *data), void *data);
