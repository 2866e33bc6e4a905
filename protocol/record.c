/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/record.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "protocol/printable.h"

#define TEXT_CAPACITY_MIN 4096

void sb_text_free(struct sb_text *t)
{
	if (!t)
		return;
	free(t->data);
	*t = (struct sb_text){ 0 };
}

static int fail(struct sb_text *t, int error)
{
	if (!t->error)
		t->error = error;
	return t->error;
}

/* Room for N more bytes and a NUL. */
static int reserve(struct sb_text *t, size_t n)
{
	size_t capacity = t->capacity ? t->capacity : TEXT_CAPACITY_MIN;
	char *data;

	if (t->error)
		return t->error;
	if (n < t->capacity - t->length)
		return 0;
	if (n >= SIZE_MAX / 4 - t->length)
		return fail(t, -ENOMEM);
	while (capacity - t->length <= n)
		capacity *= 2;
	data = realloc(t->data, capacity);
	if (!data)
		return fail(t, -ENOMEM);
	t->data = data;
	t->capacity = capacity;
	return 0;
}

void sb_text_append(struct sb_text *t, const char *data, size_t n)
{
	if (reserve(t, n) < 0)
		return;
	memcpy(t->data + t->length, data, n);
	t->length += n;
	t->data[t->length] = '\0';
}

static _printf_(2, 0) void append_format(struct sb_text *t, const char *format, va_list ap)
{
	va_list again;
	int n;

	if (reserve(t, 128) < 0) /* mostly enough, so that once is enough */
		return;
	va_copy(again, ap);
	n = vsnprintf(t->data + t->length, t->capacity - t->length, format, ap);
	if (n < 0)
		fail(t, -EINVAL);
	else if ((size_t)n >= t->capacity - t->length && reserve(t, (size_t)n) == 0)
		vsnprintf(t->data + t->length, t->capacity - t->length, format, again);
	va_end(again);
	if (!t->error)
		t->length += (size_t)n;
	t->data[t->length] = '\0';
}

void sb_text_printf(struct sb_text *t, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	append_format(t, format, ap);
	va_end(ap);
}

/* How many bytes at S may stand as they are: 0 where one must be escaped. What is not UTF-8 is
 * escaped too, so that a table always is. */
static size_t plain_length(const char *s, size_t n)
{
	size_t length;

	if (*s == '\\')
		return 0;
	length = sb_utf8_length(s, n);
	return length > 0 && sb_is_control(s, length) ? 0 : length;
}

static void append_escaped(struct sb_text *t, const char *s, size_t n)
{
	size_t done = 0, i = 0;

	while (i < n) {
		size_t length = plain_length(s + i, n - i);

		if (length > 0) {
			i += length;
			continue;
		}
		sb_text_append(t, s + done, i - done);
		if (s[i] == '\t')
			sb_text_append(t, "\\t", 2);
		else if (s[i] == '\n')
			sb_text_append(t, "\\n", 2);
		else if (s[i] == '\\')
			sb_text_append(t, "\\\\", 2);
		else
			sb_text_printf(t, "\\x%02x", (unsigned)(uint8_t)s[i]);
		done = ++i;
	}
	sb_text_append(t, s + done, n - done);
}

/* Types and keys: [a-z][a-z0-9_]* */
static bool name_valid(const char *s, size_t n)
{
	if (n == 0 || s[0] < 'a' || s[0] > 'z')
		return false;
	for (size_t i = 1; i < n; i++) {
		if (!(s[i] >= 'a' && s[i] <= 'z') && !(s[i] >= '0' && s[i] <= '9') && s[i] != '_')
			return false;
	}
	return true;
}

static void append_name(struct sb_text *t, const char *name)
{
	size_t n = strlen(name);

	if (!name_valid(name, n))
		fail(t, -EINVAL);
	sb_text_append(t, name, n);
}

void sb_record_begin(struct sb_text *t, const char *type)
{
	append_name(t, type);
}

