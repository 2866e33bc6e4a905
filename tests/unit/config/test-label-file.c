/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/config/scratch.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define F "labels.d/web.label"

static void expect_rule(const struct config_label *l, size_t i, int protocol, const char *prefix,
			const char *ports, unsigned line)
{
	char text[SB_ADDRESS_TEXT_MAX], port_text[SB_PORTS_TEXT_MAX];
	const struct config_rule *r = &l->rules[i];

	assert_true(i < l->n_rules);
	assert_int_equal(r->protocol, protocol);
	assert_string_equal(sb_prefix_format(&r->prefix, text), prefix);
	assert_string_equal(sb_ports_format(&r->ports, port_text), ports);
	assert_int_equal(r->line, line);
}

static void test_all(void **state)
{
	struct scratch *s = *state;
	const struct config_label *l;

	scratch_write(s, F,
		      "# the example of sockbroker.label(5), nearly\n"
		      "[Label]\n"
		      "Description=public web\n"
		      "ListenStream=192.0.2.0/24:80\n"
		      "ListenStream=[2001:db8::/48]:443,80\n"
		      "ListenDatagram=198.51.100.1:*\n"
		      "ListenDatagram=[2001:db8::1]:8000-8999\n"
		      "ListenStream=192.0.2.77/24:90\n"
		      "AllowUser=nobody 1000\n"
		      "AllowUser=0\n"
		      "AllowGroup=root\n"
		      "AllowUnit=nginx.service\t php@8.2.service\n"
		      "MaxSockets=5\n"
		      "WhenEmpty=pass\n");
	scratch_expect(s, "");
	assert_int_equal(s->config->n_labels, 1);
	assert_int_equal(s->config->n_rules, 6);
	l = &s->config->labels[0];
	assert_string_equal(l->name, "web");
	assert_string_equal(l->path, scratch_path(s, F));
	assert_string_equal(l->description, "public web");
	assert_int_equal(l->n_rules, 6);
	expect_rule(l, 0, IPPROTO_TCP, "192.0.2.0/24", "80", 4);
	expect_rule(l, 1, IPPROTO_TCP, "2001:db8::/48", "80", 5);
	expect_rule(l, 2, IPPROTO_TCP, "2001:db8::/48", "443", 5);
	expect_rule(l, 3, IPPROTO_UDP, "198.51.100.1/32", "any", 6);
	expect_rule(l, 4, IPPROTO_UDP, "2001:db8::1/128", "8000-8999", 7);
	expect_rule(l, 5, IPPROTO_TCP, "192.0.2.0/24", "90", 8);
	assert_int_equal(l->policy.n_users, 3);
	assert_int_equal(l->policy.users[0], getpwnam("nobody")->pw_uid);
	assert_int_equal(l->policy.users[1], 1000);
	assert_int_equal(l->policy.users[2], 0);
	assert_int_equal(l->policy.n_groups, 1);
	assert_int_equal(l->policy.groups[0], 0);
	assert_int_equal(l->policy.n_units, 2);
	assert_string_equal(l->policy.units[0], "nginx.service");
	assert_string_equal(l->policy.units[1], "php@8.2.service");
	assert_string_equal(l->policy.summary,
			    "user nobody, user 1000, user 0, group root, unit nginx.service, "
			    "unit php@8.2.service");
	assert_int_equal(l->max_sockets, 5);
	assert_int_equal(l->when_empty, WHEN_EMPTY_PASS);
	assert_null(l->activate);
}

static void test_defaults(void **state)
{
	struct scratch *s = *state;
	const struct config_label *l;

	scratch_write(s, F, "");
	scratch_write(s, "sockbroker.conf", "[Broker]\nMaxSockets=9\n");
	scratch_expect(s, "");
	l = &s->config->labels[0];
	assert_null(l->description);
	assert_int_equal(l->n_rules, 0);
	assert_int_equal(l->policy.n_users + l->policy.n_groups + l->policy.n_units, 0);
	assert_null(l->policy.summary);
	assert_int_equal(l->max_sockets, 9);
	assert_int_equal(l->when_empty, WHEN_EMPTY_DROP);
	assert_int_equal(l->hold_timeout_us, 90000000);
	scratch_remove(s, "sockbroker.conf");
	scratch_expect(s, "");
	assert_int_equal(s->config->labels[0].max_sockets, 64);
}

