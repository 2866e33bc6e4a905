/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * So much a minute for each user: a bucket that leaks evenly. For what the broker cannot get back,
 * so that quota.h does not help: the memory of a table stays its own for as long as a client keeps
 * the memfd open, which the kernel tells nobody.
 *
 * Pure: the caller says what time it is.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "protocol/cleanup.h"

struct meter;

struct meter *meter_new(void); /* NULL: out of memory */
void meter_free(struct meter *m);
SB_DEFINE_CLEANUP(struct meter, meter_free)

/* How much a minute (at least 1); and as much at once, for who had nothing for a minute. */
void meter_set(struct meter *m, uint64_t per_minute);

/*
 * Lets UID have AMOUNT at NOW_US (microseconds of any clock that does not go back). 0; -EDQUOT,
 * with *WAIT_S the seconds until it could; or -ENOMEM. Who had nothing for a minute gets even more
 * than a minute's worth, in one piece, and then nothing until that has leaked away.
 */
int meter_take(struct meter *m, uid_t uid, uint64_t amount, uint64_t now_us, uint64_t *wait_s);

/*
 * Whether what UID was refused last would be refused still, for who does not know yet how much it
 * will be this time: -EDQUOT, with *WAIT_S as above, or 0.
 */
int meter_ask(struct meter *m, uid_t uid, uint64_t now_us, uint64_t *wait_s);
