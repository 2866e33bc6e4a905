/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status: the broker, its labels, their groups and sockets. */
#include <inttypes.h>
#include <string.h>

#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/registrant.h"
#include "client/cli/status.h"
#include "client/number.h"
#include "protocol/cleanup.h"

enum { PROGRAMS, LABELS, GROUPS, SOCKETS, N_GRIDS };

/* The tables that the records are sorted into while they come. */
struct view {
	struct cli *cli;
	struct grid grids[N_GRIDS];
	unsigned long long n_sockets, n_dead;
	bool anything; /* was printed, so that a blank line must follow */
};

static const struct grid_column program_columns[] = {
	{ "PROGRAM" },
	{ "ID", true },
	{ "POSITION", true },
	{ "OURS" },
};
static const struct grid_column label_columns[] = {
	{ "LABEL" },      { "RULES", true }, { "SOCKETS", true },
	{ "WHEN EMPTY" }, { "ORIGIN" },      { "DESCRIPTION" },
};
static const struct grid_column group_columns[] = {
	{ "LABEL" },         { "PROTO" },           { "FAMILY" },       { "LIVING", true },
	{ "LOOKUPS", true }, { "MISSES", true },    { "ERRORS", true }, { "HELD", true },
	{ "DEAD", true },    { "RESPECTED", true },
};
static const struct grid_column socket_columns[] = {
	{ "LABEL" }, { "PROTO" }, { "ADDRESS" },   { "COOKIE", true }, { "SLOT", true },
	{ "STATE" }, { "HELD" },  { "PID", true }, { "USER" },         { "UNIT" },
};

uint64_t status_errors(const struct sockbroker_table *t)
{
	const char *key, *value;
	uint64_t sum = 0, n;

	for (size_t i = 0; sockbroker_table_field(t, i, &key, &value); i++)
		if (!strncmp(key, "err_", 4) && number_parse(value, &n))
			sum += n;
	return sum;
}

static void see_broker(struct view *v, const struct sockbroker_table *t)
{
	static const struct {
		const char *key, *noun;
	} counts[] = { { "labels", "label" }, { "rules", "rule" }, { "sockets", "socket" } };
	static const char *const others[] = { "link", "program", "generation" };
	FILE *f = v->cli->out;
	const char *lead = "";
	char buf[64];
	uint64_t n;

	fprintf(f, "sockbrokerd %s, pid %s, netns %s", cli_value(t, "version"), cli_value(t, "pid"),
		cli_value(t, "netns"));
	if (number_parse(cli_value(t, "uptime"), &n))
		fprintf(f, ", up %s", format_duration(n, buf));
	fputc('\n', f);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		if (!number_parse(cli_value(t, counts[i].key), &n))
			continue;
		fprintf(f, "%s%s", lead, format_count(n, counts[i].noun, buf));
		lead = ", ";
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (!*cli_value(t, others[i]))
			continue;
		fprintf(f, "%s%s %s", lead, others[i], cli_value(t, others[i]));
		lead = ", ";
	}
	fputc('\n', f);
	v->anything = true;
}

static void see_program(struct view *v, const struct sockbroker_table *t)
{
	grid_add(&v->grids[PROGRAMS], cli_value(t, "name"));
	grid_add(&v->grids[PROGRAMS], cli_value(t, "id"));
	grid_add(&v->grids[PROGRAMS], cli_value(t, "position"));
	grid_add(&v->grids[PROGRAMS], cli_value(t, "ours"));
}

static void see_label(struct view *v, const struct sockbroker_table *t)
{
	struct grid *g = &v->grids[LABELS];
	const char *unit = cli_value(t, "activate");
	char when_empty[400]; /* a unit's name has at most 255 bytes */

	grid_add(g, cli_value(t, "label"));
	grid_add(g, cli_value(t, "rules"));
	grid_add(g, cli_value(t, "sockets"));
	snprintf(when_empty, sizeof(when_empty), "%s%s%s%s%s", cli_value(t, "when_empty"),
		 *unit ? ", " : "", unit, *unit ? " " : "", cli_value(t, "activation"));
	grid_add(g, when_empty);
	grid_add(g, cli_value(t, "origin"));
	grid_add(g, cli_value(t, "description"));
	if (!strcmp(cli_value(t, "activation"), "failed"))
		grid_alarm(g);
}

static void see_group(struct view *v, const struct sockbroker_table *t)
{
	struct grid *g = &v->grids[GROUPS];
	char text[64];

	grid_add(g, cli_value(t, "label"));
	grid_add(g, cli_value(t, "protocol"));
	grid_add(g, cli_value(t, "family"));
	snprintf(text, sizeof(text), "%.20s/%.20s", cli_value(t, "living"),
		 cli_value(t, "sockets"));
	grid_add(g, text);
	grid_add(g, cli_value(t, "lookups"));
	grid_add(g, cli_value(t, "misses"));
	snprintf(text, sizeof(text), "%" PRIu64, status_errors(t));
	grid_add(g, text);
	grid_add_number(g, cli_value(t, "holds"));
	grid_add_number(g, cli_value(t, "dead_slots"));
	grid_add_number(g, cli_value(t, "respected"));
	if (!strcmp(cli_value(t, "living"), "0"))
		grid_alarm(g);
}

