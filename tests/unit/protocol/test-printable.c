/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include "protocol/printable.h"

static void test_utf8_length(void **state)
{
	static const struct {
		const char *bytes;
		size_t n, length;
	} cases[] = {
		{ "a", 1, 1 },
		{ "\0", 1, 1 },
		{ "\xc3\xa9", 2, 2 },
		{ "\xc2\x80", 2, 2 },
		{ "\xe2\x82\xac", 3, 3 },
		{ "\xed\x9f\xbf", 3, 3 },
		{ "\xf0\x9f\x98\x80", 4, 4 },
		{ "\xf4\x8f\xbf\xbf", 4, 4 },
		{ "\x80", 1, 0 },     /* a continuation alone */
		{ "\xc0\xaf", 2, 0 }, /* overlong */
		{ "\xc1\xbf", 2, 0 },
		{ "\xe0\x9f\xbf", 3, 0 },
		{ "\xf0\x8f\xbf\xbf", 4, 0 },
		{ "\xed\xa0\x80", 3, 0 },     /* surrogate */
		{ "\xf4\x90\x80\x80", 4, 0 }, /* above U+10FFFF */
		{ "\xf5\x80\x80\x80", 4, 0 },
		{ "\xff", 1, 0 },
		{ "\xc3", 1, 0 }, /* cut off */
		{ "\xe2\x82", 2, 0 },
		{ "\xf0\x9f\x98", 3, 0 },
		{ "\xe2\x82"
		  "a",
		  3, 0 },
		{ "\xc3\xa9zzz", 5, 2 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(sb_utf8_length(cases[i].bytes, cases[i].n), cases[i].length);
}

static void test_make_printable(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" },
		{ "plain caf\xc3\xa9 \xf0\x9f\x98\x80", "plain caf\xc3\xa9 \xf0\x9f\x98\x80" },
		{ "a\nb\tc\rd\x1b[2Je\x7f", "a b c d [2Je " },
		{ "x\xc2\x85y", "x y" }, /* NEXT LINE, a control of two bytes */
		{ "a\xff\xc3", "a??" },
		{ "\xe2\x82z", "??z" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[64];
		size_t n;

		strcpy(text, cases[i].in);
		n = sb_make_printable(text, strlen(text));
		assert_int_equal(n, strlen(cases[i].out));
		assert_memory_equal(text, cases[i].out, n);
	}
}

static void test_quote(void **state)
{
	char buf[SB_QUOTE_MAX], text[1000];

	assert_string_equal(sb_quote("", 0, buf), "''");
	assert_string_equal(sb_quote("web", 3, buf), "'web'");
	assert_string_equal(sb_quote("a\0\n\xff", 4, buf), "'a\\x00\\x0a\\xff'");

	for (size_t n = 0; n <= sizeof(text); n++) {
		size_t length;

		memset(text, n % 2 ? 'a' : '\n', n);
		length = strlen(sb_quote(text, n, buf));
		assert_true(length < sizeof(buf));
		assert_int_equal(buf[length - 1], '\'');
	}
	assert_non_null(strstr(buf, "...'"));
	memset(text, 'a', 100); /* a label is never cut */
	assert_null(strstr(sb_quote(text, 100, buf), "..."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8_length),
		cmocka_unit_test(test_make_printable),
		cmocka_unit_test(test_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
