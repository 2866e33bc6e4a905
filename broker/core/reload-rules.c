/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/reload.h"

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"

static int prepare_config_rules(struct core *c, const struct core_config *config, struct reload *rl,
				struct sb_error *error)
{
	for (size_t i = 0; i < config->n_labels; i++) {
		const struct core_label_config *l = &config->labels[i];

		for (size_t k = 0; k < l->n_rules; k++) {
			struct rule rule = l->rules[k], conflict;
			char text[RULE_TEXT_MAX], other[RULE_NAME_MAX];
			int r;

			rule.label = rl->labels[i].label->id;
			rule.origin = RULE_CONFIG;
			rule.number = 0;
			r = ruleset_add(rl->config_rules, &rule, &conflict);
			if (r == -EEXIST)
				return sb_fail(error, EEXIST,
					       "%s: rule %s is in conflict with rule %s", l->file,
					       rule_format(&rule, text),
					       rule_name(c, &conflict, other));
			if (r < 0)
				return sb_fail(error, -r, "%s: %s", l->file, strerror(-r));
		}
	}
	return 0;
}

/* Whether a runtime rule stays one: 1, 0 (a label file has it now), or a refusal. When starting,
 * nobody could unbind it: the label file wins. */
static int keep_rule(struct core *c, struct reload *rl, const struct rule *rule,
		     struct sb_error *error)
{
	const struct rule *configured = ruleset_find(rl->config_rules, rule);
	char text[RULE_TEXT_MAX], other[RULE_NAME_MAX];

	if (!configured)
		return 1;
	if (configured->label == rule->label)
		return 0;
	if (!c->starting)
		return sb_fail(error, EEXIST,
			       "rule %s of the label file of %s is bound to label %s at run time; "
			       "unbind it first",
			       rule_format(rule, text),
			       registry_get(c->registry, configured->label)->name,
			       registry_get(c->registry, rule->label)->name);
	log_error("saved rule %s left out: a label file has it for label %s",
		  rule_name(c, rule, other), registry_get(c->registry, configured->label)->name);
	return 0;
}

/* Makes the N rules at *ALL (consumed) those of RL. Conflicts of runtime rules with those of label
 * files are refused, or decided as above. */
static int assign_rules(struct core *c, struct reload *rl, struct rule **all, size_t n,
			struct sb_error *error)
{
	char first[RULE_NAME_MAX], second[RULE_NAME_MAX];
	const struct rule *loser;
	struct rule a, b;
	int r;

	while ((r = ruleset_take(rl->rules, all, n, &a, &b)) == -EEXIST) {
		loser = a.origin == RULE_RUNTIME ? &a : &b;
		if (!c->starting || loser->origin != RULE_RUNTIME)
			return sb_fail(error, EEXIST,
				       "rule %s is in conflict with rule %s: same prefix, and port "
				       "ranges of equal width that overlap",
				       rule_name(c, &a, first), rule_name(c, &b, second));
		log_error("saved rule %s left out: it is in conflict with rule %s",
			  rule_name(c, loser, first), rule_name(c, loser == &a ? &b : &a, second));
		for (size_t i = 0; i < n; i++)
			if (rule_compare(&(*all)[i], loser) == 0)
				(*all)[i] = (*all)[--n];
		rl->n_dropped++;
	}
	return r < 0 ? sb_fail(error, -r, "%s", strerror(-r)) : 0;
}

/* The rules of label files, and the runtime rules in force less those that a label file has now. */
static int prepare_rules(struct core *c, struct reload *rl, struct sb_error *error)
{
	size_t n = ruleset_count(c->rules) + ruleset_count(rl->config_rules), used = 0;
	_cleanup_free_ struct rule *all = calloc(n + 1, sizeof(*all));
	struct ruleset_cursor cursor;
	const struct rule *rule;
	int keep;

	if (!all)
		return sb_fail(error, ENOMEM, "out of memory");
	for (ruleset_begin(rl->config_rules, &cursor); (rule = ruleset_next(&cursor));)
		all[used++] = *rule;
	for (ruleset_begin(c->rules, &cursor); (rule = ruleset_next(&cursor));) {
		if (rule->origin == RULE_CONFIG)
			continue;
		keep = keep_rule(c, rl, rule, error);
		if (keep < 0)
			return keep;
		if (keep)
			all[used++] = *rule;
		else
			rl->n_dropped++;
	}
	if (used > c->settings.max_rules)
		return sb_fail(error, ENOSPC,
			       "%zu rules are more than the %zu that there may be (MaxRules= in "
			       "sockbroker.conf)",
			       used, c->settings.max_rules);
	return assign_rules(c, rl, &all, used, error);
}

/* Which rules the labels will have, beside those that they have now: packets of either may need a
 * place to wait while the rules are switched. Only who holds needs to know. */
static int count_rules(struct reload *rl, struct sb_error *error)
{
	_cleanup_free_ struct members_change **by_id = NULL;
	struct ruleset_cursor cursor;
	const struct rule *rule;
	bool needed = false;

	for (size_t i = 0; i < rl->n_labels; i++)
		needed |= rl->changes[i].when_empty == WHEN_EMPTY_HOLD;
	if (!needed)
		return 0;
	by_id = calloc(SB_LABELS_MAX, sizeof(*by_id));
	if (!by_id)
		return sb_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < rl->n_labels; i++)
		by_id[rl->changes[i].label->id] = &rl->changes[i];
	for (ruleset_begin(rl->rules, &cursor); (rule = ruleset_next(&cursor));)
		if (by_id[rule->label])
			by_id[rule->label]->n_rules[rule->family == AF_INET6]
						   [rule->protocol == IPPROTO_UDP]++;
	return 0;
}

int reload_rules(struct core *c, const struct core_config *config, struct reload *rl,
		 struct sb_error *error)
{
	int r = prepare_config_rules(c, config, rl, error);

	if (r == 0)
		r = prepare_rules(c, rl, error);
	return r == 0 ? count_rules(rl, error) : r;
}
