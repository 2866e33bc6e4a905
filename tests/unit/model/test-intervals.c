/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/model/intervals.h"
#include "broker/model/rule-sort.h"
#include "tests/unit/model/shapes.h"

struct range {
	unsigned first, last, label;
};

/* Ranges in any order, and the intervals they become; both end with label 0. */
static const struct {
	struct range ranges[8], intervals[12];
} cases[] = {
	{ {}, {} },
	{ { { 80, 80, 1 } }, { { 80, 80, 1 } } },
	{ { { 0, 65535, 1 } }, { { 0, 65535, 1 } } },
	{ { { 65535, 65535, 1 }, { 0, 0, 2 } }, { { 0, 0, 2 }, { 65535, 65535, 1 } } },
	{ { { 0, 65535, 1 }, { 80, 80, 2 } }, { { 0, 79, 1 }, { 80, 80, 2 }, { 81, 65535, 1 } } },
	/* at the very edges of the outer one */
	{ { { 10, 19, 1 }, { 10, 10, 2 }, { 19, 19, 3 } },
	  { { 10, 10, 2 }, { 11, 18, 1 }, { 19, 19, 3 } } },
	/* three deep */
	{ { { 1, 100, 1 }, { 20, 60, 2 }, { 30, 31, 3 } },
	  { { 1, 19, 1 }, { 20, 29, 2 }, { 30, 31, 3 }, { 32, 60, 2 }, { 61, 100, 1 } } },
	/* across: the narrower one wins on either side */
	{ { { 1, 50, 1 }, { 40, 60, 2 } }, { { 1, 39, 1 }, { 40, 60, 2 } } },
	{ { { 1, 20, 1 }, { 10, 60, 2 } }, { { 1, 20, 1 }, { 21, 60, 2 } } },
	/* one that ends unseen inside of a narrower one; an outer one comes back after two */
	{ { { 0, 99, 1 }, { 10, 49, 2 }, { 40, 59, 3 } },
	  { { 0, 9, 1 }, { 10, 39, 2 }, { 40, 59, 3 }, { 60, 99, 1 } } },
	/* neighbours of one label become one */
	{ { { 1, 1, 7 }, { 2, 3, 7 }, { 5, 5, 7 } }, { { 1, 3, 7 }, { 5, 5, 7 } } },
	{ { { 1, 9, 7 }, { 5, 5, 7 } }, { { 1, 9, 7 } } },
};

static void test_cases(void **state)
{
	struct intervals v = {};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rule rules[8];
		size_t n = 0;

		for (const struct range *r = cases[i].ranges; r->label; r++)
			rules[n++] =
				rule_of(IPPROTO_TCP, "10.0.0.0", 8, r->first, r->last, r->label);
		rule_sort(rules, n);
		v.count = 0;
		assert_int_equal(intervals_add(&v, rules, n), 0);
		for (n = 0; cases[i].intervals[n].label; n++) {
			assert_true(n < v.count);
			assert_int_equal(v.items[n].first, cases[i].intervals[n].first);
			assert_int_equal(v.items[n].last, cases[i].intervals[n].last);
			assert_int_equal(v.items[n].label, cases[i].intervals[n].label);
		}
		assert_int_equal(v.count, n);
	}
	intervals_clear(&v);
}

/* With rule numbers, rules of one label stay apart, and each interval names its own. */
static void test_by_rule(void **state)
{
	struct rule rules[] = { rule_of(IPPROTO_TCP, "10.0.0.0", 8, 1, 9, 7),
				rule_of(IPPROTO_TCP, "10.0.0.0", 8, 5, 5, 7),
				rule_of(IPPROTO_TCP, "10.0.0.0", 8, 7, 30, 7) };
	static const unsigned expected[][3] = {
		{ 1, 4, 10 }, { 5, 5, 11 }, { 6, 9, 10 }, { 10, 30, 12 }
	};
	struct intervals v = { .by_rule = true };

	for (unsigned i = 0; i < 3; i++)
		rules[i].number = 10 + i;
	assert_int_equal(intervals_add(&v, rules, 3), 0);
	assert_int_equal(v.count, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(v.items[i].first, expected[i][0]);
		assert_int_equal(v.items[i].last, expected[i][1]);
		assert_int_equal(v.items[i].number, expected[i][2]);
	}
	intervals_clear(&v);
}

