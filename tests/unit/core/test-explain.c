/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/world.h"

static int explain(struct world *w, const char *protocol, const char *address, const char *port)
{
	return ask(w, "REQUEST=explain\nPROTOCOL=%s\nADDRESS=%s\nPORT=%s\n", protocol, address,
		   port);
}

static void check_verdict(struct world *w, const char *verdict, const char *reason,
			  const char *source, const char *agrees)
{
	assert_string_equal(table_get(w, "verdict", 0, "verdict"), verdict);
	if (!strstr(table_get(w, "verdict", 0, "reason"), reason))
		fail_msg("%s: not \"%s\"", table_get(w, "verdict", 0, "reason"), reason);
	assert_string_equal(table_get(w, "verdict", 0, "source"), source);
	assert_string_equal(table_get(w, "verdict", 0, "agrees"), agrees);
	assert_int_equal(warnings(w, NULL), !strcmp(agrees, "no"));
}

static void test_no_rule(void **state)
{
	struct world *w = *state;

	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	check_verdict(w, "pass", "no rule holds this destination", "kernel", "yes");
	assert_int_equal(table_count(w, "rule") + table_count(w, "label"), 0);
	assert_string_equal(table_get(w, "packet", 0, "address"), "192.0.2.1");
	assert_string_equal(table_get(w, "packet", 0, "family"), "ipv4");
}

static void test_shadowed(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_bind(w, "wide tcp 192.0.0.0/8 any"), 0);
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_bind(w, "range tcp 192.0.2.0/24 1-1023"), 0);
	assert_int_equal(ask_bind(w, "udp udp 192.0.2.0/24 80"), 0);
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	assert_int_equal(table_count(w, "rule"), 1);
	assert_string_equal(table_get(w, "rule", 0, "label"), "web");
	assert_int_equal(table_count(w, "shadowed"), 2);
	assert_string_equal(table_get(w, "shadowed", 0, "label"), "range");
	assert_string_equal(table_get(w, "shadowed", 1, "label"), "wide");
	assert_string_equal(table_get(w, "label", 0, "label"), "web");
	check_verdict(w, "drop",
		      "label web has no living socket for it, and WhenEmpty=drop: the "
		      "sender gets a TCP reset",
		      "kernel", "yes");
	assert_int_equal(explain(w, "udp", "192.0.2.1", "80"), 0);
	check_verdict(w, "drop", "ICMP port unreachable", "kernel", "yes");
}

static void test_socket(void **state)
{
	struct world *w = *state;
	int a = fake_tcp(w->host, "127.0.0.1", 8080), b = fake_tcp(w->host, "127.0.0.1", 8081);
	int six = fake_tcp(w->host, "::1", 8082);

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_bind(w, "web tcp 2001:db8::/32 80"), 0);
	assert_int_equal(ask_fds(w, FDS(a, six), "REQUEST=register\nLABEL=web\n"), 0);
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	check_verdict(w, "socket", "it is the one living socket", "kernel", "yes");
	assert_string_equal(table_get(w, "socket", 0, "address"), "127.0.0.1:8080");
	assert_int_equal(explain(w, "tcp", "2001:db8::1", "80"), 0);
	assert_string_equal(table_get(w, "socket", 0, "address"), "[::1]:8082");
	assert_int_equal(ask_add(w, "web", b), 0);
	for (int port = 1; port < 3; port++) {
		assert_int_equal(ask(w,
				     "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\n"
				     "PORT=80\nFROM_ADDRESS=10.0.0.1\nFROM_PORT=%d\n",
				     port),
				 0);
		check_verdict(w, "socket", "2 living sockets", "kernel", "yes");
		assert_string_equal(table_get(w, "socket", 0, "address"),
				    port == 1 ? "127.0.0.1:8081" : "127.0.0.1:8080");
		assert_string_equal(table_get(w, "packet", 0, "from_address"), "10.0.0.1");
	}
	fake_close(w->kernel, (uint64_t)b);
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	check_verdict(w, "socket", "it is the one living socket", "kernel", "yes");
}

static void test_pass(void **state)
{
	struct world *w = *state;

	config_label(w, "web", RULES("tcp 192.0.2.0/24 80"))->when_empty = WHEN_EMPTY_PASS;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	check_verdict(w, "pass", "WhenEmpty=pass: the ordinary socket lookup decides", "kernel",
		      "yes");
}

/* Somebody else wrote to the maps, or the socket is there but takes nothing. */
static void test_disagreement(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);
	const struct label *l;
	uint64_t word;

	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(ask_register(w, "web", fd), 0);
	l = registry_find(w->core->registry, "web");
	w->kernel->slots[l->members[0].slot].cookie = 77;
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	check_verdict(w, "socket", "cookie 77, which is none of label web's", "kernel", "no");
	w->kernel->slots[l->members[0].slot].cookie = (uint64_t)fd;
	word = w->kernel->groups[l->id * SB_GROUPS_PER_LABEL];
	w->kernel->groups[l->id * SB_GROUPS_PER_LABEL] = 0;
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	check_verdict(w, "drop", "none of them takes packets now", "kernel", "no");
	w->kernel->groups[l->id * SB_GROUPS_PER_LABEL] = word;
}

static void test_without_the_kernel(void **state)
{
	struct world *w = *state;

	w->kernel->cannot_run = true;
	assert_int_equal(ask_bind(w, "web tcp 192.0.2.0/24 80"), 0);
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "81"), 0);
	check_verdict(w, "pass", "no rule", "model", "yes");
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	check_verdict(w, "drop", "no living socket", "model", "yes");
	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 1)), 0);
	assert_int_equal(explain(w, "tcp", "192.0.2.1", "80"), 0);
	check_verdict(w, "socket", "one of the 1 living sockets", "model", "yes");
}

static void test_bad_packets(void **state)
{
	struct world *w = *state;

	check_refusal(w, explain(w, "any", "192.0.2.1", "80"), EINVAL, "tcp or udp, not any");
	check_refusal(w, explain(w, "tcp", "192.0.2.0/24", "80"), EINVAL, "192.0.2.0/24");
	check_refusal(w, explain(w, "tcp", "192.0.2.1", "80-81"), EINVAL, "80-81");
	check_refusal(w, explain(w, "tcp", "192.0.2.1", "0"), EINVAL, "0");
	check_refusal(w,
		      ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n"
			     "FROM_ADDRESS=::1\nFROM_PORT=1\n"),
		      EINVAL, "other IP version");
	check_refusal(w,
		      ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n"
			     "FROM_ADDRESS=10.0.0.1\n"),
		      EINVAL, "FROM_PORT");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_rule),     TEST(test_shadowed),     TEST(test_socket),
		TEST(test_pass),        TEST(test_disagreement), TEST(test_without_the_kernel),
		TEST(test_bad_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
