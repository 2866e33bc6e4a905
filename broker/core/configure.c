/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reload: label files and settings, all or nothing. Everything that is likely to fail comes first,
 * where nobody looks: rules, slot lists, saved state. Then one publish switches the rules, and what
 * follows are stores of group words and the commit.
 */

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/hold.h"
#include "broker/core/numbers.h"
#include "broker/core/replace.h"
#include "broker/core/replay.h"

/* What a label gets from its file. */
struct pending {
	struct label *label;
	bool created;
	struct policy policy;
	char *description;
	unsigned max_sockets;
	uint64_t hold_timeout_us;
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

static void reload_clear(struct core *c, struct reload *rl, bool undo)
{
	for (size_t i = 0; i < rl->n_labels; i++) {
		struct pending *p = &rl->labels[i];

		policy_clear(&p->policy);
		free(p->description);
		/* A start that fails leaves the kernel alone. */
		if (undo && p->created && p->label && !c->starting)
			core_label_collect(c, p->label);
	}
	if (rl->changes)
		members_change_end(rl->changes, rl->n_labels);
	free(rl->changes);
	free(rl->labels);
	ruleset_free(rl->config_rules);
	ruleset_free(rl->rules);
	if (undo)
		c->settings = rl->old_settings;
}

static int prepare_label(struct core *c, const struct core_label_config *config, struct pending *p,
			 struct members_change *change, struct sb_error *error)
{
	int r = core_label_get(c, config->name, &p->label, &p->created, error);

	if (r < 0)
		return r;
	p->max_sockets = config->max_sockets ? config->max_sockets : c->settings.max_sockets;
	if (policy_copy(&p->policy, &config->policy) < 0)
		return sb_fail(error, ENOMEM, "out of memory");
	if (config->description) {
		p->description = strdup(config->description);
		if (!p->description)
			return sb_fail(error, ENOMEM, "out of memory");
	}
	if (members_change_begin(c, change, p->label) < 0)
		return sb_fail(error, ENOMEM, "out of memory");
	change->when_empty = config->when_empty;
	p->hold_timeout_us =
		config->hold_timeout_us ? config->hold_timeout_us : LABEL_HOLD_TIMEOUT_DEFAULT_US;
	return 0;
}

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

/* Labels that had a file and have none any more fall back to a label's defaults. */
static int prepare_orphans(struct core *c, struct reload *rl, struct sb_error *error)
{
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l)) {
		struct pending *p = &rl->labels[rl->n_labels];
		struct members_change *change = &rl->changes[rl->n_labels];
		bool listed = false;

		if (!l->configured)
			continue;
		for (size_t i = 0; i < rl->n_labels && !listed; i++)
			listed = rl->labels[i].label == l;
		if (listed)
			continue;
		rl->n_labels++;
		if (members_change_begin(c, change, l) < 0)
			return sb_fail(error, ENOMEM, "out of memory");
		p->label = NULL; /* no file: see finish() */
		p->max_sockets = c->settings.max_sockets;
		p->hold_timeout_us = LABEL_HOLD_TIMEOUT_DEFAULT_US;
		change->when_empty = WHEN_EMPTY_DROP;
	}
	return 0;
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

static int prepare(struct core *c, const struct core_config *config, struct reload *rl,
		   struct sb_error *error)
{
	int r = 0;

	rl->old_settings = c->settings;
	c->settings = config->settings;
	rl->config_rules = ruleset_new();
	rl->rules = ruleset_new();
	/* Room for every label with a file and every one that loses its file. */
	rl->labels = calloc(config->n_labels + c->registry->n_labels + 1, sizeof(*rl->labels));
	rl->changes = calloc(config->n_labels + c->registry->n_labels + 1, sizeof(*rl->changes));
	if (!rl->config_rules || !rl->rules || !rl->labels || !rl->changes)
		return sb_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < config->n_labels && r == 0; i++) {
		rl->n_labels++;
		r = prepare_label(c, &config->labels[i], &rl->labels[i], &rl->changes[i], error);
	}
	if (r == 0)
		r = prepare_config_rules(c, config, rl, error);
	if (r == 0)
		r = prepare_orphans(c, rl, error);
	if (r == 0)
		r = prepare_rules(c, rl, error);
	return r == 0 ? count_rules(rl, error) : r;
}

