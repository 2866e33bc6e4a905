/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/world.h"

#include <stdio.h>

static void check_bound(struct world *w, const char *rule, const char *added, const char *moved,
			const char *unchanged)
{
	assert_int_equal(ask_bind(w, rule), 0);
	check_field(w, "ADDED", added);
	check_field(w, "MOVED", moved);
	check_field(w, "UNCHANGED", unchanged);
}

static int ask_move(struct world *w, const char *label, const char *ports)
{
	return ask(w,
		   "REQUEST=bind\nLABEL=%s\nPROTOCOL=tcp\nPREFIX=192.0.2.0/24\nPORTS=%s\n"
		   "MOVE=yes\n",
		   label, ports);
}

/* Also after a restart: what was saved is what is in force. */
static void check_saved(struct world *w, const char *rules)
{
	check_rules(w, rules);
	assert_int_equal(world_start(w), 0);
	check_rules(w, rules);
}

static void test_lists_of_ports(void **state)
{
	struct world *w = *state;

	check_bound(w, "web any 192.0.2.0/24 443,80,8000-8999", "6", "0", "0");
	assert_int_equal(hit(w, "udp", "192.0.2.9", 8500), DROP);
	assert_int_equal(hit(w, "tcp", "192.0.2.9", 443), DROP);
	assert_int_equal(hit(w, "tcp", "192.0.2.9", 81), PASS);
	check_bound(w, "web tcp 192.0.2.0/24 80,81", "1", "0", "1");
	check_bound(w, "web any 192.0.2.0/24 443,80,8000-8999", "0", "0", "6");
	check_bound(w, "web tcp 192.0.2.1 any", "1", "0", "0");
	check_saved(w, "tcp 192.0.2.1/32 any web\n"
		       "tcp 192.0.2.0/24 80 web\n"
		       "tcp 192.0.2.0/24 81 web\n"
		       "tcp 192.0.2.0/24 443 web\n"
		       "udp 192.0.2.0/24 80 web\n"
		       "udp 192.0.2.0/24 443 web\n"
		       "tcp 192.0.2.0/24 8000-8999 web\n"
		       "udp 192.0.2.0/24 8000-8999 web\n");
}

static void test_bad_values(void **state)
{
	struct world *w = *state;

	check_refusal(w, ask_bind(w, "web sctp 192.0.2.0/24 80"), EINVAL, "sctp");
	check_refusal(w, ask_bind(w, "web tcp 192.0.2.0/33 80"), EINVAL, "192.0.2.0/33");
	check_refusal(w, ask_bind(w, "web tcp ::ffff:192.0.2.0/120 80"), EINVAL, "IPv4");
	check_refusal(w, ask_bind(w, "web tcp 192.0.2.0/24 80-79"), EINVAL, "80-79");
	check_refusal(w, ask_bind(w, "-web tcp 192.0.2.0/24 80"), EINVAL, "-web");
	assert_int_equal(w->core->registry->n_labels, 0);
	assert_null(w->state->journal.data);
}

static void test_equal_rule_of_another(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	check_refusal(w, ask_bind(w, "mail tcp 192.0.2.0/24 25,80"), EEXIST,
		      "rule tcp 192.0.2.0/24 80 belongs to label web already; --move reassigns it");
	assert_null(registry_find(w->core->registry, "mail"));
	check_rules(w, "tcp 192.0.2.0/24 80 web\n");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 25), PASS);
}

static void test_overlap(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 8000-8099"), 0);
	check_refusal(w, ask_bind(w, "mail tcp 192.0.2.0/24 25,8050-8149"), EEXIST,
		      "rule tcp 192.0.2.0/24 8050-8149 is in conflict with rule tcp 192.0.2.0/24 "
		      "8000-8099 of label web");
	check_refusal(w, ask_move(w, "mail", "8050-8149"), EEXIST, "in conflict");
	check_rules(w, "tcp 192.0.2.0/24 8000-8099 web\n");
	assert_null(registry_find(w->core->registry, "mail"));
	/* Another width, another protocol or another prefix is none. */
	assert_int_equal(ask_bind(w, "mail tcp 192.0.2.0/24 8050-8150"), 0);
	assert_int_equal(ask_bind(w, "mail udp 192.0.2.0/24 8050-8149"), 0);
	assert_int_equal(ask_bind(w, "mail tcp 192.0.2.0/25 8050-8149"), 0);
}