static void test_hold(void **state)
{
	struct scratch *s = *state;

	scratch_write(s, F, "[Label]\nWhenEmpty=hold\nHoldTimeout=1min 30ms\n");
	scratch_expect(s, "");
	assert_int_equal(s->config->labels[0].when_empty, WHEN_EMPTY_HOLD);
	assert_int_equal(s->config->labels[0].hold_timeout_us, 60030000);
	assert_null(s->config->labels[0].activate);
	assert_int_equal(s->config->labels[0].trigger_interval_us, 2000000);
	assert_int_equal(s->config->labels[0].trigger_burst, 20);
	/* In any order. */
	scratch_write(s, F,
		      "[Label]\nActivate=a@b.service\nTriggerLimitBurst=0\nWhenEmpty=hold\n"
		      "TriggerLimitIntervalSec=1min\n");
	scratch_expect(s, "");
	assert_string_equal(s->config->labels[0].activate, "a@b.service");
	assert_int_equal(s->config->labels[0].activate_line, 2);
	assert_int_equal(s->config->labels[0].trigger_interval_us, 60000000);
	assert_int_equal(s->config->labels[0].trigger_burst, 0);
}

/* One line of a label file each, and what is wrong with it ("": nothing). */
static const struct {
	const char *line, *error;
} cases[] = {
	{ "ListenStream=0.0.0.0/0:1-65535", "" },
	{ "ListenStream=[::/0]:any", "" },
	{ "ListenStream=[2001:db8::]/48:80", "" },
	{ "ListenStream=192.0.2.1:0", "" },
	{ "AllowUser=0", "" },
	{ "AllowUnit=session-1.scope user@1000.service foo\\x2dbar.mount", "" },
	{ "WhenEmpty=drop", "" },
	{ "MaxSockets=1024", "" },
	{ "MaxSockets=064", "" },

	{ "ListenStream=80", "ListenStream=: '80' is not of the form PREFIX:PORTS, as in "
			     "192.0.2.0/24:80 or [2001:db8::/48]:80,443" },
	{ "ListenStream=/run/web.sock",
	  "ListenStream=: '/run/web.sock' is not of the form PREFIX:PORTS, as in 192.0.2.0/24:80 "
	  "or [2001:db8::/48]:80,443" },
	{ "ListenStream=[2001:db8::/48]",
	  "ListenStream=: '[2001:db8::/48]' is not of the form PREFIX:PORTS, as in "
	  "192.0.2.0/24:80 or [2001:db8::/48]:80,443" },
	{ "ListenStream=:80", "ListenStream=: ':80' is not of the form PREFIX:PORTS, as in "
			      "192.0.2.0/24:80 or [2001:db8::/48]:80,443" },
	{ "ListenStream=2001:db8::/48:80",
	  "ListenStream=: '2001:db8::/48:80': write an IPv6 prefix in brackets, as in "
	  "[2001:db8::/48]:80" },
	{ "ListenStream=[::ffff:192.0.2.0/120]:80",
	  "ListenStream=: '[::ffff:192.0.2.0/120]' is an IPv4-mapped prefix; write the IPv4 "
	  "prefix 192.0.2.0/24" },
	{ "ListenDatagram=192.0.2.0/33:80",
	  "ListenDatagram=: prefix '192.0.2.0/33' does not end in a length from 0 to 32 behind "
	  "its slash" },
	{ "ListenStream=example.org:80",
	  "ListenStream=: 'example.org' is not a numeric IPv4 or IPv6 prefix (names are not looked "
	  "up)" },
	{ "ListenStream=192.0.2.1:http",
	  "ListenStream=: 'http' is not a port or range of ports from 1 to 65535, nor any" },
	{ "ListenStream=192.0.2.1:90-80",
	  "ListenStream=: range of ports '90-80' runs backwards; write 80-90" },
	{ "ListenStream=192.0.2.1:80,70-90",
	  "ListenStream=: ports 80 and 70-90 of one list overlap" },
	{ "ListenStream=192.0.2.1:", "ListenStream=: the list of ports is empty" },
	{ "ListenStream=", "ListenStream= has no value; to have the default, leave the line out" },
	{ "AllowUser=no-such-user-here", "AllowUser=: there is no user 'no-such-user-here'" },
	{ "AllowUser=4294967295", "AllowUser=: '4294967295' is not the number of a user" },
	{ "AllowUser=99999999999999999999999",
	  "AllowUser=: '99999999999999999999999' is not the number of a user" },
	{ "AllowUser=-1", "AllowUser=: there is no user '-1'" },
	{ "AllowUser=root,nobody", "AllowUser=: there is no user 'root,nobody'" },
	{ "AllowGroup=no-such-group-here", "AllowGroup=: there is no group 'no-such-group-here'" },
	{ "AllowUnit=nginx", "AllowUnit=: unit 'nginx' has no suffix; write all of its name, as in "
			     "nginx.service" },
	{ "AllowUnit=system.slice",
	  "AllowUnit=: unit 'system.slice' is of no kind that has processes (service, scope, "
	  "socket, mount, swap)" },
	{ "AllowUnit=web@.service", "AllowUnit=: unit 'web@.service' is a template, and no process "
				    "is in one; name its instance" },
	{ "AllowUnit=.service", "AllowUnit=: '.service' is not the name of a unit" },
	{ "AllowUnit=@x.service", "AllowUnit=: '@x.service' is not the name of a unit" },
	{ "AllowUnit=web*.service", "AllowUnit=: 'web*.service' is not the name of a unit" },
	{ "MaxSockets=0", "MaxSockets=: '0' is not a number from 1 to 1024" },
	{ "MaxSockets=1025", "MaxSockets=: '1025' is not a number from 1 to 1024" },
	{ "MaxSockets=4294967297", "MaxSockets=: '4294967297' is not a number from 1 to 1024" },
	{ "MaxSockets=+5", "MaxSockets=: '+5' is not a number from 1 to 1024" },
	{ "MaxSockets=5 6", "MaxSockets=: '5 6' is not a number from 1 to 1024" },
	{ "WhenEmpty=Drop", "WhenEmpty=: 'Drop' is none of drop, pass, hold" },
	{ "HoldTimeout=never", "HoldTimeout=: 'never' is not a span of time, as in 10, 500ms or "
			       "1min 30s" },
	{ "HoldTimeout=1ms", "HoldTimeout=: '1ms' is not a time from 0.1s to 86400s" },
	{ "Activate=nginx.service", "Activate= needs WhenEmpty=hold: the connection that starts "
				    "nginx.service has to wait for it" },
	{ "Activate=nginx", "Activate=: unit 'nginx' has no suffix; write all of its name, as in "
			    "nginx.service" },
	{ "Activate=nginx.socket",
	  "Activate=: nginx.socket is no service; only services are started" },
	{ "Activate=.service", "Activate=: '.service' is not the name of a unit" },
	{ "Activate=poweroff.target", "Activate=: unit 'poweroff.target' is of no kind that has "
				      "processes (service, scope, socket, mount, swap)" },
	{ "TriggerLimitBurst=many",
	  "TriggerLimitBurst=: 'many' is not a number from 0 to 1000000" },
	{ "TriggerLimitIntervalSec=-1",
	  "TriggerLimitIntervalSec=: '-1' is not a span of time, as in 10, 500ms or 1min 30s" },
	{ "AllowUsers=root", "AllowUsers= is not known" },
	{ "allowuser=root", "allowuser= is not known; it is written AllowUser=" },
};

