/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <errno.h>

static void test_fail_records_code_and_sentence(void **state)
{
	struct sb_error e = { 0 };

	assert_int_equal(sb_fail(&e, ENOENT, "label %s is unknown", "web"), -ENOENT);
	assert_int_equal(e.code, ENOENT);
	assert_string_equal(e.message, "label web is unknown");
	assert_int_equal(sb_fail(NULL, EPERM, "nobody listens"), -EPERM);
}

/* A caller that passes on a negative errno, or 0 by mistake, still refuses. */
static void test_fail_never_looks_like_success(void **state)
{
	struct sb_error e;

	assert_int_equal(sb_fail(&e, -EBUSY, "x"), -EBUSY);
	assert_int_equal(e.code, EBUSY);
	assert_int_equal(sb_fail(&e, 0, "x"), -EIO);
	assert_int_equal(e.code, EIO);
}

static void test_fail_may_quote_its_own_message(void **state)
{
	struct sb_error e;

	sb_fail(&e, EINVAL, "inner");
	sb_fail(&e, EINVAL, "outer (%s)", e.message);
	assert_string_equal(e.message, "outer (inner)");
}

static void test_overlong_message_is_cut(void **state)
{
	char text[SB_ERROR_MESSAGE_MAX + 100];
	struct sb_error e;

	memset(text, 'a', sizeof(text));
	text[SB_ERROR_MESSAGE_MAX - 1] = '\0';
	sb_fail(&e, EINVAL, "%s", text);
	assert_int_equal(strlen(e.message), SB_ERROR_MESSAGE_MAX - 1);

	text[SB_ERROR_MESSAGE_MAX - 1] = 'a';
	text[sizeof(text) - 1] = '\0';
	sb_fail(&e, EINVAL, "%s", text);
	assert_int_equal(strlen(e.message), SB_ERROR_MESSAGE_MAX - 1);

	/* a character of two bytes that straddles the end goes as a whole */
	memcpy(text + SB_ERROR_MESSAGE_MAX - 2, "\xc3\xa9", 2);
	sb_fail(&e, EINVAL, "%s", text);
	assert_int_equal(strlen(e.message), SB_ERROR_MESSAGE_MAX - 2);
	assert_int_equal(e.message[SB_ERROR_MESSAGE_MAX - 3], 'a');
}

static void test_prefix(void **state)
{
	char text[2 * SB_ERROR_MESSAGE_MAX];
	struct sb_error e;

	sb_fail(&e, EEXIST, "taken");
	assert_int_equal(sb_fail_prefix(&e, "line %d", 7), -EEXIST);
	assert_string_equal(e.message, "line 7: taken");
	assert_int_equal(e.code, EEXIST);

	memset(text, 'p', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(sb_fail_prefix(&e, "%s", text), -EEXIST);
	assert_int_equal(strlen(e.message), SB_ERROR_MESSAGE_MAX - 1);
}

struct seen {
	size_t n;
	int codes[64];
	const char *names[64];
};

static void see(const char *name, int code, const char *meaning, void *data)
{
	struct seen *seen = data;

	assert_true(code > 0);
	assert_true(name[0] == 'E');
	assert_true(strlen(meaning) > 0);
	assert_int_not_equal(meaning[strlen(meaning) - 1], '.');
	assert_int_equal(sb_error_code(name), code);
	assert_string_equal(sb_error_name(code), name);
	assert_string_equal(sb_error_meaning(code), meaning);
	for (size_t i = 0; i < seen->n; i++) {
		assert_int_not_equal(seen->codes[i], code);
		assert_string_not_equal(seen->names[i], name);
	}
	assert_true(seen->n < ARRAY_SIZE(seen->codes));
	seen->codes[seen->n] = code;
	seen->names[seen->n++] = name;
}

static void test_table_is_one_to_one(void **state)
{
	struct seen seen = { 0 };

	sb_error_each(see, &seen);
	assert_true(seen.n >= 27); /* a name that once was on the wire never goes */
	assert_int_equal(sb_error_code("EPERM"), EPERM);
	assert_int_equal(sb_error_code("ESOCKTNOSUPPORT"), ESOCKTNOSUPPORT);
}

static void test_unknown_codes_and_names(void **state)
{
	assert_string_equal(sb_error_name(ENOTTY), "EIO");
	assert_string_equal(sb_error_name(-EPERM), "EIO");
	assert_string_equal(sb_error_meaning(ENOTTY), sb_error_meaning(EIO));
	assert_int_equal(sb_error_code("ENOTTY"), 0);
	assert_int_equal(sb_error_code(""), 0);
	assert_int_equal(sb_error_code("eperm"), 0);
	assert_int_equal(sb_error_code("EPERM "), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fail_records_code_and_sentence),
		cmocka_unit_test(test_fail_never_looks_like_success),
		cmocka_unit_test(test_fail_may_quote_its_own_message),
		cmocka_unit_test(test_overlong_message_is_cut),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_table_is_one_to_one),
		cmocka_unit_test(test_unknown_codes_and_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
