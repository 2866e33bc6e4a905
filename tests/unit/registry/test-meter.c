/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/registry/check.h"

#include "broker/model/meter.h"

#define SECOND 1000000ULL

static int setup(void **state)
{
	struct meter *m = meter_new();

	meter_set(m, 600); /* 10 a second */
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	meter_free(*state);
	return 0;
}

static void check_refused_for(struct meter *m, uid_t uid, uint64_t amount, uint64_t now,
			      uint64_t seconds)
{
	uint64_t wait = 0;

	assert_int_equal(meter_take(m, uid, amount, now, &wait), -EDQUOT);
	assert_int_equal(wait, seconds);
	/* It is right: not a second earlier. */
	assert_int_equal(meter_take(m, uid, amount, now + (seconds - 1) * SECOND, &wait), -EDQUOT);
}

static void check_still_refused(struct meter *m, uid_t uid, uint64_t now, uint64_t seconds)
{
	uint64_t wait = 0;

	assert_int_equal(meter_ask(m, uid, now, &wait), -EDQUOT);
	assert_int_equal(wait, seconds);
}

static void test_burst_and_leak(void **state)
{
	uint64_t wait;

	assert_int_equal(meter_take(*state, 1, 400, 0, &wait), 0);
	assert_int_equal(meter_take(*state, 1, 200, 0, &wait), 0);
	assert_int_equal(meter_take(*state, 1, 1, 0, &wait), -EDQUOT);
	assert_int_equal(wait, 1);
	check_refused_for(*state, 1, 100, 0, 10);
	assert_int_equal(meter_take(*state, 1, 100, 10 * SECOND, &wait), 0);
	assert_int_equal(meter_take(*state, 1, 1, 10 * SECOND, &wait), -EDQUOT);
	/* A minute later all of it is there, and no more than that. */
	assert_int_equal(meter_take(*state, 1, 600, 5000 * SECOND, &wait), 0);
	assert_int_equal(meter_take(*state, 1, 1, 5000 * SECOND, &wait), -EDQUOT);
}

static void test_users_apart(void **state)
{
	uint64_t wait;

	/* 1 and 257 share a chain */
	assert_int_equal(meter_take(*state, 1, 600, 0, &wait), 0);
	assert_int_equal(meter_take(*state, 257, 600, 0, &wait), 0);
	assert_int_equal(meter_take(*state, 1, 1, 0, &wait), -EDQUOT);
	assert_int_equal(meter_take(*state, 513, 1, 100 * SECOND, &wait), 0);
	assert_int_equal(meter_take(*state, 257, 600, 100 * SECOND, &wait), 0);
	assert_int_equal(meter_take(*state, 1, 600, 100 * SECOND, &wait), 0);
}

/* What is larger than a minute's worth goes once, and is paid for afterwards. */
static void test_larger_than_all(void **state)
{
	uint64_t wait;

	assert_int_equal(meter_take(*state, 1, 1, 0, &wait), 0);
	check_refused_for(*state, 1, 1200, 0, 1);
	assert_int_equal(meter_take(*state, 1, 1200, SECOND, &wait), 0);
	check_refused_for(*state, 1, 1, SECOND, 61);
	assert_int_equal(meter_take(*state, 1, 10, 62 * SECOND, &wait), 0);
}

/* Who was refused is refused at once until it could be had, and asking costs nothing. */
static void test_refused_before(void **state)
{
	uint64_t wait = 0;

	assert_int_equal(meter_ask(*state, 1, 0, &wait), 0);
	assert_int_equal(meter_take(*state, 1, 550, 0, &wait), 0);
	assert_int_equal(meter_ask(*state, 1, 0, &wait), 0);
	assert_int_equal(meter_take(*state, 1, 100, 0, &wait), -EDQUOT);
	check_still_refused(*state, 1, 0, 5);
	check_still_refused(*state, 1, 4 * SECOND, 1);
	assert_int_equal(meter_ask(*state, 257, 4 * SECOND, &wait), 0);
	/* Something smaller fits meanwhile: then it waits longer. */
	assert_int_equal(meter_take(*state, 1, 20, 4 * SECOND, &wait), 0);
	check_still_refused(*state, 1, 4 * SECOND, 3);
	check_still_refused(*state, 1, 6 * SECOND, 1);
	assert_int_equal(meter_ask(*state, 1, 7 * SECOND, &wait), 0);
	/* Once it could be had it is forgotten. */
	assert_int_equal(meter_take(*state, 1, 50, 7 * SECOND, &wait), 0);
	assert_int_equal(meter_ask(*state, 1, 7 * SECOND, &wait), 0);
	/* With more a minute it need not wait so long. */
	assert_int_equal(meter_take(*state, 1, 600, 7 * SECOND, &wait), -EDQUOT);
	check_still_refused(*state, 1, 7 * SECOND, 55);
	meter_set(*state, 6000);
	assert_int_equal(meter_ask(*state, 1, 7 * SECOND, &wait), 0);
}

static void test_fractions_add_up(void **state)
{
	uint64_t wait, taken = 0;

	assert_int_equal(meter_take(*state, 1, 600, 0, &wait), 0);
	for (uint64_t now = 0; now < 10 * SECOND; now += 999)
		taken += meter_take(*state, 1, 1, now, &wait) == 0;
	assert_in_range(taken, 99, 100);
}

static void test_huge_numbers(void **state)
{
	uint64_t wait;

	meter_set(*state, UINT64_MAX);
	assert_int_equal(meter_take(*state, 1, UINT64_MAX, 0, &wait), 0);
	assert_int_equal(meter_take(*state, 1, UINT64_MAX, 1, &wait), -EDQUOT);
	assert_int_equal(wait, 60);
	assert_int_equal(meter_take(*state, 1, UINT64_MAX, UINT64_MAX, &wait), 0);
	meter_set(*state, 1);
	assert_int_equal(meter_take(*state, 1, UINT64_MAX, UINT64_MAX, &wait), -EDQUOT);
	assert_int_equal(meter_take(*state, 2, UINT64_MAX, UINT64_MAX, &wait), 0);
	meter_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_burst_and_leak),   TEST(test_users_apart),  TEST(test_larger_than_all),
		TEST(test_fractions_add_up), TEST(test_huge_numbers), TEST(test_refused_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
