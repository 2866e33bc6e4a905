/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/world.h"

static void send_packets(struct world *w, const char *address, uint16_t port, int n)
{
	struct packet packet = { .port = port, .protocol = IPPROTO_TCP };

	assert_int_equal(sb_address_parse(address, &packet.destination, NULL), 0);
	while (n-- > 0)
		fake_packet(w->kernel, &packet, (uint16_t)n);
}

static void status(struct world *w)
{
	assert_int_equal(ask(w, "REQUEST=status\n"), 0);
}

static void check_value(struct world *w, const char *type, size_t index, const char *key,
			const char *value)
{
	const char *found = table_get(w, type, index, key);

	if (!found || strcmp(found, value) != 0)
		fail_msg("%s %zu: %s=%s, not %s", type, index, key, found ? found : "(none)",
			 value);
}

static void test_broker(void **state)
{
	struct world *w = *state;

	w->host->now += 60;
	assert_int_equal(ask_bind(w, "web any 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 1)), 0);
	status(w);
	assert_int_equal(table_count(w, "broker"), 1);
	check_value(w, "broker", 0, "version", "1.2.3");
	check_value(w, "broker", 0, "netns", "own");
	check_value(w, "broker", 0, "uptime", "60");
	check_value(w, "broker", 0, "rules", "2");
	check_value(w, "broker", 0, "labels", "1");
	check_value(w, "broker", 0, "sockets", "1");
	assert_int_equal(table_count(w, "program"), 0); /* ours is alone */
	w->kernel->programs[1] = (struct other_program){ .id = 9, .position = 1, .name = "other" };
	w->kernel->n_programs = 2;
	status(w);
	assert_int_equal(table_count(w, "program"), 2);
	check_value(w, "program", 0, "ours", "yes");
	check_value(w, "program", 1, "name", "other");
}

static void test_one_label(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_bind(w, "mail tcp 192.0.2.0/24 25"), 0);
	status(w);
	assert_int_equal(table_count(w, "label"), 2);
	assert_int_equal(ask(w, "REQUEST=status\nLABEL=mail\n"), 0);
	assert_int_equal(table_count(w, "label"), 1);
	check_value(w, "label", 0, "label", "mail");
	check_value(w, "label", 0, "rules", "1");
	check_value(w, "label", 0, "when_empty", "drop");
	check_value(w, "label", 0, "origin", "runtime");
}

static void test_groups_and_counters(void **state)
{
	struct world *w = *state;
	int a = fake_tcp(w->host, "127.0.0.1", 1), b = fake_tcp(w->host, "127.0.0.1", 2);

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	status(w);
	assert_int_equal(table_count(w, "group"), 1);
	check_value(w, "group", 0, "protocol", "tcp");
	check_value(w, "group", 0, "family", "ipv4");
	check_value(w, "group", 0, "sockets", "0");
	send_packets(w, "192.0.2.1", 80, 3);
	assert_int_equal(ask_fds(w, FDS(a, b), "REQUEST=register\nLABEL=web\n"), 0);
	send_packets(w, "192.0.2.1", 80, 4);
	send_packets(w, "192.0.2.1", 81, 1);
	fake_close(w->kernel, (uint64_t)a);
	send_packets(w, "192.0.2.1", 80, 4);
	status(w);
	check_value(w, "group", 0, "sockets", "2");
	check_value(w, "group", 0, "living", "1");
	check_value(w, "group", 0, "lookups", "11");
	check_value(w, "group", 0, "misses", "3");
	check_value(w, "group", 0, "dead_slots", "2");
	check_value(w, "socket", 0, "state", "dead");
	check_value(w, "socket", 1, "state", "alive");
	check_value(w, "socket", 1, "address", "127.0.0.1:2");
	check_value(w, "socket", 1, "held", "no");
}

/* A label made anew does not inherit the numbers of one that had its id. */
static void test_counters_start_at_zero(void **state)
{
	struct world *w = *state;
	uint32_t id;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	send_packets(w, "192.0.2.1", 80, 3);
	id = registry_find(w->core->registry, "web")->id;
	assert_int_equal(ask_unbind(w, "web tcp 192.0.2.0/24 80"), 0);
	w->core->registry->ids.next = id;
	assert_int_equal(ask_bind(w, "mail tcp 192.0.2.0/24 25"), 0);
	assert_int_equal(registry_find(w->core->registry, "mail")->id, id);
	status(w);
	check_value(w, "group", 0, "lookups", "0");
}

static void test_warnings(void **state)
{
	struct world *w = *state;
	int six = fake_tcp(w->host, "::1", 1), four = fake_tcp(w->host, "127.0.0.1", 1);

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	status(w);
	check_value(w, "warning", 0, "text", "TCP: it has IPv4 rules, but no living socket");
	assert_int_equal(ask_register(w, "web", six), 0);
	status(w);
	assert_non_null(strstr(table_get(w, "warning", 0, "text"), "IPv6-only"));
	assert_int_equal(ask_register(w, "web", four), 0);
	status(w);
	assert_int_equal(table_count(w, "warning"), 0);
	assert_int_equal(ask_bind(w, "udp udp 2001:db8::/32 1"), 0);
	assert_int_equal(ask_register(w, "udp", fake_udp(w->host, "127.0.0.1", 1)), 0);
	assert_int_equal(ask_register(w, "bare", fake_udp(w->host, "127.0.0.1", 1)), 0);
	status(w);
	assert_int_equal(table_count(w, "warning"), 2);
	assert_non_null(strstr(table_get(w, "warning", 0, "text"), "cannot take IPv6 packets"));
	check_value(w, "warning", 1, "label", "bare");
	assert_non_null(strstr(table_get(w, "warning", 1, "text"), "no rule leads to them"));
}

/* What is no label's is said with whatever label is asked for. */
static void test_trouble(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web any 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 1)), 0);
	assert_int_equal(ask_register(w, "web", fake_udp(w->host, "127.0.0.1", 1)), 0);
	assert_int_equal(ask(w, "REQUEST=status\nLABEL=web\n"), 0);
	assert_int_equal(table_count(w, "warning"), 0);
	w->kernel->trouble = "the pins are gone";
	assert_int_equal(ask(w, "REQUEST=status\nLABEL=web\n"), 0);
	assert_int_equal(table_count(w, "warning"), 1);
	assert_string_equal(table_get(w, "warning", 0, "text"), "the pins are gone");
	assert_null(table_get(w, "warning", 0, "label"));
}

