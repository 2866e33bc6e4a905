/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/config/scratch.h"

#include <string.h>

#include "broker/config/value.h"

#define MAX_US 3600000000ULL

static const struct {
	const char *text;
	uint64_t us; /* 0: refused */
} spans[] = {
	{ "10", 10000000 },
	{ "1", 1000000 },
	{ "1s", 1000000 },
	{ "1 s", 1000000 },
	{ "2sec", 2000000 },
	{ "2 seconds", 2000000 },
	{ "500ms", 500000 },
	{ "500msec", 500000 },
	{ "100000us", 100000 },
	{ "1min 30s", 90000000 },
	{ "1min30s", 90000000 },
	{ "1m", 60000000 },
	{ "3minutes", 180000000 },
	{ "1h", MAX_US },
	{ "60min", MAX_US },
	{ "0.5", 500000 },
	{ "1.25s", 1250000 },
	{ "0.1234567s", 123456 },
	{ "1 2", 3000000 },
	{ "0.05h", 180000000 },

	{ "0", 0 },
	{ "99ms", 0 },
	{ "99999us", 0 },
	{ "1h 1us", 0 },
	{ "999999999h", 0 },
	{ "999999999h 999999999h 999999999h 999999999h 999999999h 999999999h", 0 },
	{ "10000000000", 0 },
	{ "18446744073710551616us", 0 }, /* 2^64 + 1s */
	{ "infinity", 0 },
	{ "-1", 0 },
	{ "1.", 0 },
	{ ".5", 0 },
	{ "1.5.5", 0 },
	{ "5d", 0 },
	{ "5S", 0 },
	{ "5s,", 0 },
	{ "s", 0 },
	{ "1s x", 0 },
	{ "", 0 },
};

static void test_spans(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		struct sb_error error = { 0 };
		uint64_t us = 77;
		int r = value_span(spans[i].text, 100000, MAX_US, &us, &error);

		if ((r == 0) != (spans[i].us != 0))
			fail_msg("'%s': %d %s", spans[i].text, r, error.message);
		assert_int_equal(us, spans[i].us ?: 77);
		assert_int_equal(error.code, r ? EINVAL : 0);
	}
}

static void test_booleans(void **state)
{
	static const char *const yes[] = { "yes", "Yes", "true", "on", "1", "t", "y" };
	static const char *const no[] = { "no", "NO", "false", "off", "0", "f", "n" };
	static const char *const bad[] = { "", "2", "yess", "ye", "none" };
	bool value;

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		value = false;
		assert_int_equal(value_bool(yes[i], &value, NULL), 0);
		assert_true(value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		value = true;
		assert_int_equal(value_bool(no[i], &value, NULL), 0);
		assert_false(value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(value_bool(bad[i], &value, NULL), -EINVAL);
}

static void test_numbers(void **state)
{
	unsigned value = 0;

	assert_int_equal(value_number("4294967295", 0, UINT32_MAX, &value, NULL), 0);
	assert_int_equal(value, UINT32_MAX);
	assert_int_equal(value_number("4294967296", 0, UINT32_MAX, &value, NULL), -EINVAL);
	assert_int_equal(value_number("18446744073709551617", 0, UINT32_MAX, &value, NULL),
			 -EINVAL);
	assert_int_equal(value_number("", 0, 9, &value, NULL), -EINVAL);
	assert_int_equal(value_number("4", 5, 9, &value, NULL), -EINVAL);
	assert_int_equal(value_number("0x5", 5, 9, &value, NULL), -EINVAL);
}

static void test_sizes(void **state)
{
	static const char *const bad[] = { "",
					   "K",
					   "1k",
					   "1KB",
					   "1 K",
					   "-1",
					   "1K1",
					   "0x1",
					   "4097T",
					   "16777217T",
					   "18446744073709551617" };
	uint64_t value = 0;

	assert_int_equal(value_size("0", 0, 9, &value, NULL), 0);
	assert_int_equal(value, 0);
	assert_int_equal(value_size("4096", 0, 1ULL << 60, &value, NULL), 0);
	assert_int_equal(value, 4096);
	assert_int_equal(value_size("3K", 0, 1ULL << 60, &value, NULL), 0);
	assert_int_equal(value, 3072);
	assert_int_equal(value_size("4096T", 0, 1ULL << 52, &value, NULL), 0);
	assert_int_equal(value, 1ULL << 52);
	assert_int_equal(value_size("1023", 1024, 9999, &value, NULL), -EINVAL);
	assert_int_equal(value_size("10K", 1024, 9999, &value, NULL), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(value_size(bad[i], 0, 1ULL << 52, &value, NULL), -EINVAL);
}

static void test_unit_length(void **state)
{
	char name[300];

	memset(name, 'a', sizeof(name));
	strcpy(name + 247, ".service"); /* 255 */
	assert_int_equal(value_unit(name, NULL), 0);
	memset(name, 'a', sizeof(name));
	strcpy(name + 248, ".service");
	assert_int_equal(value_unit(name, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans),       cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_numbers),     cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_unit_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
