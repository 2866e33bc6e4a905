/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables for people: columns as wide as what is in them, columns that hold nothing left out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "protocol/record.h"

struct grid_column {
	const char *heading; /* NULL in the first column: no headings */
	bool right;          /* numbers */
};

struct grid {
	const struct grid_column *columns; /* not owned */
	size_t n_columns;
	struct sb_text text;              /* the cells, each ended by NUL */
	size_t *cells, n_cells, capacity; /* where they begin */
	size_t *alarms, n_alarms;         /* rows that want to be seen */
	int error;
};

void grid_init(struct grid *g, const struct grid_column *columns, size_t n_columns);
void grid_free(struct grid *g);

/* The next cell; a row is full after n_columns. NULL counts as "". What can't be printed becomes
 * '?': the text may come from strangers. */
void grid_add(struct grid *g, const char *cell);

/* The same, for a number that says nothing when it is 0. */
void grid_add_number(struct grid *g, const char *number);

/* Marks the row that the last cell belongs to. */
void grid_alarm(struct grid *g);

/* Prints nothing at all when there are no rows. 0, or -ENOMEM if a cell was lost. */
int grid_print(const struct grid *g, FILE *f, bool color);

/* "3 rules", "1 rule" into BUF, returned. */
const char *format_count(unsigned long long n, const char *noun, char buf[static 64]);

/* Seconds as "4 d 3 h", "3 h 12 min", "12 min 5 s", "5 s" into BUF, returned. */
const char *format_duration(unsigned long long seconds, char buf[static 64]);

/* Seconds since the epoch, as text, as "2026-11-26 17:28:30" of this place into BUF, returned; NULL
 * if they are no time. */
const char *format_time(const char *seconds, char buf[static 64]);

/* "198.51.100.7:80", "[2001:db8::1]:80" from two texts into BUF, returned. */
const char *format_endpoint(const char *address, const char *port, char buf[static 128]);
