/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file descriptors that the service manager passed at start (LISTEN_FDS, sd_listen_fds(3)). */
#pragma once

#include <stddef.h>

#include "protocol/errors.h"

/* The FileDescriptorName= of the broker's own socket: its unit's name, systemd's default. */
#define LISTEN_CONTROL_NAME "sockbroker.socket"

struct listen_fd {
	int fd;     /* owned; CLOEXEC; -1 when taken */
	char *name; /* owned; FileDescriptorName=, "unknown" when the manager gave none */
};

struct listen_fds {
	int control; /* owned; the broker's own listening SEQPACKET socket, or -1. Non-blocking. */
	struct listen_fd *others; /* owned; everything else in the order it was passed */
	size_t n_others;
};

#define LISTEN_FDS_NULL ((struct listen_fds){ .control = -1 })

/*
 * Takes all passed fds over into RET (which holds nothing before), and the variables out of the
 * environment, so that a second call and child processes find none. The control socket is the fd
 * named LISTEN_CONTROL_NAME or, without one, the first listening AF_UNIX SOCK_SEQPACKET one.
 *
 * 0, also when nothing was passed; -EINVAL with a sentence when the fd of that name is no listening
 * AF_UNIX SOCK_SEQPACKET socket or there are two of them; or another negative errno. On failure RET
 * is LISTEN_FDS_NULL and the passed fds are closed.
 */
int listen_fds_take(struct listen_fds *ret, struct sb_error *error);

/* Closes and frees what is left, and makes it LISTEN_FDS_NULL. */
void listen_fds_clear(struct listen_fds *l);
