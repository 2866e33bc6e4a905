/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/io/peer.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* asm-generic/socket.h since Linux 6.5 */
#endif

static void read_groups(int fd, struct actor *actor)
{
	socklen_t size = sizeof(actor->groups);

	/* ERANGE: more than fit. An actor in that many groups is known by its user alone. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, actor->groups, &size) == 0)
		actor->n_groups = size / sizeof(gid_t);
}

int peer_read(int fd, struct actor *actor, int *pidfd)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);
	int value;

	memset(actor, 0, sizeof(*actor));
	*pidfd = -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return -errno;
	actor->pid = credentials.pid;
	actor->uid = credentials.uid;
	actor->gid = credentials.gid;
	read_groups(fd, actor);
	size = sizeof(value);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &value, &size) == 0)
		*pidfd = value;
	else if (errno != ENOPROTOOPT)
		/* It is gone, and its pid may be somebody else's by now. From 6.16 on a pidfd
		 * tells. */
		actor->pid = 0;
	return 0;
}
