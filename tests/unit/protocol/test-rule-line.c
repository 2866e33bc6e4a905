/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/protocol/check.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/address.h"

/* Parses a copy that ends where the line ends, so that a sanitizer sees every byte read beyond. */
static int parse(const char *line, size_t n, struct sb_rule_line *ret, struct sb_error *e)
{
	char *copy = malloc(n + !n);
	int r;

	assert_non_null(copy);
	memcpy(copy, line, n);
	r = sb_rule_line_parse(copy, n, ret, e);
	free(copy);
	return r;
}

static void check_rule(const char *line, unsigned protocols, const char *prefix, const char *ports,
		       const char *label)
{
	char text[SB_ADDRESS_TEXT_MAX], port_text[SB_PORTS_TEXT_MAX];
	struct sb_rule_line rule;

	memset(&rule, 0xa5, sizeof(rule));
	assert_int_equal(parse(line, strlen(line), &rule, NULL), 1);
	assert_int_equal(rule.protocols, protocols);
	assert_string_equal(sb_prefix_format(&rule.prefix, text), prefix);
	assert_int_equal(rule.n_ports, 1);
	assert_string_equal(sb_ports_format(&rule.ports[0], port_text), ports);
	assert_string_equal(rule.label, label);
}

static void test_good(void **state)
{
	check_rule("tcp 192.0.2.0/24 80 web", SB_PROTOCOL_TCP, "192.0.2.0/24", "80", "web");
	check_rule("udp 2001:db8::/32 8000-8999 q", SB_PROTOCOL_UDP, "2001:db8::/32", "8000-8999",
		   "q");
	check_rule("\t any  [2001:db8::1]\tany \t a:b@c  ", SB_PROTOCOL_ANY, "2001:db8::1/128",
		   "any", "a:b@c");
	check_rule("tcp 1.2.3.4 * web#comment", SB_PROTOCOL_TCP, "1.2.3.4/32", "any", "web");
	check_rule("tcp 1.2.3.4 0 web # a comment: tcp x y z", SB_PROTOCOL_TCP, "1.2.3.4/32", "any",
		   "web");
	check_rule("tcp 1.2.3.4 1 web\r", SB_PROTOCOL_TCP, "1.2.3.4/32", "1", "web");
}

static void test_several_ranges(void **state)
{
	static const char line[] = "tcp 192.0.2.1 443,80,1000-1999 web";
	struct sb_rule_line rule;

	assert_int_equal(parse(line, sizeof(line) - 1, &rule, NULL), 1);
	assert_int_equal(rule.n_ports, 3);
	assert_int_equal(rule.ports[0].first, 80);
	assert_int_equal(rule.ports[1].first, 443);
	assert_int_equal(rule.ports[2].first, 1000);
	assert_int_equal(rule.ports[2].last, 1999);
}

static void test_nothing_there(void **state)
{
	static const char *const lines[] = {
		"", " ", "\t \t", "#", "# tcp 1.2.3.4 80 web", "  #x", "\r", " \r",
	};
	struct sb_rule_line rule;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(parse(lines[i], strlen(lines[i]), &rule, NULL), 0);
}

static void test_bad(void **state)
{
	static const struct {
		const char *line, *message;
	} bad[] = {
		{ "tcp", "the prefix is missing; a rule is written PROTO PREFIX PORTS LABEL" },
		{ "tcp 1.2.3.4 # 80 web",
		  "the list of ports is missing; a rule is written PROTO PREFIX PORTS LABEL" },
		{ "tcp 1.2.3.4 80",
		  "the label is missing; a rule is written PROTO PREFIX PORTS LABEL" },
		{ "tcp 1.2.3.4 80 web x y",
		  "'x' behind the label is too much; a rule is written PROTO PREFIX PORTS LABEL" },
		{ "sctp 1.2.3.4 80 web", "protocol 'sctp' is none of tcp, udp, any" },
		{ "tcp 1.2.3.4/40 80 web",
		  "prefix '1.2.3.4/40' does not end in a length from 0 to 32 behind its slash" },
		{ "tcp example.org 80 web",
		  "'example.org' is not a numeric IPv4 or IPv6 prefix (names are not looked up)" },
		{ "tcp 1.2.3.4 http web",
		  "'http' is not a port or range of ports from 1 to 65535, nor any" },
		{ "tcp 1.2.3.4 80 -web", "label '-web' does not begin with a letter or a digit" },
		{ "tcp 1.2.3.4 80, 443 web", NULL },
		{ "tcp 1.2.3.4 80 web\r ", NULL },
		{ "tcp 1.2.3.4\r80 web x", NULL },
		{ "tcp 1.2.3.4 80 web\v", NULL },
		{ "tcp\xc2\xa0"
		  "1.2.3.4 80 web",
		  NULL },
		{ "tcp 1.2.3.4 80 web\ntcp", NULL },
	};
	struct sb_rule_line rule;
	struct sb_error e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check_refused(parse(bad[i].line, strlen(bad[i].line), &rule, &e), &e, EINVAL,
			      bad[i].message);
}

static void test_embedded_nul(void **state)
{
	static const char lines[][24] = {
		"tcp\0 1.2.3.4 80 web",
		"tcp 1.2.3.4\0 80 web",
		"tcp 1.2.3.4 80\0 web",
		"tcp 1.2.3.4 80 we\0b",
	};
	struct sb_rule_line rule;
	struct sb_error e;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		check_refused(parse(lines[i], 20, &rule, &e), &e, EINVAL, NULL);
		assert_non_null(strstr(e.message, "\\x00"));
	}
}

static void test_label_limit(void **state)
{
	char line[16 + SB_LABEL_MAX + 1] = "tcp 1.2.3.4 80 x";
	struct sb_rule_line rule;
	struct sb_error e;

	memset(line + 15, 'x', SB_LABEL_MAX + 1);
	assert_int_equal(parse(line, 15 + SB_LABEL_MAX, &rule, NULL), 1);
	assert_int_equal(strlen(rule.label), SB_LABEL_MAX);
	check_refused(parse(line, 15 + SB_LABEL_MAX + 1, &rule, &e), &e, EINVAL, NULL);
}

/* Every beginning of a line, and every line with one byte changed, is answered without a byte read
 * or written beyond the ends (the sanitizers watch). */
static void test_cut_and_changed_lines(void **state)
{
	static const char line[] = "any [2001:db8::ff]/120 1-9,80,443 label-1 #c";
	struct sb_rule_line rule;
	struct sb_error e;
	size_t accepted = 0;

	for (size_t n = 0; n < sizeof(line); n++)
		accepted += parse(line, n, &rule, &e) == 1;
	assert_int_equal(accepted, sizeof(line) - 1 - strlen("any [2001:db8::ff]/120 1-9,80,443 "));

	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		for (unsigned c = 0; c < 256; c++) {
			char changed[sizeof(line)];
			int r;

			memcpy(changed, line, sizeof(line));
			changed[i] = (char)c;
			r = parse(changed, sizeof(line) - 1, &rule, &e);
			assert_true(r == 0 || r == 1 || r == -EINVAL);
			if (r < 0)
				check_refused(r, &e, EINVAL, NULL);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_several_ranges),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_embedded_nul),
		cmocka_unit_test(test_label_limit),
		cmocka_unit_test(test_cut_and_changed_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
