/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables from anyone: what is decoded, and written again, is decoded as the same. */
#include "protocol/record.h"
#include "tests/fuzz/fuzz.h"

static void write_record(const struct sb_record *r, struct sb_text *text)
{
	sb_record_begin(text, r->type);
	for (size_t i = 0; i < r->n_fields; i++)
		sb_record_add(text, r->fields[i].key, "%s", r->fields[i].value);
	sb_record_end(text);
}

static void check_again(const struct sb_record *r)
{
	struct sb_text text = { 0 };
	struct sb_record again;
	char *cursor;

	write_record(r, &text);
	require(text.error == 0);
	cursor = text.data;
	require(sb_record_next(&cursor, text.data + text.length, &again, NULL) == 1);
	require(cursor == text.data + text.length);
	require(strcmp(r->type, again.type) == 0 && r->n_fields == again.n_fields);
	for (size_t i = 0; i < r->n_fields; i++) {
		require(strcmp(r->fields[i].key, again.fields[i].key) == 0);
		require(strcmp(r->fields[i].value, again.fields[i].value) == 0);
		require(sb_record_get(r, r->fields[i].key));
	}
	sb_text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = exact_copy(data, size), *cursor = text, *before;
	struct sb_error error = { 0 };
	struct sb_record r;
	int k;

	while ((before = cursor), (k = sb_record_next(&cursor, text + size, &r, &error)) > 0) {
		require(cursor > before && cursor <= text + size);
		check_again(&r);
	}
	require(k == 0 ? cursor == text + size : k == -EPROTO && error.message[0]);
	free(text);
	return 0;
}
