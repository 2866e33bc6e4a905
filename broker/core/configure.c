/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reload: label files and settings, all or nothing. Everything that can fail is built aside first;
 * then one publish switches the rules, and what follows are stores that cannot half-fail.
 */

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/replace.h"

/* What a label gets from its file. */
struct pending {
	struct label *label;
	bool created;
	struct policy policy;
	char *description;
	unsigned max_sockets;
	struct members_change change; /* for when_empty */
};

struct reload {
	struct pending *labels;
	size_t n_labels;
	struct ruleset *config_rules;
	struct ruleset *rules;
	struct core_settings old_settings;
};

static void reload_clear(struct core *c, struct reload *rl, bool undo)
{
	for (size_t i = 0; i < rl->n_labels; i++) {
		struct pending *p = &rl->labels[i];

		members_change_end(&p->change, 1);
		policy_clear(&p->policy);
		free(p->description);
		if (undo && p->created && p->label)
			core_label_collect(c, p->label);
	}
	free(rl->labels);
	ruleset_free(rl->config_rules);
	ruleset_free(rl->rules);
	if (undo)
		c->settings = rl->old_settings;
}

static int prepare_label(struct core *c, const struct core_label_config *config, struct pending *p,
			 struct sb_error *error)
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
	if (members_change_begin(c, &p->change, p->label) < 0)
		return sb_fail(error, ENOMEM, "out of memory");
	p->change.when_empty = config->when_empty;
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

/* The runtime rules in force, less those that a label file has now (for the same label). */
static int prepare_rules(struct core *c, struct reload *rl, struct sb_error *error)
{
	size_t n = ruleset_count(c->rules) + ruleset_count(rl->config_rules), used = 0;
	_cleanup_free_ struct rule *all = calloc(n + 1, sizeof(*all));
	char text[RULE_TEXT_MAX], first[RULE_NAME_MAX], second[RULE_NAME_MAX];
	struct ruleset_cursor cursor;
	const struct rule *rule, *configured;
	struct rule a, b;
	int r;

	if (!all)
		return sb_fail(error, ENOMEM, "out of memory");
	if (n > c->settings.max_rules)
		return sb_fail(error, ENOSPC,
			       "%zu rules are more than the %zu that there may be (MaxRules=)", n,
			       c->settings.max_rules);
	for (ruleset_begin(rl->config_rules, &cursor); (rule = ruleset_next(&cursor));)
		all[used++] = *rule;
	for (ruleset_begin(c->rules, &cursor); (rule = ruleset_next(&cursor));) {
		if (rule->origin == RULE_CONFIG)
			continue;
		configured = ruleset_find(rl->config_rules, rule);
		if (configured && configured->label != rule->label)
			return sb_fail(error, EEXIST,
				       "rule %s of the label file of %s is bound to label %s at "
				       "run time; unbind it first",
				       rule_format(rule, text),
				       registry_get(c->registry, configured->label)->name,
				       registry_get(c->registry, rule->label)->name);
		if (!configured)
			all[used++] = *rule;
	}
	r = ruleset_assign(rl->rules, all, used, &a, &b);
	if (r == -EEXIST)
		return sb_fail(error, EEXIST,
			       "rule %s is in conflict with rule %s: same prefix, and port ranges "
			       "of equal width that overlap",
			       rule_name(c, &a, first), rule_name(c, &b, second));
	return r < 0 ? sb_fail(error, -r, "%s", strerror(-r)) : 0;
}

/* Labels that had a file and have none any more fall back to a label's defaults. */
static int prepare_orphans(struct core *c, struct reload *rl, struct sb_error *error)
{
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l)) {
		struct pending *p = &rl->labels[rl->n_labels];
		bool listed = false;

		if (!l->configured)
			continue;
		for (size_t i = 0; i < rl->n_labels && !listed; i++)
			listed = rl->labels[i].label == l;
		if (listed)
			continue;
		if (members_change_begin(c, &p->change, l) < 0)
			return sb_fail(error, ENOMEM, "out of memory");
		p->label = NULL; /* no file: see finish() */
		p->max_sockets = c->settings.max_sockets;
		p->change.when_empty = WHEN_EMPTY_DROP;
		rl->n_labels++;
	}
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
	if (!rl->config_rules || !rl->rules || !rl->labels)
		return sb_fail(error, ENOMEM, "out of memory");
	for (size_t i = 0; i < config->n_labels && r == 0; i++) {
		rl->n_labels++;
		r = prepare_label(c, &config->labels[i], &rl->labels[i], error);
	}
	if (r == 0)
		r = prepare_config_rules(c, config, rl, error);
	if (r == 0)
		r = prepare_orphans(c, rl, error);
	return r == 0 ? prepare_rules(c, rl, error) : r;
}

/* Applies what cannot fail any more. */
static void finish(struct core *c, struct reload *rl)
{
	struct ruleset *old = c->config_rules;

	c->config_rules = rl->config_rules;
	rl->config_rules = old;
	for (size_t i = 0; i < rl->n_labels; i++) {
		struct pending *p = &rl->labels[i];
		struct label *l = p->change.label;
		struct policy policy = l->policy;
		char *description = l->description;

		l->policy = p->policy;
		l->description = p->description;
		l->max_sockets = p->max_sockets;
		l->configured = p->label != NULL;
		p->policy = policy;
		p->description = description;
	}
}

static int publish(struct core *c, struct reload *rl, struct sb_error *error)
{
	struct members_change *changes = calloc(rl->n_labels + 1, sizeof(*changes));
	struct ruleset *former;
	struct sb_error again = { 0 };
	int r;

	if (!changes)
		return sb_fail(error, ENOMEM, "out of memory");
	r = c->dataplane.publish(c->dataplane.self, rl->rules, error);
	if (r < 0) {
		free(changes);
		return r;
	}
	former = c->rules;
	c->rules = TAKE_PTR(rl->rules);
	for (size_t i = 0; i < rl->n_labels; i++)
		changes[i] = rl->labels[i].change;
	r = members_apply(c, changes, rl->n_labels, error);
	for (size_t i = 0; i < rl->n_labels; i++)
		rl->labels[i].change = changes[i];
	free(changes);
	if (r < 0) {
		rl->rules = c->rules;
		c->rules = former;
		if (c->dataplane.publish(c->dataplane.self, c->rules, &again) < 0)
			log_error("the kernel keeps rules of a refused reload: %s", again.message);
		return r;
	}
	ruleset_free(former);
	rules_recount(c);
	return 0;
}

int core_configure(struct core *c, const struct core_config *config, struct sb_error *error)
{
	struct reload rl = { 0 };
	struct label *next;
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
	for (struct label *l = registry_next(c->registry, NULL); l; l = next) {
		next = registry_next(c->registry, l);
		core_label_collect(c, l);
	}
	return 0;
}
