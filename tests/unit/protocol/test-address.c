/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "protocol/address.h"
#include "protocol/span.h"

/* What is read, written again; OUT NULL: as it came. */
static const struct {
	const char *in, *out;
} good_addresses[] = {
	{ "0.0.0.0", NULL },
	{ "192.0.2.1", NULL },
	{ "255.255.255.255", NULL },
	{ "10.20.130.4", NULL },
	{ "::", NULL },
	{ "::1", NULL },
	{ "[::1]", "::1" },
	{ "2001:DB8:0:0::1", "2001:db8::1" },
	{ "[2001:db8::192.0.2.1]", "2001:db8::c000:201" },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
	  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ "::fffe:0:1", NULL },
};

static void test_good_addresses(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(good_addresses); i++) {
		const char *in = good_addresses[i].in, *out = good_addresses[i].out;
		char text[SB_ADDRESS_TEXT_MAX];
		struct sb_address a;

		memset(&a, 0xa5, sizeof(a));
		assert_int_equal(sb_address_parse(in, &a, NULL), 0);
		assert_string_equal(sb_address_format(&a, text), out ? out : in);
		assert_int_equal(a.family, strchr(in, ':') ? AF_INET6 : AF_INET);
		for (size_t b = 4; b < 16 && a.family == AF_INET; b++)
			assert_int_equal(a.bytes[b], 0);
	}
}

static void test_bad_addresses(void **state)
{
	static const struct {
		const char *in, *message;
	} bad[] = {
		{ "", "the address is empty" },
		{ "localhost", "'localhost' is not a numeric IPv4 or IPv6 address (names are not "
			       "looked up)" },
		{ "::ffff:192.0.2.1",
		  "'::ffff:192.0.2.1' is an IPv4-mapped address; write 192.0.2.1" },
		{ "[::ffff:c000:201]",
		  "'[::ffff:c000:201]' is an IPv4-mapped address; write 192.0.2.1" },
		{ "fe80::1%eth0",
		  "address 'fe80::1%eth0' has a zone, and rules know none; leave it out" },
		{ "192.0.2.1\n", "'192.0.2.1\\x0a' is not a numeric IPv4 or IPv6 address (names "
				 "are not looked up)" },
		{ "1.2.3", NULL },
		{ "1.2.3.", NULL },
		{ "1.2.3.4.", NULL },
		{ "1.2.3.4.5", NULL },
		{ ".1.2.3.4", NULL },
		{ "1..3.4", NULL },
		{ "256.0.0.1", NULL },
		{ "1.2.3.1000", NULL },
		{ "01.2.3.4", NULL },
		{ "1.2.3.00", NULL },
		{ "1.2.3.-4", NULL },
		{ "+1.2.3.4", NULL },
		{ " 1.2.3.4", NULL },
		{ "1.2.3.4 ", NULL },
		{ "0x1.2.3.4", NULL },
		{ "16909060", NULL },
		{ "1.2.3.4/32", NULL },
		{ "[192.0.2.1]", NULL },
		{ "[::1", NULL },
		{ "::1]", NULL },
		{ "[[::1]]", NULL },
		{ "[]", NULL },
		{ "[", NULL },
		{ ":", NULL },
		{ ":::", NULL },
		{ "1:2:3:4:5:6:7:8:9", NULL },
		{ "12345::", NULL },
		{ "g::", NULL },
		{ "::1/128", NULL },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:1111:2222:3333:4444:5555", NULL },
	};
	struct sb_address a;
	struct sb_error e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(sb_address_parse(bad[i].in, &a, &e), &e, EINVAL, bad[i].message);
}

