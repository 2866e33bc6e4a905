/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reload: all of the configuration or none of it. */
#include "tests/unit/core/world.h"

/* web with two rules, WhenEmpty=drop, uid 33; runtime rules of app. */
static int setup(void **state)
{
	struct core_label_config *l;
	struct world *w;

	world_setup(state);
	w = *state;
	l = config_label(w, "web", RULES("tcp 192.0.2.0/24 80", "udp 192.0.2.0/24 80"));
	allow_user(l, 33);
	l->description = "first";
	assert_int_equal(world_reload(w), 0);
	config_clear(w);
	assert_int_equal(ask_bind(w, "app tcp 10.0.0.0/8 1"), 0);
	return 0;
}

#define RULES_BEFORE "tcp 192.0.2.0/24 80 web\nudp 192.0.2.0/24 80 web\ntcp 10.0.0.0/8 1 app\n"

/* A refused reload changes nothing, whatever it brought. */
static void check_kept(struct world *w, int r, int code, const char *part)
{
	check_refusal(w, r, code, part);
	assert_false(fake_state_busy(w->state));
	check_rules(w, RULES_BEFORE);
	assert_int_equal(ask(w, "REQUEST=status\n"), 0);
	assert_int_equal(table_count(w, "label"), 2);
	assert_string_equal(table_get(w, "label", 0, "description"), "first");
	assert_string_equal(table_get(w, "label", 0, "when_empty"), "drop");
	assert_string_equal(table_get(w, "label", 0, "origin"), "config");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
	w->actor.uid = 33;
	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 1)), 0);
	w->actor.uid = 34;
	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 1)), -EPERM);
	w->actor.uid = 0;
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\n"), 0);
}

/* A reload that would change a lot, but for what comes after it. */
static void add_changes(struct world *w)
{
	struct core_label_config *l = config_label(w, "web", RULES("tcp 192.0.2.0/24 81"));

	allow_user(l, 34);
	l->description = "second";
	l->when_empty = WHEN_EMPTY_PASS;
	config_label(w, "new", RULES("tcp 198.51.100.0/24 80"))->when_empty = WHEN_EMPTY_PASS;
}

static void test_conflict_of_files(void **state)
{
	struct world *w = *state;

	add_changes(w);
	config_label(w, "other", RULES("tcp 192.0.2.0/24 81"));
	check_kept(w, world_reload(w), EEXIST,
		   "x.label: rule tcp 192.0.2.0/24 81 is in conflict with rule tcp 192.0.2.0/24 "
		   "81 of label web");
	assert_null(registry_find(w->core->registry, "new"));
}

static void test_runtime_rule_in_the_way(void **state)
{
	struct world *w = *state;

	add_changes(w);
	config_label(w, "other", RULES("tcp 10.0.0.0/8 1"));
	check_kept(w, world_reload(w), EEXIST,
		   "rule tcp 10.0.0.0/8 1 of the label file of other is bound to label app at run "
		   "time; unbind it first");
	assert_null(registry_find(w->core->registry, "other"));
	assert_int_equal(ask_unbind(w, "app tcp 10.0.0.0/8 1"), 0);
	assert_int_equal(world_reload(w), 0);
}

static void test_overlap_with_runtime_rule(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "app tcp 10.0.0.0/8 100-110"), 0);
	config_label(w, "other", RULES("tcp 10.0.0.0/8 105-115"));
	check_refusal(w, world_reload(w), EEXIST, "tcp 10.0.0.0/8 100-110 of label app");
	assert_non_null(strstr(w->error.message, "tcp 10.0.0.0/8 105-115 of label other"));
	assert_null(registry_find(w->core->registry, "other"));
}

static void test_limits(void **state)
{
	struct world *w = *state;

	add_changes(w);
	w->config.settings.max_labels = 2;
	check_kept(w, world_reload(w), ENOSPC, "MaxLabels=");
	w->config.settings.max_labels = 3;
	w->config.settings.max_rules = 2;
	check_kept(w, world_reload(w), ENOSPC, "3 rules are more than the 2");
	/* Rules of files are not counted twice while they are replaced. */
	w->config.settings.max_rules = 3;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(world_reload(w), 0);
}

static void test_settings_are_refused_too(void **state)
{
	struct world *w = *state;

	add_changes(w);
	w->config.settings.groups.admin = 55;
	w->config.settings.max_rules = 1;
	check_kept(w, world_reload(w), ENOSPC, "MaxRules=");
	w->actor = (struct actor){ .uid = 1, .gid = 55 };
	check_refusal(w, ask_bind(w, "app tcp 10.0.0.0/8 2"), EPERM, "may not bind");
	w->actor = (struct actor){ 0 };
	assert_int_equal(ask_bind(w, "app tcp 10.0.0.0/8 2"), 0);
}

