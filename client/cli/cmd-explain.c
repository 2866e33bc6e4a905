/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* explain: one packet, and what it would meet. */
#include <string.h>

#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/registrant.h"
#include "protocol/address.h"

static void print_rule(FILE *f, const char *title, const struct sockbroker_table *t)
{
	const char *hits = cli_value(t, "hits");

	fprintf(f, "%-8s  %s %s %s -> %s (%s", title, cli_value(t, "protocol"),
		cli_value(t, "prefix"), cli_value(t, "ports"), cli_value(t, "label"),
		cli_value(t, "origin"));
	if (*hits)
		fprintf(f, ", %s hit%s", hits, strcmp(hits, "1") == 0 ? "" : "s");
	fputs(")\n", f);
}

static void print_packet(FILE *f, const struct sockbroker_table *t)
{
	const char *from = cli_value(t, "from_address"), *port = cli_value(t, "from_port");
	char to_text[128], from_text[128];

	fprintf(f, "%-8s  %s to %s", "packet", cli_value(t, "protocol"),
		format_endpoint(cli_value(t, "address"), cli_value(t, "port"), to_text));
	if (*from && *port && strcmp(port, "0") != 0)
		fprintf(f, " from %s", format_endpoint(from, port, from_text));
	fputc('\n', f);
}

static void print_label(FILE *f, const struct sockbroker_table *t)
{
	static const struct {
		const char *key, *lead, *tail;
	} parts[] = {
		{ "rules", ", rules: ", "" },
		{ "sockets", ", sockets: ", "" },
		{ "when_empty", ", when empty: ", "" },
		{ "description", " (", ")" },
	};

	fprintf(f, "%-8s  %s", "label", cli_value(t, "label"));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (*cli_value(t, parts[i].key))
			fprintf(f, "%s%s%s", parts[i].lead, cli_value(t, parts[i].key),
				parts[i].tail);
	fputc('\n', f);
}

static void print_socket(FILE *f, const struct sockbroker_table *t)
{
	char user[REGISTRANT_USER_MAX];

	fprintf(f, "%-8s  %s %s, cookie %s, slot %s", "socket", cli_value(t, "protocol"),
		cli_value(t, "address"), cli_value(t, "cookie"), cli_value(t, "slot"));
	if (!strcmp(cli_value(t, "state"), "dead"))
		fputs(", dead", f);
	if (!strcmp(cli_value(t, "own"), "yes"))
		fputs(", the broker's own", f);
	else if (!strcmp(cli_value(t, "held"), "yes"))
		fputs(", held by the broker", f);
	if (*cli_value(t, "waiting") && strcmp(cli_value(t, "waiting"), "0") != 0)
		fprintf(f, ", %s waiting", cli_value(t, "waiting"));
	if (*cli_value(t, "pid"))
		fprintf(f, "\n%-8s  handed in by pid %s, user %s", "", cli_value(t, "pid"),
			registrant_user(cli_value(t, "uid"), user));
	if (*cli_value(t, "unit"))
		fprintf(f, ", unit %s", cli_value(t, "unit"));
	fputc('\n', f);
}

/* That the two disagree is also said by a warning of the broker. */
static void print_verdict(FILE *f, const struct sockbroker_table *t)
{
	bool kernel = !strcmp(cli_value(t, "source"), "kernel");
	bool disputed = !strcmp(cli_value(t, "agrees"), "no");

	fprintf(f, "%-8s  %s (answered by %s%s)\n", "verdict", cli_value(t, "verdict"),
		kernel ? "the attached program" : "the broker's model",
		disputed ? "; the broker's model says otherwise" : "");
	fprintf(f, "%-8s  %s\n", "reason", cli_value(t, "reason"));
}

static int print_text(struct cli *cli, struct sockbroker_table *t)
{
	bool shadows = false, rule = false;
	int r;

	while ((r = sockbroker_table_next(t)) > 0) {
		const char *type = sockbroker_table_type(t);

		if (!strcmp(type, "packet")) {
			print_packet(cli->out, t);
		} else if (!strcmp(type, "rule")) {
			print_rule(cli->out, "rule", t);
			rule = true;
		} else if (!strcmp(type, "shadowed")) {
			print_rule(cli->out, shadows ? "" : "shadows", t);
			shadows = true;
		} else if (!strcmp(type, "label")) {
			print_label(cli->out, t);
		} else if (!strcmp(type, "socket")) {
			print_socket(cli->out, t);
		} else if (!strcmp(type, "verdict")) {
			if (!rule)
				fprintf(cli->out, "%-8s  none\n", "rule");
			print_verdict(cli->out, t);
		}
	}
	return cli_table_end(cli, r);
}

/* The verdict's fields stand at the top; what is not there is null. */
static int print_json(struct cli *cli, struct sockbroker_table *t)
{
	json_t *doc = json_pack("{s:n, s:n, s:[], s:n, s:n}", "packet", "rule", "shadowed", "label",
				"socket");
	int r;

	while ((r = sockbroker_table_next(t)) > 0) {
		const char *type = sockbroker_table_type(t);
		json_t *record = json_from_record(t);

		if (!strcmp(type, "shadowed"))
			json_array_append(json_object_get(doc, type), record);
		else if (!strcmp(type, "verdict"))
			json_object_update(doc, record);
		else
			json_object_set(doc, type, record);
		json_decref(record);
	}
	if (r < 0) {
		json_decref(doc);
		return cli_table_end(cli, r);
	}
	return json_print(cli, doc);
}

int cmd_explain(struct cli *cli, const struct arguments *a)
{
	const struct option_value *from = &a->options[EXPLAIN_FROM];
	const char *from_address = from->given ? from->values[from->n_values - 2] : NULL;
	uint16_t port, from_port = 0;
	struct sb_error error = { 0 };
	struct sockbroker_table *t;
	int r;

	if (sb_port_parse(a->args[2], &port, &error) < 0 ||
	    (from->given &&
	     sb_port_parse(from->values[from->n_values - 1], &from_port, &error) < 0))
		return cli_usage(cli, "%s", error.message);
	r = cli_connect(cli);
	if (r != CLI_DONE)
		return r;
	if (sockbroker_explain(cli->broker, a->args[0], a->args[1], port, from_address, from_port,
			       &t) < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	r = cli->json ? print_json(cli, t) : print_text(cli, t);
	sockbroker_table_free(t);
	return r;
}
