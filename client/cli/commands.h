/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verbs of the command, as rows of a table, and what their handlers work with. Nouns read,
 * verbs change. `help`, the man page's test and the dispatcher all read this table.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "client/cli/options.h"
#include "client/sockbroker.h"

/* Exit status. */
enum {
	CLI_DONE = 0,
	CLI_FAILED = 1,      /* refused or failed */
	CLI_USAGE = 2,       /* the command line is not one */
	CLI_UNREACHABLE = 3, /* the broker can't be reached */
};

struct command;

struct cli {
	FILE *out, *err;
	int input;  /* fd of the standard input, not owned */
	bool color; /* OUT is a terminal that wants it */
	bool json;
	const char *socket;            /* NULL: the library's default */
	int timeout;                   /* milliseconds */
	const struct command *command; /* what is running */
	struct sockbroker *broker;     /* owned; NULL until cli_connect() */
};

struct command {
	const char *name;
	const char *usage;   /* without "sockbroker"; may have several lines */
	const char *summary; /* one line of `help` */
	const char *help;    /* what `help VERB` says below the usage */
	bool changes;
	size_t min_args, max_args;
	const struct option_spec *options; /* NULL: none */
	int (*run)(struct cli *cli, const struct arguments *a);
};

/* All verbs in the order of `help`, ended by one without a name. */
const struct command *commands_table(void);
const struct command *commands_find(const char *name);

/* Runs a whole command line (ARGV[0] is the program's name) and returns the exit status. OUT is
 * flushed, nothing is closed. */
int cli_main(struct cli *cli, int argc, char **argv);

/* ---- For handlers ---- */

/* Each prints "sockbroker: SENTENCE" as one line on cli->err; _usage adds the verb's usage. They
 * return CLI_FAILED and CLI_USAGE. */
int cli_fail(struct cli *cli, const char *format, ...) _printf_(2, 3);
int cli_usage(struct cli *cli, const char *format, ...) _printf_(2, 3);

/* "usage: sockbroker ..." of C, a line a form. */
void cli_print_usage(FILE *f, const struct command *c);

/* The value of KEY in the current record; "" when it has none. */
const char *cli_value(const struct sockbroker_table *t, const char *key);

/* CLI_DONE with cli->broker connected, or an exit status with everything said. */
int cli_connect(struct cli *cli);

/* Says why the last request failed; CLI_FAILED or CLI_UNREACHABLE. */
int cli_request_failed(struct cli *cli);

/* The end of reading a table: R is what sockbroker_table_next() returned last. */
int cli_table_end(struct cli *cli, int r);

/* Prints the warnings that came with the last reply. */
void cli_print_warnings(struct cli *cli);
void cli_warn(struct cli *cli, const char *format, ...) _printf_(2, 3);

/* ---- The handlers, one family a file ---- */

int cmd_bind(struct cli *cli, const struct arguments *a);
int cmd_unbind(struct cli *cli, const struct arguments *a);
int cmd_rules(struct cli *cli, const struct arguments *a);
int cmd_apply(struct cli *cli, const struct arguments *a);
int cmd_register(struct cli *cli, const struct arguments *a);
int cmd_unregister(struct cli *cli, const struct arguments *a);
int cmd_run(struct cli *cli, const struct arguments *a);
int cmd_status(struct cli *cli, const struct arguments *a);
int cmd_explain(struct cli *cli, const struct arguments *a);
int cmd_reload(struct cli *cli, const struct arguments *a);
int cmd_unload(struct cli *cli, const struct arguments *a);
int cmd_version(struct cli *cli, const struct arguments *a);
int cmd_help(struct cli *cli, const struct arguments *a);

/* The options of the verbs, by index into struct arguments.options. */
enum { BIND_MOVE };
enum { RULES_TEXT };
enum { APPLY_DRY_RUN };
enum {
	REGISTER_LISTEN_FDS,
	REGISTER_FD,
	REGISTER_PID,
	REGISTER_MAIN_PID,
	REGISTER_REPLACE,
	REGISTER_ADD,
};
enum { EXPLAIN_FROM };
enum { UNLOAD_YES };
