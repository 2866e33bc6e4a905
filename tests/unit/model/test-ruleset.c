/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/model/ruleset-internal.h"
#include "tests/unit/model/shapes.h"

#define TCP IPPROTO_TCP
#define UDP IPPROTO_UDP

/* What the set holds, and that it is kept in order. */
static void expect_rules(const struct ruleset *s, const struct rule *rules, size_t n)
{
	struct ruleset_cursor c;
	const struct rule *r;
	size_t i = 0, counted = 0;

	assert_int_equal(ruleset_count(s), n);
	for (ruleset_begin(s, &c); (r = ruleset_next(&c)); i++) {
		assert_true(i < n);
		assert_memory_equal(r, &rules[i], sizeof(*r));
	}
	assert_int_equal(i, n);
	assert_null(ruleset_next(&c));
	for (unsigned k = 0; k < PREFIX_LENGTHS; k++)
		counted += s->lengths[0][k] + s->lengths[1][k];
	assert_int_equal(counted, n);
	for (size_t k = 0; k < s->n_chunks; k++) {
		const struct chunk *chunk = &s->chunks[k];

		assert_in_range(chunk->count, 1, CHUNK_RULES);
		for (uint32_t m = 0; m < chunk->count; m++)
			assert_int_equal(chunk_tags(chunk)[m], label_tag(chunk->rules[m].label));
	}
}

static int compare(const void *a, const void *b)
{
	return rule_compare(a, b);
}

static void test_empty(void **state)
{
	struct ruleset *s = ruleset_new();
	struct rule r = rule_of(TCP, "10.0.0.0", 8, 1, 1, 0), a, b;
	struct packet p = packet_of(TCP, "10.0.0.0", 1);
	struct ruleset_cursor c;

	expect_rules(s, NULL, 0);
	assert_null(ruleset_find(s, &r));
	assert_int_equal(ruleset_remove(s, &r, NULL), -ENOENT);
	ruleset_seek(s, &r, &c);
	assert_null(ruleset_next(&c));
	assert_int_equal(ruleset_match(s, &p, NULL, 0), 0);
	assert_null(ruleset_match_naive(s, &p));
	assert_int_equal(ruleset_assign(s, NULL, 0, &a, &b), 0);
	expect_rules(s, NULL, 0);
	ruleset_free(s);
	ruleset_free(NULL);
}

static void test_add_conflict(void **state)
{
	struct ruleset *s = ruleset_new();
	struct rule a = rule_of(TCP, "10.0.0.0", 8, 100, 199, 1), b = a, conflict;

	assert_int_equal(ruleset_add(s, &a, &conflict), 0);
	b.label = 2;
	assert_int_equal(ruleset_add(s, &b, &conflict), -EEXIST);
	assert_memory_equal(&conflict, &a, sizeof(a));
	b.port_first = 1;
	b.port_last = 100;
	assert_int_equal(ruleset_add(s, &b, &conflict), -EEXIST);
	assert_memory_equal(&conflict, &a, sizeof(a));
	b.port_first = 199;
	b.port_last = 298;
	assert_int_equal(ruleset_add(s, &b, &conflict), -EEXIST);
	expect_rules(s, &a, 1);
	b.port_first = 200;
	b.port_last = 299;
	assert_int_equal(ruleset_add(s, &b, &conflict), 0);
	b.port_first = 0;
	b.port_last = 65535;
	assert_int_equal(ruleset_add(s, &b, &conflict), 0);
	assert_int_equal(ruleset_add(s, &b, &conflict), -EEXIST);
	ruleset_free(s);
}

static void test_find_and_remove(void **state)
{
	struct ruleset *s = ruleset_new();
	struct rule a = rule_of(TCP, "10.0.0.0", 8, 100, 199, 1), b = a, out;

	assert_int_equal(ruleset_add(s, &a, &out), 0);
	b.label = 5;
	assert_memory_equal(ruleset_find(s, &b), &a, sizeof(a));
	assert_int_equal(ruleset_relabel(s, &b, 6), 0);
	b.port_last = 200;
	assert_null(ruleset_find(s, &b));
	assert_int_equal(ruleset_remove(s, &b, &out), -ENOENT);
	assert_int_equal(ruleset_remove(s, &a, &out), 0);
	assert_int_equal(out.label, 6);
	expect_rules(s, NULL, 0);
	assert_int_equal(ruleset_add(s, &a, &out), 0);
	expect_rules(s, &a, 1);
	ruleset_free(s);
}

