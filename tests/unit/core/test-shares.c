/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What users may have of slots and rules, to the exact number. */
#include "tests/unit/core/world.h"

#include <stdio.h>

#define ADMINS 7
#define MAX_RULES 90

static struct actor user(uid_t uid)
{
	return (struct actor){ .pid = 200, .uid = uid, .gid = ADMINS };
}

static int setup(void **state)
{
	int r = world_setup(state);
	struct world *w = *state;

	w->config.settings.groups.admin = ADMINS;
	w->config.settings.max_rules = MAX_RULES;
	w->config.settings.max_sockets = 1024;
	assert_int_equal(world_reload(w), 0);
	return r;
}

static int tcp(struct world *w)
{
	return fake_tcp(w->host, "127.0.0.1", 8080);
}

static int udp(struct world *w)
{
	return fake_udp(w->host, "127.0.0.1", 8080);
}

/* Leaves N slots free. */
static void leave(struct world *w, uint32_t n)
{
	struct range *slots = &w->core->registry->slots;

	assert_true(range_take(slots, SB_SLOTS_MAX - slots->used - n) >= 0);
}

static uint64_t sockets_of(struct world *w, uid_t uid)
{
	struct quota_user *u = quota_user_get(w->quota, uid);
	uint64_t n = quota_held(u, QUOTA_SOCKETS);

	quota_user_put(u);
	return n;
}

static uint64_t rules_of(struct world *w, uid_t uid)
{
	struct quota_user *u = quota_user_get(w->quota, uid);
	uint64_t n = quota_held(u, QUOTA_RULES);

	quota_user_put(u);
	return n;
}

static void test_sockets(void **state)
{
	struct world *w = *state;

	leave(w, 8);
	w->actor = user(1000);
	for (int i = 0; i < 4; i++)
		assert_int_equal(ask_add(w, "web", tcp(w)), 0);
	check_refusal(w, ask_add(w, "web", tcp(w)), EDQUOT,
		      "uid 1000 has 4 sockets registered, and would have 5; its share of the "
		      "broker's 65536 slots is 4 just now");
	assert_int_equal(sockets_of(w, 1000), 4);
	/* Another gets a third of what is left; both under one label. */
	w->actor = user(1001);
	assert_int_equal(ask_add(w, "web", udp(w)), 0);
	check_refusal(w, ask_add(w, "web", udp(w)), EDQUOT, "uid 1001 has 1 sockets");
	/* Root has no share, and takes from all. */
	w->actor = user(0);
	assert_int_equal(ask_add(w, "other", tcp(w)), 0);
	assert_int_equal(sockets_of(w, 0), 0);
	assert_int_equal(quota_used(w->quota, QUOTA_SOCKETS), 5);
}

/* What one gives back is there again; replacing needs no more than there was. */
static void test_sockets_come_back(void **state)
{
	struct world *w = *state;

	leave(w, 8);
	w->actor = user(1000);
	assert_int_equal(
		ask_fds(w, FDS(tcp(w), tcp(w), tcp(w), tcp(w)), "REQUEST=register\nLABEL=web\n"),
		0);
	assert_int_equal(
		ask_fds(w, FDS(tcp(w), tcp(w), tcp(w), tcp(w)), "REQUEST=register\nLABEL=web\n"),
		0);
	check_refusal(w, ask_add(w, "web", tcp(w)), EDQUOT, "");
	assert_int_equal(ask_register(w, "web", tcp(w)), 0);
	assert_int_equal(sockets_of(w, 1000), 1);
	assert_int_equal(ask_add(w, "other", tcp(w)), 0);
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\n"), 0);
	assert_int_equal(sockets_of(w, 1000), 1);
	/* Closed by the service. */
	w->kernel->slots[registry_find(w->core->registry, "other")->members[0].slot].cookie = 0;
	core_sweep(w->core);
	assert_int_equal(sockets_of(w, 1000), 0);
}

