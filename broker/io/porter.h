/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A porter serves the connections of one user that is no administrator, and is the only process
 * that ever has what this user sends: it reads the packets, looks at the files that come with them,
 * puts sockets into slots, and closes all of it. The broker gets bytes and facts.
 *
 * The kernel may keep a process that touches a stranger's file waiting for as long as the stranger
 * wants, and not even SIGKILL ends that: closing a file of a FUSE filesystem, or a Unix socket with
 * one in its queue; asking a socket for its address, or storing it into a sockmap, while its owner
 * is within a setsockopt() that reads memory which such a file backs. Other closes only take long:
 * those of large memfds, of packet sockets, of listeners with a long queue, of sockets that linger.
 * All of that holds up a porter, thus nobody but its own user, whose doing it is.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What a porter cannot do itself. */
struct porter_calls {
	/* Puts the socket FD (not consumed) into an unused SLOT of SOCKMAP. 0 or a negative errno.
	 */
	int (*store)(int sockmap, uint32_t slot, int fd);
	/* Gives up, for good, what storing does not need. 0 or a negative errno. */
	int (*drop_privilege)(void);
};

/* A zygote_child. DATA: the struct porter_calls; FDS: the control socket (porter-wire.h), the
 * sockmap, and a lock that tells the next broker that this process is there (state/directory.h). */
void porter_main(void *data, const int *fds, size_t n);
