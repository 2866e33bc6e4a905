/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables for people, and values for programs. */
#include "tests/unit/client/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/cli/format.h"
#include "client/cli/json.h"

static const struct grid_column columns[] = { { "LABEL" }, { "N", true }, { "EMPTY" }, { "LAST" } };

/* The grid as text; the caller frees it. */
static char *render(const struct grid *g, bool color)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	assert_int_equal(grid_print(g, f, color), 0);
	fclose(f);
	return text;
}

static void add_row(struct grid *g, const char *a, const char *b, const char *c, const char *d)
{
	grid_add(g, a);
	grid_add(g, b);
	grid_add(g, c);
	grid_add(g, d);
}

static void test_grid(void **state)
{
	struct grid g;
	char *text;

	grid_init(&g, columns, ARRAY_SIZE(columns));
	text = render(&g, false);
	assert_string_equal(text, "");
	free(text);
	add_row(&g, "web", "1", "", "x");
	add_row(&g, "a-long-label", "1000", NULL, "");
	text = render(&g, false);
	assert_string_equal(text, "LABEL            N  LAST\n"
				  "web              1  x\n"
				  "a-long-label  1000  -\n");
	free(text);
	grid_free(&g);
}

static void test_grid_without_headings(void **state)
{
	static const struct grid_column plain[] = { { NULL }, { NULL, true } };
	struct grid g;
	char *text;

	grid_init(&g, plain, 2);
	grid_add(&g, "a");
	grid_add_number(&g, "10");
	grid_add(&g, "bb");
	grid_add_number(&g, "0");
	text = render(&g, false);
	assert_string_equal(text, "a   10\nbb   -\n");
	free(text);
	grid_free(&g);
}

/* Width is counted in characters; what would talk to the terminal is not printed. */
static void test_grid_strangers(void **state)
{
	struct grid g;
	char *text;

	grid_init(&g, columns, ARRAY_SIZE(columns));
	add_row(&g, "\xc3\xa4\xc3\xb6", "1", "", "\033[31m\n");
	add_row(&g, "abc", "2", "", "x");
	text = render(&g, false);
	assert_string_equal(text, "LABEL  N  LAST\n"
				  "\xc3\xa4\xc3\xb6     1  ?[31m?\n"
				  "abc    2  x\n");
	free(text);
	grid_free(&g);
}

static void test_grid_color(void **state)
{
	struct grid g;
	char *text;

	grid_init(&g, columns, ARRAY_SIZE(columns));
	add_row(&g, "web", "1", "", "x");
	add_row(&g, "api", "1", "", "x");
	grid_alarm(&g);
	text = render(&g, true);
	assert_string_equal(text, "\033[1mLABEL  N  LAST\033[0m\nweb    1  x\n"
				  "\033[31mapi    1  x\033[0m\n");
	free(text);
	text = render(&g, false);
	check_lacks(text, "\033");
	free(text);
	grid_free(&g);
}

/* A table that can't hold its cells is an error, not a shorter table. */
static void test_grid_error(void **state)
{
	struct grid g;

	grid_init(&g, columns, ARRAY_SIZE(columns));
	g.error = -1;
	add_row(&g, "web", "1", "", "x");
	assert_int_not_equal(grid_print(&g, stdout, false), 0);
	grid_free(&g);
}

static void test_words(void **state)
{
	static const struct {
		unsigned long long seconds;
		const char *text;
	} rows[] = { { 0, "0 s" },          { 59, "59 s" },
		     { 60, "1 min 0 s" },   { 3599, "59 min 59 s" },
		     { 3600, "1 h 0 min" }, { 86400 + 7200, "1 d 2 h" } };
	char buf[128];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(format_duration(rows[i].seconds, buf), rows[i].text);
	assert_string_equal(format_count(0, "rule", buf), "0 rules");
	assert_string_equal(format_count(1, "rule", buf), "1 rule");
	assert_string_equal(format_count(2, "rule", buf), "2 rules");
	assert_string_equal(format_endpoint("192.0.2.1", "80", buf), "192.0.2.1:80");
	assert_string_equal(format_endpoint("2001:db8::1", "80", buf), "[2001:db8::1]:80");
}

static void test_time(void **state)
{
	char buf[64];

	setenv("TZ", "UTC", 1);
	assert_string_equal(format_time("1700000000", buf), "2023-11-14 22:13:20");
	assert_string_equal(format_time("0", buf), "1970-01-01 00:00:00");
	assert_null(format_time("", buf));
	assert_null(format_time("soon", buf));
	assert_null(format_time("9223372036854775807", buf));
	assert_null(format_time("18446744073709551615", buf));
}

static void check_json(const char *type, const char *key, const char *value, const char *expected)
{
	json_t *v = json_from_value(type, key, value);
	char *text = json_dumps(v, JSON_ENCODE_ANY);

	assert_string_equal(text, expected);
	free(text);
	json_decref(v);
}

static void test_json_values(void **state)
{
	check_json("socket", "pid", "4711", "4711");
	check_json("socket", "pid", "", "null");
	check_json("socket", "pid", "x", "\"x\"");
	check_json("socket", "cookie", "9223372036854775807", "9223372036854775807");
	check_json("socket", "cookie", "9223372036854775808", "\"9223372036854775808\"");
	check_json("group", "err_state", "0", "0");
	check_json("socket", "held", "yes", "true");
	check_json("socket", "held", "no", "false");
	check_json("socket", "held", "maybe", "\"maybe\"");
	check_json("rule", "ports", "80", "\"80\""); /* text: it may be a range */
	check_json("rule", "label", "80", "\"80\"");
	check_json("rule", "protocol", "tcp", "\"tcp\"");
	check_json("version", "protocol", "1", "1");
	check_json("label", "description", "a \"b\"", "\"a \\\"b\\\"\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grid),           cmocka_unit_test(test_grid_without_headings),
		cmocka_unit_test(test_grid_strangers), cmocka_unit_test(test_grid_color),
		cmocka_unit_test(test_grid_error),     cmocka_unit_test(test_words),
		cmocka_unit_test(test_time),           cmocka_unit_test(test_json_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