static void test_move(void **state)
{
	struct world *w = *state;
	int web = fake_tcp(w->host, "127.0.0.1", 1), mail = fake_tcp(w->host, "127.0.0.1", 2);

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80,443"), 0);
	assert_int_equal(ask_register(w, "web", web), 0);
	assert_int_equal(ask_register(w, "mail", mail), 0);
	assert_int_equal(ask_move(w, "mail", "25,80"), 0);
	check_field(w, "ADDED", "1");
	check_field(w, "MOVED", "1");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), mail);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 25), mail);
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 443), web);
	assert_int_equal(ask_move(w, "mail", "443"), 0);
	assert_int_equal(ask(w, "REQUEST=status\n"), 0);
	assert_string_equal(table_get(w, "label", 0, "rules"), "0");
	assert_string_equal(table_get(w, "label", 1, "rules"), "3");
	check_saved(w, "tcp 192.0.2.0/24 25 mail\n"
		       "tcp 192.0.2.0/24 80 mail\n"
		       "tcp 192.0.2.0/24 443 mail\n");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 443), mail);
}

/* The label that lost its last rule, and has no socket, is gone. */
static void test_move_forgets_the_old_label(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_move(w, "mail", "80"), 0);
	assert_null(registry_find(w->core->registry, "web"));
	check_saved(w, "tcp 192.0.2.0/24 80 mail\n");
}

static void test_config_rules(void **state)
{
	struct world *w = *state;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 80"));
	assert_int_equal(world_reload(w), 0);
	check_refusal(w, ask_move(w, "mail", "80"), EEXIST,
		      "rule tcp 192.0.2.0/24 80 belongs to label web by its label file");
	check_refusal(w, ask_unbind(w, "web tcp 192.0.2.0/24 80"), EBUSY,
		      "is part of the label file of web");
	check_bound(w, "web tcp 192.0.2.0/24 80,81", "1", "0", "1");
	check_refusal(w, ask_unbind(w, "web tcp 192.0.2.0/24 80,81"), EBUSY, "label file");
	check_rules(w, "tcp 192.0.2.0/24 80 web\ntcp 192.0.2.0/24 81 web\n");
}

static void test_max_rules(void **state)
{
	struct world *w = *state;

	w->config.settings.max_rules = 3;
	assert_int_equal(world_reload(w), 0);
	check_refusal(w, ask_bind(w, "web tcp 192.0.2.0/24 1,2,3,4"), ENOSPC,
		      "there are 0 rules already, there may be 3 (MaxRules=");
	assert_null(registry_find(w->core->registry, "web"));
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 1,2,3"), 0);
	check_refusal(w, ask_bind(w, "web tcp 192.0.2.0/24 4"), ENOSPC, "MaxRules=");
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 1,2"), 0);
	assert_int_equal(ask_move(w, "mail", "1"), 0);
}

static void test_many_ports(void **state)
{
	struct world *w = *state;
	char rule[600];
	int n = sprintf(rule, "web any 192.0.2.0/24 1000");

	for (int i = 1; i < SB_PORT_LIST_MAX; i++)
		n += sprintf(rule + n, ",%d", 1000 + i * 2);
	check_bound(w, rule, "128", "0", "0");
	assert_int_equal(hit(w, "udp", "192.0.2.1", 1126), DROP);
	sprintf(rule + n, ",5000");
	check_refusal(w, ask_bind(w, rule), EINVAL, "64");
}

