/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Activate=: a packet that waits has a unit started, which is to take or to register sockets of its
 * label. As long as it does not, and something waits, it is asked for again: not sooner than after
 * a growing pause, not more often than TriggerLimitBurst= in TriggerLimitIntervalSec=, and no more
 * when it has failed ACTIVATION_FAILURES_MAX times in a row. Then the label is empty: what waits is
 * reset, and packets are dropped, until a service comes by itself, or a reload.
 */
#pragma once

#include "broker/core/core-internal.h"

#define ACTIVATION_FAILURES_MAX 5

/* Something waits in a socket of L that nobody serves. */
void activation_trigger(struct core *c, struct label *l);

/* What time asks for. */
void activation_update(struct core *c, struct label *l);

/* A service of L has come: all is well. */
void activation_settle(struct label *l);

/* L's file was read anew. UNIT (taken over) may be NULL. */
void activation_configure(struct label *l, char *unit, uint64_t interval_us, unsigned burst);
