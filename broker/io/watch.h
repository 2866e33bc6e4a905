/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The watch port of the core: fds that become readable, and a time that comes. */
#pragma once

#include "broker/core/port.h"
#include "broker/io/loop.h"

struct watch;

/* READY(DATA, FD) and ALARM(DATA) are called from the loop. LOOP must outlive it. NULL: out of
 * memory. */
struct watch *watch_new(struct loop *loop, void (*ready)(void *data, int fd),
			void (*alarm)(void *data), void *data);
void watch_free(struct watch *w);
SB_DEFINE_CLEANUP(struct watch, watch_free)

/* The port; valid as long as W. */
struct watch_port watch_port(struct watch *w);
