/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a command line to an exit status. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/commands.h"
#include "client/number.h"

enum { GLOBAL_SOCKET, GLOBAL_JSON, GLOBAL_TIMEOUT, GLOBAL_HELP, GLOBAL_H, GLOBAL_VERSION };

static const struct option_spec global_options[] = {
	[GLOBAL_SOCKET] = { "--socket", 1 },
	[GLOBAL_JSON] = { "--json" },
	[GLOBAL_TIMEOUT] = { "--timeout", 1 },
	[GLOBAL_HELP] = { "--help" },
	[GLOBAL_H] = { "-h" },
	[GLOBAL_VERSION] = { "--version" },
	{ NULL },
};

#define TIMEOUT_MAX_S 86400

/* One line, whatever the words in it hold. */
static void say(FILE *f, const char *lead, const char *format, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void say(FILE *f, const char *lead, const char *format, va_list ap)
{
	char line[2 * SB_ERROR_MESSAGE_MAX];

	vsnprintf(line, sizeof(line), format, ap);
	for (char *p = line; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = ' ';
	fprintf(f, "sockbroker: %s%s\n", lead, line);
}

int cli_fail(struct cli *cli, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(cli->err, "", format, ap);
	va_end(ap);
	return CLI_FAILED;
}

void cli_warn(struct cli *cli, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(cli->err, "warning: ", format, ap);
	va_end(ap);
}

void cli_print_usage(FILE *f, const struct command *c)
{
	const char *line = c->usage;

	for (const char *lead = "usage: "; line; lead = "       ") {
		int n = (int)strcspn(line, "\n");

		fprintf(f, "%ssockbroker %.*s\n", lead, n, line);
		line = line[n] ? line + n + 1 : NULL;
	}
}

int cli_usage(struct cli *cli, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(cli->err, "", format, ap);
	va_end(ap);
	if (cli->command)
		cli_print_usage(cli->err, cli->command);
	else
		fputs("usage: sockbroker [--socket PATH] [--json] VERB ... (see sockbroker help)\n",
		      cli->err);
	return CLI_USAGE;
}

const char *cli_value(const struct sockbroker_table *t, const char *key)
{
	const char *value = sockbroker_table_get(t, key);

	return value ? value : "";
}

int cli_connect(struct cli *cli)
{
	if (!cli->broker) {
		cli->broker = sockbroker_new();
		sockbroker_set_timeout(cli->broker, cli->timeout);
	}
	if (sockbroker_connect(cli->broker, cli->socket) < 0)
		return cli_request_failed(cli);
	return CLI_DONE;
}

int cli_request_failed(struct cli *cli)
{
	cli_fail(cli, "%s", sockbroker_error(cli->broker));
	return sockbroker_failure(cli->broker) == SOCKBROKER_UNREACHABLE ? CLI_UNREACHABLE
									 : CLI_FAILED;
}

int cli_table_end(struct cli *cli, int r)
{
	if (r == 0)
		return CLI_DONE;
	cli_fail(cli, "the broker's table is malformed; are its version and this one's the same?");
	return CLI_UNREACHABLE;
}

void cli_print_warnings(struct cli *cli)
{
	const char *text;

	for (size_t i = 0; (text = sockbroker_warning(cli->broker, i)); i++)
		cli_warn(cli, "%s", text);
}

/* Takes over what the global options of A say. */
static int take_globals(struct cli *cli, const struct arguments *a)
{
	const struct option_value *socket = &a->globals[GLOBAL_SOCKET];
	const struct option_value *timeout = &a->globals[GLOBAL_TIMEOUT];
	uint64_t seconds;

	if (a->globals[GLOBAL_JSON].given)
		cli->json = true;
	if (socket->given)
		cli->socket = socket->values[socket->n_values - 1];
	if (cli->socket && !*cli->socket)
		return cli_usage(cli, "--socket needs the path of a socket");
	if (!timeout->given)
		return CLI_DONE;
	if (!number_parse(timeout->values[timeout->n_values - 1], &seconds) || seconds == 0 ||
	    seconds > TIMEOUT_MAX_S)
		return cli_usage(cli, "--timeout takes 1 to %d seconds, not '%s'", TIMEOUT_MAX_S,
				 timeout->values[timeout->n_values - 1]);
	cli->timeout = (int)seconds * 1000;
	return CLI_DONE;
}

static bool help_wanted(const struct arguments *a)
{
	return a->globals[GLOBAL_HELP].given || a->globals[GLOBAL_H].given;
}

static int check_count(struct cli *cli, const struct arguments *a)
{
	const struct command *c = cli->command;

	if (a->n_args < c->min_args)
		return cli_usage(cli, "%s needs %zu more argument%s", c->name,
				 c->min_args - a->n_args, c->min_args - a->n_args == 1 ? "" : "s");
	if (a->n_args > c->max_args)
		return cli_usage(cli, "%s: '%s' is one argument too many", c->name,
				 a->args[c->max_args]);
	return CLI_DONE;
}

/* ARGV[0] is the verb. */
static int run_verb(struct cli *cli, int argc, char **argv)
{
	struct sb_error error = { 0 };
	struct arguments a;
	int used, r;

	cli->command = commands_find(argv[0]);
	if (!cli->command)
		return cli_usage(cli, "there is no verb '%s'", argv[0]);
	r = arguments_parse(&a, argc - 1, argv + 1, global_options, cli->command->options, false,
			    &used, &error);
	if (r < 0)
		return cli_usage(cli, "%s: %s", argv[0], error.message);
	if (help_wanted(&a)) {
		struct arguments which = { .n_args = 1, .args = (const char *[]){ argv[0] } };

		r = cmd_help(cli, &which);
		arguments_free(&a);
		return r;
	}
	r = take_globals(cli, &a);
	if (r == CLI_DONE)
		r = check_count(cli, &a);
	if (r == CLI_DONE)
		r = cli->command->run(cli, &a);
	arguments_free(&a);
	return r;
}

/* The options in front of the verb; *RET_USED words. Returns whether to go on. */
static bool run_globals(struct cli *cli, int argc, char **argv, int *ret_used, int *ret_status)
{
	static const struct arguments nothing = { 0 };
	struct sb_error error = { 0 };
	struct arguments a;
	bool go_on = false;

	if (arguments_parse(&a, argc, argv, global_options, NULL, true, ret_used, &error) < 0) {
		*ret_status = cli_usage(cli, "%s", error.message);
		return false;
	}
	*ret_status = take_globals(cli, &a);
	if (*ret_status != CLI_DONE) {
	} else if (a.globals[GLOBAL_VERSION].given) {
		fprintf(cli->out, "sockbroker %s\n", SOCKBROKER_VERSION);
	} else if (help_wanted(&a) && *ret_used == argc) {
		*ret_status = cmd_help(cli, &nothing);
	} else if (help_wanted(&a)) {
		struct arguments which = { .n_args = 1,
					   .args = (const char *[]){ argv[*ret_used] } };

		*ret_status = cmd_help(cli, &which);
	} else if (*ret_used == argc) {
		*ret_status = cli_usage(cli, "say what to do");
	} else {
		go_on = true;
	}
	arguments_free(&a);
	return go_on;
}

int cli_main(struct cli *cli, int argc, char **argv)
{
	int used = 0, status;

	if (argc > 0)
		argc--, argv++; /* the program's name */
	if (run_globals(cli, argc, argv, &used, &status))
		status = run_verb(cli, argc - used, argv + used);
	sockbroker_free(cli->broker);
	cli->broker = NULL;
	if ((fflush(cli->out) != 0 || ferror(cli->out)) && status == CLI_DONE)
		status = cli_fail(cli, "writing the output failed: %s", strerror(errno));
	return status;
}
