/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bind, unbind and rules. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "protocol/cleanup.h"

int cmd_bind(struct cli *cli, const struct arguments *a)
{
	unsigned int flags = a->options[BIND_MOVE].given ? SOCKBROKER_MOVE : 0;
	struct sockbroker_changes c;
	char added[64], moved[64];
	int r = cli_connect(cli);

	if (r != CLI_DONE)
		return r;
	if (sockbroker_bind(cli->broker, a->args[0], a->args[1], a->args[2], a->args[3], flags,
			    &c) < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	if (cli->json) {
		json_t *doc = json_pack("{s:s, s:I, s:I, s:I}", "label", a->args[0], "added",
					(json_int_t)c.added, "moved", (json_int_t)c.moved,
					"unchanged", (json_int_t)c.unchanged);

		return json_print(cli, doc);
	}
	format_count(c.added, "rule", added);
	format_count(c.moved, "rule", moved);
	if (c.added == 0 && c.moved == 0)
		fprintf(cli->out, "%s: nothing to do, it is so already\n", a->args[0]);
	else
		fprintf(cli->out, "%s: %s%s%s%s%s\n", a->args[0], c.added ? added : "",
			c.added ? " added" : "", c.added && c.moved ? ", " : "",
			c.moved ? moved : "", c.moved ? " moved here" : "");
	return CLI_DONE;
}

int cmd_unbind(struct cli *cli, const struct arguments *a)
{
	const char *label = a->n_args == 4 ? a->args[0] : NULL;
	const char *const *rule = a->args + (label ? 1 : 0);
	uint64_t removed;
	char buf[64];
	int r = cli_connect(cli);

	if (r != CLI_DONE)
		return r;
	if (sockbroker_unbind(cli->broker, label, rule[0], rule[1], rule[2], &removed) < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	if (cli->json) {
		json_t *doc = json_pack("{s:I}", "removed", (json_int_t)removed);

		return json_print(cli, doc);
	}
	fprintf(cli->out, "%s removed\n", format_count(removed, "rule", buf));
	return CLI_DONE;
}

/* The rule text as the broker wrote it. */
static int print_text(struct cli *cli, const char *label)
{
	_cleanup_close_ int fd = -1;
	char buf[65536];
	ssize_t n;

	if (sockbroker_rules_text(cli->broker, label, &fd) < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, cli->out);
	return n < 0 ? cli_fail(cli, "reading the rules failed: %s", strerror(errno)) : CLI_DONE;
}

/* A line a rule, written as they come: there may be a million. */
static int print_json(struct cli *cli, struct sockbroker_table *t)
{
	const char *lead = "{\"rules\": [\n";
	int r;

	while ((r = sockbroker_table_next(t)) > 0) {
		json_t *rule;

		if (strcmp(sockbroker_table_type(t), "rule") != 0)
			continue;
		rule = json_from_record(t);
		if (!rule)
			return cli_fail(cli, "out of memory");
		fputs(lead, cli->out);
		json_dumpf(rule, cli->out, 0);
		json_decref(rule);
		lead = ",\n";
	}
	fputs(lead[0] == '{' ? "{\"rules\": []}\n" : "\n]}\n", cli->out);
	return cli_table_end(cli, r);
}

static int print_table(struct cli *cli, struct sockbroker_table *t)
{
	static const struct grid_column columns[] = {
		{ "PROTO" }, { "PREFIX" }, { "PORTS" }, { "LABEL" }, { "ORIGIN" }, { "HITS", true },
	};
	static const char *const keys[] = {
		"protocol", "prefix", "ports", "label", "origin", "hits"
	};
	struct grid g;
	int r;

	grid_init(&g, columns, ARRAY_SIZE(columns));
	while ((r = sockbroker_table_next(t)) > 0) {
		if (strcmp(sockbroker_table_type(t), "rule") != 0)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			grid_add(&g, sockbroker_table_get(t, keys[i]));
	}
	r = cli_table_end(cli, r);
	if (r == CLI_DONE && grid_print(&g, cli->out, cli->color) < 0)
		r = cli_fail(cli, "out of memory");
	grid_free(&g);
	return r;
}

int cmd_rules(struct cli *cli, const struct arguments *a)
{
	const char *label = a->n_args > 0 ? a->args[0] : NULL;
	bool text = a->options[RULES_TEXT].given;
	struct sockbroker_table *t;
	int r;

	if (text && cli->json)
		return cli_usage(cli, "--text and --json are two forms of one output");
	r = cli_connect(cli);
	if (r != CLI_DONE)
		return r;
	if (text)
		return print_text(cli, label);
	if (sockbroker_rules(cli->broker, label, &t) < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	r = cli->json ? print_json(cli, t) : print_table(cli, t);
	sockbroker_table_free(t);
	return r;
}