/* Random additions and removals beside a plain sorted array. */
static void random_changes(struct random *random, const struct shape *shape, unsigned most)
{
	struct rule *array = calloc(most, sizeof(*array)), conflict;
	struct ruleset *s = ruleset_new();
	size_t n = 0;

	for (unsigned i = 0; i < 6 * most; i++) {
		/* Grow, shrink to nothing, and grow again. */
		bool grow = i / (2 * most) != 1;

		if (n < most && (n == 0 || random_below(random, 8) < (grow ? 6U : 1U))) {
			struct rule r = shape->rule(random, i);
			size_t at = 0;

			if (ruleset_add(s, &r, &conflict) < 0)
				continue;
			while (at < n && rule_compare(&array[at], &r) < 0)
				at++;
			memmove(&array[at + 1], &array[at], (n - at) * sizeof(r));
			array[at] = r;
			n++;
		} else if (n > 0) {
			size_t at = random_below(random, (unsigned)n);
			struct rule r;

			assert_int_equal(ruleset_remove(s, &array[at], &r), 0);
			assert_memory_equal(&r, &array[at], sizeof(r));
			memmove(&array[at], &array[at + 1], (n - at - 1) * sizeof(r));
			n--;
		}
		if (i % 997 == 0)
			expect_rules(s, array, n);
	}
	expect_rules(s, array, n);
	ruleset_free(s);
	free(array);
}

static void test_random_changes(void **state)
{
	struct random random = random_start("changes");

	for (unsigned i = 0; i < n_shapes; i++)
		random_changes(&random, &shapes[i], shapes[i].most < 3000 ? shapes[i].most : 3000);
}

/* Chunks give back what removed rules took. */
static void test_memory_follows(void **state)
{
	struct random random = random_start("memory");
	struct rule *rules = calloc(20000, sizeof(*rules));
	unsigned n;
	struct ruleset *s = shape_set(&shapes[0], &random, 20000, rules, &n);
	size_t allocated = 0;

	for (size_t i = 0; i < s->n_chunks; i++)
		allocated += s->chunks[i].allocated * CHUNK_RULE_BYTES + sizeof(struct chunk);
	assert_true(allocated / n <= 45);
	for (unsigned i = 0; i < n; i++) {
		if (i % 100)
			assert_int_equal(ruleset_remove(s, &rules[i], NULL), 0);
	}
	allocated = 0;
	for (size_t i = 0; i < s->n_chunks; i++)
		allocated += s->chunks[i].allocated * CHUNK_RULE_BYTES + sizeof(struct chunk);
	assert_true(allocated / s->count <= 150);
	assert_true(s->n_chunks <= 2);
	ruleset_free(s);
	free(rules);
}

static void expect_seek(const struct ruleset *s, const struct rule *sorted, unsigned n,
			const struct rule *to)
{
	struct ruleset_cursor c;
	unsigned i = 0;

	while (i < n && rule_compare(&sorted[i], to) < 0)
		i++;
	ruleset_seek(s, to, &c);
	if (i < n)
		assert_memory_equal(ruleset_next(&c), &sorted[i], sizeof(sorted[i]));
	else
		assert_null(ruleset_next(&c));
}

static void test_seek(void **state)
{
	struct random random = random_start("seek");
	struct rule *rules = calloc(3000, sizeof(*rules));
	unsigned n;
	struct ruleset *s = shape_set(&shapes[0], &random, 3000, rules, &n);

	qsort(rules, n, sizeof(*rules), compare);
	for (unsigned i = 0; i < n; i++) {
		struct rule between = rules[i];

		expect_seek(s, rules, n, &between);
		between.protocol = 0;
		expect_seek(s, rules, n, &between);
		between.protocol = 255;
		expect_seek(s, rules, n, &between);
	}
	ruleset_free(s);
	free(rules);
}

static void test_assign(void **state)
{
	struct random random = random_start("assign");
	struct rule *rules = calloc(5000, sizeof(*rules)), a, b;
	unsigned n;
	struct ruleset *s = shape_set(&shapes[0], &random, 5000, rules, &n), *t = ruleset_new();

	assert_int_equal(ruleset_assign(t, rules, n, &a, &b), 0);
	expect_rules(t, rules, n);
	expect_rules(s, rules, n);
	/* An assigned set goes on like any other. */
	for (unsigned i = 0; i < 1000; i++) {
		struct rule r = shapes[0].rule(&random, i);

		assert_int_equal(ruleset_add(s, &r, &a), ruleset_add(t, &r, &a));
	}
	for (unsigned i = 0; i < n; i += 2) {
		assert_int_equal(ruleset_remove(s, &rules[i], NULL), 0);
		assert_int_equal(ruleset_remove(t, &rules[i], NULL), 0);
	}
	assert_int_equal(ruleset_assign(t, rules, 10, &a, &b), 0);
	expect_rules(t, rules, 10);
	ruleset_free(s);
	ruleset_free(t);
	free(rules);
}

static void expect_assign_refused(struct ruleset *s, struct rule *rules, size_t n, struct rule x,
				  struct rule y)
{
	struct rule a = {}, b = {};