static void test_unbind(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web any 192.0.2.0/24 80,443"), 0);
	assert_int_equal(ask_unbind(w, "web any 192.0.2.0/24 80"), 0);
	check_field(w, "REMOVED", "2");
	assert_int_equal(hit(w, "tcp", "192.0.2.1", 80), PASS);
	check_refusal(w, ask_unbind(w, "web any 192.0.2.0/24 80"), ENOENT,
		      "there is no rule tcp 192.0.2.0/24 80");
	check_refusal(w, ask_unbind(w, "mail tcp 192.0.2.0/24 443"), ENOENT, "no label mail");
	assert_int_equal(ask_bind(w, "mail tcp 192.0.2.0/24 25"), 0);
	check_refusal(w, ask_unbind(w, "mail tcp 192.0.2.0/24 443"), ENOENT,
		      "label mail has no rule tcp 192.0.2.0/24 443; there is rule tcp "
		      "192.0.2.0/24 443 of label web");
	/* All or none. */
	check_refusal(w, ask_unbind(w, "web tcp 192.0.2.0/24 443,444"), ENOENT, "444");
	check_saved(w, "tcp 192.0.2.0/24 25 mail\n"
		       "tcp 192.0.2.0/24 443 web\n"
		       "udp 192.0.2.0/24 443 web\n");
}

static void test_unbind_without_label(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_bind(w, "mail tcp 192.0.2.0/24 25"), 0);
	assert_int_equal(ask(w, "REQUEST=unbind\nPROTOCOL=tcp\nPREFIX=192.0.2.0/24\nPORTS=25,80\n"),
			 0);
	check_field(w, "REMOVED", "2");
	assert_int_equal(w->core->registry->n_labels, 0);
	check_saved(w, "");
}

/* Rules alike but for their prefix do not get in each other's way, edited in place. */
static void test_edits_in_place(void **state)
{
	struct world *w = *state;
	size_t generations;
	char rule[64];

	assert_int_equal(ask_bind(w, "zero tcp 0.0.0.0/0 80"), 0);
	generations = w->kernel->n_generations;
	for (int i = 0; i < 32; i++) {
		sprintf(rule, "l%d tcp 10.0.0.0/%d 80", i, i + 1);
		assert_int_equal(ask_bind(w, rule), 0);
	}
	assert_int_equal(w->kernel->n_generations, generations);
	assert_int_equal(ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=10.0.0.1\nPORT=80\n"), 0);
	assert_string_equal(table_get(w, "rule", 0, "label"), "l30");
	assert_int_equal(table_count(w, "shadowed"), 31);
	assert_string_equal(table_get(w, "verdict", 0, "agrees"), "yes");
	for (int i = 31; i >= 0; i--) {
		sprintf(rule, "l%d tcp 10.0.0.0/%d 80", i, i + 1);
		assert_int_equal(ask_unbind(w, rule), 0);
	}
	check_saved(w, "tcp 0.0.0.0/0 80 zero\n");
}

static void test_guard(void **state)
{
	struct world *w = *state;

	w->host->listeners[0] = (struct local_listener){
		.address = { .family = AF_INET },
		.port = 22,
		.protocol = IPPROTO_TCP,
		.cookie = 5,
	};
	w->host->n_listeners = 1;
	sb_address_parse("192.0.2.9", &w->host->own_address, NULL);
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(warnings(w, NULL), 0);
	assert_int_equal(ask_bind(w, "all tcp 198.51.100.1 any"), 0);
	assert_int_equal(warnings(w, "takes traffic from the TCP socket that listens on "
				     "0.0.0.0:22"),
			 1);
	assert_int_equal(ask_bind(w, "web udp 192.0.2.0/24 40000-40010"), 0);
	assert_int_equal(warnings(w, "covers ports of the ephemeral range 32768-60999 on this "
				     "host's own address 192.0.2.9"),
			 1);
	assert_int_equal(ask_bind(w, "web udp 192.0.2.0/24 40000-40010"), 0);
	assert_int_equal(warnings(w, NULL), 0);
	assert_int_equal(ask_bind(w, "web udp 198.51.100.0/24 40000-40010"), 0);
	assert_int_equal(warnings(w, NULL), 0);
}

static void add_listener(struct world *w, int protocol, const char *address, uint16_t port)
{
	struct local_listener *l = &w->host->listeners[w->host->n_listeners++];

	*l = (struct local_listener){ .port = port,
				      .protocol = (uint8_t)protocol,
				      .cookie = w->host->n_listeners };
	assert_int_equal(sb_address_parse(address, &l->address, NULL), 0);
}

/* RULE is warned of for exactly these, in this order. */
static void check_victims(struct world *w, const char *rule, size_t n, const char *const *victims)
{
	const char *at;

	assert_int_equal(ask_bind(w, rule), 0);
	assert_int_equal(warnings(w, NULL), n);
	at = w->reply.writer.buffer;
	for (size_t i = 0; i < n; i++) {
		at = strstr(at, victims[i]);
		if (!at)
			fail_msg("%s: %s is not in its place", rule, victims[i]);
	}
}

#define VICTIMS(...)                                                                               \
	sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *[])                 \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

