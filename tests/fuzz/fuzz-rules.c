/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules, edits and packets: a matcher that looks at every rule, the index of the rule set, compiled
 * tables, and tables that were edited into what they are agree on every packet.
 */
#include <errno.h>

#include "tests/fuzz/rules-input.h"
#include "tests/unit/model/tables-util.h"

#define RULES_MAX 96
#define MATCHES_MAX (RULES_MAX * 2)

struct run {
	struct ruleset *set;
	struct tables tables;
	size_t spare;
	bool numbers;
	enum tables_wide wide;
	struct rule rules[RULES_MAX]; /* that are or were there */
	unsigned n_rules;
};

static struct tables compiled(const struct run *run, size_t spare)
{
	const struct tables how = { .numbers = run->numbers, .wide = run->wide };
	size_t size = compile_size_for(run->set, &how);
	struct tables t = tables_new(size + spare);

	t.numbers = how.numbers;
	t.wide = how.wide;
	require(compile(run->set, &t) == 0);
	require(t.used == size);
	return t;
}

static unsigned width(const struct rule *r)
{
	return (unsigned)r->port_last - r->port_first;
}

/* Whether A wins over B, both of which hold the packet. */
static bool wins(const struct rule *a, const struct rule *b)
{
	if (a->prefix_length != b->prefix_length)
		return a->prefix_length > b->prefix_length;
	return width(a) < width(b);
}

static void check_packet(void *data, const struct packet *p)
{
	struct run *run = data;
	const struct rule *naive = ruleset_match_naive(run->set, p), *all[MATCHES_MAX], *r;
	size_t n = ruleset_match(run->set, p, all, MATCHES_MAX), count = 0;
	struct ruleset_cursor c;

	for (ruleset_begin(run->set, &c); (r = ruleset_next(&c));)
		count += rule_matches(r, p);
	require(n == count);
	require(naive == (n ? all[0] : NULL));
	for (size_t i = 1; i < n; i++)
		require(rule_matches(all[i], p) && wins(all[i - 1], all[i]));
	require(tables_match(&run->tables, p) == (naive ? (int64_t)naive->label : -1));
}

/* Whether R can be added, by a look at every rule. */
static bool may_add(const struct run *run, const struct rule *r)
{
	struct ruleset_cursor c;
	const struct rule *other;

	for (ruleset_begin(run->set, &c); (other = ruleset_next(&c));)
		if (rule_compare(other, r) == 0 || rule_conflicts(other, r))
			return false;
	return true;
}

static void add(struct run *run, const struct rule *r)
{
	bool expected = may_add(run, r);
	struct rule conflict;
	int k = ruleset_add(run->set, r, &conflict);

	require(k == (expected ? 0 : -EEXIST));
	require(k == 0 || rule_compare(&conflict, r) == 0 || rule_conflicts(&conflict, r));
}

static void check_order(const struct run *run)
{
	const struct rule *r, *before = NULL;
	struct ruleset_cursor c;
	size_t n = 0;

	for (ruleset_begin(run->set, &c); (r = ruleset_next(&c)); before = r, n++)
		require(!before || rule_compare(before, r) < 0);
	require(n == ruleset_count(run->set));
}

/* The first rules, all at once if they are not in conflict. */
static void begin(struct run *run, struct bytes *b, bool at_once)
{
	unsigned n = take_8(b) % 24;
	struct rule sorted[24], a, c;

	for (unsigned i = 0; i < n && b->left > 0; i++)
		run->rules[run->n_rules++] = take_rule(b);
	memcpy(sorted, run->rules, sizeof(sorted));
	if (at_once && ruleset_assign(run->set, sorted, run->n_rules, &a, &c) == 0) {
		require(ruleset_count(run->set) == run->n_rules);
	} else {
		require(ruleset_count(run->set) == 0);
		for (unsigned i = 0; i < run->n_rules; i++)
			add(run, &run->rules[i]);
	}
	check_order(run);
	run->tables = compiled(run, run->spare);
}

static void remove_prefix(struct run *run, const struct rule *of)
{
	struct rule from = *of, gone;
	struct ruleset_cursor c;
	const struct rule *r;

	from.protocol = 0;
	while (ruleset_seek(run->set, &from, &c), (r = ruleset_next(&c))) {
		gone = *r;
		if (rule_compare_prefix(&gone, of) != 0)
			break;
		require(ruleset_remove(run->set, &gone, NULL) == 0);
	}
}

/* Changes rules of one prefix, which is that of the rule returned. */
static struct rule *edit(struct run *run, struct bytes *b)
{
	unsigned kind = take_8(b);
	const struct rule *found;
	struct rule *known, other;

	if (run->n_rules == 0 || ((kind & 3) == 0 && run->n_rules < RULES_MAX)) {
		known = &run->rules[run->n_rules++];
		*known = take_rule(b);
		add(run, known);
		return known;
	}
	known = &run->rules[(kind >> 2) % run->n_rules];
	found = ruleset_find(run->set, known);
	if ((kind & 3) == 1) {
		remove_prefix(run, known);
	} else if ((kind & 3) == 2 && found) {
		other = *found;
		other.label = take_8(b);
		require(ruleset_remove(run->set, known, NULL) == 0);
		add(run, &other);
	} else if (found) {
		require(ruleset_remove(run->set, known, NULL) == 0);
	} else {
		require(ruleset_remove(run->set, known, NULL) == -ENOENT);
		add(run, known);
	}
	return known;
}

static void publish(struct run *run, const struct rule *changed)
{
	struct sb_prefix prefix = rule_prefix(changed);
	int r = tables_update_prefix(&run->tables, run->set, &prefix);

	require(r == 0 || r == -ENOSPC);
	if (r < 0) {
		tables_free(&run->tables);
		run->tables = compiled(run, run->spare);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	unsigned flags = take_8(&b);
	struct run run = { .set = ruleset_new(),
			   .numbers = flags & 1,
			   .wide = flags & 0x80 ? WIDE_ALWAYS : WIDE_WHEN_MANY,
			   .spare = (flags & 0x7cU) * 8 };
	struct tables fresh;

	require(run.set);
	begin(&run, &b, flags & 2);
	for (unsigned i = 0; i < run.n_rules; i++)
		packets_around(&run.rules[i], check_packet, &run);
	for (unsigned i = 0; i < 16 && b.left > 0; i++) {
		struct rule *changed = edit(&run, &b);
		struct packet p = take_packet(&b);

		publish(&run, changed);
		check_order(&run);
		packets_around(changed, check_packet, &run);
		check_packet(&run, &p);
	}
	fresh = compiled(&run, 0);
	require(tables_same(&run.tables, &fresh));
	tables_free(&fresh);
	tables_free(&run.tables);
	ruleset_free(run.set);
	return 0;
}
