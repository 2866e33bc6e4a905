/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory runs out at any allocation: the call says so, and nothing changed. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/model/shapes.h"
#include "tests/unit/model/tables-util.h"

#define N 1500

/* Allocations that still succeed; negative: all. */
static long allowed = -1;

/* Bytes that are allocated, and the most that ever were. */
static size_t held, most_held;

static bool allow(void)
{
	if (allowed < 0)
		return true;
	return allowed > 0 && allowed-- > 0;
}

static void *hold(void *p)
{
	held += malloc_usable_size(p);
	if (held > most_held)
		most_held = held;
	return p;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

void *__wrap_malloc(size_t n)
{
	return allow() ? hold(__real_malloc(n)) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return allow() ? hold(__real_calloc(n, size)) : NULL;
}

void *__wrap_realloc(void *p, size_t n)
{
	if (!allow())
		return NULL;
	held -= malloc_usable_size(p);
	return hold(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
	held -= malloc_usable_size(p);
	__real_free(p);
}

/* What the set holds, in one number. */
static uint64_t digest(const struct ruleset *s)
{
	uint64_t sum = ruleset_count(s);
	struct ruleset_cursor c;
	const struct rule *r;

	for (ruleset_begin(s, &c); (r = ruleset_next(&c));) {
		for (size_t i = 0; i < sizeof(*r); i++)
			sum = (sum ^ ((const uint8_t *)r)[i]) * 0x100000001b3;
	}
	return sum;
}

struct made {
	struct rule rules[N];
	unsigned n;
	struct ruleset *set;
};

static struct made *make(const struct shape *shape)
{
	struct random random = { 1 };
	struct made *m = calloc(1, sizeof(*m));

	m->set = shape_set(shape, &random, shape->most < N ? shape->most : N, m->rules, &m->n);
	return m;
}

static void made_free(struct made *m)
{
	ruleset_free(m->set);
	free(m);
}

static void test_new(void **state)
{
	allowed = 0;
	assert_null(ruleset_new());
	allowed = -1;
}

static void test_add_remove(void **state)
{
	struct made *m = make(&shapes[0]);
	struct ruleset *s = ruleset_new();
	struct rule conflict;
	unsigned failed = 0;

	for (unsigned i = 0; i < m->n; i++) {
		uint64_t before = digest(s);

		allowed = 0;
		for (int r; (r = ruleset_add(s, &m->rules[i], &conflict)) != 0; failed++) {
			long next = allowed + 1 + failed % 3;

			assert_int_equal(r, -ENOMEM);
			allowed = -1;
			assert_true(digest(s) == before);
			allowed = next;
		}
	}
	assert_true(failed > 20);
	/* Removing needs none. */
	allowed = 0;
	for (unsigned i = 0; i < m->n; i++)
		assert_int_equal(ruleset_remove(s, &m->rules[i], NULL), 0);
	allowed = -1;
	assert_int_equal(ruleset_count(s), 0);
	ruleset_free(s);
	made_free(m);
}

static void test_assign(void **state)
{
	struct made *m = make(&shapes[0]), *other = make(&shapes[3]);
	uint64_t before = digest(other->set);
	struct rule a, b;
	long i;
	int r = -ENOMEM;

	for (i = 0; r != 0; i++) {
		assert_true(digest(other->set) == before);
		allowed = i;
		r = ruleset_assign(other->set, m->rules, m->n, &a, &b);
		allowed = -1;
		assert_true(r == 0 || r == -ENOMEM);
	}
	assert_true(i > 4);
	assert_true(digest(other->set) == digest(m->set));
	made_free(m);
	made_free(other);
}

static struct rule *copy_of(const struct rule *rules, size_t n)
{
	struct rule *copy = malloc(n * sizeof(copy[0]));

	memcpy(copy, rules, n * sizeof(copy[0]));
	return copy;
}

/* The array is gone even when memory runs out, but not when it has a conflict. */
static void test_take(void **state)
{
	struct made *m = make(&shapes[0]), *other = make(&shapes[3]);
	uint64_t before = digest(other->set);
	struct rule a, b, *rules;
	size_t held_before;
	long i;
	int r = -ENOMEM;

	rules = copy_of(m->rules, m->n);
	rules[1] = rules[0];
	assert_int_equal(ruleset_take(other->set, &rules, m->n, &a, &b), -EEXIST);
	assert_non_null(rules);
	assert_true(digest(other->set) == before);
	free(rules);
	held_before = held;
	for (i = 0; r != 0; i++) {
		assert_true(digest(other->set) == before);
		assert_int_equal(held, held_before);
		rules = copy_of(m->rules, m->n);
		allowed = i;
		r = ruleset_take(other->set, &rules, m->n, &a, &b);
		allowed = -1;
		assert_true(r == 0 || r == -ENOMEM);
		assert_null(rules);
	}
	assert_true(i > 4);
	assert_true(digest(other->set) == digest(m->set));
	made_free(m);
	made_free(other);
}

/* A set that takes an array never needs memory for both. */
static void test_take_peak(void **state)
{
	const size_t n = 200000;
	struct rule *rules = calloc(n, sizeof(rules[0])), a, b;
	struct ruleset *s = ruleset_new();
	size_t array;

	for (size_t i = 0; i < n; i++) {
		rules[i] = rule_of(IPPROTO_TCP, "10.0.0.0", 32, 1, 1, 1);
		rules[i].address[1] = (uint8_t)(i >> 16);
		rules[i].address[2] = (uint8_t)(i >> 8);
		rules[i].address[3] = (uint8_t)i;
	}
	array = held;
	most_held = 0;
	assert_int_equal(ruleset_take(s, &rules, n, &a, &b), 0);
	assert_true(most_held < array + array / 3);
	assert_true(held < array + array / 20);
	assert_int_equal(ruleset_count(s), n);
	ruleset_free(s);
}

static void test_compile(void **state)
{
	for (unsigned k = 0; k < n_shapes; k++) {
		struct made *m = make(&shapes[k]);
		size_t size = compile_size(m->set), measured = SIZE_MAX;
		struct tables t = tables_new(size);
		int r = -ENOMEM;
		long i;

		for (i = 0; measured == SIZE_MAX; i++) {
			allowed = i;
			measured = compile_size(m->set);
			allowed = -1;
		}
		assert_true(i > 2);
		assert_int_equal(measured, size);
		for (i = 0; r != 0; i++) {
			allowed = i;
			r = compile(m->set, &t);
			allowed = -1;
			assert_true(r == 0 || r == -ENOMEM);
			assert_int_equal(t.used, r == 0 ? size : 0);
		}
		tables_free(&t);
		made_free(m);
	}
}

static void test_update(void **state)
{
	struct made *m = make(&shapes[5]); /* many ranges of few prefixes */
	struct tables t = tables_compiled(m->set, 1000000);

	for (unsigned k = 0; k < m->n; k += 10) {
		struct sb_prefix p = rule_prefix(&m->rules[k]);
		size_t used = t.used;
		uint64_t *before = malloc(used * 8);
		int r;

		memcpy(before, t.words, used * 8);
		assert_int_equal(ruleset_remove(m->set, &m->rules[k], NULL), 0);
		allowed = 0;
		for (long i = 1; (r = tables_update_prefix(&t, m->set, &p)) != 0; i++) {
			allowed = -1;
			assert_int_equal(r, -ENOMEM);
			assert_int_equal(t.used, used);
			assert_memory_equal(t.words, before, used * 8);
			allowed = i;
		}
		allowed = -1;
		free(before);
	}
	tables_free(&t);
	made_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new),       cmocka_unit_test(test_add_remove),
		cmocka_unit_test(test_assign),    cmocka_unit_test(test_take),
		cmocka_unit_test(test_take_peak), cmocka_unit_test(test_compile),
		cmocka_unit_test(test_update),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
