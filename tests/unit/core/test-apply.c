/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/world.h"

#include <stdio.h>

#include "protocol/wire-io.h"

static void check_counts(struct world *w, const char *added, const char *removed, const char *moved,
			 const char *unchanged)
{
	check_field(w, "ADDED", added);
	check_field(w, "REMOVED", removed);
	check_field(w, "MOVED", moved);
	check_field(w, "UNCHANGED", unchanged);
}

/* What was saved is what is in force. */
static void check_saved(struct world *w, const char *rules)
{
	check_rules(w, rules);
	assert_int_equal(world_start(w), 0);
	check_rules(w, rules);
}

static int setup(void **state)
{
	int r = world_setup(state);

	assert_int_equal(ask_apply(*state,
				   "tcp 192.0.2.0/24 80,443 web\n"
				   "udp 198.51.100.0/24 53 dns\n"
				   "tcp 2001:db8::/32 any web\n",
				   false),
			 0);
	check_counts(*state, "4", "0", "0", "0");
	return r;
}

static void test_difference(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_apply(w,
				   "# a comment\n"
				   "\n"
				   "tcp 192.0.2.0/24 80 web   # as before\n"
				   "tcp 192.0.2.0/24 443 mail\n"
				   "\ttcp 2001:db8::/32 1-1024\tweb\n"
				   "any 10.0.0.0/8 1 new",
				   false),
			 0);
	check_counts(w, "3", "2", "1", "1");
	assert_true(w->reply.table_optional);
	assert_int_equal(table_count(w, "added"), 3);
	assert_int_equal(table_count(w, "removed"), 2);
	assert_int_equal(table_count(w, "moved"), 1);
	assert_string_equal(table_get(w, "moved", 0, "ports"), "443");
	assert_string_equal(table_get(w, "moved", 0, "label"), "mail");
	assert_string_equal(table_get(w, "moved", 0, "from"), "web");
	assert_string_equal(table_get(w, "removed", 0, "label"), "dns");
	assert_string_equal(table_get(w, "removed", 1, "prefix"), "2001:db8::/32");
	assert_null(registry_find(w->core->registry, "dns"));
	assert_int_equal(hit(w, "udp", "198.51.100.1", 53), PASS);
	check_saved(w, "tcp 2001:db8::/32 1-1024 web\n"
		       "tcp 192.0.2.0/24 80 web\n"
		       "tcp 192.0.2.0/24 443 mail\n"
		       "tcp 10.0.0.0/8 1 new\n"
		       "udp 10.0.0.0/8 1 new\n");
}

static void test_dry_run(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *before = rules_text(w), *model = model_text(w);
	_cleanup_free_ char *after = NULL;

	fake_calls_begin(&w->calls, 0, 0);
	assert_int_equal(ask_apply(w, "tcp 10.0.0.0/8 1 new\n", true), 0);
	check_counts(w, "1", "4", "0", "0");
	assert_false(w->reply.table_optional);
	assert_int_equal(table_count(w, "added"), 1);
	assert_int_equal(w->calls.count[FAKE_CALL_publish] + w->calls.count[FAKE_CALL_commit], 0);
	check_rules(w, before);
	after = model_text(w);
	assert_string_equal(model, after);
	check_refusal(w, ask_apply(w, "tcp 10.0.0.0/8 x new\n", true), EINVAL, "line 1: ");
}