static void test_rules_list(void **state)
{
	struct world *w = *state;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 80"));
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(ask_bind(w, "app tcp 192.0.2.7 any"), 0);
	assert_int_equal(ask_bind(w, "app tcp 192.0.2.0/24 1-1023"), 0);
	assert_int_equal(ask_bind(w, "app udp 2001:db8::/32 53"), 0);
	assert_int_equal(ask(w, "REQUEST=rules\n"), 0);
	check_field(w, "COUNT", "4");
	assert_int_equal(table_count(w, "rule"), 4);
	check_value(w, "rule", 0, "family", "ipv6");
	check_value(w, "rule", 1, "prefix", "192.0.2.7/32");
	check_value(w, "rule", 1, "ports", "any");
	check_value(w, "rule", 1, "family", "ipv4");
	check_value(w, "rule", 2, "origin", "config");
	assert_int_equal(ask(w, "REQUEST=rules\nLABEL=web\nFORMAT=text\n"), 0);
	check_field(w, "COUNT", "1");
	assert_string_equal(w->table, "tcp 192.0.2.0/24 80 web\n");
}

/* RuleCounters=: a rule keeps its number, and so its hits, while others come and go. */
static void test_hits(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask(w, "REQUEST=rules\n"), 0);
	assert_null(table_get(w, "rule", 0, "hits"));
	w->kernel->rule_numbers = 3;
	assert_int_equal(world_start(w), 0);
	w->kernel->hits[w->core->numbers.next - 1] = 7;
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 79,81"), 0);
	check_refusal(w, ask_bind(w, "web tcp 192.0.2.0/24 82"), ENOSPC, "RuleCounters=");
	assert_int_equal(
		ask_apply(w, "tcp 192.0.2.0/24 80 web\ntcp 192.0.2.0/24 79 other\n", false), 0);
	assert_int_equal(ask(w, "REQUEST=rules\n"), 0);
	check_value(w, "rule", 0, "hits", "0");
	check_value(w, "rule", 1, "hits", "7");
	assert_int_equal(ask_unbind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80,81"), 0);
	assert_int_equal(ask(w, "REQUEST=rules\nLABEL=web\n"), 0);
	check_value(w, "rule", 0, "hits", "0");
	check_value(w, "rule", 1, "hits", "0");
}

static void test_summary(void **state)
{
	struct world *w = *state;
	char text[128];

	assert_int_equal(ask_bind(w, "web any 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_register(w, "app", fake_tcp(w->host, "127.0.0.1", 1)), 0);
	core_summary(w->core, text, sizeof(text));
	assert_string_equal(text, "2 rules, 2 labels, 1 sockets");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_broker),
		TEST(test_one_label),
		TEST(test_groups_and_counters),
		TEST(test_counters_start_at_zero),
		TEST(test_warnings),
		TEST(test_trouble),
		TEST(test_rules_list),
		TEST(test_hits),
		TEST(test_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
