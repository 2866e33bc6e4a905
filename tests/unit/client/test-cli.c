/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Command lines, exit statuses and what stands on stderr. */
#include "tests/unit/client/check.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/commands.h"
#include "tests/unit/client/run-cli.h"

/* One line, "sockbroker: ...", that holds PART. */
static void check_one_line(const struct run *r, const char *part)
{
	const char *newline = strchr(r->err, '\n');

	check_contains(r->err, part);
	assert_int_equal(strncmp(r->err, "sockbroker: ", 12), 0);
	assert_non_null(newline);
	assert_string_equal(newline, "\n");
}

static void test_usage_errors(void **state)
{
	static const struct {
		const char *words[8];
		const char *sentence, *usage;
	} rows[] = {
		{ { NULL }, "say what to do", "usage: sockbroker [--socket PATH]" },
		{ { "nope" }, "there is no verb 'nope'", "usage: sockbroker [--socket PATH]" },
		{ { "help", "nope" }, "there is no verb 'nope'", "usage: sockbroker help [VERB]" },
		{ { "--nope", "rules" }, "there is no option --nope", "usage: sockbroker [--s" },
		{ { "rules", "--move" }, "rules: there is no option --move", "sockbroker rules" },
		{ { "rules", "a", "b" }, "'b' is one argument too many", "sockbroker rules" },
		{ { "rules", "--text", "--json" }, "--text and --json", "sockbroker rules" },
		{ { "bind" }, "bind needs 4 more arguments", "sockbroker bind LABEL" },
		{ { "bind", "a", "tcp", "::/0" }, "bind needs 1 more argument\n", "bind LABEL" },
		{ { "unbind", "tcp", "::/0" }, "unbind needs 1 more", "unbind [LABEL]" },
		{ { "apply" }, "apply needs 1 more", "apply FILE" },
		{ { "unregister" }, "unregister needs 1 more", "unregister LABEL" },
		{ { "explain", "tcp", "::1" }, "explain needs 1 more", "explain PROTO" },
		{ { "explain", "tcp", "::1", "http" }, "'http'", "explain PROTO" },
		{ { "explain", "tcp", "::1", "80", "--from", "::2" }, "--from needs", "explain" },
		{ { "explain", "tcp", "::1", "80", "--from", "::2", "0" }, "", "explain" },
		{ { "unload" }, "say --yes", "unload [--yes]" },
		{ { "--timeout", "0", "rules" }, "--timeout takes 1 to 86400 seconds", "usage: " },
		{ { "--timeout=1.5", "rules" }, "not '1.5'", "usage: " },
		{ { "--socket=", "rules" }, "--socket needs the path", "usage: " },
		{ { "register", "--json", "web" }, "no sockets were passed", "register LABEL" },
		{ { "register", "--fd", "0" }, "say under which LABEL", "register LABEL" },
		{ { "register", "web", "--fd", "x" }, "not 'x'", "register LABEL" },
		{ { "register", "web", "--pid", "0" }, "not '0'", "register LABEL" },
		{ { "register", "web", "tcp", "--pid", "1" }, "behind LABEL", "register LABEL" },
		{ { "register", "web", "tcp", "::", "80", "--fd", "0" },
		  "goes with --pid",
		  "usage" },
		{ { "register", "web", "--fd", "0", "--pid", "1" }, "exclude each other", "usage" },
		{ { "register", "web", "--fd", "0", "--add", "--replace" }, "exclude", "usage" },
	};
	struct run r = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		run_cli(&r, NULL, -1, rows[i].words);
		if (r.status != CLI_USAGE)
			fail_msg("row %zu: status %d, %s", i, r.status, r.err);
		assert_int_equal(strncmp(r.err, "sockbroker: ", 12), 0);
		check_contains(r.err, rows[i].sentence);
		check_contains(r.err, rows[i].usage);
		assert_string_equal(r.out, "");
	}
	run_free(&r);
}

static void test_unreachable(void **state)
{
	struct run r = { 0 };

	RUN(&r, "/nowhere", "rules");
	assert_int_equal(r.status, CLI_UNREACHABLE);
	check_one_line(&r, "/nowhere");
	setenv("SOCKBROKER_SOCKET", "/from/environment", 1);
	RUN(&r, NULL, "status");
	assert_int_equal(r.status, CLI_UNREACHABLE);
	check_one_line(&r, "/from/environment");
	RUN(&r, "/first", "--json", "status");
	check_one_line(&r, "/first"); /* the option wins */
	unsetenv("SOCKBROKER_SOCKET");
	run_free(&r);
}

