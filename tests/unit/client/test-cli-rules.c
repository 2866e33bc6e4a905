/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bind, unbind, rules and apply. */
#include "tests/unit/client/check.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/commands.h"
#include "tests/unit/client/run-cli.h"

#define RULES                                                                                      \
	"rule\tprotocol=tcp\tfamily=ipv4\tprefix=192.0.2.7/"                                       \
	"32\tports=80\tlabel=web\torigin=runtime"                                                  \
	"\thits=12\n"                                                                              \
	"rule\tprotocol=udp\tfamily=ipv6\tprefix=2001:db8::/48\tports=8000-8999\tlabel=api"        \
	"\torigin=config\thits=0\n"

/* A pipe that holds TEXT, its writing end closed. */
static int input_of(const char *text)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
	close(fds[1]);
	return fds[0];
}

/* `apply - WORD` with TEXT as its standard input. */
static void run_apply(struct run *r, struct fake_broker *f, struct fake_step step, const char *text,
		      const char *word)
{
	int input = input_of(text);

	fake_broker_start(f, &step, 1);
	run_cli(r, f->path, input, (const char *[]){ "apply", "-", word, NULL });
	fake_broker_stop(f);
	close(input);
}

static void test_bind(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer("OK=1\nADDED=1\nMOVED=2\nUNCHANGED=0\n"), "bind", "web", "tcp",
		 "::/0", "80", "--move");
	check_contains(f.requests[0].text, "MOVE=yes\n");
	assert_string_equal(r.out, "web: 1 rule added, 2 rules moved here\n");
	RUN_ONCE(&r, &f, answer("OK=1\nADDED=0\nMOVED=0\nUNCHANGED=1\n"), "bind", "web", "tcp",
		 "::/0", "80");
	check_lacks(f.requests[0].text, "MOVE");
	assert_string_equal(r.out, "web: nothing to do, it is so already\n");
	RUN_ONCE(&r, &f, answer("OK=1\nADDED=0\nMOVED=1\nUNCHANGED=1\n"), "bind", "web", "tcp",
		 "::/0", "80");
	assert_string_equal(r.out, "web: 1 rule moved here\n");
	RUN_ONCE(&r, &f, answer("OK=1\nADDED=2\nMOVED=0\nUNCHANGED=1\n"), "--json", "bind", "web",
		 "tcp", "::/0", "80");
	check_contains(r.out, "\"added\": 2");
	check_contains(r.out, "\"unchanged\": 1");
	run_free(&r);
}

static void test_unbind(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer("OK=1\nREMOVED=1\n"), "unbind", "tcp", "::/0", "80");
	assert_string_equal(f.requests[0].text,
			    "REQUEST=unbind\nPROTOCOL=tcp\nPREFIX=::/0\nPORTS=80\n");
	assert_string_equal(r.out, "1 rule removed\n");
	RUN_ONCE(&r, &f, answer("OK=1\nREMOVED=2\n"), "unbind", "web", "any", "::/0", "80");
	assert_string_equal(f.requests[0].text,
			    "REQUEST=unbind\nLABEL=web\nPROTOCOL=any\nPREFIX=::/0\nPORTS=80\n");
	run_free(&r);
}

static void test_rules(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer_file("OK=1\nCOUNT=2\n", RULES), "rules", "web");
	assert_int_equal(r.status, CLI_DONE);
	check_contains(f.requests[0].text, "LABEL=web\n");
	assert_string_equal(r.out, "PROTO  PREFIX         PORTS      LABEL  ORIGIN   HITS\n"
				   "tcp    192.0.2.7/32   80         web    runtime    12\n"
				   "udp    2001:db8::/48  8000-8999  api    config      0\n");
	RUN_ONCE(&r, &f, answer_file("OK=1\nCOUNT=0\n", ""), "rules");
	assert_string_equal(r.out, "");
	RUN_ONCE(&r, &f, answer_file("OK=1\n", "rule\n\nx"), "rules");
	assert_int_equal(r.status, CLI_UNREACHABLE);
	check_contains(r.err, "table is malformed");
	run_free(&r);
}

static void test_rules_text(void **state)
{
	const char *text = "tcp 192.0.2.7/32 80 web\nudp 2001:db8::/48 any api\n";
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer_file("OK=1\n", text), "rules", "--text");
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(r.out, text);
	run_free(&r);
}

static void test_rules_json(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;
	json_t *doc, *rules, *rule;

	RUN_ONCE(&r, &f, answer_file("OK=1\n", RULES), "rules", "--json");
	doc = json_loads(r.out, 0, NULL);
	rules = json_object_get(doc, "rules");
	assert_int_equal(json_array_size(rules), 2);
	rule = json_array_get(rules, 0);
	assert_int_equal(json_integer_value(json_object_get(rule, "hits")), 12);
	assert_string_equal(json_string_value(json_object_get(rule, "ports")), "80");
	assert_string_equal(json_string_value(json_object_get(rule, "label")), "web");
	assert_string_equal(json_string_value(json_object_get(rule, "family")), "ipv4");
	json_decref(doc);
	RUN_ONCE(&r, &f, answer_file("OK=1\n", ""), "rules", "--json");
	doc = json_loads(r.out, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(doc, "rules")), 0);
	assert_non_null(doc);
	json_decref(doc);
	run_free(&r);
}

#define CHANGES                                                                                    \
	"added\tprotocol=tcp\tprefix=192.0.2.0/24\tports=80\tlabel=web\n"                          \
	"moved\tprotocol=udp\tprefix=::/0\tports=any\tlabel=api\tfrom=web\n"

