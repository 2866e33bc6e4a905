/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "broker/base/rate-limit.h"

static void test_burst(void **state)
{
	struct rate_limit r = { .burst = 3, .interval_us = 1000 };
	unsigned held_back = 77;

	for (uint64_t i = 0; i < 3; i++) {
		assert_true(rate_limit_pass(&r, 5000 + i, &held_back));
		assert_int_equal(held_back, 0);
	}
	for (uint64_t i = 0; i < 10; i++)
		assert_false(rate_limit_pass(&r, 5990 + i, &held_back));
	/* The interval counts from the first one. */
	assert_true(rate_limit_pass(&r, 6000, &held_back));
	assert_int_equal(held_back, 10);
	assert_true(rate_limit_pass(&r, 6001, &held_back));
	assert_int_equal(held_back, 0);
	assert_true(rate_limit_pass(&r, 6002, &held_back));
	assert_false(rate_limit_pass(&r, 6999, &held_back));
	assert_true(rate_limit_pass(&r, 9000, &held_back));
	assert_int_equal(held_back, 1);
}

static void test_clock_at_zero(void **state)
{
	struct rate_limit r = { .burst = 1, .interval_us = 1000 };
	unsigned held_back;

	assert_true(rate_limit_pass(&r, 0, &held_back));
	assert_false(rate_limit_pass(&r, 999, &held_back));
	assert_true(rate_limit_pass(&r, 1000, &held_back));
}

static void test_none(void **state)
{
	struct rate_limit r = { 0 };
	unsigned held_back;

	assert_false(rate_limit_pass(&r, 0, &held_back));
	assert_int_equal(r.held_back, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_clock_at_zero),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