/* Whatever order they are found in: those at the edges of a prefix, and none of another protocol,
 * family or port. */
static void test_guard_among_many(void **state)
{
	struct world *w = *state;

	add_listener(w, IPPROTO_TCP, "192.0.2.255", 80);
	add_listener(w, IPPROTO_UDP, "192.0.2.7", 80);
	add_listener(w, IPPROTO_TCP, "192.0.3.0", 80);
	add_listener(w, IPPROTO_TCP, "2001:db8::1", 80);
	add_listener(w, IPPROTO_TCP, "0.0.0.0", 443);
	add_listener(w, IPPROTO_TCP, "192.0.2.0", 81);
	add_listener(w, IPPROTO_TCP, "192.0.2.0", 80);
	add_listener(w, IPPROTO_TCP, "192.0.1.255", 80);
	add_listener(w, IPPROTO_UDP, "2001:db8::1", 80);
	add_listener(w, IPPROTO_TCP, "0.0.0.0", 22);
	add_listener(w, IPPROTO_TCP, "2001:db8:0:1::", 80);
	add_listener(w, IPPROTO_TCP, "::", 80);
	check_victims(w, "a tcp 192.0.2.0/24 80", VICTIMS(" 192.0.2.0:80", " 192.0.2.255:80"));
	check_victims(w, "a tcp 192.0.2.0/24 1-500",
		      VICTIMS(" 192.0.2.0:80", " 192.0.2.0:81", " 192.0.2.255:80", " 0.0.0.0:22",
			      " 0.0.0.0:443"));
	check_victims(w, "a udp 192.0.2.0/24 1-500", VICTIMS(" 192.0.2.7:80"));
	check_victims(w, "a tcp 192.0.3.0/24 80", VICTIMS(" 192.0.3.0:80"));
	check_victims(w, "a tcp 192.0.2.1 80", 0, NULL);
	check_victims(w, "a tcp 192.0.2.0/24 82", 0, NULL);
	check_victims(w, "a tcp 2001:db8::/64 80", VICTIMS(" [2001:db8::1]:80", " [::]:80"));
	check_victims(w, "a tcp ::/0 443", 0, NULL);
	check_victims(
		w, "a tcp 0.0.0.0/0 80",
		VICTIMS(" 192.0.1.255:80", " 192.0.2.0:80", " 192.0.2.255:80", " 192.0.3.0:80"));
}

/* Warnings that do not fit must not refuse what was done. */
static void test_guard_without_room(void **state)
{
	struct world *w = *state;
	char rule[256];

	for (unsigned i = 0; i < 16; i++)
		w->host->listeners[i] = (struct local_listener){
			.address = { .family = AF_INET6 },
			.port = (uint16_t)(1 + i),
			.protocol = IPPROTO_TCP,
			.cookie = 5 + i,
		};
	w->host->n_listeners = 16;
	for (unsigned i = 0; i < 16; i++)
		memset(w->host->listeners[i].address.bytes, 0xab, 16);
	sprintf(rule, "%0100d tcp abab:abab:abab:abab:abab:abab:abab:abab any", 7);
	assert_int_equal(ask_bind(w, rule), 0);
	check_field(w, "ADDED", "1");
	assert_int_equal(warnings(w, "and 6 more"), 1);
	assert_true(warnings(w, NULL) > 5);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lists_of_ports),
		TEST(test_bad_values),
		TEST(test_equal_rule_of_another),
		TEST(test_overlap),
		TEST(test_move),
		TEST(test_move_forgets_the_old_label),
		TEST(test_config_rules),
		TEST(test_max_rules),
		TEST(test_many_ports),
		TEST(test_unbind),
		TEST(test_unbind_without_label),
		TEST(test_edits_in_place),
		TEST(test_guard),
		TEST(test_guard_among_many),
		TEST(test_guard_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