static void test_change(void **state)
{
	struct world *w = *state;

	add_changes(w);
	assert_int_equal(world_reload(w), 0);
	check_rules(w, "tcp 192.0.2.0/24 81 web\n"
		       "tcp 198.51.100.0/24 80 new\n"
		       "tcp 10.0.0.0/8 1 app\n");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 81), PASS);
	assert_int_equal(hit(w, "tcp", "198.51.100.1", 80), PASS);
	assert_int_equal(hit(w, "tcp", "10.0.0.1", 1), DROP);
	assert_int_equal(ask(w, "REQUEST=status\nLABEL=web\n"), 0);
	assert_string_equal(table_get(w, "label", 0, "description"), "second");
	w->actor.uid = 33;
	check_refusal(w, ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 1)), EPERM, "web");
}

static void test_sockets_stay(void **state)
{
	struct world *w = *state;
	int web = fake_tcp(w->host, "127.0.0.1", 1), app = fake_tcp(w->host, "127.0.0.1", 2);
	uint64_t word;

	assert_int_equal(ask_register(w, "web", web), 0);
	assert_int_equal(ask_register(w, "app", app), 0);
	word = w->kernel->groups[registry_find(w->core->registry, "web")->id * 8];
	add_changes(w);
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 81), web);
	assert_int_equal(hit(w, "tcp", "10.0.0.1", 1), app);
	assert_int_equal(
		SB_GROUP_LIST(word),
		SB_GROUP_LIST(w->kernel->groups[registry_find(w->core->registry, "web")->id * 8]));
	fake_close(w->kernel, (uint64_t)web);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 81), PASS);
	/* A reload sweeps on its way. */
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(w->core->registry->slots.used, 1);
}

static void test_when_empty_alone(void **state)
{
	struct world *w = *state;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 80"))->when_empty = WHEN_EMPTY_PASS;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), PASS);
	((struct core_label_config *)w->config.labels)->when_empty = WHEN_EMPTY_DROP;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
}

/* The file is gone: so are its rules, its users and its WhenEmpty=; sockets and runtime rules are
 * not. */
static void test_orphan(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 1);

	add_changes(w);
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(ask_bind(w, "web tcp 10.0.0.0/8 2"), 0);
	config_clear(w);
	w->config.settings.max_sockets = 1;
	assert_int_equal(world_reload(w), 0);
	check_rules(w, "tcp 10.0.0.0/8 1 app\ntcp 10.0.0.0/8 2 web\n");
	assert_int_equal(hit(w, "tcp", "10.0.0.1", 2), fd);
	assert_null(registry_find(w->core->registry, "new"));
	assert_int_equal(ask(w, "REQUEST=status\nLABEL=web\n"), 0);
	assert_string_equal(table_get(w, "label", 0, "origin"), "runtime");
	assert_string_equal(table_get(w, "label", 0, "max_sockets"), "1");
	assert_null(table_get(w, "label", 0, "description"));
	fake_close(w->kernel, (uint64_t)fd);
	assert_int_equal(hit(w, "tcp", "10.0.0.1", 2), DROP);
	w->actor.uid = 34;
	check_refusal(w, ask_register(w, "web", fd), EPERM, "no label file");
}

/* A label without a file follows the broker's own MaxSockets=. */
static void test_max_sockets_of_runtime_labels(void **state)
{
	struct world *w = *state;

	w->config.settings.max_sockets = 5;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask(w, "REQUEST=status\nLABEL=app\n"), 0);
	assert_string_equal(table_get(w, "label", 0, "max_sockets"), "5");
}

/* A runtime rule that a file has now is the file's, and goes with it, also over a restart. */
static void test_runtime_rule_becomes_the_files(void **state)
{
	struct world *w = *state;

	config_label(w, "app", RULES("tcp 10.0.0.0/8 1"));
	assert_int_equal(world_reload(w), 0);
	check_refusal(w, ask_unbind(w, "app tcp 10.0.0.0/8 1"), EBUSY, "label file of app");
	config_clear(w);
	assert_int_equal(world_reload(w), 0);
	check_rules(w, "");
	assert_int_equal(world_start(w), 0);
	check_rules(w, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_conflict_of_files),
		TEST(test_runtime_rule_in_the_way),
		TEST(test_overlap_with_runtime_rule),
		TEST(test_limits),
		TEST(test_settings_are_refused_too),
		TEST(test_change),
		TEST(test_sockets_stay),
		TEST(test_when_empty_alone),
		TEST(test_orphan),
		TEST(test_max_sockets_of_runtime_labels),
		TEST(test_runtime_rule_becomes_the_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
