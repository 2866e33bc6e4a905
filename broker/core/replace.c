/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/replace.h"

#include <string.h>

#include "broker/base/log.h"
#include "broker/core/conflicts.h"
#include "broker/core/guard.h"
#include "broker/core/numbers.h"
#include "broker/core/replay.h"

static int add_config_rules(const struct core *c, struct parsed_rules *parsed)
{
	size_t n = parsed->n + ruleset_count(c->config_rules);
	struct rule *all = reallocarray(parsed->rules, n + 1, sizeof(*all));
	struct ruleset_cursor cursor;
	const struct rule *rule;

	if (!all)
		return -ENOMEM;
	parsed->rules = all;
	parsed->capacity = n + 1;
	for (ruleset_begin(c->config_rules, &cursor); (rule = ruleset_next(&cursor));)
		parsed->rules[parsed->n++] = *rule;
	return 0;
}

/* Lines that repeat others make neither too many rules nor conflicts, but must be found for that:
 * whoever has none does not pay for the search. */
int replace_runtime_build(struct core *c, struct parsed_rules *parsed, struct ruleset **ret,
			  struct sb_error *error)
{
	_cleanup_(ruleset_freep) struct ruleset *next = ruleset_new();
	struct rule a, b;
	int r = next ? add_config_rules(c, parsed) : -ENOMEM;

	if (r == 0 && (parsed->n_bad > 0 || parsed->n > c->settings.max_rules))
		r = conflicts_find(c, parsed);
	if (r == 0 && parsed->n_bad == 0 && parsed->n > c->settings.max_rules)
		return sb_fail(error, ENOSPC,
			       "%zu rules are more than the %zu that there may be (MaxRules= in "
			       "sockbroker.conf)",
			       parsed->n, c->settings.max_rules);
	if (r == 0 && parsed->n_bad == 0) {
		r = ruleset_take(next, &parsed->rules, parsed->n, &a, &b);
		if (r == -EEXIST) {
			r = conflicts_find(c, parsed);
			if (r == 0 && parsed->n_bad == 0)
				r = ruleset_take(next, &parsed->rules, parsed->n, &a, &b);
		}
	}
	if (r < 0)
		return sb_fail(error, -r, "%zu rules: %s", parsed->n, strerror(-r));
	if (parsed->n_bad > 0)
		return -EINVAL;
	*ret = TAKE_PTR(next);
	return 0;
}

int replace_stage(struct core *c, const struct ruleset *next, const char *text, size_t length,
		  const struct parsed_rules *parsed, struct sb_error *error)
{
	int r = core_stage_changed(c, parsed->new_labels, parsed->n_new_labels, error);

	if (r == 0)
		r = text ? c->state.stage(c->state.self, STATE_RULES, text, length, error)
			 : replay_compact(c, next, error);
	if (r < 0)
		c->state.rollback(c->state.self);
	return r;
}

int replace_rules(struct core *c, struct ruleset **next, struct sb_error *error)
{
	struct ruleset *old;
	int r = numbers_take_set(c, c->rules, *next, error);

	if (r < 0) {
		c->state.rollback(c->state.self);
		return r;
	}
	r = c->dataplane.publish(c->dataplane.self, *next, error);
	if (r < 0) {
		c->state.rollback(c->state.self);
		numbers_give_set(c, *next, c->rules);
		return r;
	}
	r = c->state.commit(c->state.self, error);
	if (r < 0) {
		struct sb_error again = { 0 };

		if (c->dataplane.publish(c->dataplane.self, c->rules, &again) < 0)
			log_error("the kernel keeps refused rules: %s", again.message);
		numbers_give_set(c, *next, c->rules);
		return r;
	}
	numbers_give_set(c, c->rules, *next);
	old = c->rules;
	c->rules = TAKE_PTR(*next);
	ruleset_free(old);
	rules_recount(c);
	return 0;
}

static const char *label_name(const struct core *c, const struct rule *r)
{
	const struct label *l = registry_get(c->registry, r->label);

	return l ? l->name : "?";
}

static void add_row(const struct core *c, struct difference *d, const char *type,
		    const struct rule *r, const struct rule *from)
{
	char text[SB_ADDRESS_TEXT_MAX], range[SB_PORTS_TEXT_MAX];
	struct sb_prefix prefix = rule_prefix(r);
	struct sb_ports ports = rule_ports(r);

	if (!d->text || d->rows == DIFFERENCE_ROWS_MAX)
		return;
	d->rows++;
	sb_record_begin(d->text, type);
	sb_record_add(d->text, "protocol", "%s", sb_protocol_name(r->protocol));
	sb_record_add(d->text, "prefix", "%s", sb_prefix_format(&prefix, text));
	sb_record_add(d->text, "ports", "%s", sb_ports_format(&ports, range));
	sb_record_add(d->text, "label", "%s", label_name(c, r));
	if (from)
		sb_record_add(d->text, "from", "%s", label_name(c, from));
	sb_record_end(d->text);
}

void difference_compute(const struct core *c, const struct ruleset *before,
			const struct ruleset *after, struct difference *d)
{
	struct ruleset_cursor old_cursor, new_cursor;
	const struct rule *old, *new;

	ruleset_begin(before, &old_cursor);
	ruleset_begin(after, &new_cursor);
	old = ruleset_next(&old_cursor);
	new = ruleset_next(&new_cursor);
	while (old || new) {
		int order = !old ? 1 : !new ? -1 : rule_compare(old, new);

		if (order < 0) {
			d->removed++;
			add_row(c, d, "removed", old, NULL);
		} else if (order > 0) {
			d->added++;
			if (d->guard)
				guard_look(d->guard, new);
			add_row(c, d, "added", new, NULL);
		} else if (old->label != new->label) {
			d->moved++;
			if (d->guard)
				guard_look(d->guard, new);
			add_row(c, d, "moved", new, old);
		} else {
			d->unchanged++;
		}
		if (order <= 0)
			old = ruleset_next(&old_cursor);
		if (order >= 0)
			new = ruleset_next(&new_cursor);
	}
}