static void test_apply(void **state)
{
	const struct fake_step step = { .reply = "OK=1\nADDED=1\nREMOVED=0\nMOVED=3\nUNCHANGED=7\n",
					.file = CHANGES };
	struct run r = { 0 };
	struct fake_broker f;

	run_apply(&r, &f, step, "# a comment\ntcp 192.0.2.0/24 80 web\n", NULL);
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(f.requests[0].text, "REQUEST=apply\n");
	assert_string_equal(f.requests[0].file, "# a comment\ntcp 192.0.2.0/24 80 web\n");
	assert_string_equal(r.out, "added  tcp  192.0.2.0/24  80   web\n"
				   "moved  udp  ::/0          any  api (was web)\n"
				   "... and 2 more\n"
				   "1 added, 0 removed, 3 moved, 7 unchanged\n");
	run_apply(&r, &f, step, "x", "--dry-run");
	check_contains(f.requests[0].text, "DRY_RUN=yes\n");
	check_contains(r.out, "would be: 1 added, 0 removed, 3 moved, 7 unchanged\n");
	run_apply(&r, &f, (struct fake_step){ .reply = "OK=1\nUNCHANGED=2\n", .file = "" }, "",
		  NULL);
	assert_string_equal(r.out, "0 added, 0 removed, 0 moved, 2 unchanged\n");
	run_free(&r);
}

static void test_apply_json(void **state)
{
	const struct fake_step step = { .reply = "OK=1\nADDED=1\nREMOVED=0\nMOVED=1\nUNCHANGED=7\n",
					.file = CHANGES };
	struct run r = { 0 };
	struct fake_broker f;
	json_t *doc, *changes;

	run_apply(&r, &f, step, "x", "--json");
	doc = json_loads(r.out, 0, NULL);
	changes = json_object_get(doc, "changes");
	assert_int_equal(json_integer_value(json_object_get(doc, "unchanged")), 7);
	assert_true(json_is_false(json_object_get(doc, "dry_run")));
	assert_int_equal(json_array_size(changes), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(changes, 1), "change")), "moved");
	assert_string_equal(json_string_value(json_object_get(json_array_get(changes, 1), "from")),
			    "web");
	json_decref(doc);
	run_free(&r);
}

static void test_apply_bad_lines(void **state)
{
	struct fake_step step = { .reply = "ERROR=EINVAL\nMESSAGE=line 3: what\n",
				  .file = "bad\tline=3\treason=there is no protocol 'tpc'\n" };
	struct run r = { 0 };
	struct fake_broker f;

	run_apply(&r, &f, step, "x\n", NULL);
	assert_int_equal(r.status, CLI_FAILED);
	assert_string_equal(
		r.err, "sockbroker: <stdin>:3: there is no protocol 'tpc'; nothing was changed\n");
	step.file = "bad\tline=3\treason=a\nbad\tline=5\treason=b\n";
	run_apply(&r, &f, step, "x\n", NULL);
	assert_string_equal(r.err, "<stdin>:3: a\n<stdin>:5: b\n"
				   "sockbroker: <stdin>: 2 bad lines; nothing was changed\n");
	step.file = NULL;
	run_apply(&r, &f, step, "x\n", NULL);
	assert_string_equal(r.err, "sockbroker: line 3: what\n");
	run_free(&r);
}

/* What the broker says of a line of the made rule text is said of the binding. */
static void test_apply_bindings(void **state)
{
	const char *json =
		"{\"bindings\": [{\"label\": \"a\", \"prefix\": \"::/0\", \"port\": 53},\n"
		"{\"label\": \"b\", \"prefix\": \"192.0.2.1\", \"port\": 0}]}";
	struct run r = { 0 };
	struct fake_broker f;

	run_apply(&r, &f, (struct fake_step){ .reply = "OK=1\nADDED=4\n", .file = "" }, json, NULL);
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(f.requests[0].file, "any ::/0 53 a\nany 192.0.2.1/32 any b\n");
	run_apply(&r, &f,
		  (struct fake_step){ .reply = "ERROR=EINVAL\nMESSAGE=no\n",
				      .file = "bad\tline=2\treason=no\n" },
		  json, NULL);
	assert_string_equal(r.err, "sockbroker: <stdin>:bindings[1]: no; nothing was changed\n");
	run_apply(&r, &f, (struct fake_step){ 0 }, "{\"x\": 1}", NULL);
	assert_int_equal(r.status, CLI_FAILED);
	assert_string_equal(r.err, "sockbroker: <stdin>: unknown key \"x\"; nothing was changed\n");
	assert_int_equal(f.n_requests, 0);
	run_free(&r);
}

static void test_apply_no_file(void **state)
{
	struct run r = { 0 };

	RUN(&r, "/nowhere", "apply", "/no/such/file");
	assert_int_equal(r.status, CLI_FAILED);
	assert_string_equal(r.err, "sockbroker: /no/such/file: No such file or directory\n");
	RUN(&r, "/nowhere", "apply", "/");
	assert_int_equal(r.status, CLI_FAILED);
	check_contains(r.err, "sockbroker: /: Is a directory");
	run_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bind),           cmocka_unit_test(test_unbind),
		cmocka_unit_test(test_rules),          cmocka_unit_test(test_rules_text),
		cmocka_unit_test(test_rules_json),     cmocka_unit_test(test_apply),
		cmocka_unit_test(test_apply_json),     cmocka_unit_test(test_apply_bad_lines),
		cmocka_unit_test(test_apply_bindings), cmocka_unit_test(test_apply_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
