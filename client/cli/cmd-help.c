/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* help: what the table of verbs says. */
#include <string.h>

#include "client/cli/commands.h"

static void print_family(FILE *f, const char *heading, bool changes)
{
	fprintf(f, "\n%s\n", heading);
	for (const struct command *c = commands_table(); c->name; c++)
		if (c->changes == changes)
			fprintf(f, "  %-10s  %s\n", c->name, c->summary);
}

int cmd_help(struct cli *cli, const struct arguments *a)
{
	const struct command *c;

	if (a->n_args > 0) {
		c = commands_find(a->args[0]);
		if (!c)
			return cli_usage(cli, "there is no verb '%s'", a->args[0]);
		cli_print_usage(cli->out, c);
		fprintf(cli->out, "\n%s", c->help);
		return CLI_DONE;
	}
	fputs("usage: sockbroker [--socket PATH] [--json] [--timeout SECONDS] VERB ...\n",
	      cli->out);
	print_family(cli->out, "These read:", false);
	print_family(cli->out, "These change:", true);
	fputs("\n"
	      "  --socket PATH      the broker's socket (or SOCKBROKER_SOCKET in the environment)\n"
	      "  --json             one JSON document instead of a table\n"
	      "  --timeout SECONDS  how long to wait for the broker (30)\n"
	      "  --version, --help\n"
	      "\n"
	      "`sockbroker help VERB` says more, sockbroker(1) all.\n"
	      "Exit status: 0 done, 1 refused or failed, 2 usage, 3 the broker can't be reached.\n",
	      cli->out);
	return CLI_DONE;
}
