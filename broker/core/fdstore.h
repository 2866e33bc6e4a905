/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the broker holds, beyond its end: copies of sockets, and the pidfds of those who serve them,
 * kept by the service manager. It comes back by name; "_" begins no label.
 *
 *     _socket-COOKIE    a copy
 *     _process-PID      a pidfd
 */
#pragma once

#include "broker/core/core-internal.h"

struct life;

void fdstore_push_member(struct core *c, const struct member *m);
/* M has left its label: the store forgets its copy, unless a label has one still. */
void fdstore_remove_member(struct core *c, const struct member *m);
void fdstore_push_life(struct core *c, const struct life *life);
void fdstore_remove_life(struct core *c, const struct life *life);

/* Gives the labels that were restored their copies and lives back; what belongs to none of them is
 * left to the caller, and taken out of the store. 0 or a negative errno with a sentence. */
int fdstore_restore(struct core *c, const struct core_saved *saved, struct sb_error *error);

/* Empties it: the dataplane is unloaded. */
void fdstore_clear(struct core *c);
