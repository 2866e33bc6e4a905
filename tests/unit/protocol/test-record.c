/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/record.h"

/* Decodes the first record of TEXT in a copy of just its size; *RET_COPY is to be freed. */
static int first(const char *text, size_t n, struct sb_record *r, char **ret_copy,
		 struct sb_error *e)
{
	char *cursor = malloc(n + !n);

	assert_non_null(cursor);
	memcpy(cursor, text, n);
	*ret_copy = cursor;
	return sb_record_next(&cursor, *ret_copy + n, r, e);
}

static void test_write(void **state)
{
	struct sb_text t = { 0 };

	sb_record_begin(&t, "rule");
	sb_record_add(&t, "label", "%s", "web");
	sb_record_add(&t, "hits", "%d", 42);
	sb_record_add(&t, "empty", "%s", "");
	sb_record_end(&t);
	sb_record_begin(&t, "verdict");
	sb_record_end(&t);
	assert_int_equal(t.error, 0);
	assert_string_equal(t.data, "rule\tlabel=web\thits=42\tempty=\nverdict\n");
	assert_int_equal(t.length, strlen(t.data));
	sb_text_free(&t);
	assert_null(t.data);
	sb_text_free(&t);
	sb_text_free(NULL);
}

static void test_escapes(void **state)
{
	static const struct {
		const char *value, *written;
	} cases[] = {
		{ "a\tb\nc\\d", "a\\tb\\nc\\\\d" },
		{ "\r\x01\x7f", "\\x0d\\x01\\x7f" },
		{ "caf\xc3\xa9 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xf0\x9f\x98\x80" },
		{ "\xff\xc3", "\\xff\\xc3" }, /* not UTF-8 */
		{ "\xc2\x85", "\\xc2\\x85" }, /* a control of two bytes */
		{ "x=y", "x=y" },
		{ "\\x41\\t", "\\\\x41\\\\t" },
		{ "end\\", "end\\\\" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (int detour = 0; detour < 2; detour++) {
			struct sb_text t = { 0 };
			char expected[128], *cursor;
			struct sb_record r;

			sb_record_begin(&t, "t");
			if (detour)
				sb_record_add(&t, "k", "%s%s", "", cases[i].value);
			else
				sb_record_add(&t, "k", "%s", cases[i].value);
			sb_record_end(&t);
			snprintf(expected, sizeof(expected), "t\tk=%s\n", cases[i].written);
			assert_string_equal(t.data, expected);

			cursor = t.data;
			assert_int_equal(sb_record_next(&cursor, t.data + t.length, &r, NULL), 1);
			assert_string_equal(sb_record_get(&r, "k"), cases[i].value);
			sb_text_free(&t);
		}
	}
}

static void test_read(void **state)
{
	char text[] = "rule\tlabel=web\tprefix=::/0\nsocket\nlabel\trules=\n";
	char *cursor = text, *end = text + sizeof(text) - 1;
	struct sb_record r;

	assert_int_equal(sb_record_next(&cursor, end, &r, NULL), 1);
	assert_string_equal(r.type, "rule");
	assert_int_equal(r.n_fields, 2);
	assert_string_equal(sb_record_get(&r, "label"), "web");
	assert_string_equal(sb_record_get(&r, "prefix"), "::/0");
	assert_null(sb_record_get(&r, "ports"));
	assert_int_equal(sb_record_next(&cursor, end, &r, NULL), 1);
	assert_string_equal(r.type, "socket");
	assert_int_equal(r.n_fields, 0);
	assert_int_equal(sb_record_next(&cursor, end, &r, NULL), 1);
	assert_string_equal(r.type, "label");
	assert_string_equal(sb_record_get(&r, "rules"), "");
	assert_ptr_equal(cursor, end);
	assert_int_equal(sb_record_next(&cursor, end, &r, NULL), 0);
	assert_int_equal(sb_record_next(&cursor, end, &r, NULL), 0);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *message;
	} bad[] = {
		{ "rule", 4, "the last record is cut off" },
		{ "rule\ta=b", 8, "the last record is cut off" },
		{ "\n", 1, "'' is not the type of a record" },
		{ "Rule\n", 5, "'Rule' is not the type of a record" },
		{ "\ta=b\n", 5, "'' is not the type of a record" },
		{ "a b\n", 4, "'a b' is not the type of a record" },
		{ "r\0e\n", 4, "'r\\x00e' is not the type of a record" },
		{ "r\t\n", 3, "'' in a record of type r is not key=value" },
		{ "r\ta\n", 4, "'a' in a record of type r is not key=value" },
		{ "r\t=b\n", 5, "'=b' in a record of type r is not key=value" },
		{ "r\tA=b\n", 6, "'A=b' in a record of type r is not key=value" },
		{ "r\ta=b\t\n", 7, "'' in a record of type r is not key=value" },
		{ "r\ta=\\\n", 6,
		  "'a=\\' in a record of type r has a wrong escape or control character" },
		{ "r\ta=\\q\n", 7, NULL },
		{ "r\ta=\\x4\n", 8, NULL },
		{ "r\ta=\\x4g\n", 9, NULL },
		{ "r\ta=\\xg4\n", 9, NULL },
		{ "r\ta=\\x00\n", 9, NULL },
		{ "r\ta=b\0c\n", 8, NULL },
		{ "r\ta=b\r\n", 7, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *copy = NULL;
		struct sb_record r;
		struct sb_error e;

		check_refused(first(bad[i].text, bad[i].n, &r, &copy, &e), &e, EPROTO,
			      bad[i].message);
	}
}

static void test_hex_in_both_cases(void **state)
{
	_cleanup_free_ char *copy = NULL;
	struct sb_record r;

	assert_int_equal(first("r\ta=\\x4A\\x4a\\xfF\\x10\n", 22, &r, &copy, NULL), 1);
	assert_string_equal(sb_record_get(&r, "a"), "JJ\xff\x10");
}

static void test_field_limit(void **state)
{
	struct sb_text t = { 0 };
	struct sb_record r;
	struct sb_error e;
	char *cursor;

	for (size_t n = SB_RECORD_FIELDS_MAX; n <= SB_RECORD_FIELDS_MAX + 1; n++) {
		sb_record_begin(&t, "r");
		for (size_t i = 0; i < n; i++)
			sb_record_add(&t, "k", "%zu", i);
		sb_record_end(&t);
	}
	cursor = t.data;
	assert_int_equal(sb_record_next(&cursor, t.data + t.length, &r, NULL), 1);
	assert_int_equal(r.n_fields, SB_RECORD_FIELDS_MAX);
	assert_string_equal(r.fields[SB_RECORD_FIELDS_MAX - 1].value, "63");
	check_refused(sb_record_next(&cursor, t.data + t.length, &r, &e), &e, EPROTO,
		      "a record of type r has more than 64 fields");
	sb_text_free(&t);
}

static void test_wrong_names_stick(void **state)
{
	static const char *const names[] = { "", "A", "a-b", "a=b", "a\tb", "1a", "_a" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct sb_text t = { 0 }, u = { 0 };

		sb_record_begin(&t, names[i]);
		sb_record_end(&t);
		assert_int_equal(t.error, -EINVAL);
		sb_text_free(&t);

		sb_record_begin(&u, "r");
		sb_record_add(&u, names[i], "%s", "x");
		sb_record_add(&u, "good", "%s", "x");
		assert_int_equal(u.error, -EINVAL);
		sb_text_free(&u);
	}
}

/* Growth across many boundaries keeps every byte, whichever way it was added. */
static void test_text_grows(void **state)
{
	struct sb_text t = { 0 };
	char big[10000];

	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	sb_text_printf(&t, "%s", big); /* longer than the first guess */
	for (size_t i = 0; i < 20000; i++)
		sb_text_append(&t, "xyz", 3);
	sb_text_append(&t, big, 0);
	for (size_t i = 0; i < 2000; i++)
		sb_text_printf(&t, "%08zu", i);
	assert_int_equal(t.error, 0);
	assert_int_equal(t.length, 9999 + 60000 + 16000);
	assert_int_equal(strlen(t.data), t.length);
	assert_memory_equal(t.data, big, 9999);
	for (size_t i = 0; i < 20000; i++)
		assert_memory_equal(t.data + 9999 + 3 * i, "xyz", 3);
	for (size_t i = 0; i < 2000; i++)
		assert_int_equal(strtoul(strndupa(t.data + 69999 + 8 * i, 8), NULL, 10), i);
	sb_text_free(&t);
}

/* Byte by byte over the end of what was allocated: there is always room for the NUL. */
static void test_text_grows_by_single_bytes(void **state)
{
	struct sb_text t = { 0 };

	for (size_t i = 0; i < 10000; i++) {
		sb_text_append(&t, "x", 1);
		assert_true(t.length < t.capacity);
		assert_int_equal(t.data[t.length], '\0');
	}
	sb_text_free(&t);
}

static void test_text_failure_sticks(void **state)
{
	struct sb_text t = { 0 };

	sb_text_append(&t, "abc", 3);
	sb_text_append(&t, "x", SIZE_MAX / 2); /* cannot be had; nothing of it is read */
	assert_int_equal(t.error, -ENOMEM);
	sb_text_append(&t, "d", 1);
	sb_text_printf(&t, "%d", 5);
	assert_int_equal(t.error, -ENOMEM);
	assert_string_equal(t.data, "abc");
	sb_text_free(&t);
}

/* Whatever the bytes, decoding answers and stays in its text. */
static void test_random_bytes(void **state)
{
	static const char alphabet[] = "ra=\t\n\\xt0\0\xff";

	srand(1);
	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)rand() % 24;
		char *text = malloc(n + !n), *cursor = text;
		struct sb_record r;
		struct sb_error e;
		int result;

		assert_non_null(text);
		for (size_t i = 0; i < n; i++)
			text[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		while ((result = sb_record_next(&cursor, text + n, &r, &e)) > 0) {
			for (size_t i = 0; i < r.n_fields; i++)
				assert_true(r.fields[i].value + strlen(r.fields[i].value) < cursor);
		}
		assert_true(result == 0 || result == -EPROTO);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_hex_in_both_cases),
		cmocka_unit_test(test_field_limit),
		cmocka_unit_test(test_wrong_names_stick),
		cmocka_unit_test(test_text_grows),
		cmocka_unit_test(test_text_grows_by_single_bytes),
		cmocka_unit_test(test_text_failure_sticks),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
