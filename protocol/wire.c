/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/label.h"
#include "protocol/printable.h"

static bool key_valid(const char *key, size_t n)
{
	if (n == 0 || n > SB_WIRE_KEY_MAX || key[0] < 'A' || key[0] > 'Z')
		return false;
	for (size_t i = 1; i < n; i++) {
		char c = key[i];

		if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return true;
}

/* Values are shown to people and written to logs, hence no control characters. */
static int check_value(const char *key, const char *value, size_t n, struct sb_error *error)
{
	for (size_t i = 0, length; i < n; i += length) {
		length = sb_utf8_length(value + i, n - i);
		if (length == 0)
			return sb_fail(error, EPROTO, "the value of %s is not UTF-8", key);
		if (sb_is_control(value + i, length))
			return sb_fail(error, EPROTO,
				       "the value of %s has a control character in it", key);
	}
	return 0;
}

/* Takes the line of N bytes at LINE, which lies in the buffer and is followed by a byte that may
 * be overwritten, apart into the next field. */
static int decode_line(struct sb_message *m, char *line, size_t n, struct sb_error *error)
{
	char *equals = memchr(line, '=', n);
	char quoted[SB_QUOTE_MAX];
	size_t key_n;

	if (!equals)
		return sb_fail(error, EPROTO, "line %zu of the packet, %s, is not KEY=VALUE",
			       m->n_fields + 1, sb_quote(line, n, quoted));
	key_n = (size_t)(equals - line);
	if (!key_valid(line, key_n))
		return sb_fail(error, EPROTO,
			       "%s in line %zu of the packet is not a key: at most %d of A-Z, 0-9 "
			       "and _, the first of them a letter",
			       sb_quote(line, key_n, quoted), m->n_fields + 1, SB_WIRE_KEY_MAX);
	if (m->n_fields == SB_WIRE_FIELDS_MAX)
		return sb_fail(error, EMSGSIZE, "the packet has more than %d fields",
			       SB_WIRE_FIELDS_MAX);
	*equals = '\0';
	line[n] = '\0';
	m->fields[m->n_fields++] = (struct sb_field){ .key = line, .value = equals + 1 };
	return check_value(line, equals + 1, n - key_n - 1, error);
}

static bool is_short_form(const char *packet, size_t n)
{
	return packet[n - 1] == '#' && !memchr(packet, '=', n) && !memchr(packet, '\n', n);
}

bool sb_packet_seems_short(const void *packet, size_t n)
{
	const char *hash = memchr(packet, '#', n);

	return hash && sb_label_valid(packet, (size_t)(hash - (const char *)packet));
}

int sb_message_decode(struct sb_message *m, const void *packet, size_t n, struct sb_error *error)
{
	char *line = m->buffer, *end;

	m->n_fields = 0;
	m->short_form = false;
	if (n > SB_WIRE_PACKET_MAX)
		return sb_fail(error, EMSGSIZE, "the packet is %zu bytes long, %d is the most", n,
			       SB_WIRE_PACKET_MAX);
	if (n == 0)
		return sb_fail(error, EPROTO, "the packet is empty");
	memcpy(m->buffer, packet, n);
	end = m->buffer + n;
	*end = '\0';

	if (is_short_form(m->buffer, n)) {
		end[-1] = '\0';
		m->short_form = true;
		m->fields[m->n_fields++] = (struct sb_field){ .key = "LABEL", .value = m->buffer };
		return check_value("LABEL", m->buffer, n - 1, error);
	}
	while (line < end) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		char *stop = newline ? newline : end;
		int r = decode_line(m, line, (size_t)(stop - line), error);

		if (r < 0)
			return r;
		line = stop + 1;
	}
	return 0;
}

static const struct sb_field *find(const struct sb_message *m, const char *key, size_t *ret_count)
{
	const struct sb_field *first = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < m->n_fields; i++) {
		if (strcmp(m->fields[i].key, key) != 0)
			continue;
		if (!first)
			first = &m->fields[i];
		++*ret_count;
	}
	return first;
}

const char *sb_message_get(const struct sb_message *m, const char *key)
{
	size_t count;
	const struct sb_field *field = find(m, key, &count);

	return count == 1 ? field->value : NULL;
}

size_t sb_message_count(const struct sb_message *m, const char *key)
{
	size_t count;

	find(m, key, &count);
	return count;
}

