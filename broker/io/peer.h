/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is at the other end of a Unix socket, as the kernel tells. */
#pragma once

#include "broker/model/policy.h"

/*
 * Fills ACTOR (its unit stays "") from the credentials of the connected socket FD, and *PIDFD
 * (owned by the caller; -1 when the kernel has no SO_PEERPIDFD, before 6.5, or the process is
 * gone; then its pid is 0, which is no process). Supplementary groups beyond POLICY_GROUPS_MAX are
 * ignored. 0 or a negative errno.
 */
int peer_read(int fd, struct actor *actor, int *pidfd);