static void test_bad_lines(void **state)
{
	struct world *w = *state;
	struct sb_text text = { 0 };
	char line[16];

	check_refusal(w,
		      ask_apply(w,
				"tcp 10.0.0.0/8 1 new\n"
				"tcp 10.0.0.0/8\n"
				"# fine\n"
				"\n"
				"tcp 10.0.0.0/99 1 new\n",
				false),
		      EINVAL, "line 2: ");
	assert_true(w->reply.has_table);
	assert_int_equal(table_count(w, "bad"), 2);
	assert_string_equal(table_get(w, "bad", 0, "line"), "2");
	assert_string_equal(table_get(w, "bad", 1, "line"), "5");
	assert_non_null(strstr(table_get(w, "bad", 1, "reason"), "10.0.0.0/99"));
	assert_null(registry_find(w->core->registry, "new"));
	/* No more than 20, each with its own number. */
	for (int i = 1; i <= 50; i++)
		sb_text_printf(&text, i % 2 ? "bad line %d\n" : "tcp 10.0.0.0/8 %d new\n", i);
	check_refusal(w, ask_apply(w, text.data, false), EINVAL, "line 1: ");
	assert_int_equal(table_count(w, "bad"), 20);
	for (size_t i = 0; i < 20; i++) {
		sprintf(line, "%zu", 1 + i * 2);
		assert_string_equal(table_get(w, "bad", i, "line"), line);
	}
	sb_text_free(&text);
	check_saved(w, "tcp 2001:db8::/32 any web\n"
		       "tcp 192.0.2.0/24 80 web\n"
		       "tcp 192.0.2.0/24 443 web\n"
		       "udp 198.51.100.0/24 53 dns\n");
}

static void check_bad(struct world *w, size_t i, const char *line, const char *reason)
{
	assert_string_equal(table_get(w, "bad", i, "line"), line);
	assert_string_equal(table_get(w, "bad", i, "reason"), reason);
}

static void test_conflicts(void **state)
{
	struct world *w = *state;

	check_refusal(w,
		      ask_apply(w,
				"tcp 10.0.0.0/8 50-60 a\n"
				"tcp 10.0.0.0/8 1 a\n"
				"tcp 10.0.0.0/8 40-50 b\n",
				false),
		      EINVAL, "line 3: rule tcp 10.0.0.0/8 40-50 of label b is in conflict with ");
	assert_int_equal(table_count(w, "bad"), 1);
	check_bad(w, 0, "3",
		  "rule tcp 10.0.0.0/8 40-50 of label b is in conflict with line 1, rule tcp "
		  "10.0.0.0/8 50-60 of label a: same prefix, and port ranges of equal width that "
		  "overlap");
	check_refusal(w, ask_apply(w, "tcp 10.0.0.0/8 1 a\n\ntcp 10.0.0.0/8 1 b\n", false), EINVAL,
		      "line 3: rule tcp 10.0.0.0/8 1 of label b is in conflict with line 1, which "
		      "gives it to label a");
	assert_null(registry_find(w->core->registry, "a"));
	assert_int_equal(table_count(w, "added"), 0);
}

/* All of them, each once, in the order of the lines, together with lines that are no rules. */
static void test_all_conflicts(void **state)
{
	struct world *w = *state;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 8000-8099"));
	assert_int_equal(world_reload(w), 0);
	check_refusal(w,
		      ask_apply(w,
				"any 10.0.0.0/8 20-29 a\n"
				"tcp 10.0.0.0/8\n"
				"any 10.0.0.0/8 25-34 b\n"
				"tcp 10.0.0.0/8 30-39 c\n"
				"tcp 192.0.2.0/24 8050-8149 d\n"
				"tcp 9.0.0.0/8 80 a\n"
				"udp 10.0.0.0/8 15-24 a\n"
				"tcp 10.0.0.0/8 20-30 a\n"
				"tcp 9.0.0.0/8 80 e\n"
				"tcp 9.0.0.0/8 80 a\n"
				"tcp 9.0.0.0/8 80 b",
				false),
		      EINVAL, "line 2: ");
	assert_int_equal(table_count(w, "bad"), 6);
	assert_string_equal(table_get(w, "bad", 0, "line"), "2");
	check_bad(w, 1, "3",
		  "rule tcp 10.0.0.0/8 25-34 of label b is in conflict with line 1, rule tcp "
		  "10.0.0.0/8 20-29 of label a: same prefix, and port ranges of equal width that "
		  "overlap");
	check_bad(w, 2, "5",
		  "rule tcp 192.0.2.0/24 8050-8149 of label d is in conflict with rule tcp "
		  "192.0.2.0/24 8000-8099 of label web by its label file: same prefix, and port "
		  "ranges of equal width that overlap");
	assert_string_equal(table_get(w, "bad", 3, "line"), "7");
	check_bad(w, 4, "9",
		  "rule tcp 9.0.0.0/8 80 of label e is in conflict with line 6, which gives it to "
		  "label a");
	check_bad(w, 5, "11",
		  "rule tcp 9.0.0.0/8 80 of label b is in conflict with line 6, which gives it to "
		  "label a");
	check_saved(w, "tcp 2001:db8::/32 any web\n"
		       "tcp 192.0.2.0/24 80 web\n"
		       "tcp 192.0.2.0/24 443 web\n"
		       "udp 198.51.100.0/24 53 dns\n"
		       "tcp 192.0.2.0/24 8000-8099 web\n");
}

