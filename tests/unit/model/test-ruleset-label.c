/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules of one label, beside a look at every rule. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/model/ruleset-internal.h"
#include "tests/unit/model/shapes.h"

/* Few enough to have many rules each; some with the same tag as others. */
static const uint32_t labels[] = { 0, 1, 2, 255, 256, 257, 512, 4095 };

/* The label of some rules, which has a tag of its own. */
#define RARE 100

static uint32_t some_label(struct random *random)
{
	return random_below(random, 200) ? labels[random_below(random, ARRAY_SIZE(labels))] : RARE;
}

/* The first MOST rules of LABEL, in order, and no more. */
static void expect_label(const struct ruleset *s, uint32_t label, size_t most)
{
	struct ruleset_label_cursor c;
	struct ruleset_cursor all;
	const struct rule *r;

	ruleset_begin_label(s, label, most, &c);
	for (ruleset_begin(s, &all); (r = ruleset_next(&all));) {
		if (r->label != label || most == 0)
			continue;
		most--;
		assert_ptr_equal(ruleset_next_label(&c), r);
	}
	assert_null(ruleset_next_label(&c));
	assert_null(ruleset_next_label(&c));
}

static size_t count_label(const struct ruleset *s, uint32_t label)
{
	struct ruleset_cursor all;
	const struct rule *r;
	size_t n = 0;

	for (ruleset_begin(s, &all); (r = ruleset_next(&all));)
		n += r->label == label;
	return n;
}

static void expect_labels(const struct ruleset *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
		expect_label(s, labels[i], SIZE_MAX);
	expect_label(s, RARE, SIZE_MAX);
	expect_label(s, 3, SIZE_MAX);
}

static void test_empty(void **state)
{
	struct ruleset *s = ruleset_new();
	struct rule r = rule_of(IPPROTO_TCP, "10.0.0.0", 8, 1, 1, 1);

	expect_labels(s);
	assert_int_equal(ruleset_relabel(s, &r, 2), -ENOENT);
	ruleset_free(s);
}

static void test_relabel(void **state)
{
	struct ruleset *s = ruleset_new();
	struct rule r = rule_of(IPPROTO_TCP, "10.0.0.0", 8, 80, 80, 1), other = r, conflict;

	assert_int_equal(ruleset_add(s, &r, &conflict), 0);
	other.port_first = 79;
	assert_int_equal(ruleset_relabel(s, &other, 2), -ENOENT);
	other.port_first = 81;
	assert_int_equal(ruleset_relabel(s, &other, 2), -ENOENT);
	assert_int_equal(ruleset_find(s, &r)->label, 1);
	assert_int_equal(ruleset_relabel(s, &r, 2), 0);
	r.label = 2;
	assert_memory_equal(ruleset_find(s, &r), &r, sizeof(r));
	assert_int_equal(count_label(s, 1), 0);
	expect_label(s, 1, SIZE_MAX);
	expect_label(s, 2, SIZE_MAX);
	ruleset_free(s);
}

/* Chunks are made, grown, split, joined and dropped under it. */
static void random_changes(struct random *random, const struct shape *shape, unsigned most)
{
	struct rule *rules = calloc(most, sizeof(*rules)), conflict;
	struct ruleset *s = ruleset_new();
	unsigned n = 0;

	for (unsigned i = 0; i < 6 * most; i++) {
		/* Grow, shrink to nothing, and grow again. */
		unsigned add = i / (2 * most) != 1 ? 6 : 1, what = random_below(random, 9);

		if (n < most && (n == 0 || what < add)) {
			rules[n] = shape->rule(random, i);
			rules[n].label = some_label(random);
			n += ruleset_add(s, &rules[n], &conflict) == 0;
		} else if (n > 0 && what < 8) {
			unsigned at = random_below(random, n);

			assert_int_equal(ruleset_remove(s, &rules[at], NULL), 0);
			rules[at] = rules[--n];
		} else if (n > 0) {
			const struct rule *r = &rules[random_below(random, n)];

			assert_int_equal(ruleset_relabel(s, r, some_label(random)), 0);
		}
		if (i % 499 == 0)
			expect_labels(s);
	}
	expect_labels(s);
	ruleset_free(s);
	free(rules);
}

static void test_random_changes(void **state)
{
	struct random random = random_start("labels");

	for (unsigned i = 0; i < n_shapes; i++)
		random_changes(&random, &shapes[i], shapes[i].most < 3000 ? shapes[i].most : 3000);
}

static void test_assigned(void **state)
{
	struct random random = random_start("labels assigned");
	struct rule *rules = calloc(20000, sizeof(*rules)), a, b;
	unsigned n;
	struct ruleset *s = shape_set(&shapes[0], &random, 20000, rules, &n);

	for (unsigned i = 0; i < n; i++)
		rules[i].label = some_label(&random);
	assert_int_equal(ruleset_assign(s, rules, n, &a, &b), 0);
	expect_labels(s);
	ruleset_free(s);
	free(rules);
}

/* Who says how many there are is not told of more, and the search ends there. */
static void test_most(void **state)
{
	struct random random = random_start("most");
	struct rule *rules = calloc(5000, sizeof(*rules));
	struct ruleset_label_cursor c;
	unsigned n;
	struct ruleset *s = shape_set(&shapes[0], &random, 5000, rules, &n);
	size_t count;

	for (unsigned i = 0; i < n; i++)
		ruleset_relabel(s, &rules[i], some_label(&random));
	ruleset_relabel(s, &rules[0], RARE);
	count = count_label(s, RARE);
	for (size_t most = 0; most <= count + 1; most++)
		expect_label(s, RARE, most);
	qsort(rules, n, sizeof(*rules), (int (*)(const void *, const void *))rule_compare);
	ruleset_relabel(s, &rules[0], 77);
	ruleset_begin_label(s, 77, 1, &c);
	assert_non_null(ruleset_next_label(&c));
	assert_null(ruleset_next_label(&c));
	assert_int_equal(c.chunk, 0);
	ruleset_free(s);
	free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),          cmocka_unit_test(test_relabel),
		cmocka_unit_test(test_random_changes), cmocka_unit_test(test_assigned),
		cmocka_unit_test(test_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
