/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * WhenEmpty=hold: connections wait while there is no service.
 *
 * Two kinds of sockets keep them: the broker's own, one for each protocol and family that the label
 * has rules for and no other socket, and copies of those that were handed in. A copy hides from the
 * kernel that the service died, so the service's process is watched (core/lives.h): when it ends,
 * the socket is held. Whoever takes a socket (op-take.c) serves what waits in it. Nobody waits
 * longer than HoldTimeout=: then the broker lets go, which resets what waits, and begins anew. A
 * socket that a service manager keeps too (inherited) is emptied instead.
 */
#pragma once

#include "broker/core/core-internal.h"

/* M, a socket of L, has no service any more, or none yet: its time begins. */
void hold_begin(struct core *c, const struct label *l, struct member *m);

/* M has no copy, and no service that is watched. What it had is the caller's. */
void hold_forget(struct member *m);
/* How many connections wait in M; 0 if it is served. */
unsigned hold_waiting(struct core *c, const struct member *m);
/* Resets what waits in M, a held socket of L, and has it wait for the next. 0 or a negative errno:
 * to be tried again. */
int hold_empty(struct core *c, const struct label *l, struct member *m);

/*
 * Gives M, a change that is about to be staged, the own sockets that its label will need, takes
 * away those that it will not, and all copies where WhenEmpty= is not (any more) hold. On failure
 * hold_undo() has to follow.
 */
int hold_adjust(struct core *c, struct members_change *m, struct sb_error *error);
/* Takes back what hold_adjust() made for M, which was not, or is not any more, staged. */
void hold_undo(struct core *c, struct members_change *m);
/* M is done: closes the copies that nobody needs any more, and sees to lives and times. Counts the
 * connections that waited in them. */
void hold_settle(struct core *c, struct members_change *m);

/* The own sockets that L needs when it has these rules; NULL: those that it has. */
int hold_refresh(struct core *c, struct label *l, const size_t (*n_rules)[2],
		 struct sb_error *error);
/* The same for every label with WhenEmpty=hold. With RULES: also what those ask for. */
int hold_refresh_all(struct core *c, const struct ruleset *rules, struct sb_error *error);

/* Has core_alarm() called at this time of CLOCK_MONOTONIC, or earlier; 0: nothing is asked. */
void hold_alarm(struct core *c, uint64_t at_us);

/* What time and the ends of processes ask for, in L. */
void hold_update(struct core *c, struct label *l);

/* The time of sockets that were held already when the broker started begins. */
void hold_resume(struct core *c);

/* Ends all holds of L at once. */
void hold_let_go(struct core *c, struct label *l);

/* Closes everything. */
void hold_clear(struct core *c);