void sb_record_add(struct sb_text *t, const char *key, const char *format, ...)
{
	struct sb_text value = { 0 };
	va_list ap;

	sb_text_append(t, "\t", 1);
	append_name(t, key);
	sb_text_append(t, "=", 1);

	va_start(ap, format);
	if (strcmp(format, "%s") == 0) { /* most values: spared the detour over a second text */
		const char *s = va_arg(ap, const char *);

		append_escaped(t, s, strlen(s));
	} else {
		append_format(&value, format, ap);
		if (value.error)
			fail(t, value.error);
		else
			append_escaped(t, value.data, value.length);
	}
	va_end(ap);
	sb_text_free(&value);
}

void sb_record_end(struct sb_text *t)
{
	sb_text_append(t, "\n", 1);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The character that the escape sequence at *S, between a backslash and END, stands for; *S moves
 * to its last byte. -1 for a wrong one; a NUL is wrong, since it would cut the value. */
static int unescape_one(const char **s, const char *end)
{
	const char *p = *s;

	if (p == end)
		return -1;
	if (*p == 't')
		return '\t';
	if (*p == 'n')
		return '\n';
	if (*p == '\\')
		return '\\';
	if (*p == 'x' && end - p >= 3) {
		int high = hex_digit(p[1]), low = hex_digit(p[2]);

		*s = p + 2;
		if (high >= 0 && low >= 0 && high + low > 0)
			return high * 16 + low;
	}
	return -1;
}

/* Unescapes the value from START to END in place and ends it in NUL (*END may be overwritten). */
static int decode_value(char *start, char *end)
{
	char *out = start;

	for (const char *in = start; in < end; in++) {
		int c = (uint8_t)*in;

		if (c == '\\') {
			in++;
			c = unescape_one(&in, end);
			if (c < 0)
				return -EPROTO;
		} else if (sb_is_control(in, 1)) {
			return -EPROTO;
		}
		*out++ = (char)c;
	}
	*out = '\0';
	return 0;
}

static int decode_field(struct sb_record *r, char *start, char *end, struct sb_error *error)
{
	char *equals = memchr(start, '=', (size_t)(end - start));
	char quoted[SB_QUOTE_MAX];

	sb_quote(start, (size_t)(end - start), quoted);
	if (!equals || !name_valid(start, (size_t)(equals - start)))
		return sb_fail(error, EPROTO, "%s in a record of type %s is not key=value", quoted,
			       r->type);
	if (r->n_fields == SB_RECORD_FIELDS_MAX)
		return sb_fail(error, EPROTO, "a record of type %s has more than %d fields",
			       r->type, SB_RECORD_FIELDS_MAX);
	*equals = '\0';
	if (decode_value(equals + 1, end) < 0)
		return sb_fail(error, EPROTO,
			       "%s in a record of type %s has a wrong escape or control character",
			       quoted, r->type);
	r->fields[r->n_fields++] = (struct sb_record_field){ .key = start, .value = equals + 1 };
	return 0;
}

int sb_record_next(char **cursor, char *end, struct sb_record *ret, struct sb_error *error)
{
	char *line = *cursor, *newline, *tab;
	char quoted[SB_QUOTE_MAX];

	if (line == end)
		return 0;
	newline = memchr(line, '\n', (size_t)(end - line));
	if (!newline)
		return sb_fail(error, EPROTO, "the last record is cut off");
	tab = memchr(line, '\t', (size_t)(newline - line));
	if (!tab)
		tab = newline;
	if (!name_valid(line, (size_t)(tab - line)))
		return sb_fail(error, EPROTO, "%s is not the type of a record",
			       sb_quote(line, (size_t)(tab - line), quoted));

	*cursor = newline + 1;
	ret->type = line;
	ret->n_fields = 0;
	while (tab < newline) {
		char *start = tab + 1;
		int r;

		*tab = '\0';
		tab = memchr(start, '\t', (size_t)(newline - start));
		if (!tab)
			tab = newline;
		r = decode_field(ret, start, tab, error);
		if (r < 0)
			return r;
	}
	*newline = '\0';
	return 1;
}

const char *sb_record_get(const struct sb_record *r, const char *key)
{
	for (size_t i = 0; i < r->n_fields; i++) {
		if (strcmp(r->fields[i].key, key) == 0)
			return r->fields[i].value;
	}
	return NULL;
}
