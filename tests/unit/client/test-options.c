/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/client/check.h"

#include <errno.h>

#include "client/cli/options.h"

enum { SOCKET, JSON };
enum { FROM, FD, ADD };

static const struct option_spec globals[] = { { "--socket", 1 }, { "--json" }, { NULL } };
static const struct option_spec own[] = {
	{ "--from", 2 }, { "--fd", 1, true }, { "--add" }, { NULL }
};

/* Words up to the first NULL. */
static int parse(struct arguments *a, char **words, struct sb_error *e)
{
	int n = 0, used;

	while (words[n])
		n++;
	return arguments_parse(a, n, words, globals, own, false, &used, e);
}

#define PARSE(a, e, ...) parse(a, (char *[]){ __VA_ARGS__, NULL }, e)

static void test_positions(void **state)
{
	struct arguments a;

	assert_int_equal(PARSE(&a, NULL, "--json", "web", "--add", "tcp", "--socket", "/x"), 0);
	assert_int_equal(a.n_args, 2);
	assert_string_equal(a.args[0], "web");
	assert_string_equal(a.args[1], "tcp");
	assert_true(a.globals[JSON].given);
	assert_string_equal(a.globals[SOCKET].values[0], "/x");
	assert_true(a.options[ADD].given);
	assert_false(a.options[FROM].given);
	arguments_free(&a);
	arguments_free(&a);
	arguments_free(NULL);
}

static void test_values(void **state)
{
	struct arguments a;

	assert_int_equal(PARSE(&a, NULL, "--from", "192.0.2.1", "--add", "--socket=/x=y", "7"), 0);
	assert_int_equal(a.options[FROM].n_values, 2);
	assert_string_equal(a.options[FROM].values[1],
			    "--add"); /* exactly two, whatever they are */
	assert_string_equal(a.globals[SOCKET].values[0], "/x=y");
	assert_int_equal(a.n_args, 1);
	arguments_free(&a);
	assert_int_equal(PARSE(&a, NULL, "--from", "1", "2", "3", "--socket", "4", "5"), 0);
	assert_int_equal(a.options[FROM].n_values, 2);
	assert_int_equal(a.globals[SOCKET].n_values, 1);
	assert_int_equal(a.n_args, 2);
	arguments_free(&a);
}

static void test_numbers(void **state)
{
	struct arguments a;

	assert_int_equal(PARSE(&a, NULL, "--fd", "3", "4", "web", "5", "--fd", "6", "--", "7"), 0);
	assert_int_equal(a.options[FD].n_values, 3);
	assert_string_equal(a.options[FD].values[0], "3");
	assert_string_equal(a.options[FD].values[1], "4");
	assert_string_equal(a.options[FD].values[2], "6");
	assert_int_equal(a.n_args, 3);
	assert_string_equal(a.args[0], "web");
	assert_string_equal(a.args[1], "5");
	assert_string_equal(a.args[2], "7");
	arguments_free(&a);
}

static void test_dashes(void **state)
{
	struct arguments a;

	assert_int_equal(PARSE(&a, NULL, "-", "--", "--add", "--"), 0);
	assert_int_equal(a.n_args, 3);
	assert_string_equal(a.args[0], "-"); /* standard input */
	assert_string_equal(a.args[1], "--add");
	assert_string_equal(a.args[2], "--");
	assert_false(a.options[ADD].given);
	arguments_free(&a);
}

static void test_stop_at_first(void **state)
{
	char *words[] = { "--json", "rules", "--text" };
	struct arguments a;
	int used;

	assert_int_equal(arguments_parse(&a, 3, words, globals, NULL, true, &used, NULL), 0);
	assert_int_equal(used, 1);
	assert_int_equal(a.n_args, 0);
	arguments_free(&a);
	assert_int_equal(arguments_parse(&a, 0, NULL, globals, NULL, true, &used, NULL), 0);
	assert_int_equal(used, 0);
	arguments_free(&a);
}

static void test_refusals(void **state)
{
	struct sb_error e;
	struct arguments a;

	assert_int_equal(PARSE(&a, &e, "--socket"), -EINVAL);
	assert_string_equal(e.message, "--socket needs 1 more value");
	assert_int_equal(PARSE(&a, &e, "--from"), -EINVAL);
	assert_string_equal(e.message, "--from needs 2 more values");
	assert_int_equal(PARSE(&a, &e, "--add=yes"), -EINVAL);
	assert_string_equal(e.message, "--add is not written with =");
	assert_int_equal(PARSE(&a, &e, "--nope"), -EINVAL);
	assert_string_equal(e.message, "there is no option --nope here");
	assert_int_equal(PARSE(&a, &e, "--ad"), -EINVAL); /* no abbreviations */
	assert_int_equal(PARSE(&a, &e, "-x"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_positions),     cmocka_unit_test(test_values),
		cmocka_unit_test(test_numbers),       cmocka_unit_test(test_dashes),
		cmocka_unit_test(test_stop_at_first), cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
