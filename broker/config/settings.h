/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A section as a table: which keys there are, and what each does. Internal to config/. */
#pragma once

#include "broker/config/config.h"

#define SETTINGS_KEYS_MAX 16

struct settings;

struct setting {
	const char *key;
	/* Takes VALUE over into the target, or calls settings_refuse(). */
	void (*set)(struct settings *s, const char *value);
	bool list;         /* may come more than once */
	bool may_be_empty; /* else "Key=" alone is refused before SET is called */
};

/* The reading of one file. */
struct settings {
	void *target; /* what the setters fill */
	const char *path;
	struct config_report *report;
	const struct setting *table;
	size_t n_table;
	const char *key; /* the present setting */
	unsigned line;
	unsigned first_line[SETTINGS_KEYS_MAX]; /* by index in the table; 0: not seen */
};

/* Sets all that the text says in SECTION. */
void settings_parse(struct settings *s, const char *section, const char *text, size_t length);

/* "FILE:LINE: Key=: sentence" from ERROR; for ENOMEM, that memory ran out. */
void settings_refuse(struct settings *s, const struct sb_error *error);

/* Calls F for each word of a blank-separated list, until it fails. 0 or what F returned. */
int settings_words(const char *value, int (*f)(struct settings *s, const char *word),
		   struct settings *s);