static void test_every_verb_reports_refusals(void **state)
{
	static const char *const lines[][6] = {
		{ "status" },
		{ "rules" },
		{ "rules", "--text" },
		{ "explain", "tcp", "::1", "80" },
		{ "version" },
		{ "bind", "web", "tcp", "::/0", "80" },
		{ "unbind", "tcp", "::/0", "80" },
		{ "apply", "/dev/null" },
		{ "register", "web", "--fd", "0" },
		{ "unregister", "web" },
		{ "reload" },
		{ "unload", "--yes" },
	};
	struct fake_step refusal[] = { { .reply = "ERROR=EPERM\nMESSAGE=web: not for you\n" } };
	struct fake_step gone[] = { { .action = FAKE_HANG_UP } };
	struct fake_step garbage[] = { { .reply = "what?" } };
	struct fake_step *steps[] = { refusal, gone, garbage };
	struct run r = { 0 };
	struct fake_broker f;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		for (size_t k = 0; k < ARRAY_SIZE(steps); k++) {
			fake_broker_start(&f, steps[k], 1);
			run_cli(&r, f.path, -1, lines[i]);
			fake_broker_stop(&f);
			assert_int_equal(r.status, k == 0 ? CLI_FAILED : CLI_UNREACHABLE);
			check_one_line(&r, k == 0 ? "web: not for you" : "");
		}
	run_free(&r);
}

static void test_timeout(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, (struct fake_step){ .action = FAKE_SILENCE }, "status", "--timeout", "1");
	assert_int_equal(r.status, CLI_UNREACHABLE);
	check_one_line(&r, "did not answer within 1 s");
	run_free(&r);
}

/* Whatever the broker or the user says stays on one line. */
static void test_one_line(void **state)
{
	struct run r = { 0 };

	RUN(&r, NULL, "a\nb\033[0m");
	check_contains(r.err, "sockbroker: there is no verb 'a b [0m'\n");
	run_free(&r);
}

static void test_warnings(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer("OK=1\nADDED=1\nMOVED=0\nWARNING=web has no sockets\n"), "bind",
		 "web", "tcp", "::/0", "80");
	assert_int_equal(r.status, CLI_DONE);
	check_one_line(&r, "sockbroker: warning: web has no sockets\n");
	assert_string_equal(r.out, "web: 1 rule added\n");
	run_free(&r);
}

static void test_write_error(void **state)
{
	struct cli cli = { .out = fopen("/dev/full", "w"), .err = fopen("/dev/null", "w") };

	assert_int_equal(cli_main(&cli, 2, (char *[]){ "sockbroker", "help", NULL }), CLI_FAILED);
	fclose(cli.out);
	fclose(cli.err);
}

static void test_version(void **state)
{
	const struct fake_step step = {
		.reply = "OK=1\nVERSION=9.9\nABI=3\nKERNEL=6.1.0\nPROTOCOL=1\nNETNS=own\n"
	};
	struct run r = { 0 };
	struct fake_broker f;
	json_t *doc;

	RUN(&r, "/nowhere", "--version");
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(r.out, "sockbroker " SOCKBROKER_VERSION "\n");
	RUN_ONCE(&r, &f, step, "version");
	assert_int_equal(r.status, CLI_DONE);
	check_contains(r.out, SOCKBROKER_VERSION);
	check_contains(r.out, "broker         9.9\n");
	check_contains(r.out, "netns          own\n");

	RUN_ONCE(&r, &f, step, "--json", "version");
	doc = json_loads(r.out, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(doc, "client")), SOCKBROKER_VERSION);
	assert_string_equal(json_string_value(json_object_get(doc, "version")), "9.9");
	assert_int_equal(json_integer_value(json_object_get(doc, "abi")), 3);
	assert_int_equal(json_integer_value(json_object_get(doc, "protocol")), 1);
	json_decref(doc);

	RUN(&r, "/nowhere", "version", "--json");
	assert_int_equal(r.status, CLI_UNREACHABLE);
	doc = json_loads(r.out, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(doc, "client")), SOCKBROKER_VERSION);
	json_decref(doc);
	run_free(&r);
}

static void test_reload(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer("OK=1\n"), "reload");
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(f.requests[0].text, "REQUEST=reload\n");
	assert_string_equal(r.out, "the configuration is reloaded\n");
	RUN_ONCE(&r, &f, answer("OK=1\n"), "reload", "--json");
	check_contains(r.out, "\"reloaded\": true");
	run_free(&r);
}

static void test_unload(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer("OK=1\nDETACHED=yes\n"), "unload", "--yes");
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(f.requests[0].text, "REQUEST=unload\n");
	assert_string_equal(r.out, "the dataplane is unloaded\n");
	RUN_ONCE(&r, &f, answer("OK=1\nDETACHED=yes\n"), "unload", "--yes", "--json");
	check_contains(r.out, "\"detached\": true");
	run_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage_errors),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_every_verb_reports_refusals),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_write_error),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_unload),
	};

	unsetenv("LISTEN_FDS");
	unsetenv("SOCKBROKER_SOCKET");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