static void test_cases(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[512], error[512] = "";

		snprintf(text, sizeof(text), "# line 1\n[Label]\n%s\n", cases[i].line);
		if (cases[i].error[0])
			snprintf(error, sizeof(error), F ":3: %s\n", cases[i].error);
		scratch_write(*state, F, text);
		scratch_expect(*state, error);
	}
}

static void test_every_word_of_a_list(void **state)
{
	scratch_write(*state, F,
		      "[Label]\nAllowUser=no-such-a root no-such-b\nAllowUnit=x y.service z\n");
	scratch_expect(*state,
		       F ":2: AllowUser=: there is no user 'no-such-a'\n" F
			 ":2: AllowUser=: there is no user 'no-such-b'\n" F
			 ":3: AllowUnit=: unit 'x' has no suffix; write all of its name, as in "
			 "nginx.service\n" F
			 ":3: AllowUnit=: unit 'z' has no suffix; write all of its name, as in "
			 "nginx.service\n");
}

static void test_given_twice(void **state)
{
	scratch_write(*state, F,
		      "[Label]\nDescription=a\nMaxSockets=1\nWhenEmpty=pass\nDescription=b\n"
		      "MaxSockets=x\nWhenEmpty=pass\n");
	scratch_expect(*state, F ":5: Description= stands in line 2 already\n" F
				 ":6: MaxSockets= stands in line 3 already\n" F
				 ":7: WhenEmpty= stands in line 4 already\n");
}

/* Enough of everything for the arrays to grow several times. */
static void test_many(void **state)
{
	struct scratch *s = *state;
	_cleanup_free_ char *text = malloc(1 << 20);
	char *at = stpcpy(text, "[Label]\n");

	for (int i = 0; i < 1000; i++)
		at += sprintf(at,
			      "ListenStream=10.0.%d.%d:80,443\nAllowUser=%d %d\n"
			      "AllowUnit=u%d.service\n",
			      i / 256, i % 256, 2 * i, 2 * i + 1, i);
	scratch_write(s, F, text);
	scratch_expect(s, "");
	assert_int_equal(s->config->labels[0].n_rules, 2000);
	assert_int_equal(s->config->labels[0].policy.n_users, 2000);
	assert_int_equal(s->config->labels[0].policy.users[1999], 1999);
	assert_int_equal(s->config->labels[0].policy.n_units, 1000);
	expect_rule(&s->config->labels[0], 1999, IPPROTO_TCP, "10.0.3.231/32", "443", 2999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		scratch_test(test_all),
		scratch_test(test_defaults),
		scratch_test(test_hold),
		scratch_test(test_cases),
		scratch_test(test_every_word_of_a_list),
		scratch_test(test_given_twice),
		scratch_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
