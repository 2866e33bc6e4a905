/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sockets of another process that can be registered, duplicated out of it. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/sockbroker.h"
#include "protocol/address.h"
#include "protocol/errors.h"

/* Which sockets are wanted; what is not set matches everything. */
struct socket_filter {
	unsigned int protocols; /* set of SB_PROTOCOL_* */
	bool has_address;
	struct sb_address address;
	uint16_t port; /* 0: every */
};

struct socket_list {
	int pidfd; /* of the process, owned, when there are sockets */
	size_t n;
	int fds[SOCKBROKER_FDS_MAX]; /* owned, close-on-exec */
	uint64_t cookies[SOCKBROKER_FDS_MAX];
};

/*
 * Fills RET with the listening TCP sockets and the bound, unconnected UDP sockets of process PID
 * that FILTER lets through, each once however many fds it has there, in the order of the fds.
 * -ENOENT with a sentence that says what was seen when there are none; -ESRCH, -EPERM, -EMFILE
 * (more than SOCKBROKER_FDS_MAX) or what the kernel says. On failure nothing is left open.
 */
int process_sockets(pid_t pid, const struct socket_filter *filter, struct socket_list *ret,
		    struct sb_error *error);

void socket_list_close(struct socket_list *l);