/* The first 20 lines, wherever they are in the trie. */
static void test_many_conflicts(void **state)
{
	struct world *w = *state;
	struct sb_text text = { 0 };
	char line[16];

	for (int i = 1; i <= 30; i++)
		sb_text_printf(&text, "tcp 10.0.%d.0/24 80 a\n", i);
	for (int i = 30; i >= 1; i--)
		sb_text_printf(&text, i == 25 ? "bad\n" : "tcp 10.0.%d.0/24 80 b\n", i);
	check_refusal(w, ask_apply(w, text.data, false), EINVAL,
		      "line 31: rule tcp 10.0.30.0/24 80 of label b is in conflict with line 30, ");
	sb_text_free(&text);
	assert_int_equal(table_count(w, "bad"), 20);
	for (size_t i = 0; i < 20; i++) {
		sprintf(line, "%zu", 31 + i);
		assert_string_equal(table_get(w, "bad", i, "line"), line);
	}
}

/* As bind takes a rule that is there already; it counts once, and is saved once. */
static void test_repeated_lines(void **state)
{
	struct world *w = *state;

	w->config.settings.max_rules = 4;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask_apply(w,
				   "any 10.0.0.0/8 1 a\n"
				   "tcp 10.0.0.0/8 2-9 b\n"
				   "tcp 10.0.0.0/8 1 a\n"
				   "tcp 10.0.0.0/8 1 a\n",
				   false),
			 0);
	check_counts(w, "3", "4", "0", "0");
	check_saved(w, "tcp 10.0.0.0/8 1 a\n"
		       "udp 10.0.0.0/8 1 a\n"
		       "tcp 10.0.0.0/8 2-9 b\n");
	/* More lines than rules there may be. */
	assert_int_equal(ask_apply(w,
				   "any 10.0.0.0/8 1 a\nany 10.0.0.0/8 1 a\n"
				   "any 10.0.0.0/8 1 a\n",
				   false),
			 0);
	check_counts(w, "0", "1", "0", "2");
}

static void test_own_list_changes_nothing(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *text = NULL, *model = NULL, *after = NULL;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 8080", "tcp 192.0.2.0/24 80"));
	assert_int_equal(world_reload(w), 0);
	text = rules_text(w);
	model = model_text(w);
	assert_non_null(strstr(text, "8080"));
	assert_int_equal(ask_apply(w, text, false), 0);
	check_counts(w, "0", "0", "0", "5");
	assert_int_equal(strlen(w->table), 0);
	after = model_text(w);
	assert_string_equal(model, after);
}

static void test_config_rules(void **state)
{
	struct world *w = *state;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 8000-8099"));
	assert_int_equal(world_reload(w), 0);
	check_refusal(w, ask_apply(w, "tcp 192.0.2.0/24 8000-8099 mail\n", false), EINVAL,
		      "line 1: rule tcp 192.0.2.0/24 8000-8099 belongs to label web by its label "
		      "file");
	check_refusal(w, ask_apply(w, "\ntcp 192.0.2.0/24 8050-8149 mail\n", false), EINVAL,
		      "line 2: rule tcp 192.0.2.0/24 8050-8149 of label mail is in conflict with "
		      "rule tcp "
		      "192.0.2.0/24 8000-8099 of label web by its label file");
	/* Not named, they stay nevertheless. */
	assert_int_equal(ask_apply(w, "tcp 10.0.0.0/8 1 a\n", false), 0);
	check_counts(w, "1", "4", "0", "1");
	check_saved(w, "tcp 192.0.2.0/24 8000-8099 web\n"
		       "tcp 10.0.0.0/8 1 a\n");
}

