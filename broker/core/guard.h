/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guard rails: rules that take traffic from sockets which nobody registered. They are accepted,
 * with a warning: an administrator may well mean it, but seldom means sshd.
 */
#pragma once

#include "broker/core/core-internal.h"

#define GUARD_WARNINGS_MAX 10 /* of one request; the others are counted */

struct guard;

/* Looks at the surroundings once. NULL when they cannot be read: there are no warnings then. */
struct guard *guard_new(struct core *c);
void guard_free(struct guard *g);
SB_DEFINE_CLEANUP(struct guard, guard_free)

/* Looks at one rule that is about to be in force. Cheap: a million may be looked at. */
void guard_look(struct guard *g, const struct rule *r);

/* Adds what was found to REPLY as WARNING= fields. */
void guard_report(const struct guard *g, struct reply *reply);
