/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing rules under one prefix: model first (it is what the compiler reads), then the state is
 * written aside, then the kernel switches, then the state is committed. Whatever fails, everything
 * before it is undone.
 */
#include "broker/core/core-internal.h"

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/numbers.h"
#include "broker/core/shares.h"

void rules_count(struct core *c, const struct rule *r, int sign)
{
	struct label *l = registry_get(c->registry, r->label);

	if (l)
		l->n_rules[r->family == AF_INET6][r->protocol == IPPROTO_UDP] += (size_t)sign;
	shares_count_rule(c, r, sign);
}

void rules_recount(struct core *c)
{
	struct ruleset_cursor cursor;
	const struct rule *r;

	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		memset(l->n_rules, 0, sizeof(l->n_rules));
	shares_forget_rules(c);
	for (ruleset_begin(c->rules, &cursor); (r = ruleset_next(&cursor));)
		rules_count(c, r, 1);
	shares_settle_rules(c);
}

const char *rule_name(const struct core *c, const struct rule *r, char buf[static RULE_NAME_MAX])
{
	char text[RULE_TEXT_MAX];
	const struct label *l = registry_get(c->registry, r->label);

	snprintf(buf, RULE_NAME_MAX, "%s of label %s", rule_format(r, text), l ? l->name : "?");
	return buf;
}

static int do_edit(struct core *c, const struct rule_edit *e, struct sb_error *error)
{
	char text[RULE_TEXT_MAX], other[RULE_NAME_MAX];
	const struct rule *found;
	struct rule conflict, removed;
	int r;

	switch (e->kind) {
	case RULE_ADD:
		r = ruleset_add(c->rules, &e->rule, &conflict);
		if (r == -EEXIST)
			return sb_fail(error, EEXIST,
				       "rule %s is in conflict with rule %s: same prefix, and port "
				       "ranges of equal width that overlap",
				       rule_format(&e->rule, text), rule_name(c, &conflict, other));
		if (r < 0)
			return sb_fail(error, -r, "rule %s: %s", rule_format(&e->rule, text),
				       strerror(-r));
		rules_count(c, &e->rule, 1);
		return 0;
	case RULE_REMOVE:
		r = ruleset_remove(c->rules, &e->rule, &removed);
		if (r < 0)
			return sb_fail(error, -r, "there is no rule %s",
				       rule_format(&e->rule, text));
		rules_count(c, &removed, -1);
		return 0;
	case RULE_MOVE:
		found = ruleset_find(c->rules, &e->rule);
		if (!found)
			return sb_fail(error, ENOENT, "there is no rule %s",
				       rule_format(&e->rule, text));
		rules_count(c, found, -1);
		ruleset_relabel(c->rules, &e->rule, e->rule.label);
		rules_count(c, found, 1);
		return 0;
	}
	return -EINVAL;
}

/* Takes back the first N edits, last one first. */
static void undo_edits(struct core *c, const struct rule_edit *edits, size_t n)
{
	while (n-- > 0) {
		struct rule_edit back = edits[n];
		struct sb_error error = { 0 };

		if (back.kind == RULE_MOVE || back.kind == RULE_REMOVE)
			back.rule.label = edits[n].old_label;
		if (back.kind != RULE_MOVE)
			back.kind = back.kind == RULE_ADD ? RULE_REMOVE : RULE_ADD;
		if (do_edit(c, &back, &error) < 0)
			log_error("a refused change could not be taken back: %s", error.message);
	}
}

/* What is appended to the state: "+ RULE LABEL" or "- RULE" lines, closed by a line ".". Replayed,
 * a "+" also moves, and a change without its "." did not happen. */
static int stage_edits(struct core *c, const struct rule_edit *edits, size_t n,
		       struct sb_error *error)
{
	_cleanup_(sb_text_free) struct sb_text text = { 0 };
	char rule[RULE_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		if (edits[i].kind == RULE_REMOVE)
			sb_text_printf(&text, "- %s -\n", rule_format(&edits[i].rule, rule));
		else
			sb_text_printf(&text, "+ %s %s\n", rule_format(&edits[i].rule, rule),
				       registry_get(c->registry, edits[i].rule.label)->name);
	}
	sb_text_printf(&text, ".\n");
	if (text.error < 0)
		return sb_fail(error, -text.error, "the change cannot be written: %s",
			       strerror(-text.error));
	return c->state.stage(c->state.self, STATE_RULES_APPEND, text.data, text.length, error);
}

int rules_edit(struct core *c, const struct sb_prefix *prefix, struct rule_edit *edits, size_t n,
	       struct label *created, struct sb_error *error)
{
	size_t done;
	int r = numbers_take_edits(c, edits, n, error);

	if (r < 0)
		return r;
	for (done = 0; done < n; done++) {
		r = do_edit(c, &edits[done], error);
		if (r < 0)
			goto undo;
	}
	if (created)
		r = core_stage_changed(c, &created, 1, error);
	if (r == 0)
		r = stage_edits(c, edits, n, error);
	if (r == 0)
		r = c->dataplane.edit(c->dataplane.self, c->rules, prefix, error);
	if (r < 0)
		goto undo;
	r = c->state.commit(c->state.self, error);
	if (r < 0) {
		struct sb_error again = { 0 };

		undo_edits(c, edits, done);
		if (c->dataplane.edit(c->dataplane.self, c->rules, prefix, &again) < 0)
			log_error("the kernel keeps a refused change: %s", again.message);
		numbers_give_edits(c, edits, n, RULE_ADD);
		return r;
	}
	numbers_give_edits(c, edits, n, RULE_REMOVE);
	shares_settle_rules(c);
	return 0;
undo:
	c->state.rollback(c->state.self);
	undo_edits(c, edits, done);
	numbers_give_edits(c, edits, n, RULE_ADD);
	return r;
}
