/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* apply: a file of rules, whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "client/cli/bindings.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/progress.h"
#include "client/number.h"
#include "client/text-file.h"
#include "protocol/cleanup.h"
#include "protocol/wire-io.h"

/* What is applied, and what it is called. */
struct source {
	const char *name;
	int memfd;     /* owned: sealed rule text */
	bool bindings; /* it was tubular's file: line K of the text is bindings[K - 1] */
};

/* Replaces the memfd with the rule text that its JSON says, if it is JSON. */
static int source_convert(struct source *s, struct sb_error *error)
{
	struct sb_text text = { 0 };
	size_t n;
	void *map;
	int r = sb_memfd_map(s->memfd, SOCKBROKER_TEXT_MAX, false, &map, &n, error);

	if (r < 0 || n == 0)
		return r;
	if (bindings_look_like(map, n)) {
		s->bindings = true;
		sb_close(TAKE_FD(s->memfd));
		r = bindings_to_rules(map, n, &text, error);
		if (r == 0) {
			s->memfd = sb_memfd_new_sealed("sockbroker-rules", text.data, text.length);
			r = s->memfd < 0 ? sb_fail(error, -s->memfd, "no memory file") : 0;
		}
		sb_text_free(&text);
	}
	munmap(map, n);
	return r;
}

static int source_open(struct cli *cli, const char *path, struct source *ret)
{
	struct sb_error error = { 0 };
	_cleanup_close_ int fd = -1;
	int input = cli->input;

	*ret = (struct source){ .name = path, .memfd = -1 };
	if (!strcmp(path, "-")) {
		ret->name = "<stdin>";
	} else {
		input = fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return cli_fail(cli, "%s: %s", path, strerror(errno));
	}
	ret->memfd = text_file_seal(input, SOCKBROKER_TEXT_MAX, &error);
	if (ret->memfd < 0 || source_convert(ret, &error) < 0)
		return cli_fail(cli, "%s: %s; nothing was changed", ret->name, error.message);
	return CLI_DONE;
}

/* Where the broker's LINE is in what the user wrote, into BUF, returned. */
static const char *place(const struct source *s, const char *line, char buf[static 64])
{
	uint64_t n;

	if (s->bindings && number_parse(line, &n) && n > 0)
		snprintf(buf, 64, "bindings[%" PRIu64 "]", n - 1);
	else
		snprintf(buf, 64, "%.60s", line);
	return buf;
}

/* The broker's bad lines, in the form that editors jump to; the last one is the sentence itself
 * when there is only one. */
static int report_bad_lines(struct cli *cli, const struct source *s, struct sockbroker_table *rows)
{
	const char *line = NULL, *reason = NULL;
	char buf[64];
	size_t n = 0;

	while (sockbroker_table_next(rows) > 0) {
		if (strcmp(sockbroker_table_type(rows), "bad") != 0)
			continue;
		if (n > 0)
			fprintf(cli->err, "%s:%s: %s\n", s->name, place(s, line, buf), reason);
		line = sockbroker_table_get(rows, "line");
		reason = sockbroker_table_get(rows, "reason");
		if (!line || !reason)
			return cli_request_failed(cli);
		n++;
	}
	if (n == 0)
		return cli_request_failed(cli);
	if (n == 1)
		return cli_fail(cli, "%s:%s: %s; nothing was changed", s->name, place(s, line, buf),
				reason);
	fprintf(cli->err, "%s:%s: %s\n", s->name, place(s, line, buf), reason);
	return cli_fail(cli, "%s: %s%zu bad lines; nothing was changed", s->name,
			n >= 20 ? "at least " : "", n);
}

static int print_json(struct cli *cli, bool dry_run, const struct sockbroker_changes *c,
		      struct sockbroker_table *rows)
{
	json_t *doc = json_pack("{s:b, s:I, s:I, s:I, s:I}", "dry_run", dry_run, "added",
				(json_int_t)c->added, "removed", (json_int_t)c->removed, "moved",
				(json_int_t)c->moved, "unchanged", (json_int_t)c->unchanged);
	json_t *changes = json_array();
	int r;

