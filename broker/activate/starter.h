/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starts units over the bus, and waits for their jobs. */
#pragma once

#include <systemd/sd-event.h>

#include "protocol/errors.h"

struct starter;
struct start;

/* One unit has been started: R is 0 with STATE (its ActiveState) and INVOCATION (its InvocationID
 * in hex, "" when it has none), or a negative errno with a sentence. START is freed after the call.
 */
typedef void (*started)(void *data, int r, const char *state, const char *invocation,
			const struct sb_error *error);

/* Connects to the system bus, in EVENT (borrowed). 0 or a negative errno with a sentence. */
int starter_new(struct starter **ret, sd_event *event, struct sb_error *error);
void starter_free(struct starter *s);
SB_DEFINE_CLEANUP(struct starter, starter_free)

/* Asks for UNIT; F(DATA, ...) is called from the loop, once, unless the start is cancelled before.
 * *RET is borrowed until then. 0 or a negative errno with a sentence. */
int starter_start(struct starter *s, const char *unit, started f, void *data, struct start **ret,
		  struct sb_error *error);
/* Nobody waits for the answer any more; the unit is started all the same. */
void start_cancel(struct start *start);
