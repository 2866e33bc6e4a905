/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Has units started by sockbroker-activate (broker/activate): the broker itself is not privileged
 * to. Each start is a connection of its own, on which one answer comes, however late.
 */
#pragma once

#include <stdbool.h>

#include "broker/core/port.h"
#include "protocol/wire.h"

#define ACTIVATOR_PATH "/run/sockbroker/activate.sock"

/* Whether this machine is run by systemd. */
bool activator_is_there(void);

struct activator;

/* PATH is borrowed for ever. NULL: out of memory. */
struct activator *activator_new(const char *path);
/* Forgets what is under way. */
void activator_free(struct activator *a);
SB_DEFINE_CLEANUP(struct activator, activator_free)

/* Asks for UNIT. The fd on which the answer of LABEL comes, borrowed until activator_read(); or a
 * negative errno with a sentence. Does not block. */
int activator_start(struct activator *a, const char *unit, uint32_t label, struct sb_error *error);

/* Whether FD came from activator_start() and was not read yet. */
bool activator_owns(const struct activator *a, int fd);

/* Closes FD: its answer does not matter. */
void activator_forget(struct activator *a, int fd);

/* The answer on FD, which is readable; FD is closed then. Its message is in ERROR. */
struct unit_start activator_read(struct activator *a, int fd, uint32_t *ret_label,
				 struct sb_error *error);