/* Applies what cannot fail any more. */
static void finish(struct core *c, struct reload *rl)
{
	struct ruleset *old = c->config_rules;

	c->config_rules = rl->config_rules;
	rl->config_rules = old;
	for (size_t i = 0; i < rl->n_labels; i++) {
		struct pending *p = &rl->labels[i];
		struct label *l = rl->changes[i].label;
		struct policy policy = l->policy;
		char *description = l->description;

		l->policy = p->policy;
		l->description = p->description;
		l->max_sockets = p->max_sockets;
		l->hold_timeout_us = p->hold_timeout_us;
		l->configured = p->label != NULL;
		p->policy = policy;
		p->description = description;
	}
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		if (!l->configured)
			l->max_sockets = c->settings.max_sockets;
}

/*
 * A label that becomes WhenEmpty=pass or hold does so before the rules are switched, one that
 * becomes WhenEmpty=drop after it: a packet for a new rule of the former, or a removed rule of the
 * latter, would be dropped meanwhile, which it is neither before nor after.
 */
static int publish_labels(struct core *c, struct reload *rl, bool early, struct sb_error *error)
{
	int r = 0;

	for (size_t i = 0; i < rl->n_labels && r == 0; i++) {
		struct members_change *change = &rl->changes[i];

		if ((change->label->when_empty != WHEN_EMPTY_DROP) == early)
			r = members_publish(c, change, early, error);
	}
	return r;
}

/* Writes rules and labels aside. On failure nothing is staged. */
static int stage(struct core *c, struct reload *rl, struct sb_error *error)
{
	int r = rl->n_dropped > 0 ? replay_compact(c, rl->rules, error) : 0;

	if (r < 0) {
		c->state.rollback(c->state.self);
		return r;
	}
	return members_stage(c, rl->changes, rl->n_labels, error);
}

/* What was published is taken back in the opposite order. */
static void unpublish(struct core *c, struct reload *rl, bool rules)
{
	struct sb_error again = { 0 };

	members_unpublish(c, rl->changes, rl->n_labels, false);
	if (rules && !c->starting && c->dataplane.publish(c->dataplane.self, c->rules, &again) < 0)
		log_error("the kernel keeps rules of a refused reload: %s", again.message);
	members_unstage(c, rl->changes, rl->n_labels);
}

/* A start that fails halfway leaves the kernel with what it has put there already: the former rules
 * are not known, and the new ones are right. */
static int publish(struct core *c, struct reload *rl, struct sb_error *error)
{
	struct ruleset *former = c->rules;
	/* Those that were read from the state have no numbers yet. */
	const struct ruleset *numbered = c->starting ? NULL : former;
	bool published = false;
	int r;

	r = numbers_take_set(c, numbered, rl->rules, error);
	if (r < 0)
		return r;
	r = stage(c, rl, error);
	if (r < 0) {
		numbers_give_set(c, rl->rules, numbered);
		return r;
	}
	r = publish_labels(c, rl, true, error);
	if (r == 0) {
		r = c->dataplane.publish(c->dataplane.self, rl->rules, error);
		published = r == 0;
	}
	if (r == 0)
		r = publish_labels(c, rl, false, error);
	if (r == 0)
		r = members_commit(c, rl->changes, rl->n_labels, error);
	if (r < 0) {
		unpublish(c, rl, published);
		numbers_give_set(c, rl->rules, numbered);
		return r;
	}
	c->rules = TAKE_PTR(rl->rules);
	if (numbered)
		numbers_give_set(c, numbered, c->rules);
	ruleset_free(former);
	rules_recount(c);
	return 0;
}

int core_configure(struct core *c, const struct core_config *config, struct sb_error *error)
{
	struct reload rl = { 0 };
	int r;

	if (c->unloaded)
		return sb_fail(error, ESHUTDOWN, "the dataplane was unloaded");
	r = prepare(c, config, &rl, error);
	if (r == 0)
		r = publish(c, &rl, error);
	if (r == 0)
		finish(c, &rl);
	reload_clear(c, &rl, r < 0);
	if (r < 0)
		return r;
	hold_refresh_all(c, NULL, &(struct sb_error){ 0 }); /* else the next sweep does */
	core_labels_collect(c);
	return 0;
}
