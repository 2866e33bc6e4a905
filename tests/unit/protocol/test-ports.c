/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#include "protocol/address.h"

static void test_protocols(void **state)
{
	static const char *const bad[] = { "", "TCP", "tcp ", "sctp", "an", "anyy", "6" };
	struct sb_error e;
	unsigned set;

	assert_int_equal(sb_protocol_parse("tcp", &set, NULL), 0);
	assert_int_equal(set, SB_PROTOCOL_TCP);
	assert_int_equal(sb_protocol_parse("udp", &set, NULL), 0);
	assert_int_equal(set, SB_PROTOCOL_UDP);
	assert_int_equal(sb_protocol_parse("any", &set, NULL), 0);
	assert_int_equal(set, SB_PROTOCOL_ANY);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(sb_protocol_parse(bad[i], &set, &e), &e, EINVAL, NULL);
	sb_protocol_parse("sctp", &set, &e);
	assert_string_equal(e.message, "protocol 'sctp' is none of tcp, udp, any");

	assert_string_equal(sb_protocol_name(IPPROTO_TCP), "tcp");
	assert_string_equal(sb_protocol_name(IPPROTO_UDP), "udp");
	assert_string_equal(sb_protocol_name(IPPROTO_SCTP), "unknown");
}

static void test_one_port(void **state)
{
	static const char *const bad[] = { "",   "0",  "65536", "99999", "100000", "080", "-1",
					   "+1", "1 ", " 1",    "0x50",  "http",   "1-2", "1,2" };
	struct sb_error e;
	uint16_t port;

	assert_int_equal(sb_port_parse("1", &port, NULL), 0);
	assert_int_equal(port, 1);
	assert_int_equal(sb_port_parse("65535", &port, NULL), 0);
	assert_int_equal(port, 65535);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(sb_port_parse(bad[i], &port, &e), &e, EINVAL, NULL);
	sb_port_parse("http", &port, &e);
	assert_string_equal(e.message, "port 'http' is not a number from 1 to 65535");
}

static void test_good_lists(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "80", "80" },
		{ "1-65535", "1-65535" },
		{ "8000-8999", "8000-8999" },
		{ "80-80", "80" },
		{ "443,80", "80,443" },
		{ "9000,80,1000-2000,443", "80,443,1000-2000,9000" },
		{ "81,80", "80,81" },
		{ "any", "any" },
		{ "*", "any" },
		{ "0", "any" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct sb_ports ports[SB_PORT_LIST_MAX];
		char text[256] = "", one[SB_PORTS_TEXT_MAX];
		size_t n = 0;

		assert_int_equal(sb_ports_parse(good[i].in, ports, ARRAY_SIZE(ports), &n, NULL), 0);
		for (size_t p = 0; p < n; p++) {
			strcat(text, p ? "," : "");
			strcat(text, sb_ports_format(&ports[p], one));
		}
		assert_string_equal(text, good[i].out);
	}
}

static void test_any_is_everything(void **state)
{
	struct sb_ports ports[1];
	size_t n;

	assert_int_equal(sb_ports_parse("any", ports, 1, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(ports[0].first, 0);
	assert_int_equal(ports[0].last, 65535);
}

static void test_bad_lists(void **state)
{
	static const struct {
		const char *in, *message;
	} bad[] = {
		{ "", "the list of ports is empty" },
		{ "90-80", "range of ports '90-80' runs backwards; write 80-90" },
		{ "http", "'http' is not a port or range of ports from 1 to 65535, nor any" },
		{ "80,80-90", "ports 80 and 80-90 of one list overlap" },
		{ "80,443,80", "ports 80 and 80 of one list overlap" },
		{ "100-200,1-100", "ports 100-200 and 1-100 of one list overlap" },
		{ "1-100,200-300,50-250", "ports 1-100 and 50-250 of one list overlap" },
		{ "200-300,1-1000", "ports 200-300 and 1-1000 of one list overlap" },
		{ "80,any", "'any' already means every port and cannot stand in a list of ports" },
		{ "*,80", "'*' already means every port and cannot stand in a list of ports" },
		{ "0-100", NULL },
		{ "80,", NULL },
		{ ",80", NULL },
		{ "80,,443", NULL },
		{ ",", NULL },
		{ "-", NULL },
		{ "-80", NULL },
		{ "80-", NULL },
		{ "1-2-3", NULL },
		{ "80 ,443", NULL },
		{ "65536", NULL },
		{ "1-65536", NULL },
		{ "65535-65536", NULL },
		{ "4294967376", NULL },
		{ "080", NULL },
		{ "**", NULL },
		{ "Any", NULL },
		{ "00", NULL },
	};
	struct sb_ports ports[SB_PORT_LIST_MAX];
	struct sb_error e;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(sb_ports_parse(bad[i].in, ports, ARRAY_SIZE(ports), &n, &e), &e,
			      EINVAL, bad[i].message);
}

static void test_list_limit(void **state)
{
	struct sb_ports ports[SB_PORT_LIST_MAX + 1];
	char list[SB_PORT_LIST_MAX * 8] = "65000";
	struct sb_error e;
	size_t n;

	for (int i = 1; i < SB_PORT_LIST_MAX; i++) /* backwards: the sort has to work */
		sprintf(list + strlen(list), ",%d", 65000 - i);
	ports[SB_PORT_LIST_MAX] = (struct sb_ports){ 7, 7 };
	assert_int_equal(sb_ports_parse(list, ports, SB_PORT_LIST_MAX, &n, NULL), 0);
	assert_int_equal(n, SB_PORT_LIST_MAX);
	for (size_t i = 1; i < n; i++)
		assert_int_equal(ports[i].first, ports[i - 1].first + 1);

	strcat(list, ",1");
	check_refused(sb_ports_parse(list, ports, SB_PORT_LIST_MAX, &n, &e), &e, EINVAL,
		      "the list of ports has more than 64 ranges in it");
	assert_int_equal(ports[SB_PORT_LIST_MAX].first, 7); /* nothing written behind the end */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protocols),  cmocka_unit_test(test_one_port),
		cmocka_unit_test(test_good_lists), cmocka_unit_test(test_any_is_everything),
		cmocka_unit_test(test_bad_lists),  cmocka_unit_test(test_list_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
