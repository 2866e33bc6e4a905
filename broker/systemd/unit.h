/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which systemd unit a process belongs to, from its cgroup: never from what it says. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * The system unit of process PID, with its NUL, into BUF of SIZE bytes (256 do for every name):
 * "nginx.service"; "" when it is in none (no systemd, the root cgroup). Processes of a user's own
 * manager all belong to that manager: "user@1000.service".
 *
 * PIDFD (not consumed; -1: none) is the same process: when given, an answer is only given if the
 * process had not been reaped by the end of the reading, so that PID cannot meanwhile have become
 * someone else's. Without it (kernels before 6.5 have no SO_PEERPIDFD) that race is open.
 *
 * 0; -ESRCH: there is no such process (any more); -ENOBUFS; or another negative errno. On failure
 * BUF is "".
 */
int unit_of_process(pid_t pid, int pidfd, char *buf, size_t size);

/* Whether the process of PIDFD still holds its pid. A zombie does, and its cgroup is still its own.
 * 0; -ESRCH: it was reaped; or another negative errno. */
int unit_check_process(int pidfd);
