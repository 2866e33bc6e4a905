/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Activate=: a packet that waits has a unit started, which is to take or to register sockets of its
 * label. As long as it does not, and something waits, it is asked for again: not sooner than after
 * a growing pause, not more often than TriggerLimitBurst= in TriggerLimitIntervalSec=, and no more
 * when it has failed ACTIVATION_FAILURES_MAX times in a row. Then the label is empty: what waits is
 * reset, and packets are dropped, until a service comes by itself, or a reload.
 *
 * It has failed when it cannot be started, when it ends without taking anything (while it runs it
 * is asked for now and then, and its InvocationID= tells whether that started it), when it takes
 * and ends without accepting (core/probation.h), and when the time of what waits is up. Only a
 * service that has passed its probation sets the count back.
 */
#pragma once

#include "broker/core/core-internal.h"

#define ACTIVATION_FAILURES_MAX 5

/* Something waits in a socket of L that nobody serves. */
void activation_trigger(struct core *c, struct label *l);

/* What time asks for. */
void activation_update(struct core *c, struct label *l);

/* Labels were read anew, and what was under way is forgotten: for what waits it begins again. */
void activation_resume(struct core *c);

/* In L something waited until its time was up. */
void activation_in_vain(struct core *c, struct label *l);

/* A service of L ended while it was on probation, which began AFTER_US ago. */
void activation_ended(struct core *c, struct label *l, uint64_t after_us);

/* A service of L has come, or has passed its probation: if none is on probation, all is well. */
void activation_settle(struct label *l);

/* L's file was read anew. UNIT (taken over) may be NULL. */
void activation_configure(struct label *l, char *unit, uint64_t interval_us, unsigned burst);
