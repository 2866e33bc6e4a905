/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service that takes a socket in which something waits is on probation, until it has been seen to
 * accept, or has stayed for as long as HoldTimeout=. If it ends before that, what waits has waited
 * all the time: its hold ends when it would have ended without that service, and the end counts
 * against the unit (core/activation.h).
 *
 * The kernel does not tell when somebody accepts, so the number of those that wait is looked at
 * now and then: only accepting makes it smaller.
 */
#pragma once

#include "broker/core/core-internal.h"

/* M, a held socket of L, is about to be served. What it says of its hold is read. */
void probation_begin(struct core *c, const struct label *l, struct member *m);

/* What time asks for, in L. */
void probation_update(struct core *c, struct label *l);

/* M's service has ended. How long it was on probation if it has failed, in microseconds; else 0,
 * and the probation is forgotten. */
uint64_t probation_failed(struct core *c, struct member *m);
