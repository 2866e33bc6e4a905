/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/world.h"

#include <stdio.h>

/* A label web with rules for both protocols and families. */
static int setup(void **state)
{
	int r = world_setup(state);
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web any 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_bind(w, "web any 2001:db8::/32 80"), 0);
	return r;
}

/* The same, with sockets that only a porter has. */
static int setup_by_porter(void **state)
{
	int r = setup(state);
	struct world *w = *state;

	w->by_porter = true;
	return r;
}

static int tcp4(struct world *w)
{
	return fake_tcp(w->host, "127.0.0.1", 8080);
}

/* The slot of the socket with that cookie, or -1. */
static int64_t slot_of(struct world *w, int fd)
{
	int64_t found = -1;

	for (uint32_t i = 0; i < SB_SLOTS_MAX; i++)
		if (w->kernel->slots[i].cookie == (uint64_t)fd) {
			assert_int_equal(found, -1);
			found = i;
		}
	return found;
}

static size_t sockets(struct world *w, const char *label)
{
	assert_int_equal(ask(w, "REQUEST=status\nLABEL=%s\n", label), 0);
	return table_count(w, "socket");
}

static void test_replace(void **state)
{
	struct world *w = *state;
	int a = tcp4(w), b = tcp4(w), c = tcp4(w);

	assert_int_equal(ask_fds(w, FDS(a, b), "REQUEST=register\nLABEL=web\n"), 0);
	check_field(w, "SOCKETS", "2");
	assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 0), a);
	assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 1), b);
	assert_int_equal(ask_fds(w, FDS(c), "REQUEST=register\nLABEL=web\nMODE=replace\n"), 0);
	for (uint16_t from = 0; from < 4; from++)
		assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, from), c);
	assert_int_equal(slot_of(w, a), -1);
	assert_int_equal(slot_of(w, b), -1);
	assert_int_equal(sockets(w, "web"), 1);
	assert_int_equal(w->core->registry->slots.used, 1);
}

static void test_add(void **state)
{
	struct world *w = *state;
	int a = tcp4(w), b = tcp4(w);

	assert_int_equal(ask_add(w, "web", a), 0);
	assert_int_equal(ask_add(w, "web", b), 0);
	assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 0), a);
	assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 1), b);
	check_refusal(w, ask_fds(w, FDS(a), "REQUEST=register\nLABEL=web\nMODE=join\n"), EINVAL,
		      "MODE= is add or replace, not \"join\"");
}

/* What is replaced are the sockets of the same protocol and socket family. */
static void test_replace_keeps_other_kinds(void **state)
{
	struct world *w = *state;
	int tcp = tcp4(w), udp = fake_udp(w->host, "127.0.0.1", 53);
	int tcp6 = fake_tcp(w->host, "::", 8080), udp6 = fake_udp(w->host, "::1", 53);
	int tcp_new = tcp4(w), tcp6_new = fake_tcp(w->host, "::1", 8081);

	assert_int_equal(ask_fds(w, FDS(tcp, udp, tcp6, udp6), "REQUEST=register\nLABEL=web\n"), 0);
	assert_int_equal(ask_register(w, "web", tcp_new), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), tcp_new);
	assert_int_equal(hit(w, "udp", "192.0.2.1", 80), udp);
	assert_int_equal(hit(w, "tcp", "2001:db8::1", 80), tcp6);
	assert_int_equal(hit(w, "udp", "2001:db8::1", 80), udp6);
	assert_int_equal(ask_register(w, "web", tcp6_new), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), tcp_new);
	assert_int_equal(hit(w, "tcp", "2001:db8::1", 80), tcp6_new);
	assert_int_equal(sockets(w, "web"), 4);
}

static void test_dual_stack(void **state)
{
	struct world *w = *state;
	int dual = fake_tcp(w->host, "::", 8080), only4 = tcp4(w);

	assert_int_equal(ask_register(w, "web", dual), 0);
	assert_int_equal(warnings(w, NULL), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), dual);
	assert_int_equal(hit(w, "tcp", "2001:db8::1", 80), dual);
	assert_int_equal(ask_register(w, "web", only4), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), only4);
	assert_int_equal(hit(w, "tcp", "2001:db8::1", 80), dual);
	fake_close(w->kernel, (uint64_t)only4);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), dual);
}