/* Who takes another's place in a label: the one's are given back when the other's are charged. */
static void test_sockets_change_hands(void **state)
{
	struct world *w = *state;

	w->actor = user(1000);
	assert_int_equal(ask_fds(w, FDS(tcp(w), tcp(w)), "REQUEST=register\nLABEL=web\n"), 0);
	w->actor = user(1001);
	assert_int_equal(ask_register(w, "web", tcp(w)), 0);
	assert_int_equal(sockets_of(w, 1000), 0);
	assert_int_equal(sockets_of(w, 1001), 1);
}

static void test_sockets_after_a_start(void **state)
{
	struct world *w = *state;

	w->actor = user(1000);
	assert_int_equal(ask_fds(w, FDS(tcp(w), udp(w)), "REQUEST=register\nLABEL=web\n"), 0);
	assert_int_equal(world_start(w), 0);
	assert_int_equal(sockets_of(w, 1000), 2);
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\n"), 0);
	assert_int_equal(sockets_of(w, 1000), 0);
}

/* The same on new maps, where labels without a file go another way. */
static void test_sockets_after_a_start_on_new_maps(void **state)
{
	struct world *w = *state;

	w->actor = user(1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask_add(w, "web", tcp(w)), 0);
	w->kernel->other_version = true;
	assert_int_equal(world_start(w), 0);
	assert_int_equal(sockets_of(w, 1000), 3);
	assert_int_equal(ask_register(w, "web", tcp(w)), 0);
	assert_int_equal(sockets_of(w, 1000), 1);
}

/* There was no memory to charge two sockets: that they go takes nothing from what is charged. */
static void test_sockets_without_charge(void **state)
{
	struct world *w = *state;
	const struct label *l;

	w->actor = user(1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask_add(w, "web", tcp(w)), 0);
	l = registry_find(w->core->registry, "web");
	for (int i = 0; i < 2; i++)
		quota_charge_clear(&l->members[i].charge);
	assert_int_equal(sockets_of(w, 1000), 1);
	assert_int_equal(ask_register(w, "web", tcp(w)), 0);
	assert_int_equal(sockets_of(w, 1000), 1);
}

/* What is refused is not charged, wherever it fails. */
static void test_sockets_refused(void **state)
{
	struct world *w = *state;

	w->actor = user(1000);
	for (size_t n = 1; n < 100; n++) {
		int r;

		fake_calls_begin(&w->calls, n, EIO);
		r = ask_register(w, "web", tcp(w));
		fake_calls_begin(&w->calls, 0, 0);
		if (r == 0)
			break;
		assert_int_equal(sockets_of(w, 1000), 0);
		assert_int_equal(w->core->registry->slots.used, 0);
	}
	assert_int_equal(sockets_of(w, 1000), 1);
}

static int bind_one(struct world *w, int i)
{
	char rule[64];

	snprintf(rule, sizeof(rule), "web tcp 10.0.%d.%d 80", i / 256, i % 256);
	return ask_bind(w, rule);
}

static void test_rules(void **state)
{
	struct world *w = *state;

	w->actor = user(1000);
	for (int i = 0; i < MAX_RULES / 2; i++)
		assert_int_equal(bind_one(w, i), 0);
	check_refusal(
		w, bind_one(w, 100), EDQUOT,
		"uid 1000 has 45 runtime rules, and would have 46; its share of MaxRules= is 45 "
		"just now");
	w->actor = user(1001);
	for (int i = 0; i < 15; i++)
		assert_int_equal(bind_one(w, 200 + i), 0);
	check_refusal(w, bind_one(w, 300), EDQUOT, "uid 1001 has 15 runtime rules");
	/* Root's are bounded by MaxRules= alone. */
	w->actor = user(0);
	for (int i = 0; i < 30; i++)
		assert_int_equal(bind_one(w, 400 + i), 0);
	check_refusal(w, bind_one(w, 500), ENOSPC, "MaxRules=");
	assert_int_equal(quota_used(w->quota, QUOTA_RULES), 60);
}

/* Whoever takes a rule out, it goes back to who made it; who moves one does not become its owner.
 */
