/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replacing the whole rule set in one step: apply, reload, start. */
#pragma once

#include "broker/core/core-internal.h"

/*
 * *RET: the rules of label files that are in force, and PARSED (consumed: its array is emptied).
 * When PARSED has bad lines, then or because of conflicts, all of them are in it afterwards:
 * -EINVAL without a sentence. -ENOSPC for too many rules, -ENOMEM.
 */
int replace_runtime_build(struct core *c, struct parsed_rules *parsed, struct ruleset **ret,
			  struct sb_error *error);

/*
 * Writes aside the state that goes with NEXT (TEXT: the runtime rules as rule text; NULL: to be
 * written from NEXT) and with the labels that PARSED made, for replace_rules, which is to follow.
 * On failure nothing is written.
 */
int replace_stage(struct core *c, const struct ruleset *next, const char *text, size_t length,
		  const struct parsed_rules *parsed, struct sb_error *error);

/* Makes *NEXT the rules, in state, kernel and model. On success *NEXT is NULL; on failure all is as
 * before. */
int replace_rules(struct core *c, struct ruleset **next, struct sb_error *error);

#define DIFFERENCE_ROWS_MAX 1000

struct guard;

struct difference {
	struct sb_text *text; /* records added, removed, moved; NULL: only count */
	struct guard *guard;  /* looks at what is added or moved; NULL: nobody does */
	size_t rows;
	size_t added, removed, moved, unchanged;
};

void difference_compute(const struct core *c, const struct ruleset *before,
			const struct ruleset *after, struct difference *d);
