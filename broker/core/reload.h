/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a reload is about to change, while it is prepared. */

#include "broker/core/replace.h"

/* What a label gets from its file. */
struct pending {
	struct label *label;
	bool created;
	struct policy policy;
	char *description;
	unsigned max_sockets;
	uint64_t hold_timeout_us;
	char *unit; /* Activate= */
	uint64_t trigger_interval_us;
	unsigned trigger_burst;
};

struct reload {
	struct pending *labels;
	struct members_change *changes; /* of the same labels, for when_empty */
	size_t n_labels;
	struct ruleset *config_rules;
	struct ruleset *rules;
	size_t n_dropped; /* runtime rules that are in force no more */
	struct core_settings old_settings;
};

/* Sets RL->config_rules, RL->rules and RL->n_dropped (the sets are there, empty): the rules of the
 * label files of CONFIG, and the runtime rules in force less those that a label file has now; and
 * how many rules the changed labels will have. A conflict is refused; when starting, a runtime rule
 * yields. Labels and changes are in RL already. Returns 0 or a negative errno with *ERROR set. */
int reload_rules(struct core *c, const struct core_config *config, struct reload *rl,
		 struct sb_error *error);
