/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all fakes of one test share: a count of the calls, a fault to inject at the n-th of them,
 * and a hook that looks at the world after every call that changed something.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "protocol/errors.h"

#define FAKE_CALLS(X)                                                                              \
	X(publish)                                                                                 \
	X(edit)                                                                                    \
	X(slot_store)                                                                              \
	X(slot_clear)                                                                              \
	X(slot_cookie)                                                                             \
	X(slot_owner)                                                                              \
	X(slot_adopt)                                                                              \
	X(list_store)                                                                              \
	X(group_store)                                                                             \
	X(group_load)                                                                              \
	X(counters)                                                                                \
	X(counters_reset)                                                                          \
	X(hits)                                                                                    \
	X(hits_reset)                                                                              \
	X(run)                                                                                     \
	X(programs)                                                                                \
	X(unload)                                                                                  \
	X(stage)                                                                                   \
	X(commit)                                                                                  \
	X(check)                                                                                   \
	X(inspect)                                                                                 \
	X(unit)                                                                                    \
	X(surroundings)                                                                            \
	X(own_socket)                                                                              \
	X(copy)                                                                                    \
	X(waiting)                                                                                 \
	X(empty)                                                                                   \
	X(pidfd)                                                                                   \
	X(pidfd_pid)                                                                               \
	X(watch)                                                                                   \
	X(unit_start)

enum fake_call {
#define X(name) FAKE_CALL_##name,
	FAKE_CALLS(X)
#undef X
		FAKE_CALL_KINDS
};

struct fake_calls {
	size_t n; /* calls since fake_calls_begin() */
	size_t count[FAKE_CALL_KINDS];
	size_t limit[FAKE_CALL_KINDS]; /* no more than so many of a kind take part; 0: all */
	size_t fail_at;                /* this one fails, counted from 1; 0: none */
	int fail_errno;                /* positive */
	bool failed;                   /* it has */
	enum fake_call failed_call;
	void (*after)(void *data); /* may be NULL; only after calls that succeeded */
	void *data;
	bool in_after;
};

/* Counts from zero, and fails the FAIL_AT-th call (0: none) with ERROR. */
void fake_calls_begin(struct fake_calls *c, size_t fail_at, int error);

/* To be called first by every fake call: 0, or the negative errno that it must return unchanged. */
int fake_call(struct fake_calls *c, enum fake_call call);
/* To be called last by those that changed what packets meet. Returns 0. */
int fake_call_changed(struct fake_calls *c);

const char *fake_call_name(enum fake_call call);
