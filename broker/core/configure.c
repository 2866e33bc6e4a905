/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reload: label files and settings, all or nothing. Everything that is likely to fail comes first,
 * where nobody looks: rules, slot lists, saved state. Then one publish switches the rules, and what
 * follows are stores of group words and the commit.
 */

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/activation.h"
#include "broker/core/hold.h"
#include "broker/core/numbers.h"
#include "broker/core/reload.h"
#include "broker/core/replay.h"

static void reload_clear(struct core *c, struct reload *rl, bool undo)
{
	for (size_t i = 0; i < rl->n_labels; i++) {
		struct pending *p = &rl->labels[i];

		policy_clear(&p->policy);
		free(p->description);
		free(p->unit);
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
	if (config->activate) {
		p->unit = strdup(config->activate);
		if (!p->unit)
			return sb_fail(error, ENOMEM, "out of memory");
	}
	p->trigger_interval_us = config->trigger_interval_us;
	p->trigger_burst = config->trigger_burst;
	change->when_empty = config->when_empty;
	change->withhold = false;
	p->hold_timeout_us =
		config->hold_timeout_us ? config->hold_timeout_us : LABEL_HOLD_TIMEOUT_DEFAULT_US;
	return 0;
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
		r = prepare_orphans(c, rl, error);
	return r == 0 ? reload_rules(c, config, rl, error) : r;
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
		activation_configure(l, TAKE_PTR(p->unit), p->trigger_interval_us,
				     p->trigger_burst);
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
	if (!c->starting) /* then what waits is yet to be found */
		activation_resume(c);
	return 0;
}