/* "no", "yes", or "yes since 2026-11-26 17:28:30, 3 waiting, 87 s left". */
static const char *held_text(const struct sockbroker_table *t, char *buf, size_t size)
{
	const char *waiting = cli_value(t, "waiting"), *left = cli_value(t, "hold_left");
	int n = snprintf(buf, size, "%s", cli_value(t, "held"));
	char since[64];

	if (format_time(cli_value(t, "held_since"), since))
		n += snprintf(buf + n, size - (size_t)n, " since %s", since);
	if (*waiting && strcmp(waiting, "0") != 0)
		n += snprintf(buf + n, size - (size_t)n, ", %.20s waiting", waiting);
	if (*left)
		snprintf(buf + n, size - (size_t)n, ", %.20s s left", left);
	return buf;
}

static void see_socket(struct view *v, const struct sockbroker_table *t)
{
	static const char *const keys[] = { "label",  "protocol", "address",
					    "cookie", "slot",     "state" };
	struct grid *g = &v->grids[SOCKETS];
	bool dead = !strcmp(cli_value(t, "state"), "dead");
	bool own = !strcmp(cli_value(t, "own"), "yes");
	char user[REGISTRANT_USER_MAX], held[160];

	v->n_sockets++;
	v->n_dead += dead;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		grid_add(g, cli_value(t, keys[i]));
	grid_add(g, held_text(t, held, sizeof(held)));
	grid_add(g, cli_value(t, "pid"));
	grid_add(g, own ? "(the broker)" : registrant_user(cli_value(t, "uid"), user));
	grid_add(g, cli_value(t, "unit"));
	if (dead)
		grid_alarm(g);
}

static void see_warning(struct view *v, const struct sockbroker_table *t)
{
	cli_warn(v->cli, "%s%s%s", cli_value(t, "label"), *cli_value(t, "label") ? ": " : "",
		 cli_value(t, "text"));
}

static const struct {
	const char *type;
	void (*see)(struct view *v, const struct sockbroker_table *t);
} records[] = {
	{ "broker", see_broker }, { "program", see_program }, { "label", see_label },
	{ "group", see_group },   { "socket", see_socket },   { "warning", see_warning },
};

static int print_grids(struct view *v)
{
	FILE *f = v->cli->out;

	for (size_t i = 0; i < N_GRIDS; i++) {
		if (v->grids[i].n_cells == 0 && v->grids[i].error == 0)
			continue;
		if (v->anything)
			fputc('\n', f);
		if (grid_print(&v->grids[i], f, v->cli->color) < 0)
			return cli_fail(v->cli, "out of memory");
		v->anything = true;
	}
	if (v->n_dead > 0)
		fprintf(f, "\nDead sockets: %llu of %llu; their slots are stepped over\n",
			v->n_dead, v->n_sockets);
	return CLI_DONE;
}

static int print_text(struct cli *cli, struct sockbroker_table *t)
{
	struct view v = { .cli = cli };
	int r;

	grid_init(&v.grids[PROGRAMS], program_columns, ARRAY_SIZE(program_columns));
	grid_init(&v.grids[LABELS], label_columns, ARRAY_SIZE(label_columns));
	grid_init(&v.grids[GROUPS], group_columns, ARRAY_SIZE(group_columns));
	grid_init(&v.grids[SOCKETS], socket_columns, ARRAY_SIZE(socket_columns));
	while ((r = sockbroker_table_next(t)) > 0)
		for (size_t i = 0; i < ARRAY_SIZE(records); i++)
			if (!strcmp(sockbroker_table_type(t), records[i].type))
				records[i].see(&v, t);
	r = cli_table_end(cli, r);
	if (r == CLI_DONE)
		r = print_grids(&v);
	for (size_t i = 0; i < N_GRIDS; i++)
		grid_free(&v.grids[i]);
	return r;
}

int cmd_status(struct cli *cli, const struct arguments *a)
{
	struct sockbroker_table *t;
	int r = cli_connect(cli);

	if (r != CLI_DONE)
		return r;
	if (sockbroker_status(cli->broker, a->n_args > 0 ? a->args[0] : NULL, &t) < 0)
		return cli_request_failed(cli);
	cli_print_warnings(cli);
	r = cli->json ? status_print_json(cli, t) : print_text(cli, t);
	sockbroker_table_free(t);
	return r;
}