static void test_several_labels(void **state)
{
	struct world *w = *state;
	int a = tcp4(w), b = tcp4(w), c = tcp4(w), d = fake_udp(w->host, "127.0.0.1", 53);

	assert_int_equal(ask_bind(w, "mail tcp 198.51.100.0/24 25"), 0);
	assert_int_equal(ask_bind(w, "dns udp 198.51.100.0/24 53"), 0);
	assert_int_equal(ask_fds(w, FDS(a, b, c, d),
				 "REQUEST=register\nLABEL=web\nCOUNT=2\nLABEL=mail\nCOUNT=1\n"
				 "LABEL=dns\n"),
			 0);
	check_field(w, "SOCKETS", "4");
	assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, 1), b);
	assert_int_equal(hit(w, "tcp", "198.51.100.1", 25), c);
	assert_int_equal(hit(w, "udp", "198.51.100.1", 53), d);
}

static void test_counts(void **state)
{
	struct world *w = *state;
	const int *two = FDS(tcp4(w), tcp4(w));
	static const struct {
		const char *fields;
		int code;
		const char *part;
	} cases[] = {
		{ "LABEL=a\nCOUNT=3\n", EBADF, "COUNT=3, but only 2 sockets are left" },
		{ "LABEL=a\nCOUNT=1\n", EBADF, "2 sockets came, but only 1 have a label" },
		{ "LABEL=a\nLABEL=b\n", EBADF, "no socket is left for label b" },
		{ "LABEL=a\nCOUNT=0\nLABEL=b\n", EINVAL, "COUNT=0" },
		{ "LABEL=a\nCOUNT=-1\nLABEL=b\n", EINVAL, "COUNT=-1" },
		{ "LABEL=a\nCOUNT=1x\nLABEL=b\n", EINVAL, "COUNT=1x" },
		{ "LABEL=a\nCOUNT=\nLABEL=b\n", EINVAL, "COUNT=" },
		{ "LABEL=a\nCOUNT=99999999999999999999\n", EINVAL, "COUNT=9999" },
		{ "LABEL=a\nCOUNT=1\nLABEL=a\n", EINVAL, "label a comes twice" },
		{ "COUNT=1\nLABEL=a\n", EINVAL, "COUNT=" },
		{ "LABEL=a\nCOUNT=2\nCOUNT=2\n", EINVAL, "COUNT=" },
		{ "MODE=add\n", EINVAL, "lacks LABEL=" },
		{ "LABEL=.a\n", EINVAL, ".a" },
		{ "LABEL=\n", EINVAL, "label" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_refusal(w, ask_fds(w, two, "REQUEST=register\n%s", cases[i].fields),
			      cases[i].code, cases[i].part);
	assert_null(registry_find(w->core->registry, "a"));
	assert_null(registry_find(w->core->registry, "b"));
}

static void test_label_limit(void **state)
{
	struct world *w = *state;
	char packet[SB_WIRE_PACKET_MAX];
	int fds[66], n = sprintf(packet, "REQUEST=register\n");

	for (int i = 0; i < 64; i++) {
		fds[i] = tcp4(w);
		n += sprintf(packet + n, "LABEL=l%d\nCOUNT=1\n", i);
	}
	fds[64] = -1;
	assert_int_equal(ask_fds(w, fds, "%s", packet), 0);
	check_field(w, "SOCKETS", "64");
	fds[64] = tcp4(w);
	fds[65] = -1;
	sprintf(packet + n, "LABEL=l64\nCOUNT=1\n");
	check_refusal(w, ask_fds(w, fds, "%s", packet), EMSGSIZE, "more than 64 labels");
}

static void test_same_socket_twice(void **state)
{
	struct world *w = *state;
	int a = tcp4(w), b = tcp4(w), again = fake_dup(w->host, a);

	check_refusal(w, ask_fds(w, FDS(a, b, again), "REQUEST=register\nLABEL=web\n"), EINVAL,
		      "sockets 0 and 2 of the request are the same socket");
	assert_int_equal(sockets(w, "web"), 0);
	assert_int_equal(w->core->registry->slots.used, 0);
}

static void test_one_bad_socket_refuses_all(void **state)
{
	struct world *w = *state;
	int a = tcp4(w), b = tcp4(w);

	fake_facts(w->host, b)->listening = false;
	check_refusal(w, ask_fds(w, FDS(a, b), "REQUEST=register\nLABEL=fresh\n"), ENOTCONN,
		      "TCP socket 1 (127.0.0.1:8080) is not listening");
	assert_null(registry_find(w->core->registry, "fresh"));
	check_refusal(w, ask_fds(w, FDS(a, 99), "REQUEST=register\nLABEL=fresh\n"), EBADF,
		      "socket 1 cannot be looked at");
	fake_facts(w->host, b)->netns_cookie = 1;
	check_refusal(w, ask_register(w, "web", b), EXDEV, "another network namespace");
}

static void test_max_sockets(void **state)
{
	struct world *w = *state;
	int fds[5] = { tcp4(w), tcp4(w), tcp4(w), -1, -1 };
	int udp = fake_udp(w->host, "127.0.0.1", 53);

	config_label(w, "web", NULL)->max_sockets = 3;
	w->config.settings.max_sockets = 2;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask_fds(w, fds, "REQUEST=register\nLABEL=web\n"), 0);
	fds[3] = tcp4(w);
	check_refusal(w, ask_fds(w, fds, "REQUEST=register\nLABEL=web\n"), ENOSPC,
		      "label web would have 4 sockets, it may have 3 (MaxSockets=)");
	check_refusal(w, ask_add(w, "web", udp), ENOSPC, "would have 4 sockets");
	assert_int_equal(sockets(w, "web"), 3);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), fds[0]);
	assert_int_equal(w->core->registry->slots.used, 3);
	/* A label without a file has the broker's limit, and replacing counts what will be. */
	fds[3] = -1;
	check_refusal(w, ask_fds(w, fds, "REQUEST=register\nLABEL=other\n"), ENOSPC, "may have 2");
	fds[2] = -1;
	assert_int_equal(ask_fds(w, fds, "REQUEST=register\nLABEL=other\n"), 0);
	assert_int_equal(ask_fds(w, FDS(tcp4(w), tcp4(w)), "REQUEST=register\nLABEL=other\n"), 0);
}