static void test_rules_come_back(void **state)
{
	struct world *w = *state;

	w->actor = user(1000);
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80,443"), 0);
	w->actor = user(1001);
	assert_int_equal(ask_bind(w, "web udp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask(w, "REQUEST=bind\nLABEL=new\nPROTOCOL=tcp\nPREFIX=192.0.2.0/24\n"
				"PORTS=80\nMOVE=yes\n"),
			 0);
	assert_int_equal(rules_of(w, 1000), 2);
	assert_int_equal(rules_of(w, 1001), 1);
	assert_int_equal(ask_unbind(w, "new tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(rules_of(w, 1000), 1);
	w->actor = user(0);
	assert_int_equal(ask_unbind(w, "web tcp 192.0.2.0/24 443"), 0);
	assert_int_equal(rules_of(w, 1000), 0);
	assert_int_equal(rules_of(w, 1001), 1);
	/* A reload keeps them, a new start makes them nobody's. */
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(rules_of(w, 1001), 1);
	assert_int_equal(world_start(w), 0);
	assert_int_equal(quota_used(w->quota, QUOTA_RULES), 0);
}

static char *text_of(int n)
{
	char *text = malloc((size_t)n * 32 + 1);
	size_t length = 0;

	for (int i = 0; i < n; i++)
		length +=
			(size_t)sprintf(text + length, "tcp 10.0.%d.%d 80 web\n", i / 256, i % 256);
	return text;
}

/* All runtime rules become those of who applies: half of what label files leave. */
static void test_apply(void **state)
{
	struct world *w = *state;
	_cleanup_free_ char *most = text_of(44), *too_many = text_of(45);

	config_label(w, "web", RULES("tcp 192.0.2.0/24 80", "udp 192.0.2.0/24 80"));
	assert_int_equal(world_reload(w), 0);
	w->actor = user(1001);
	for (int i = 0; i < 20; i++)
		assert_int_equal(bind_one(w, 1000 + i), 0);
	w->actor = user(1000);
	check_refusal(
		w, ask_apply(w, too_many, false), EDQUOT,
		"uid 1000 has 0 runtime rules, and would have 45; its share of MaxRules= is 44");
	check_refusal(w, ask_apply(w, too_many, true), EDQUOT, "");
	assert_int_equal(rules_of(w, 1001), 20);
	assert_int_equal(ask_apply(w, most, false), 0);
	assert_int_equal(rules_of(w, 1000), 44);
	assert_int_equal(rules_of(w, 1001), 0);
	w->actor = user(0);
	assert_int_equal(ask_apply(w, too_many, false), 0);
	assert_int_equal(quota_used(w->quota, QUOTA_RULES), 0);
}

/* There are numbers for 127 users: what the others make is nobody's. */
static void test_many_owners(void **state)
{
	struct world *w = *state;

	w->config.settings.max_rules = 100000;
	assert_int_equal(world_reload(w), 0);
	for (int i = 0; i < 130; i++) {
		w->actor = user(1000 + (uid_t)i);
		assert_int_equal(bind_one(w, i), 0);
	}
	assert_int_equal(quota_used(w->quota, QUOTA_RULES), RULE_OWNERS_MAX);
	assert_int_equal(rules_of(w, 1000), 1);
	assert_int_equal(rules_of(w, 1129), 0);
	/* A number that is free is used again. */
	assert_int_equal(ask_unbind(w, "web tcp 10.0.0.0 80"), 0);
	assert_int_equal(bind_one(w, 500), 0);
	assert_int_equal(rules_of(w, 1129), 1);
}

static void test_rules_refused(void **state)
{
	struct world *w = *state;

	w->actor = user(1000);
	for (size_t n = 1; n < 100; n++) {
		int r;

		fake_calls_begin(&w->calls, n, EIO);
		r = bind_one(w, 1);
		fake_calls_begin(&w->calls, 0, 0);
		if (r == 0)
			break;
		assert_int_equal(rules_of(w, 1000), 0);
	}
	assert_int_equal(rules_of(w, 1000), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sockets),
		TEST(test_sockets_come_back),
		TEST(test_sockets_change_hands),
		TEST(test_sockets_after_a_start),
		TEST(test_sockets_after_a_start_on_new_maps),
		TEST(test_sockets_without_charge),
		TEST(test_sockets_refused),
		TEST(test_rules),
		TEST(test_rules_come_back),
		TEST(test_apply),
		TEST(test_many_owners),
		TEST(test_rules_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
