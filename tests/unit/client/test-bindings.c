/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/client/check.h"

#include <errno.h>

#include "client/cli/bindings.h"

#define B(s) "{\"bindings\": [" s "]}"

static void test_looks(void **state)
{
	assert_true(bindings_look_like(" \t\r\n{", 5));
	assert_false(bindings_look_like(" \t\r\n{", 4));
	assert_false(bindings_look_like("", 0));
	assert_false(bindings_look_like("tcp ::/0 80 {", 13));
	assert_false(bindings_look_like("# {\n", 4));
}

static void test_good(void **state)
{
	static const struct {
		const char *json, *rules;
	} rows[] = {
		{ B(""), "" },
		{ B("{\"label\":\"web\",\"prefix\":\"192.0.2.0/24\",\"port\":80}"),
		  "any 192.0.2.0/24 80 web\n" },
		{ B("{\"port\":0,\"prefix\":\"192.0.2.1\",\"label\":\"a:b\"}"),
		  "any 192.0.2.1/32 any a:b\n" },
		{ B("{\"label\":\"b\",\"prefix\":\"2001:DB8::1/48\",\"port\":443},"
		    "{\"label\":\"a\",\"prefix\":\"192.0.2.0/24\",\"port\":443},"
		    "{\"label\":\"a\",\"prefix\":\"192.0.2.0/25\",\"port\":443},"
		    "{\"label\":\"a\",\"prefix\":\"192.0.2.0/24\",\"port\":80}"),
		  "any 2001:db8::/48 443 b\nany 192.0.2.0/24 443 a\nany 192.0.2.0/25 443 a\n"
		  "any 192.0.2.0/24 80 a\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sb_text text = { 0 };
		struct sb_error e = { 0 };

		if (bindings_to_rules(rows[i].json, strlen(rows[i].json), &text, &e) < 0)
			fail_msg("%s", e.message);
		assert_string_equal(text.data ? text.data : "", rows[i].rules);
		sb_text_free(&text);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *json, *part;
	} rows[] = {
		{ "{", "line 1, column 1: " },
		{ "{\"bindings\": [\n{]}", "line 2, column 2: " },
		{ "{\"bindings\": []} x", "line 1, column 18: " },
		{ "[]", "the document must be an object" },
		{ "{}", "there is no \"bindings\"" },
		{ "{\"bindings\": {}}", "\"bindings\" must be an array" },
		{ "{\"bindings\": [], \"x\": 1}", "unknown key \"x\"" },
		{ "{\"bindings\": [], \"bindings\": []}", "duplicate object key" },
		{ B("1"), "bindings[0]: a binding is an object" },
		{ B("{\"label\":\"a\",\"prefix\":\"::/0\"}"), "bindings[0]: there is no \"port\"" },
		{ B("{\"label\":\"a\",\"prefix\":\"::/0\",\"port\":1,\"protocol\":\"tcp\"}"),
		  "bindings[0]: unknown key \"protocol\"" },
		{ B("{\"label\":\"a\",\"label\":\"b\",\"prefix\":\"::/0\",\"port\":1}"),
		  "duplicate object key" },
		{ B("{\"label\":1,\"prefix\":\"::/0\",\"port\":1}"),
		  "bindings[0]: \"label\" must be a string" },
		{ B("{\"label\":\"a\",\"prefix\":null,\"port\":1}"),
		  "bindings[0]: \"prefix\" must be a string" },
		{ B("{\"label\":\"a\",\"prefix\":\"::/0\",\"port\":\"1\"}"),
		  "bindings[0]: \"port\"" },
		{ B("{\"label\":\"a\",\"prefix\":\"::/0\",\"port\":65536}"),
		  "bindings[0]: \"port\"" },
		{ B("{\"label\":\"a\",\"prefix\":\"::/0\",\"port\":-1}"), "bindings[0]: \"port\"" },
		{ B("{\"label\":\"a\",\"prefix\":\"::/0\",\"port\":1.5}"),
		  "bindings[0]: \"port\"" },
		{ B("{\"label\":\"a b\",\"prefix\":\"::/0\",\"port\":1}"), "bindings[0]: " },
		{ B("{\"label\":\"a\\nb\",\"prefix\":\"::/0\",\"port\":1}"), "bindings[0]: " },
		{ B("{\"label\":\"a\",\"prefix\":\"::/129\",\"port\":1}"), "bindings[0]: " },
		{ B("{\"label\":\"a\",\"prefix\":\"::ffff:192.0.2.1/128\",\"port\":1}"),
		  "bindings[0]: " },
		{ B("{\"label\":\"a\",\"prefix\":\"::/0\",\"port\":1},"
		    "{\"label\":\"b\",\"prefix\":\"192.0.2.0/24\",\"port\":1},"
		    "{\"label\":\"a\",\"prefix\":\"192.0.2.7/24\",\"port\":1}"),
		  "bindings[2]: the same prefix and port as bindings[1]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sb_text text = { 0 };
		struct sb_error e = { 0 };

		assert_int_equal(bindings_to_rules(rows[i].json, strlen(rows[i].json), &text, &e),
				 -EINVAL);
		check_contains(e.message, rows[i].part);
		assert_int_equal(text.length, 0);
		sb_text_free(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_looks),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
