/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
	int code;
	const char *name, *meaning;
};

#define ROW(code, meaning) { code, #code, meaning },
static const struct row rows[] = { SB_ERRORS(ROW) };
#undef ROW

static const struct row *row_of(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].code == code)
			return &rows[i];
	}
	return NULL;
}

/* Stores TEXT, cut where a character of UTF-8 ends. */
static void set_message(struct sb_error *e, const char *text)
{
	size_t n = strlen(text);

	if (n >= sizeof(e->message)) {
		n = sizeof(e->message) - 1;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(e->message, text, n);
	e->message[n] = '\0';
}

int(sb_fail)(struct sb_error *e, int code, const char *format, ...)
{
	/* Formatted aside, since the arguments may point into the old message. One byte more than
	 * a message holds, so that set_message() sees that it was cut. */
	char text[SB_ERROR_MESSAGE_MAX + 4];
	va_list ap;

	if (code < 0)
		code = -code;
	if (code == 0) /* a refusal never looks like success */
		code = EIO;
	if (!e)
		return -code;

	va_start(ap, format);
	if (vsnprintf(text, sizeof(text), format, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	e->code = code;
	set_message(e, text);
	return -code;
}

int sb_fail_prefix(struct sb_error *e, const char *format, ...)
{
	char text[2 * SB_ERROR_MESSAGE_MAX + 4];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, SB_ERROR_MESSAGE_MAX, format, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if (n >= SB_ERROR_MESSAGE_MAX)
		n = SB_ERROR_MESSAGE_MAX - 1;
	snprintf(text + n, sizeof(text) - (size_t)n, ": %s", e->message);
	set_message(e, text);
	return -e->code;
}

const char *sb_error_name(int code)
{
	const struct row *row = row_of(code);

	return row ? row->name : "EIO";
}

int sb_error_code(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].code;
	}
	return 0;
}

const char *sb_error_meaning(int code)
{
	const struct row *row = row_of(code);

	return (row ? row : row_of(EIO))->meaning;
}

void sb_error_each(void (*f)(const char *name, int code, const char *meaning, void *data),
		   void *data)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		f(rows[i].name, rows[i].code, rows[i].meaning, data);
}
