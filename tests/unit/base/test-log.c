/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "broker/base/clock.h"
#include "broker/base/log.h"

static void test_levels(void **state)
{
	static const char *const names[] = { "emerg",   "alert",  "crit", "err",
					     "warning", "notice", "info", "debug" };
	char digit[2] = "0";

	for (int i = 0; i < 8; i++) {
		digit[0] = (char)('0' + i);
		assert_int_equal(log_level_parse(names[i]), i);
		assert_int_equal(log_level_parse(digit), i);
	}
	assert_int_equal(log_level_parse("warning"), LOG_WARNING);
	assert_int_equal(log_level_parse("8"), -EINVAL);
	assert_int_equal(log_level_parse("-1"), -EINVAL);
	assert_int_equal(log_level_parse("77"), -EINVAL);
	assert_int_equal(log_level_parse(""), -EINVAL);
	assert_int_equal(log_level_parse("Info"), -EINVAL);
	assert_int_equal(log_level_parse("infos"), -EINVAL);
}

/* Standard error goes to a file while F runs. */
static char *captured(void (*f)(void), bool journal)
{
	static char text[8192];
	char stream[64];
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	struct stat st;

	assert_non_null(file);
	assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + !journal);
	setenv("JOURNAL_STREAM", stream, 1);
	f();
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	memset(text, 0, sizeof(text));
	assert_true(fread(text, 1, sizeof(text) - 1, file) < sizeof(text) - 1);
	fclose(file);
	return text;
}

static void say_all(void)
{
	log_setup(LOG_NOTICE);
	log_error("one %d", 1);
	log_warning("two");
	log_notice("three");
	log_info("four");
	log_debug("five");
}

static void test_lines(void **state)
{
	assert_string_equal(captured(say_all, false), "sockbrokerd: error: one 1\n"
						      "sockbrokerd: warning: two\n"
						      "sockbrokerd: three\n");
}

static void test_journal(void **state)
{
	assert_string_equal(captured(say_all, true), "<3>one 1\n<4>two\n<5>three\n");
}

/* A stranger's text must not make lines of its own. */
static void say_evil(void)
{
	log_setup(LOG_INFO);
	log_info("a%sb", "\n<0>forged\r\t\033[31m\177");
}

static void test_control_characters(void **state)
{
	assert_string_equal(captured(say_evil, true), "<6>a <0>forged   [31m b\n");
}

static void say_much(void)
{
	char much[5000];

	memset(much, 'x', sizeof(much) - 1);
	much[sizeof(much) - 1] = '\0';
	log_setup(LOG_INFO);
	log_info("%s", much);
}

static void test_long_lines(void **state)
{
	const char *text = captured(say_much, true);

	assert_int_equal(strlen(text), 3 + 2047 + 1);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_clocks(void **state)
{
	uint64_t a = clock_monotonic_us(), b = clock_monotonic_us();

	assert_true(b >= a && a > 0);
	assert_true(clock_realtime() > 1600000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),     cmocka_unit_test(test_lines),
		cmocka_unit_test(test_journal),    cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_long_lines), cmocka_unit_test(test_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
