/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/format.h"
#include "client/number.h"

#define BOLD "\033[1m"
#define RED "\033[31m"
#define PLAIN "\033[0m"
#define GAP 2 /* blanks between columns */

void grid_init(struct grid *g, const struct grid_column *columns, size_t n_columns)
{
	*g = (struct grid){ .columns = columns, .n_columns = n_columns };
}

void grid_free(struct grid *g)
{
	sb_text_free(&g->text);
	free(g->cells);
	free(g->alarms);
}

static int grid_grow(struct grid *g)
{
	size_t capacity = g->capacity ? 2 * g->capacity : 64;
	size_t *cells;

	if (g->n_cells < g->capacity)
		return 0;
	cells = reallocarray(g->cells, capacity, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	g->cells = cells;
	g->capacity = capacity;
	return 0;
}

void grid_add(struct grid *g, const char *cell)
{
	size_t start = g->text.length;

	if (!cell)
		cell = "";
	if (g->error == 0)
		g->error = grid_grow(g);
	if (g->error < 0)
		return;
	sb_text_append(&g->text, cell, strlen(cell) + 1);
	if (g->text.error < 0) {
		g->error = g->text.error;
		return;
	}
	for (unsigned char *p = (unsigned char *)g->text.data + start; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	g->cells[g->n_cells++] = start;
}

void grid_add_number(struct grid *g, const char *number)
{
	grid_add(g, number && strcmp(number, "0") != 0 ? number : "");
}

void grid_alarm(struct grid *g)
{
	size_t *alarms = reallocarray(g->alarms, g->n_alarms + 1, sizeof(*alarms));

	if (!alarms || g->n_cells == 0)
		return; /* only a colour is lost */
	g->alarms = alarms;
	g->alarms[g->n_alarms++] = (g->n_cells - 1) / g->n_columns;
}

/* Characters, not bytes: every byte that does not continue a UTF-8 sequence. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static const char *grid_cell(const struct grid *g, size_t row, size_t column)
{
	return g->text.data + g->cells[row * g->n_columns + column];
}

/* 0 for a column that is left out: one whose cells are all empty. */
static size_t column_width(const struct grid *g, size_t rows, size_t column)
{
	size_t max = 0;

	for (size_t row = 0; row < rows; row++) {
		size_t n = width(grid_cell(g, row, column));

		if (n > max)
			max = n;
	}
	if (max > 0 && g->columns[column].heading && width(g->columns[column].heading) > max)
		max = width(g->columns[column].heading);
	return max;
}

static void print_line(const struct grid *g, FILE *f, const size_t *widths,
		       const char *const *cells)
{
	size_t owed = 0; /* blanks to write before the next text: no line ends in blanks */

	for (size_t i = 0; i < g->n_columns; i++) {
		const char *cell = *cells[i] ? cells[i] : "-";
		size_t pad = widths[i] > width(cell) ? widths[i] - width(cell) : 0;

		if (widths[i] == 0)
			continue;
		if (g->columns[i].right)
			owed += pad;
		fprintf(f, "%*s%s", (int)owed, "", cell);
		owed = (g->columns[i].right ? 0 : pad) + GAP;
	}
}

static bool is_alarm(const struct grid *g, size_t row)
{
	for (size_t i = 0; i < g->n_alarms; i++)
		if (g->alarms[i] == row)
			return true;
	return false;
}

int grid_print(const struct grid *g, FILE *f, bool color)
{
	size_t rows = g->n_cells / g->n_columns;
	_cleanup_free_ size_t *widths = calloc(g->n_columns, sizeof(*widths));
	_cleanup_free_ const char **cells = calloc(g->n_columns, sizeof(*cells));

	if (!widths || !cells || g->error < 0)
		return -ENOMEM;
	if (rows == 0)
		return 0;
	for (size_t i = 0; i < g->n_columns; i++) {
		widths[i] = column_width(g, rows, i);
		cells[i] = g->columns[i].heading;
	}
	if (cells[0]) {
		fputs(color ? BOLD : "", f);
		print_line(g, f, widths, cells);
		fputs(color ? PLAIN "\n" : "\n", f);
	}
	for (size_t row = 0; row < rows; row++) {
		bool alarm = color && is_alarm(g, row);

		for (size_t i = 0; i < g->n_columns; i++)
			cells[i] = grid_cell(g, row, i);
		fputs(alarm ? RED : "", f);
		print_line(g, f, widths, cells);
		fputs(alarm ? PLAIN "\n" : "\n", f);
	}
	return 0;
}

const char *format_count(unsigned long long n, const char *noun, char buf[static 64])
{
	snprintf(buf, 64, "%llu %s%s", n, noun, n == 1 ? "" : "s");
	return buf;
}

const char *format_duration(unsigned long long seconds, char buf[static 64])
{
	static const struct {
		unsigned long long seconds;
		const char *unit, *next_unit;
		unsigned long long next;
	} steps[] = {
		{ 86400, "d", "h", 3600 },
		{ 3600, "h", "min", 60 },
		{ 60, "min", "s", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		if (seconds < steps[i].seconds)
			continue;
		snprintf(buf, 64, "%llu %s %llu %s", seconds / steps[i].seconds, steps[i].unit,
			 seconds % steps[i].seconds / steps[i].next, steps[i].next_unit);
		return buf;
	}
	snprintf(buf, 64, "%llu s", seconds);
	return buf;
}

const char *format_time(const char *seconds, char buf[static 64])
{
	struct tm tm;
	uint64_t n;
	time_t t;

	if (!number_parse(seconds, &n) || n > INT64_MAX)
		return NULL;
	t = (time_t)n;
	if (!localtime_r(&t, &tm) || strftime(buf, 64, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		return NULL;
	return buf;
}

const char *format_endpoint(const char *address, const char *port, char buf[static 128])
{
	bool v6 = strchr(address, ':');

	snprintf(buf, 128, "%s%s%s:%s", v6 ? "[" : "", address, v6 ? "]" : "", port);
	return buf;
}