	while ((r = sockbroker_table_next(rows)) > 0) {
		json_t *change = json_from_record(rows);

		json_object_set_new(change, "change", json_string(sockbroker_table_type(rows)));
		json_array_append_new(changes, change);
	}
	json_object_set_new(doc, "changes", changes);
	if (r < 0) {
		json_decref(doc);
		return cli_table_end(cli, r);
	}
	return json_print(cli, doc);
}

static int print_rows(struct cli *cli, struct sockbroker_table *rows, size_t *ret_n)
{
	static const struct grid_column columns[] = {
		{ NULL }, { NULL }, { NULL }, { NULL }, { NULL }
	};
	char label[256];
	struct grid g;
	int r;

	grid_init(&g, columns, ARRAY_SIZE(columns));
	for (*ret_n = 0; (r = sockbroker_table_next(rows)) > 0; (*ret_n)++) {
		const char *to = sockbroker_table_get(rows, "label");
		const char *from = sockbroker_table_get(rows, "from");

		grid_add(&g, sockbroker_table_type(rows));
		grid_add(&g, sockbroker_table_get(rows, "protocol"));
		grid_add(&g, sockbroker_table_get(rows, "prefix"));
		grid_add(&g, sockbroker_table_get(rows, "ports"));
		snprintf(label, sizeof(label), "%s%s%s%s", to ? to : "", from ? " (was " : "",
			 from ? from : "", from ? ")" : "");
		grid_add(&g, label);
	}
	r = cli_table_end(cli, r);
	if (r == CLI_DONE && grid_print(&g, cli->out, cli->color) < 0)
		r = cli_fail(cli, "out of memory");
	grid_free(&g);
	return r;
}

static int print_changes(struct cli *cli, bool dry_run, const struct sockbroker_changes *c,
			 struct sockbroker_table *rows)
{
	uint64_t all = c->added + c->removed + c->moved;
	size_t shown;
	int r = print_rows(cli, rows, &shown);

	if (r != CLI_DONE)
		return r;
	if (all > shown)
		fprintf(cli->out, "... and %" PRIu64 " more\n", all - shown);
	fprintf(cli->out,
		"%s%" PRIu64 " added, %" PRIu64 " removed, %" PRIu64 " moved, %" PRIu64
		" unchanged\n",
		dry_run ? "would be: " : "", c->added, c->removed, c->moved, c->unchanged);
	return CLI_DONE;
}

static int apply(struct cli *cli, const struct source *s, bool dry_run)
{
	struct sockbroker_table *rows = NULL;
	struct sockbroker_changes c;
	struct progress progress;
	int r = cli_connect(cli);

	if (r != CLI_DONE)
		return r;
	progress_begin(&progress, cli->broker, cli->err, s->name, s->bindings ? "binding" : "line",
		       s->memfd);
	r = sockbroker_apply_fd(cli->broker, s->memfd, dry_run ? SOCKBROKER_DRY_RUN : 0, &c, &rows);
	progress_end(&progress);
	if (r < 0) {
		r = rows ? report_bad_lines(cli, s, rows) : cli_request_failed(cli);
	} else {
		cli_print_warnings(cli);
		r = cli->json ? print_json(cli, dry_run, &c, rows)
			      : print_changes(cli, dry_run, &c, rows);
	}
	sockbroker_table_free(rows);
	return r;
}

int cmd_apply(struct cli *cli, const struct arguments *a)
{
	struct source s;
	int r = source_open(cli, a->args[0], &s);

	if (r == CLI_DONE)
		r = apply(cli, &s, a->options[APPLY_DRY_RUN].given);
	sb_close(s.memfd);
	return r;
}
