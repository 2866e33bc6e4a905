/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Remembers what libsystemd said of processes, by what it read: /proc/PID/cgroup. It does so line
 * by line, with as many system calls as all the rest of a registration; here it is one.
 *
 * Nothing is decided here. An answer is given again only for a text that is the same to the last
 * byte, and only remembered if the text was the same before and after libsystemd was asked.
 * (Someone could move a process to another unit and back in between; whoever may do that may put
 * any process into any unit.)
 *
 * libsystemd also reads where process 1 is, and takes paths from there if they begin like that. All
 * is forgotten when that turns out to have changed, which is looked at only when something is
 * remembered: it takes root, to move the service manager out of its own scope.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "protocol/cleanup.h"

struct unit_cache;

/* PROC: the directory where processes are, "/proc" but in tests. If it cannot be read, libsystemd
 * is asked each time. NULL: no memory. */
struct unit_cache *unit_cache_new(const char *proc);
void unit_cache_free(struct unit_cache *c);
SB_DEFINE_CLEANUP(struct unit_cache, unit_cache_free)

/* As unit_of_process() (broker/systemd/unit.h), with its checks. SELF is a struct unit_cache, so
 * that this can be a callback. Without a PIDFD nothing is remembered, or given from memory: an
 * answer for a process that took over PID is wrong once, not for long. */
int unit_cache_get(void *self, pid_t pid, int pidfd, char *buf, size_t size);
