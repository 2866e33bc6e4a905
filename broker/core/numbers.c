/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/numbers.h"

#include <string.h>

int numbers_init(struct core *c)
{
	struct dataplane_info info = { 0 };

	c->dataplane.info(c->dataplane.self, &info);
	return info.rule_numbers ? range_init(&c->numbers, info.rule_numbers) : 0;
}

static int take(struct core *c, struct rule *r, struct sb_error *error)
{
	int64_t number = range_take(&c->numbers, 1);
	char text[RULE_TEXT_MAX];
	int k;

	if (number < 0)
		return sb_fail(error, ENOSPC,
			       "%u rules are counted already, more cannot be (RuleCounters= counts "
			       "MaxRules= of the time when the broker started)",
			       c->numbers.used);
	k = c->dataplane.hits_reset(c->dataplane.self, (uint32_t)number);
	if (k < 0) {
		range_give(&c->numbers, (uint32_t)number, 1);
		return sb_fail(error, EIO, "the counter of rule %s cannot be set to zero: %s",
			       rule_format(r, text), strerror(-k));
	}
	r->number = (uint32_t)number;
	return 0;
}

void numbers_give_edits(struct core *c, const struct rule_edit *edits, size_t n, int kind)
{
	for (size_t i = 0; i < n && numbers_used(c); i++)
		if ((int)edits[i].kind == kind)
			range_give(&c->numbers, edits[i].rule.number, 1);
}

int numbers_take_edits(struct core *c, struct rule_edit *edits, size_t n, struct sb_error *error)
{
	for (size_t i = 0; i < n && numbers_used(c); i++) {
		int r = edits[i].kind == RULE_ADD ? take(c, &edits[i].rule, error) : 0;

		if (r < 0) {
			numbers_give_edits(c, edits, i, RULE_ADD);
			return r;
		}
	}
	return 0;
}

/* The rule of the set behind CURSOR that equals R, if there is one: both go forward in trie order,
 * *AT is where that set is. */
static const struct rule *counterpart(struct ruleset_cursor *cursor, const struct rule **at,
				      const struct rule *r)
{
	while (*at && rule_compare(*at, r) < 0)
		*at = ruleset_next(cursor);
	return *at && rule_compare(*at, r) == 0 ? *at : NULL;
}

/* Gives back the numbers of the first N rules of FROM that are not in KEPT. */
static void give_first(struct core *c, const struct ruleset *from, const struct ruleset *kept,
		       size_t n)
{
	struct ruleset_cursor cursor, kept_cursor;
	const struct rule *r, *at = NULL;

	if (kept) {
		ruleset_begin(kept, &kept_cursor);
		at = ruleset_next(&kept_cursor);
	}
	ruleset_begin(from, &cursor);
	while (n-- > 0 && (r = ruleset_next(&cursor)))
		if (!counterpart(&kept_cursor, &at, r))
			range_give(&c->numbers, r->number, 1);
}

int numbers_take_set(struct core *c, const struct ruleset *old, struct ruleset *next,
		     struct sb_error *error)
{
	struct ruleset_cursor cursor, old_cursor;
	const struct rule *r, *same, *at = NULL;
	size_t done = 0;

	if (!numbers_used(c))
		return 0;
	if (old) {
		ruleset_begin(old, &old_cursor);
		at = ruleset_next(&old_cursor);
	}
	for (ruleset_begin(next, &cursor); (r = ruleset_next(&cursor)); done++) {
		/* The set is ours to write, and a number is no part of a rule's identity. */
		struct rule *mine = (struct rule *)r;
		int k = 0;

		same = counterpart(&old_cursor, &at, r);
		if (same)
			mine->number = same->number;
		else
			k = take(c, mine, error);
		if (k < 0) {
			give_first(c, next, old, done);
			return k;
		}
	}
	return 0;
}

void numbers_give_set(struct core *c, const struct ruleset *from, const struct ruleset *kept)
{
	if (numbers_used(c))
		give_first(c, from, kept, SIZE_MAX);
}