static void test_group_limit(void **state)
{
	struct world *w = *state;
	int fds[131];

	w->config.settings.max_sockets = 1000;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask_bind(w, "big tcp 198.51.100.0/24 80"), 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 128; i++)
			fds[i] = tcp4(w);
		fds[128] = -1;
		assert_int_equal(ask_fds(w, fds, "REQUEST=register\nLABEL=big\nMODE=add\n"), 0);
	}
	check_refusal(w, ask_add(w, "big", tcp4(w)), E2BIG, "would have 257 sockets");
	assert_int_equal(ask_add(w, "big", fake_udp(w->host, "127.0.0.1", 53)), 0);
	assert_int_equal(hit_from(w, "tcp", "198.51.100.1", 80, 255), fds[127]);
}

static void test_max_labels(void **state)
{
	struct world *w = *state;

	w->config.settings.max_labels = 2; /* web is one */
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask_register(w, "second", tcp4(w)), 0);
	check_refusal(w, ask_register(w, "third", tcp4(w)), ENOSPC, "MaxLabels=");
	assert_int_equal(ask_register(w, "second", tcp4(w)), 0);
}

static void test_again_keeps_the_slot(void **state)
{
	struct world *w = *state;
	int a = tcp4(w), b = tcp4(w), again = fake_dup(w->host, a);
	int64_t slot;

	assert_int_equal(ask_register(w, "web", a), 0);
	slot = slot_of(w, a);
	fake_calls_begin(&w->calls, 0, 0);
	assert_int_equal(ask_register(w, "web", again), 0);
	/* A porter is given one, before anybody knows. */
	assert_int_equal(w->calls.count[FAKE_CALL_slot_store], 0);
	assert_int_equal(w->calls.count[FAKE_CALL_slot_adopt], w->by_porter);
	assert_int_equal(w->calls.count[FAKE_CALL_group_store], 0); /* nothing changed */
	assert_int_equal(slot_of(w, a), slot);
	assert_int_equal(ask_fds(w, FDS(b, again), "REQUEST=register\nLABEL=web\n"), 0);
	assert_int_equal(slot_of(w, a), slot);
	assert_int_equal(ask_add(w, "web", a), 0);
	assert_int_equal(sockets(w, "web"), 2);
	assert_int_equal(w->core->registry->slots.used, 2);
}

