/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/registry/check.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/model/range.h"

static void test_take_and_give(void **state)
{
	struct range r;

	assert_int_equal(range_init(&r, 128), 0);
	assert_int_equal(range_take(&r, 1), 0);
	assert_int_equal(range_take(&r, 3), 1);
	assert_int_equal(range_take(&r, 124), 4);
	assert_int_equal(r.used, 128);
	assert_int_equal(range_take(&r, 1), -ENOSPC);
	range_give(&r, 64, 2);
	assert_int_equal(r.used, 126);
	assert_int_equal(range_take(&r, 3), -ENOSPC);
	assert_int_equal(range_take(&r, 2), 64);
	range_clear(&r);
	range_clear(&r);
}

/* What was given back is used again as late as possible. */
static void test_next_fit(void **state)
{
	struct range r;

	assert_int_equal(range_init(&r, 64), 0);
	for (int i = 0; i < 64; i++) {
		assert_int_equal(range_take(&r, 1), i);
		range_give(&r, (uint32_t)i, 1);
	}
	assert_int_equal(range_take(&r, 1), 0);
	range_clear(&r);
}

static void test_bounds(void **state)
{
	struct range r;

	assert_int_equal(range_init(&r, 64), 0);
	assert_int_equal(range_take(&r, 0), -ENOSPC);
	assert_int_equal(range_take(&r, 65), -ENOSPC);
	assert_int_equal(range_take(&r, UINT32_MAX), -ENOSPC);
	assert_int_equal(range_take_at(&r, 63, 1), 0);
	assert_int_equal(range_take_at(&r, 63, 1), -EBUSY);
	assert_int_equal(range_take_at(&r, 62, 2), -EBUSY);
	assert_int_equal(range_take_at(&r, 64, 1), -EINVAL);
	assert_int_equal(range_take_at(&r, 63, 2), -EINVAL);
	assert_int_equal(range_take_at(&r, UINT32_MAX, 1), -EINVAL);
	assert_int_equal(range_take_at(&r, 1, UINT32_MAX), -EINVAL);
	assert_int_equal(r.used, 1);
	range_clear(&r);
}

/* A stretch does not go round the end, and is found before where the search began. */
static void test_wrap(void **state)
{
	struct range r;

	assert_int_equal(range_init(&r, 64), 0);
	assert_int_equal(range_take(&r, 60), 0);
	range_give(&r, 0, 10);
	assert_int_equal(range_take(&r, 8), 0);
	assert_int_equal(range_take(&r, 4), 60);
	assert_int_equal(range_take(&r, 2), 8);
	assert_int_equal(range_take(&r, 1), -ENOSPC);
	range_clear(&r);
}

/* A stretch that begins before the place where the search starts and ends behind it. */
static void test_across_the_start(void **state)
{
	struct range r;

	assert_int_equal(range_init(&r, 64), 0);
	assert_int_equal(range_take(&r, 64), 0);
	range_give(&r, 30, 10);
	r.next = 35;
	assert_int_equal(range_take(&r, 10), 30);
	range_clear(&r);
}

/* Against a plain array of flags. */
static void test_random(void **state)
{
	enum { SIZE = 1000 };
	struct range r;
	unsigned char taken[SIZE] = { 0 };
	struct {
		uint32_t first, n;
	} held[SIZE];
	size_t n_held = 0, used = 0;

	srand(7);
	assert_int_equal(range_init(&r, SIZE), 0);
	for (int i = 0; i < 20000; i++) {
		uint32_t n = 1 + (uint32_t)rand() % (i % 100 ? 12 : 200);
		int64_t first;

		if (n_held > 0 && rand() % 2) {
			size_t k = (size_t)rand() % n_held;

			range_give(&r, held[k].first, held[k].n);
			memset(taken + held[k].first, 0, held[k].n);
			used -= held[k].n;
			held[k] = held[--n_held];
			continue;
		}
		first = range_take(&r, n);
		if (first < 0) {
			uint32_t run = 0;

			for (uint32_t p = 0; p < SIZE; p++) {
				run = taken[p] ? 0 : run + 1;
				assert_true(run < n);
			}
			continue;
		}
		assert_true(first + n <= SIZE);
		for (uint32_t p = 0; p < n; p++)
			assert_false(taken[first + p]++);
		held[n_held].first = (uint32_t)first;
		held[n_held++].n = n;
		used += n;
		assert_int_equal(r.used, used);
	}
	range_clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take_and_give),    cmocka_unit_test(test_next_fit),
		cmocka_unit_test(test_bounds),           cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_across_the_start), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