	assert_int_equal(ruleset_assign(s, rules, n, &a, &b), -EEXIST);
	assert_memory_equal(&a, &x, sizeof(x));
	assert_memory_equal(&b, &y, sizeof(y));
}

static void test_assign_conflict(void **state)
{
	struct ruleset *s = ruleset_new();
	struct rule keep = rule_of(UDP, "10.0.0.0", 8, 1, 1, 1), out, other;
	struct rule x = rule_of(TCP, "10.0.0.0", 8, 100, 199, 1);
	struct rule y = rule_of(TCP, "10.0.0.0", 8, 199, 298, 2);
	struct rule inner = rule_of(TCP, "10.0.0.0", 8, 150, 160, 3);
	struct rule later[] = { rule_of(TCP, "10.0.0.0", 9, 1, 1, 4),
				rule_of(TCP, "10.0.0.0", 9, 1, 1, 5) };

	assert_int_equal(ruleset_add(s, &keep, &out), 0);
	expect_assign_refused(s, (struct rule[]){ later[0], later[1], y, inner, x }, 5, x, y);
	expect_rules(s, &keep, 1);
	expect_assign_refused(s, (struct rule[]){ x, x }, 2, x, x);
	expect_rules(s, &keep, 1);
	/* The same width in the next group, or apart, is no conflict. */
	other = x;
	other.protocol = UDP;
	y.port_first = 200;
	y.port_last = 299;
	assert_int_equal(ruleset_assign(s, (struct rule[]){ y, other, inner, x }, 4, &out, &out),
			 0);
	expect_rules(s, (struct rule[]){ x, inner, y, other }, 4);
	ruleset_free(s);
}

/* Adding one by one and assigning refuse the same sets. */
static void test_assign_agrees_with_add(void **state)
{
	struct random random = random_start("agree");
	struct rule rules[12], a, b;
	unsigned refused = 0;

	for (unsigned round = 0; round < 3000; round++) {
		struct ruleset *s = ruleset_new(), *t = ruleset_new();
		bool conflict = false;

		for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
			unsigned first = random_below(&random, 60);

			rules[i] = rule_of(random_below(&random, 2) ? TCP : UDP, "10.0.0.0",
					   8 + random_below(&random, 2), first,
					   first + random_below(&random, 8), i);
			conflict |= ruleset_add(s, &rules[i], &a) < 0;
		}
		assert_int_equal(ruleset_assign(t, rules, ARRAY_SIZE(rules), &a, &b),
				 conflict ? -EEXIST : 0);
		if (conflict) {
			assert_true(rule_conflicts(&a, &b));
			assert_true(rule_compare(&a, &b) <= 0);
			assert_true(a.label != b.label);
		}
		refused += conflict;
		ruleset_free(s);
		ruleset_free(t);
	}
	assert_in_range(refused, 300, 2700);
}

/* All that match, in the order in which they win. */
static void expect_match(const struct ruleset *s, const struct packet *p, size_t max)
{
	const struct rule *found[64], *expected[64], *r;
	struct ruleset_cursor c;
	size_t n = 0, count;

	for (ruleset_begin(s, &c); (r = ruleset_next(&c));) {
		size_t at;

		if (!rule_matches(r, p))
			continue;
		assert_true(n < ARRAY_SIZE(expected));
		for (at = n++; at > 0 && rule_compare_specific(r, expected[at - 1]) < 0; at--)
			expected[at] = expected[at - 1];
		expected[at] = r;
	}
	count = ruleset_match(s, p, found, max);
	assert_int_equal(count, n);
	if (n > 0 && max > 0)
		assert_memory_equal(found, expected, (n < max ? n : max) * sizeof(r));
	assert_ptr_equal(ruleset_match_naive(s, p), n > 0 ? expected[0] : NULL);
}

static void test_match(void **state)
{
	struct random random = random_start("match");
	struct rule rules[60];

	for (unsigned i = 0; i < n_shapes * 20; i++) {
		unsigned n;
		struct ruleset *s =
			shape_set(&shapes[i % n_shapes], &random, ARRAY_SIZE(rules), rules, &n);

		for (unsigned k = 0; k < 200; k++) {
			struct packet p = shape_packet(&random, rules, n);

			expect_match(s, &p, k % 7);
			expect_match(s, &p, 64);
		}
		ruleset_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_add_conflict),
		cmocka_unit_test(test_find_and_remove),
		cmocka_unit_test(test_random_changes),
		cmocka_unit_test(test_memory_follows),
		cmocka_unit_test(test_seek),
		cmocka_unit_test(test_assign),
		cmocka_unit_test(test_assign_conflict),
		cmocka_unit_test(test_assign_agrees_with_add),
		cmocka_unit_test(test_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
