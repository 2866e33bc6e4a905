/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/config/scratch.h"

#include <stdio.h>
#include <string.h>

#define F "labels.d/x.label"

struct lines_case {
	const char *text, *errors;
};

static const struct lines_case cases[] = {
	/* What is fine. */
	{ "", "" },
	{ "\n\n", "" },
	{ "[Label]", "" },
	{ "[Label]\nMaxSockets=1", "" },
	{ "[Label]\r\nMaxSockets=1\r\n", "" },
	{ "\xef\xbb\xbf[Label]\nMaxSockets=1\n", "" },
	{ "# a\n; b\n[Label]\n  # c\n\t;d\n", "" },
	{ "  [Label]  \n   MaxSockets \t = \t 3  \n", "" },
	{ "[Label]\nMaxSockets=1\n[Label]\nWhenEmpty=pass\n", "" },
	{ "[Label]\nDescription=a=b: c;d #e [f]\n", "" },
	{ "[Label]\nDescription=\n", "" },
	{ "[Label]\nDescription=Gr\xc3\xbc\xc3\x9f"
	  "e\n",
	  "" },
	{ "# \xff\xfe in a comment, and a \\\n[Label]\n", "" },

	/* What libinih would swallow. */
	{ "[Label]\nListenStream=192.0.2.0/24:80 ; web\n",
	  F ":2: a comment stands on a line of its own, and no value may have a semicolon behind a "
	    "blank\n" },
	{ "[Label]\nMaxSockets: 5\n",
	  F ":2: this is not of the form Key=value, [Section] or # comment\n" },
	{ "[Label]\nMaxSockets:=5\n",
	  F ":2: this is not of the form Key=value, [Section] or # comment\n" },
	{ "[Label]\nMaxSockets\n",
	  F ":2: this is not of the form Key=value, [Section] or # comment\n" },
	{ "[Label]\n=5\n", F ":2: this is not of the form Key=value, [Section] or # comment\n" },
	{ "[Label]\nAllowUser=root\n  nobody\n",
	  F ":3: this is not of the form Key=value, [Section] or # comment\n" },
	{ "[Label]\nAllowUser=root \\\n  nobody\n",
	  F ":2: a backslash does not continue the line; write the key again on the next one\n" F
	    ":3: this is not of the form Key=value, [Section] or # comment\n" },
	{ "[Label\nMaxSockets=1\n", F ":1: a section is written [Label], with nothing behind it\n" F
				      ":2: MaxSockets= stands above the first [Label]\n" },
	{ "[Label] x\n", F ":1: a section is written [Label], with nothing behind it\n" },
	{ "[\n", F ":1: a section is written [Label], with nothing behind it\n" },
	{ "[Label]]\n", F ":1: a section is written [Label], with nothing behind it\n" },
	{ "MaxSockets=1\n[Label]\n", F ":1: MaxSockets= stands above the first [Label]\n" },

	/* Lines that count although there is nothing in them. */
	{ "\n \n# x\n[Label]\n\nFoo=1", F ":6: Foo= is not known\n" },

	/* Sections. */
	{ "[Broker]\nMaxRules=3\nNonsense=1\n",
	  F ":1: section [Broker] is not known; this file has [Label] only\n" },
	{ "[label]\n", F ":1: section [label] is not known; this file has [Label] only\n" },
	{ "[Label ]\n", F ":1: section [Label ] is not known; this file has [Label] only\n" },
	{ "[]\n", F ":1: section [] is not known; this file has [Label] only\n" },
	{ "[Other]\nFoo=1\n[Label]\nBar=1\n",
	  F ":1: section [Other] is not known; this file has [Label] only\n" F
	    ":4: Bar= is not known\n" },

	/* Bytes that are no text. */
	{ "[Label]\nDescription=\xff\n",
	  F ":2: the line has bytes in it that are no text in UTF-8\n" },
	{ "[Label]\nDescription=a\x01"
	  "b\n",
	  F ":2: the line has bytes in it that are no text in UTF-8\n" },
	{ "[Label]\nDescription=a\rb\n",
	  F ":2: the line has bytes in it that are no text in UTF-8\n" },
	{ "[Label]\n\xc3\x9cser=1\n", F ":2: \xc3\x9cser= is not known\n" },
};

static void test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		scratch_write(*state, F, cases[i].text);
		scratch_expect(*state, cases[i].errors);
	}
}

static void test_nul(void **state)
{
	static const char text[] = "[Label]\nMaxSockets=1\0 2\nWhenEmpty=pass\n\0Foo=1\n";

	scratch_write_bytes(*state, F, text, sizeof(text) - 1);
	scratch_expect(*state, F ":2: the line has bytes in it that are no text in UTF-8\n" F
				 ":4: the line has bytes in it that are no text in UTF-8\n");
}

static void test_values_arrive_whole(void **state)
{
	struct scratch *s = *state;

	scratch_write(s, F, " [Label]\n\tDescription \t=  one: two = three;four  #five \t\n");
	scratch_expect(s, "");
	assert_string_equal(s->config->labels[0].description, "one: two = three;four  #five");
}

/* The longest line is taken to its last byte, one byte more is refused: never cut. */
static void test_longest_line(void **state)
{
	struct scratch *s = *state;
	char text[512] = "[Label]\nDescription=", *at = text + strlen(text);
	size_t room = 197 - strlen("Description=");

	memset(at, 'x', room);
	strcpy(at + room, "\nMaxSockets=7\n");
	scratch_write(s, F, text);
	scratch_expect(s, "");
	assert_int_equal(strlen(s->config->labels[0].description), room);
	assert_int_equal(s->config->labels[0].max_sockets, 7);

	memset(at, 'x', room + 1);
	strcpy(at + room + 1, "\nMaxSockets=70000\n");
	scratch_write(s, F, text);
	scratch_expect(s,
		       F ":2: the line is 198 bytes long, 197 is the most; a key with a list may "
			 "be written several times\n" F
			 ":3: MaxSockets=: '70000' is not a number from 1 to 1024\n");
}

static void test_long_line_counts_once(void **state)
{
	char text[2000] = "[Label]\n";
	size_t n = strlen(text);

	memset(text + n, 'y', 1500);
	strcpy(text + n + 1500, "\n#");
	memset(text + n + 1502, 'z', 300);
	strcpy(text + n + 1802, "\nFoo=1");
	scratch_write(*state, F, text);
	scratch_expect(*state, F ":2: the line is 1500 bytes long, 197 is the most; a key with a "
				 "list may be written several times\n" F ":4: Foo= is not known\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_cases),
		scratch_test(test_nul),
		scratch_test(test_values_arrive_whole),
		scratch_test(test_longest_line),
		scratch_test(test_long_line_counts_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
