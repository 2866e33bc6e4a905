/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of verbs, `help` and sockbroker(1) say the same. */
#include "tests/unit/client/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/cli/commands.h"
#include "tests/unit/client/run-cli.h"

/* sockbroker.1 with options as they are typed ("Fl Fl from" is "--from"); the caller frees it. */
static char *read_manual(void)
{
	char *text = calloc(1, 1 << 20), *p;
	FILE *f = fopen(MANUAL, "r");

	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	while ((p = strstr(text, "Fl Fl "))) {
		p[0] = p[1] = '-';
		memmove(p + 2, p + 6, strlen(p + 6) + 1);
	}
	return text;
}

/* Whether WORD stands in TEXT with nothing of a word on either side. */
static bool has_word(const char *text, const char *word)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz-";
	size_t n = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p++)
		if ((p == text || !strchr(letters, p[-1])) && (!p[n] || !strchr(letters, p[n])))
			return true;
	return false;
}

static void test_table(void **state)
{
	for (const struct command *c = commands_table(); c->name; c++) {
		size_t n_options = 0;

		assert_non_null(c->run);
		assert_non_null(c->help);
		assert_non_null(c->summary);
		assert_true(c->min_args <= c->max_args);
		assert_ptr_equal(commands_find(c->name), c);
		assert_int_equal(c->help[strlen(c->help) - 1], '\n');
		for (const struct option_spec *o = c->options; o && o->name; o++, n_options++)
			if (!has_word(c->usage, o->name) || !strstr(c->help, o->name))
				fail_msg("%s: %s is not in its usage and help", c->name, o->name);
		assert_true(n_options < OPTIONS_MAX);
		/* Every option that a usage shows is one. */
		for (const char *p = c->usage; (p = strstr(p, "--")); p += 2) {
			char word[32];
			bool known = false;

			assert_int_equal(sscanf(p, "%31[-a-z]", word), 1);
			if (!strcmp(word, "--")) /* ends the options */
				continue;
			for (const struct option_spec *o = c->options; o && o->name; o++)
				known |= !strcmp(o->name, word);
			if (!known)
				fail_msg("%s: its usage shows %s", c->name, word);
		}
	}
}

static void test_help(void **state)
{
	struct run all = { 0 }, one = { 0 }, same = { 0 };

	RUN(&all, NULL, "help");
	assert_int_equal(all.status, CLI_DONE);
	for (const struct command *c = commands_table(); c->name; c++) {
		char usage[64];

		if (!has_word(all.out, c->name) || !strstr(all.out, c->summary))
			fail_msg("help does not list %s", c->name);
		RUN(&one, NULL, "help", c->name);
		assert_int_equal(one.status, CLI_DONE);
		snprintf(usage, sizeof(usage), "usage: sockbroker %s", c->name);
		check_contains(one.out, usage);
		check_contains(one.out, c->help);
		RUN(&same, NULL, c->name, "--help");
		assert_string_equal(same.out, one.out);
		RUN(&same, NULL, "-h", c->name);
		assert_string_equal(same.out, one.out);
	}
	RUN(&same, NULL, "--help");
	assert_string_equal(same.out, all.out);
	run_free(&all);
	run_free(&one);
	run_free(&same);
}

static void test_manual(void **state)
{
	static const char *const globals[] = { "--socket", "--json", "--timeout", "--version",
					       "--help" };
	char *manual = read_manual(), entry[64];
	struct run all = { 0 };

	RUN(&all, NULL, "help");
	for (size_t i = 0; i < ARRAY_SIZE(globals); i++) {
		check_contains(all.out, globals[i]);
		snprintf(entry, sizeof(entry), ".It %s", globals[i]);
		check_contains(manual, entry);
	}
	for (const struct command *c = commands_table(); c->name; c++) {
		snprintf(entry, sizeof(entry), ".It Cm %s", c->name);
		check_contains(manual, entry);
		for (const struct option_spec *o = c->options; o && o->name; o++)
			if (!has_word(manual, o->name))
				fail_msg("the manual lacks %s of %s", o->name, c->name);
	}
	for (const char *p = manual; (p = strstr(p, "\n.It Cm ")); p++) {
		char verb[32];

		assert_int_equal(sscanf(p, "\n.It Cm %31[a-z]", verb), 1);
		if (!commands_find(verb))
			fail_msg("the manual has %s, the command has not", verb);
	}
	run_free(&all);
	free(manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