static void test_good_prefixes(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "192.0.2.1", "192.0.2.1/32" },
		{ "192.0.2.0/24", "192.0.2.0/24" },
		{ "192.0.2.77/24", "192.0.2.0/24" },
		{ "255.255.255.255/0", "0.0.0.0/0" },
		{ "255.255.255.255/1", "128.0.0.0/1" },
		{ "255.255.255.255/17", "255.255.128.0/17" },
		{ "255.255.255.255/31", "255.255.255.254/31" },
		{ "255.255.255.255/32", "255.255.255.255/32" },
		{ "::1", "::1/128" },
		{ "[::1]", "::1/128" },
		{ "2001:db8::1/32", "2001:db8::/32" },
		{ "[2001:db8::1]/32", "2001:db8::/32" },
		{ "[2001:db8::1/32]", "2001:db8::/32" },
		{ "::/0", "::/0" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127" },
		{ "2001:db8:ffff::/33", "2001:db8:8000::/33" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		char text[SB_ADDRESS_TEXT_MAX];
		struct sb_prefix p;

		assert_int_equal(sb_prefix_parse(good[i].in, &p, NULL), 0);
		assert_string_equal(sb_prefix_format(&p, text), good[i].out);
	}
}

static void test_bad_prefixes(void **state)
{
	static const struct {
		const char *in, *message;
	} bad[] = {
		{ "", "the prefix is empty" },
		{ "/24", "'/24' is not a numeric IPv4 or IPv6 prefix (names are not looked up)" },
		{ "192.0.2.0/33",
		  "prefix '192.0.2.0/33' does not end in a length from 0 to 32 behind its slash" },
		{ "::/129",
		  "prefix '::/129' does not end in a length from 0 to 128 behind its slash" },
		{ "::ffff:192.0.2.1", "'::ffff:192.0.2.1' is an IPv4-mapped prefix; write the IPv4 "
				      "prefix 192.0.2.1/32" },
		{ "::ffff:192.0.2.9/120", "'::ffff:192.0.2.9/120' is an IPv4-mapped prefix; write "
					  "the IPv4 prefix 192.0.2.0/24" },
		{ "[::ffff:0:0]/96", "'[::ffff:0:0]/96' is an IPv4-mapped prefix; write the IPv4 "
				     "prefix 0.0.0.0/0" },
		{ "::ffff:192.0.2.1/64", "'::ffff:192.0.2.1/64' is an IPv4-mapped prefix; write "
					 "the IPv4 prefix that is meant" },
		{ "fe80::1%lo/64",
		  "prefix 'fe80::1%lo/64' has a zone, and rules know none; leave it out" },
		{ "192.0.2.0/", NULL },
		{ "192.0.2.0/024", NULL },
		{ "192.0.2.0/ 24", NULL },
		{ "192.0.2.0/+24", NULL },
		{ "192.0.2.0/-1", NULL },
		{ "192.0.2.0/24/24", NULL },
		{ "192.0.2.0/255.255.255.0", NULL },
		{ "192.0.2.0/24x", NULL },
		{ "192.0.2.0/4294967320", NULL },
		{ "[192.0.2.0/24]", NULL },
		{ "[192.0.2.0]/24", NULL },
		{ "[[::1]/64]", NULL },
		{ "[::1/64", NULL },
		{ "::1]/64", NULL },
		{ "[/64]", NULL },
	};
	struct sb_prefix p;
	struct sb_error e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(sb_prefix_parse(bad[i].in, &p, &e), &e, EINVAL, bad[i].message);
}

/* The hand-written IPv4 parser says what inet_pton() says, on what a few changes make of a good
 * address. */
static void test_ipv4_agrees_with_libc(void **state)
{
	static const char bytes[] = "0129.5 /x";
	char text[] = "210.05.255.19";

	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		for (size_t j = 0; j < sizeof(text) - 1; j++) {
			for (size_t b = 0; b < (sizeof(bytes) - 1) * (sizeof(bytes) - 1); b++) {
				char changed[sizeof(text)];
				struct sb_address a;
				uint8_t expected[4];
				int valid;

				memcpy(changed, text, sizeof(text));
				changed[i] = bytes[b % (sizeof(bytes) - 1)];
				changed[j] = bytes[b / (sizeof(bytes) - 1)];
				valid = inet_pton(AF_INET, changed, expected);
				assert_int_equal(sb_address_parse(changed, &a, NULL) == 0, valid);
				if (valid)
					assert_memory_equal(a.bytes, expected, 4);
			}
		}
	}
}