/* shutdown() takes a listener out of the sockmap; after another listen() it is the same socket, and
 * its old slot is empty. */
static void test_again_after_it_left_the_slot(void **state)
{
	struct world *w = *state;
	int a = tcp4(w);

	assert_int_equal(ask_register(w, "web", a), 0);
	fake_close(w->kernel, (uint64_t)a);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
	assert_int_equal(ask_register(w, "web", a), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), a);
	assert_int_equal(w->core->registry->slots.used, 1);
}

static void test_dead_sockets_are_left_out(void **state)
{
	struct world *w = *state;
	int a = tcp4(w), b = tcp4(w), udp = fake_udp(w->host, "127.0.0.1", 53);

	assert_int_equal(ask_fds(w, FDS(a, b), "REQUEST=register\nLABEL=web\n"), 0);
	fake_close(w->kernel, (uint64_t)a);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), b);
	assert_int_equal(ask_add(w, "web", udp), 0);
	assert_int_equal(sockets(w, "web"), 2);
	assert_int_equal(w->core->registry->slots.used, 2);
	fake_close(w->kernel, (uint64_t)b);
	core_sweep(w->core);
	assert_int_equal(sockets(w, "web"), 1);
	fake_close(w->kernel, (uint64_t)udp);
	core_sweep(w->core);
	assert_int_equal(sockets(w, "web"), 0);
	assert_int_equal(w->core->registry->slots.used, 0);
	assert_int_equal(w->core->registry->lists.used, 0);
}

/* A socket may serve two labels. */
static void test_one_socket_two_labels(void **state)
{
	struct world *w = *state;
	int a = tcp4(w);

	assert_int_equal(ask_bind(w, "mail tcp 198.51.100.0/24 25"), 0);
	assert_int_equal(ask_register(w, "web", a), 0);
	assert_int_equal(ask_register(w, "mail", a), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), a);
	assert_int_equal(hit(w, "tcp", "198.51.100.1", 25), a);
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\n"), 0);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), DROP);
	assert_int_equal(hit(w, "tcp", "198.51.100.1", 25), a);
}

static void configure_policy(struct world *w)
{
	struct core_label_config *l = config_label(w, "web", NULL);

	allow_user(l, 33);
	allow_group(l, 44);
	allow_unit(l, "web.service");
	l->policy.summary = strdup("user www-data, group web, unit web.service");
	assert_int_equal(world_reload(w), 0);
	fake_unit(w->host, 200, "web.service");
	fake_unit(w->host, 201, "mail.service");
}

static void test_policy(void **state)
{
	static const struct {
		struct actor actor;
		bool may;
	} cases[] = {
		{ { .uid = 0, .gid = 0 }, true },
		{ { .uid = 33, .gid = 33 }, true },
		{ { .uid = 34, .gid = 44 }, true },
		{ { .uid = 34, .gid = 34, .n_groups = 2, .groups = { 4, 44 } }, true },
		{ { .uid = 34, .gid = 34, .n_groups = 2, .groups = { 4, 5 } }, false },
		{ { .uid = 34, .gid = 33 }, false },
		{ { .uid = 44, .gid = 34 }, false },
		{ { .uid = 34, .gid = 34, .pid = 200 }, true },
		{ { .uid = 34, .gid = 34, .pid = 201 }, false },
		{ { .uid = 34, .gid = 34, .pid = 202 }, false },
	};
	struct world *w = *state;

	configure_policy(w);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r;

		w->actor = cases[i].actor;
		r = ask_register(w, "web", tcp4(w));
		if (r != (cases[i].may ? 0 : -EPERM))
			fail_msg("case %zu: %d", i, r);
	}
}

static void test_refusals_name_who_may(void **state)
{
	struct world *w = *state;
	int a = tcp4(w);

	strcpy(w->config.settings.admin_group, "wheel");
	configure_policy(w);
	w->actor = (struct actor){ .uid = 1000, .gid = 1000 };
	check_refusal(w, ask_register(w, "web", a), EPERM,
		      "uid 1000 may not register under label web: only root, group wheel, user "
		      "www-data, group web, unit web.service may");
	check_refusal(w, ask_register(w, "unknown", a), EPERM,
		      "uid 1000 may not register under label unknown: only root, group wheel may "
		      "(it has no label file with AllowUser= or the like)");
	/* Of several labels all must be allowed. */
	w->actor.uid = 33;
	check_refusal(
		w,
		ask_fds(w, FDS(a, tcp4(w)), "REQUEST=register\nLABEL=web\nCOUNT=1\nLABEL=other\n"),
		EPERM, "label other");
	assert_int_equal(slot_of(w, a), -1);
	/* A label that lost its file is for admins only again. */
	config_clear(w);
	assert_int_equal(world_reload(w), 0);
	check_refusal(w, ask_register(w, "web", a), EPERM, "no label file");
}