static void writer_reset(struct sb_writer *w)
{
	w->error = 0;
	w->length = 0;
	w->buffer[0] = '\0';
}

/* Appends the formatted text, made printable. */
static _printf_(2, 0) void append(struct sb_writer *w, const char *format, va_list ap)
{
	size_t room = sizeof(w->buffer) - w->length;
	char *start = w->buffer + w->length;
	int n;

	if (w->error)
		return;
	n = vsnprintf(start, room, format, ap);
	if (n < 0 || (size_t)n >= room) {
		*start = '\0';
		w->error = -EMSGSIZE;
		return;
	}
	w->length += sb_make_printable(start, (size_t)n);
	w->buffer[w->length] = '\0';
}

static void append_newline(struct sb_writer *w)
{
	if (w->error)
		return;
	if (w->length == SB_WIRE_PACKET_MAX) {
		w->error = -EMSGSIZE;
		return;
	}
	w->buffer[w->length++] = '\n';
	w->buffer[w->length] = '\0';
}

static _printf_(2, 3) void append_format(struct sb_writer *w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	append(w, format, ap);
	va_end(ap);
}

void sb_writer_add(struct sb_writer *w, const char *key, const char *format, ...)
{
	size_t before = w->length;
	va_list ap;

	if (!w->error && !key_valid(key, strlen(key)))
		w->error = -EINVAL;
	append_format(w, "%s=", key);
	va_start(ap, format);
	append(w, format, ap);
	va_end(ap);
	append_newline(w);
	if (w->error) { /* no half field */
		w->length = before;
		w->buffer[before] = '\0';
	}
}

int sb_writer_finish(const struct sb_writer *w)
{
	size_t n_fields = 0;

	if (w->error)
		return w->error;
	for (size_t i = 0; i < w->length; i++)
		n_fields += w->buffer[i] == '\n';
	return n_fields > SB_WIRE_FIELDS_MAX ? -EMSGSIZE : 0;
}

void sb_writer_refuse(struct sb_writer *w, bool short_form, const struct sb_error *error)
{
	const char *name = sb_error_name(error->code);
	const char *message = error->message;

	if (message[0] == '\0')
		message = sb_error_meaning(error->code);
	writer_reset(w);
	if (short_form) {
		append_format(w, "ERR %s %s", name, message);
		return;
	}
	sb_writer_add(w, "ERROR", "%s", name);
	sb_writer_add(w, "MESSAGE", "%s", message);
}

void sb_writer_accept(struct sb_writer *w, bool short_form)
{
	writer_reset(w);
	if (short_form)
		append_format(w, "OK");
	else
		sb_writer_add(w, "OK", "1");
}

/* A refusal as the broker put it; an unknown NAME counts as EIO. */
static int refused(const char *name, const char *message, struct sb_error *error)
{
	int code = sb_error_code(name);

	if (code == 0)
		code = EIO;
	return sb_fail(error, code, "%s", *message ? message : sb_error_meaning(code));
}

int sb_message_verdict(const struct sb_message *m, struct sb_error *error)
{
	const struct sb_field *first = m->fields;
	const char *message;

	if (m->n_fields > 0 && !m->short_form) {
		if (strcmp(first->key, "OK") == 0 && strcmp(first->value, "1") == 0)
			return 0;
		if (strcmp(first->key, "ERROR") == 0) {
			message = sb_message_get(m, "MESSAGE");
			return refused(first->value, message ? message : "", error);
		}
	}
	return sb_fail(error, EPROTO, "the reply starts with neither OK=1 nor ERROR=");
}

int sb_short_reply_verdict(const void *packet, size_t n, struct sb_error *error)
{
	char text[SB_WIRE_PACKET_MAX + 1], *name, *message;

	if (n == 2 && memcmp(packet, "OK", 2) == 0)
		return 0;
	if (n > SB_WIRE_PACKET_MAX || n < 4 || memcmp(packet, "ERR ", 4) != 0)
		return sb_fail(error, EPROTO, "the reply is neither OK nor ERR with a reason");
	memcpy(text, packet, n);
	text[sb_make_printable(text, n)] = '\0';
	name = text + 4;
	message = strchr(name, ' ');
	if (message)
		*message++ = '\0';
	return refused(name, message ? message : "", error);
}
