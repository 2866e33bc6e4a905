/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <errno.h>

#include "protocol/label.h"

static void test_good(void **state)
{
	static const char *const good[] = {
		"a", "Z", "0", "web", "web-1", "nginx@443.service", "a:b", "x_y.z", "9.-_@:",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(sb_label_valid(good[i], strlen(good[i])));
		assert_int_equal(sb_label_check(good[i], NULL), 0);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *label, *message;
	} bad[] = {
		{ "", "the label is empty" },
		{ "-web", "label '-web' does not begin with a letter or a digit" },
		{ ".web", "label '.web' does not begin with a letter or a digit" },
		{ "@", "label '@' does not begin with a letter or a digit" },
		{ "we b", "label 'we b' has ' ' in it, where only letters, digits and . _ @ : - "
			  "may stand" },
		{ "web/1", "label 'web/1' has '/' in it, where only letters, digits and "
			   ". _ @ : - may stand" },
		{ "a\nb", "label 'a\\x0ab' has '\\x0a' in it, where only letters, digits and "
			  ". _ @ : - may stand" },
		{ "caf\xc3\xa9", "label 'caf\\xc3\\xa9' has '\\xc3' in it, where only letters, "
				 "digits and . _ @ : - may stand" },
		{ "web#", NULL },
		{ "a=b", NULL },
		{ "a*", NULL },
		{ "[a]", NULL },
	};
	struct sb_error e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(sb_label_valid(bad[i].label, strlen(bad[i].label)));
		check_refused(sb_label_check(bad[i].label, &e), &e, EINVAL, bad[i].message);
	}
}

/* Every byte, as the first and as an inner one, against the definition. */
static void test_every_byte(void **state)
{
	for (unsigned c = 0; c < 256; c++) {
		bool alnum =
			(c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
		bool inner = alnum || (c != 0 && strchr("._@:-", (int)c));
		char first[2] = { (char)c, 'a' }, second[3] = { 'a', (char)c, 'a' };

		assert_int_equal(sb_label_valid(first, 2), alnum);
		assert_int_equal(sb_label_valid(second, 3), inner);
		assert_int_equal(sb_label_valid(second, 2), inner);
	}
}

static void test_length_limit(void **state)
{
	char label[SB_LABEL_MAX + 2];
	struct sb_error e;

	memset(label, 'a', sizeof(label));
	label[SB_LABEL_MAX] = '\0';
	assert_int_equal(sb_label_check(label, NULL), 0);
	assert_true(sb_label_valid(label, SB_LABEL_MAX));

	label[SB_LABEL_MAX] = 'a';
	label[SB_LABEL_MAX + 1] = '\0';
	assert_false(sb_label_valid(label, SB_LABEL_MAX + 1));
	check_refused(sb_label_check(label, &e), &e, EINVAL, NULL);
	assert_non_null(strstr(e.message, "' is 101 bytes long, 100 is the most"));
}

static void test_enormous_label_is_quoted_in_part(void **state)
{
	char label[5000];
	struct sb_error e;

	memset(label, '\x01', sizeof(label) - 1);
	label[sizeof(label) - 1] = '\0';
	check_refused(sb_label_check(label, &e), &e, EINVAL, NULL);
	assert_non_null(strstr(e.message, "\\x01...' has '\\x01' in it"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_length_limit),
		cmocka_unit_test(test_enormous_label_is_quoted_in_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