static void test_registrant(void **state)
{
	struct world *w = *state;

	configure_policy(w);
	w->host->now = 1234567;
	w->actor = (struct actor){ .pid = 200, .uid = 34, .gid = 35 };
	assert_int_equal(ask_register(w, "web", tcp4(w)), 0);
	w->actor = (struct actor){ 0 };
	assert_int_equal(sockets(w, "web"), 1);
	assert_string_equal(table_get(w, "socket", 0, "pid"), "200");
	assert_string_equal(table_get(w, "socket", 0, "uid"), "34");
	assert_string_equal(table_get(w, "socket", 0, "gid"), "35");
	assert_string_equal(table_get(w, "socket", 0, "unit"), "web.service");
	assert_string_equal(table_get(w, "socket", 0, "since"), "1234567");
}

static void test_warnings(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "::1", 80)), 0);
	assert_int_equal(warnings(w, "label web has IPv4 rules for TCP, but its sockets are"), 1);
	assert_int_equal(warnings(w, NULL), 1);
	assert_int_equal(ask_register(w, "web", fake_udp(w->host, "::1", 80)), 0);
	assert_int_equal(warnings(w, "for UDP"), 1);
	assert_int_equal(ask_register(w, "web", tcp4(w)), 0);
	assert_int_equal(warnings(w, "for TCP"), 0);
}

/* More warnings than a reply has room for must not refuse what was done. */
static void test_many_warnings(void **state)
{
	struct world *w = *state;
	char packet[SB_WIRE_PACKET_MAX], rule[128];
	int fds[41], n = sprintf(packet, "REQUEST=register\n");

	for (int i = 0; i < 40; i++) {
		sprintf(rule, "a-label-with-quite-a-long-name-%02d tcp 10.0.%d.0/24 80", i, i);
		assert_int_equal(ask_bind(w, rule), 0);
		fds[i] = fake_tcp(w->host, "::1", (uint16_t)(1 + i));
		n += sprintf(packet + n, "LABEL=a-label-with-quite-a-long-name-%02d\nCOUNT=1\n", i);
	}
	fds[40] = -1;
	assert_int_equal(ask_fds(w, fds, "%s", packet), 0);
	check_field(w, "SOCKETS", "40");
	assert_true(warnings(w, "IPv6-only") > 10);
}

#define TESTS(SETUP)                                                                               \
	{                                                                                          \
		TEST(SETUP, test_replace), TEST(SETUP, test_add),                                  \
			TEST(SETUP, test_replace_keeps_other_kinds), TEST(SETUP, test_dual_stack), \
			TEST(SETUP, test_several_labels), TEST(SETUP, test_counts),                \
			TEST(SETUP, test_label_limit), TEST(SETUP, test_same_socket_twice),        \
			TEST(SETUP, test_one_bad_socket_refuses_all),                              \
			TEST(SETUP, test_max_sockets), TEST(SETUP, test_group_limit),              \
			TEST(SETUP, test_max_labels), TEST(SETUP, test_again_keeps_the_slot),      \
			TEST(SETUP, test_again_after_it_left_the_slot),                            \
			TEST(SETUP, test_dead_sockets_are_left_out),                               \
			TEST(SETUP, test_one_socket_two_labels), TEST(SETUP, test_policy),         \
			TEST(SETUP, test_refusals_name_who_may), TEST(SETUP, test_registrant),     \
			TEST(SETUP, test_warnings), TEST(SETUP, test_many_warnings),               \
	}
#define TEST(SETUP, f) cmocka_unit_test_setup_teardown(f, SETUP, world_teardown)

int main(void)
{
	const struct CMUnitTest here[] = TESTS(setup);
	const struct CMUnitTest by_porter[] = TESTS(setup_by_porter);
	int failed = cmocka_run_group_tests(here, NULL, NULL);

	return failed + cmocka_run_group_tests(by_porter, NULL, NULL);
}
