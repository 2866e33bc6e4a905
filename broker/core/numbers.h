/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RuleCounters=: each rule has a number as long as it is in force, under which the program counts
 * its hits. A rule keeps its number (and its count) when others change around it. Without
 * RuleCounters= all of this does nothing.
 */
#pragma once

#include "broker/core/core-internal.h"

/* Whether rules are counted. */
static inline bool numbers_used(const struct core *c)
{
	return c->numbers.size > 0;
}

/* Asks the dataplane how many rules it can count. -ENOMEM. */
int numbers_init(struct core *c);

/* Numbers for the rules that EDITS add; all or none. -ENOSPC, with a sentence. */
int numbers_take_edits(struct core *c, struct rule_edit *edits, size_t n, struct sb_error *error);
/* Gives back those of added (KIND RULE_ADD) or removed (RULE_REMOVE) rules. */
void numbers_give_edits(struct core *c, const struct rule_edit *edits, size_t n, int kind);

/* Numbers for the rules of NEXT: those of OLD (may be NULL) keep theirs. All or none. */
int numbers_take_set(struct core *c, const struct ruleset *old, struct ruleset *next,
		     struct sb_error *error);
/* Gives back the numbers of rules that are in FROM but not in KEPT (may be NULL). */
void numbers_give_set(struct core *c, const struct ruleset *from, const struct ruleset *kept);
