/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The saved runtime rules: the text of the last replacement, and the changes made since. */
#pragma once

#include "broker/core/core-internal.h"

/* Fills C->rules from SAVED (model only). Lines that make no sense are logged and left out.
 * -ENOMEM and the like when it cannot go on. */
int replay_rules(struct core *c, const struct core_saved *saved, struct sb_error *error);

/* Stages the runtime rules among RULES as one text, which makes the changes superfluous. */
int replay_compact(struct core *c, const struct ruleset *rules, struct sb_error *error);
