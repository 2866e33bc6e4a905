/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What only reads, and the end of it all. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "client/handle.h"
#include "client/table.h"

static int query(struct sockbroker *sb, const struct sb_writer *w, struct sockbroker_table **ret)
{
	int r = handle_call(sb, w, NULL, 0);

	return r < 0 ? r : table_take_from_reply(sb, ret);
}

int sockbroker_rules(struct sockbroker *sb, const char *label, struct sockbroker_table **ret)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb_writer_add(&w, "REQUEST", "rules");
	if (label)
		sb_writer_add(&w, "LABEL", "%s", label);
	sb_writer_add(&w, "FORMAT", "records");
	return query(sb, &w, ret);
}

int sockbroker_status(struct sockbroker *sb, const char *label, struct sockbroker_table **ret)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb_writer_add(&w, "REQUEST", "status");
	if (label)
		sb_writer_add(&w, "LABEL", "%s", label);
	return query(sb, &w, ret);
}

int sockbroker_explain(struct sockbroker *sb, const char *protocol, const char *address,
		       uint16_t port, const char *from_address, uint16_t from_port,
		       struct sockbroker_table **ret)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb_writer_add(&w, "REQUEST", "explain");
	sb_writer_add(&w, "PROTOCOL", "%s", protocol);
	sb_writer_add(&w, "ADDRESS", "%s", address);
	sb_writer_add(&w, "PORT", "%u", port);
	if (from_address)
		sb_writer_add(&w, "FROM_ADDRESS", "%s", from_address);
	if (from_port)
		sb_writer_add(&w, "FROM_PORT", "%u", from_port);
	return query(sb, &w, ret);
}

/* The reply's fields as one record, so that a version is read like everything else. */
static void record_from_reply(const struct sockbroker *sb, struct sb_text *t)
{
	sb_record_begin(t, "version");
	for (size_t i = 0; i < sb->reply.n_fields; i++) {
		const struct sb_field *f = &sb->reply.fields[i];
		char key[SB_WIRE_KEY_MAX + 1] = "";

		if (!strcmp(f->key, "OK") || !strcmp(f->key, "WARNING"))
			continue;
		for (size_t k = 0; f->key[k] && k < SB_WIRE_KEY_MAX; k++)
			key[k] = (char)tolower((unsigned char)f->key[k]);
		sb_record_add(t, key, "%s", f->value);
	}
	sb_record_end(t);
}

int sockbroker_version(struct sockbroker *sb, struct sockbroker_table **ret)
{
	struct sb_writer w = { 0 };
	struct sb_text text = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb_writer_add(&w, "REQUEST", "version");
	r = handle_call(sb, &w, NULL, 0);
	if (r < 0)
		return r;
	record_from_reply(sb, &text);
	r = table_new_take_text(&text, ret);
	sb_text_free(&text);
	return r < 0 ? handle_fail_local(sb, -r, "out of memory") : 0;
}

/* A request of one word. */
static int plain_call(struct sockbroker *sb, const char *request)
{
	struct sb_writer w = { 0 };
	int r = handle_begin(sb);

	if (r < 0)
		return r;
	sb_writer_add(&w, "REQUEST", "%s", request);
	return handle_call(sb, &w, NULL, 0);
}

int sockbroker_reload(struct sockbroker *sb)
{
	return plain_call(sb, "reload");
}

int sockbroker_unload(struct sockbroker *sb)
{
	return plain_call(sb, "unload");
}
