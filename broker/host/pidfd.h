/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes by file descriptor (pidfd_open(2), Linux 5.3). */
#pragma once

#include <sys/types.h>

/* A pidfd of process PID, close-on-exec, the caller's; -ESRCH or another negative errno. */
int pidfd_of(pid_t pid);

/* The process that FD stands for. -EBADF: FD is no pidfd; -ESRCH: it is gone, or in a pid namespace
 * that this process does not see. */
int pidfd_read_pid(int fd, pid_t *ret);