/* What is there already stays, and is not joined with what comes. */
static void test_appends(void **state)
{
	struct rule r = rule_of(IPPROTO_TCP, "10.0.0.0", 8, 1, 9, 7);
	struct intervals v = {};

	assert_int_equal(intervals_add(&v, &r, 1), 0);
	r.port_first = 10;
	r.port_last = 20;
	assert_int_equal(intervals_add(&v, &r, 1), 0);
	assert_int_equal(v.count, 2);
	assert_int_equal(v.items[0].last, 9);
	assert_int_equal(v.items[1].first, 10);
	intervals_clear(&v);
}

/* Each port alone, by the definition. */
static void expect_intervals(const struct intervals *v, const struct rule *rules, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < v->count; i++) {
		assert_true(v->items[i].first <= v->items[i].last);
		assert_true(i == 0 || v->items[i - 1].last < v->items[i].first);
	}
	for (unsigned port = 0; port < 65536; port++) {
		const struct rule *best = NULL;
		bool in;

		for (size_t i = 0; i < n; i++) {
			if (rules[i].port_first <= port && port <= rules[i].port_last &&
			    (!best || rules[i].port_last - rules[i].port_first <
					      best->port_last - best->port_first))
				best = &rules[i];
		}
		while (at < v->count && v->items[at].last < port)
			at++;
		in = at < v->count && v->items[at].first <= port;
		assert_int_equal(in, !!best);
		if (in)
			assert_int_equal(v->items[at].label, best->label);
	}
}

static void random_set(struct random *random, struct intervals *v, unsigned most, unsigned reach)
{
	struct ruleset *s = ruleset_new();
	struct ruleset_cursor c;
	const struct rule *r;
	struct rule rules[64], conflict;
	size_t n = 0;

	for (unsigned i = 0; i < most; i++) {
		unsigned first = random_below(random, reach);
		unsigned last = first + random_below(random, reach - first);
		struct rule rule =
			rule_of(IPPROTO_TCP, "10.0.0.0", 8, first, last, random_below(random, 5));

		ruleset_add(s, &rule, &conflict);
	}
	for (ruleset_begin(s, &c); (r = ruleset_next(&c));)
		rules[n++] = *r;
	v->count = 0;
	assert_int_equal(intervals_add(v, rules, n), 0);
	expect_intervals(v, rules, n);
	ruleset_free(s);
}

static void test_random(void **state)
{
	static const unsigned reaches[] = { 10, 100, 65536 };
	struct random random = random_start("intervals");
	struct intervals v = {};

	for (unsigned i = 0; i < 300; i++)
		random_set(&random, &v, 1 + random_below(&random, 64), reaches[i % 3]);
	intervals_clear(&v);
}

/* As many as there can be: a pyramid of 32,768 ranges; 65,536 single ports within one range. */
static void test_largest(void **state)
{
	struct rule *rules = calloc(65537, sizeof(*rules));
	struct intervals v = {};

	for (unsigned i = 0; i < 32768; i++)
		rules[i] = rule_of(IPPROTO_TCP, "10.0.0.0", 8, i, 65535 - i, i);
	assert_int_equal(intervals_add(&v, rules, 32768), 0);
	assert_int_equal(v.count, 65535);
	for (unsigned i = 0; i < v.count; i++) {
		unsigned depth = i < 32768 ? i : 65534 - i;

		assert_int_equal(v.items[i].label, depth);
		assert_int_equal(v.items[i].first, i < 32768 ? i : i + 1);
	}
	v.count = 0;
	rules[0] = rule_of(IPPROTO_TCP, "10.0.0.0", 8, 0, 65535, 99999);
	for (unsigned i = 0; i < 65536; i++)
		rules[i + 1] = rule_of(IPPROTO_TCP, "10.0.0.0", 8, i, i, i);
	rule_sort(rules, 65537);
	assert_int_equal(intervals_add(&v, rules, 65537), 0);
	assert_int_equal(v.count, 65536);
	for (unsigned i = 0; i < v.count; i++)
		assert_int_equal(v.items[i].label, i);
	intervals_clear(&v);
	free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),   cmocka_unit_test(test_by_rule),
		cmocka_unit_test(test_appends), cmocka_unit_test(test_random),
		cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
