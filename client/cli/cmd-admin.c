/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* version, reload and unload. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/commands.h"
#include "client/cli/json.h"

static int print_version(struct cli *cli, struct sockbroker_table *t)
{
	static const struct {
		const char *key, *title;
	} rows[] = {
		{ "version", "broker" }, { "protocol", "protocol" }, { "abi", "dataplane ABI" },
		{ "kernel", "kernel" },  { "netns", "netns" },
	};
	int r = sockbroker_table_next(t);

	if (r <= 0)
		return cli_table_end(cli, -EPROTO);
	if (cli->json) {
		json_t *doc = json_from_record(t);

		json_object_set_new(doc, "client", json_string(SOCKBROKER_VERSION));
		return json_print(cli, doc);
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *value = sockbroker_table_get(t, rows[i].key);

		if (value)
			fprintf(cli->out, "%-13s  %s\n", rows[i].title, value);
	}
	return CLI_DONE;
}

int cmd_version(struct cli *cli, const struct arguments *a)
{
	struct sockbroker_table *t;
	int r;

	if (!cli->json)
		fprintf(cli->out, "%-13s  %s\n", "sockbroker", SOCKBROKER_VERSION);
	r = cli_connect(cli);
	if (r == CLI_DONE && sockbroker_version(cli->broker, &t) < 0)
		r = cli_request_failed(cli);
	if (r != CLI_DONE) {
		if (cli->json)
			json_print(cli, json_pack("{s:s}", "client", SOCKBROKER_VERSION));
		return r;
	}
	cli_print_warnings(cli);
	r = print_version(cli, t);
	sockbroker_table_free(t);
	return r;
}

int cmd_reload(struct cli *cli, const struct arguments *a)
{
	int r = cli_connect(cli);

	if (r != CLI_DONE)
		return r;
	if (sockbroker_reload(cli->broker) < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	if (cli->json)
		return json_print(cli, json_pack("{s:b}", "reloaded", 1));
	fputs("the configuration is reloaded\n", cli->out);
	return CLI_DONE;
}

/* One line from the standard input that begins with y or Y. */
static bool confirmed(struct cli *cli)
{
	char answer[128];
	ssize_t n;

	fputs("This takes the dataplane away: packets go their ordinary way again, and runtime "
	      "rules are forgotten. Go on? [y/N] ",
	      cli->err);
	fflush(cli->err);
	do {
		n = read(cli->input, answer, sizeof(answer));
	} while (n < 0 && errno == EINTR);
	return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

int cmd_unload(struct cli *cli, const struct arguments *a)
{
	int r;

	if (!a->options[UNLOAD_YES].given) {
		if (!isatty(cli->input))
			return cli_usage(
				cli, "unload takes the dataplane away; say --yes if that is meant");
		if (!confirmed(cli))
			return cli_fail(cli, "nothing was unloaded");
	}
	r = cli_connect(cli);
	if (r != CLI_DONE)
		return r;
	if (sockbroker_unload(cli->broker) < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	if (cli->json)
		return json_print(cli, json_pack("{s:b}", "detached", 1));
	fputs("the dataplane is unloaded\n", cli->out);
	return CLI_DONE;
}