/* A line that a label file had too does not come back once the file lost it. */
static void test_skipped_lines_are_not_saved(void **state)
{
	struct world *w = *state;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 80"));
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask_apply(w, "tcp 192.0.2.0/24 80 web\ntcp 10.0.0.0/8 1 a\n", false), 0);
	config_clear(w);
	assert_int_equal(world_reload(w), 0);
	check_saved(w, "tcp 10.0.0.0/8 1 a\n");
}

static void test_nothing(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_apply(w, "", false), 0);
	check_counts(w, "0", "4", "0", "0");
	assert_int_equal(w->core->registry->n_labels, 0);
	check_saved(w, "");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), PASS);
}

static void test_after_binds(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "a tcp 10.0.0.0/8 1"), 0);
	assert_int_equal(ask_apply(w, "tcp 10.0.0.0/8 2 a\n", false), 0);
	check_counts(w, "1", "5", "0", "0");
	assert_int_equal(ask_bind(w, "a tcp 10.0.0.0/8 3"), 0);
	check_saved(w, "tcp 10.0.0.0/8 2 a\ntcp 10.0.0.0/8 3 a\n");
}

static void test_limits(void **state)
{
	struct world *w = *state;

	w->config.settings.max_rules = 4;
	w->config.settings.max_labels = 3;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask_apply(w, "tcp 10.0.0.0/8 1,2,3,4 a\n", false), 0);
	check_refusal(w, ask_apply(w, "tcp 10.0.0.0/8 1,2,3,4,5 a\n", false), ENOSPC,
		      "5 rules are more than the 4 that there may be (MaxRules=");
	check_refusal(
		w,
		ask_apply(w, "tcp 10.0.0.0/8 1 b\ntcp 10.0.0.0/8 2 c\ntcp 10.0.0.0/8 3 d\n", false),
		ENOSPC, "MaxLabels=");
	assert_int_equal(w->core->registry->n_labels, 1);
	assert_false(w->reply.has_table);
}

static void test_many_rows(void **state)
{
	struct world *w = *state;
	struct sb_text text = { 0 };

	w->config.settings.max_rules = 5000;
	assert_int_equal(world_reload(w), 0);
	for (int i = 0; i < 2000; i++)
		sb_text_printf(&text, "tcp 10.%d.%d.0/24 80 a\n", i / 256, i % 256);
	assert_int_equal(ask_apply(w, text.data, false), 0);
	sb_text_free(&text);
	check_counts(w, "2000", "4", "0", "0");
	assert_int_equal(table_count(w, "added") + table_count(w, "removed"), 1000);
}

static void test_not_a_sealed_memfd(void **state)
{
	struct world *w = *state;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_true(ask_fds(w, FDS(fds[0]), "REQUEST=apply\n") < 0);
	assert_int_not_equal(strlen(w->error.message), 0);
	close(fds[0]);
	close(fds[1]);
	check_refusal(w, ask_fds(w, FDS(FAKE_FD_FIRST), "REQUEST=apply\nDRY_RUN=1\n"), EINVAL,
		      "DRY_RUN= is yes or no");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_difference),
		TEST(test_dry_run),
		TEST(test_bad_lines),
		TEST(test_conflicts),
		TEST(test_all_conflicts),
		TEST(test_many_conflicts),
		TEST(test_repeated_lines),
		TEST(test_own_list_changes_nothing),
		TEST(test_config_rules),
		TEST(test_skipped_lines_are_not_saved),
		TEST(test_nothing),
		TEST(test_after_binds),
		TEST(test_limits),
		TEST(test_many_rows),
		TEST(test_not_a_sealed_memfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
