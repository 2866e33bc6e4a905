/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One scenario with one failure after another. Making its world takes far longer than what is to be
 * tried in it: it is made once, and each trial has a process of its own that begins with it.
 */
#pragma once

#include "tests/unit/core/scenarios.h"

struct trial {
	const struct scenario *scenario;
	struct picture wanted; /* what has to come out in the end */
	struct world *world;   /* before the request */
	struct picture before; /* of it */
	size_t n;              /* which failure, counted from 1 */
};

/* Whether the failure has happened. What does not hold is fail_msg() or an assert. */
typedef bool (*trial_func)(struct trial *t);

/* Calls TRY with n 1, 2 and so on as long as the failure happens, each time in the world of S.
 * Returns how many happened. A trial that leaves memory behind fails; this needs allocations.h. */
size_t trial_run(const struct scenario *s, trial_func try);