static void test_embedded_nul(void **state)
{
	struct sb_prefix p;
	struct sb_error e;

	check_refused(sb_prefix_parse_span("::1\0junk", 8, &p, &e), &e, EINVAL, NULL);
	assert_non_null(strstr(e.message, "'::1\\x00junk'"));
	check_refused(sb_prefix_parse_span("1.2.3.4\0", 8, &p, &e), &e, EINVAL, NULL);
	check_refused(sb_prefix_parse_span("::1/64\0", 7, &p, &e), &e, EINVAL, NULL);
	assert_int_equal(sb_prefix_parse_span("1.2.3.4junk", 7, &p, &e), 0);
	assert_int_equal(sb_prefix_parse_span("::1/64junk", 6, &p, &e), 0);
}

static void test_endpoint_format(void **state)
{
	char text[SB_ADDRESS_TEXT_MAX];
	struct sb_address a;

	assert_int_equal(sb_address_parse("192.0.2.1", &a, NULL), 0);
	assert_string_equal(sb_endpoint_format(&a, 80, text), "192.0.2.1:80");
	assert_int_equal(sb_address_parse("2001:db8::1", &a, NULL), 0);
	assert_string_equal(sb_endpoint_format(&a, 65535, text), "[2001:db8::1]:65535");
}

static void test_from_sockaddr(void **state)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	char text[SB_ADDRESS_TEXT_MAX];
	struct sb_address a;
	uint16_t port;

	in->sin_family = AF_INET;
	in->sin_port = htons(8080);
	inet_pton(AF_INET, "192.0.2.7", &in->sin_addr);
	memset(&a, 0xa5, sizeof(a));
	assert_int_equal(sb_address_from_sockaddr(&ss, &a, &port), 0);
	assert_int_equal(port, 8080);
	assert_int_equal(a.bytes[15], 0);
	assert_string_equal(sb_address_format(&a, text), "192.0.2.7");

	memset(&ss, 0, sizeof(ss));
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(443);
	inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6->sin6_addr);
	assert_int_equal(sb_address_from_sockaddr(&ss, &a, &port), 0);
	assert_int_equal(a.family, AF_INET6);
	assert_string_equal(sb_endpoint_format(&a, port, text), "[::ffff:192.0.2.7]:443");

	ss.ss_family = AF_UNIX;
	assert_int_equal(sb_address_from_sockaddr(&ss, &a, &port), -EAFNOSUPPORT);
}

static void test_contains(void **state)
{
	static const struct {
		const char *prefix, *address;
		bool inside;
	} cases[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "0.0.0.0/0", "255.1.2.3", true },
		{ "0.0.0.0/0", "::", false },
		{ "::/0", "1.2.3.4", false },
		{ "::/0", "ffff::", true },
		{ "192.0.2.1/32", "192.0.2.1", true },
		{ "192.0.2.1/32", "192.0.2.0", false },
		{ "2001:db8::/33", "2001:db8:7fff::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "::1/128", "::1", true },
		{ "::1/128", "::", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sb_address a;
		struct sb_prefix p;

		assert_int_equal(sb_prefix_parse(cases[i].prefix, &p, NULL), 0);
		assert_int_equal(sb_address_parse(cases[i].address, &a, NULL), 0);
		assert_int_equal(sb_prefix_contains(&p, &a), cases[i].inside);
	}
}

static void test_names(void **state)
{
	assert_string_equal(sb_family_name(AF_INET), "ipv4");
	assert_string_equal(sb_family_name(AF_INET6), "ipv6");
	assert_string_equal(sb_family_name(AF_UNIX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_addresses),
		cmocka_unit_test(test_bad_addresses),
		cmocka_unit_test(test_good_prefixes),
		cmocka_unit_test(test_bad_prefixes),
		cmocka_unit_test(test_ipv4_agrees_with_libc),
		cmocka_unit_test(test_embedded_nul),
		cmocka_unit_test(test_endpoint_format),
		cmocka_unit_test(test_from_sockaddr),
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
