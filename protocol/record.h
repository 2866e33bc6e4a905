/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables on the wire: what `rules`, `status` and the like answer, in a sealed memfd.
 *
 * One record a line: TYPE, then TAB-separated key=value pairs. In values, TAB, newline, backslash
 * and other control characters are written \t \n \\ \xHH. Keys are [a-z][a-z0-9_]*. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "protocol/errors.h"

#define SB_RECORD_FIELDS_MAX 64

/* A growing text. Zero-initialize; sb_text_free() when done. The first failure sticks. */
struct sb_text {
	char *data; /* NUL-terminated when length > 0 */
	size_t length, capacity;
	int error; /* negative errno */
};

void sb_text_free(struct sb_text *t);
void sb_text_append(struct sb_text *t, const char *data, size_t n);
void sb_text_printf(struct sb_text *t, const char *format, ...) _printf_(2, 3);

/* sb_record_begin(t, "rule"); sb_record_add(t, "label", "%s", name); ... sb_record_end(t); */
void sb_record_begin(struct sb_text *t, const char *type);
void sb_record_add(struct sb_text *t, const char *key, const char *format, ...) _printf_(3, 4);
void sb_record_end(struct sb_text *t);

struct sb_record_field {
	const char *key, *value;
};

struct sb_record {
	const char *type;
	size_t n_fields;
	struct sb_record_field fields[SB_RECORD_FIELDS_MAX];
};

/*
 * Decodes the record at *CURSOR (writing NULs and unescaped values into the text, which must be
 * writable and end at END) and moves *CURSOR behind it. 1: a record; 0: the end; -EPROTO: not a
 * record, with a sentence.
 */
int sb_record_next(char **cursor, char *end, struct sb_record *ret, struct sb_error *error);

/* The value of KEY, or NULL. */
const char *sb_record_get(const struct sb_record *r, const char *key);
