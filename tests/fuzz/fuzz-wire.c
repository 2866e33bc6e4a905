/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets from anyone: what is decoded is well-formed, and writing it again gives the same. */
#include "protocol/printable.h"
#include "protocol/wire.h"
#include "tests/fuzz/fuzz.h"

static void check_same(const struct sb_message *a, const struct sb_message *b)
{
	require(a->n_fields == b->n_fields);
	for (size_t i = 0; i < a->n_fields; i++) {
		require(strcmp(a->fields[i].key, b->fields[i].key) == 0);
		require(strcmp(a->fields[i].value, b->fields[i].value) == 0);
	}
}

static void check_fields(const struct sb_message *m)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct sb_field *f = &m->fields[i];
		size_t n = strlen(f->value), length;

		require(strlen(f->key) > 0 && strlen(f->key) <= SB_WIRE_KEY_MAX);
		require(sb_message_count(m, f->key) > 0);
		for (size_t k = 0; k < n; k += length) {
			length = sb_utf8_length(f->value + k, n - k);
			require(length > 0 && !sb_is_control(f->value + k, length));
		}
	}
}

static void check_again(const struct sb_message *m, struct sb_message *again)
{
	struct sb_writer w = { 0 };

	for (size_t i = 0; i < m->n_fields; i++)
		sb_writer_add(&w, m->fields[i].key, "%s", m->fields[i].value);
	if (sb_writer_finish(&w) < 0)
		return; /* a final newline more than the packet had room for */
	require(sb_message_decode(again, w.buffer, w.length, NULL) == 0);
	check_same(m, again);
}

/* Whatever a value holds, it is one field. */
static void check_forgery(const uint8_t *data, size_t size, struct sb_message *m)
{
	char *value = strndup((const char *)data, size);
	struct sb_writer w = { 0 };
	struct sb_error error = { .code = EIO };

	require(value);
	sb_writer_add(&w, "OK", "1");
	sb_writer_add(&w, "TEXT", "%s", value);
	if (sb_writer_finish(&w) == 0) {
		require(sb_message_decode(m, w.buffer, w.length, NULL) == 0);
		require(m->n_fields == 2 && sb_message_get(m, "OK"));
	}
	snprintf(error.message, sizeof(error.message), "%s", value);
	for (int short_form = 0; short_form < 2; short_form++) {
		sb_writer_refuse(&w, short_form, &error);
		require(sb_writer_finish(&w) == 0);
		if (short_form) {
			require(sb_short_reply_verdict(w.buffer, w.length, NULL) == -EIO);
		} else {
			require(sb_message_decode(m, w.buffer, w.length, NULL) == 0);
			require(sb_message_verdict(m, NULL) == -EIO);
		}
	}
	free(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sb_message *m = malloc(sizeof(*m)), *again = malloc(sizeof(*again));
	char *packet = exact_copy(data, size);
	struct sb_error error = { 0 };
	int r;

	require(m && again);
	r = sb_message_decode(m, packet, size, &error);
	require(r == 0 || (r == -error.code && error.message[0]));
	if (r == 0) {
		check_fields(m);
		if (!m->short_form)
			check_again(m, again);
		error = (struct sb_error){ 0 };
		r = sb_message_verdict(m, &error);
		require(r == 0 || (r == -error.code && r < 0));
	}
	error = (struct sb_error){ 0 };
	r = sb_short_reply_verdict(packet, size, &error);
	require(r == 0 || (r == -error.code && r < 0));
	check_forgery(data, size, again);
	free(packet);
	free(again);
	free(m);
	return 0;
}
