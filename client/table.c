/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records are decoded where they lie, one at a time: a table of a million rules costs its mapping.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client/table.h"

struct sockbroker_table {
	struct sb_text text; /* owned, or empty */
	void *map;           /* owned, or NULL */
	size_t map_length;
	char *cursor, *end;
	bool has_record;
	struct sb_record record;
};

int table_new_from_memfd(int fd, struct sockbroker_table **ret, struct sb_error *error)
{
	struct sockbroker_table *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return sb_fail(error, ENOMEM, "out of memory");
	r = sb_memfd_map(fd, TABLE_MAX, true, &t->map, &t->map_length, error);
	if (r < 0) {
		free(t);
		return r;
	}
	t->cursor = t->map;
	t->end = t->map ? t->cursor + t->map_length : NULL;
	*ret = t;
	return 0;
}

int table_new_take_text(struct sb_text *text, struct sockbroker_table **ret)
{
	struct sockbroker_table *t;

	if (text->error < 0)
		return text->error;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->text = *text;
	*text = (struct sb_text){ 0 };
	t->cursor = t->text.data;
	t->end = t->cursor ? t->cursor + t->text.length : NULL;
	*ret = t;
	return 0;
}

int table_take_from_reply(struct sockbroker *sb, struct sockbroker_table **ret)
{
	struct sb_error error = { 0 };
	_cleanup_close_ int fd = -1;
	int r = handle_take_file(sb, &fd);

	if (r < 0)
		return r;
	r = table_new_from_memfd(fd, ret, &error);
	if (r == -ENOMEM)
		return handle_fail_local(sb, ENOMEM, "out of memory");
	if (r < 0)
		return handle_fail_unreachable(sb, EPROTO, "the broker's table: %s", error.message);
	return 0;
}

int sockbroker_table_next(struct sockbroker_table *t)
{
	struct sb_error error;
	int r;

	if (!t || t->cursor == t->end) {
		if (t)
			t->has_record = false;
		return 0;
	}
	r = sb_record_next(&t->cursor, t->end, &t->record, &error);
	t->has_record = r > 0;
	if (r < 0)
		t->cursor = t->end - 1; /* so that it stays an error */
	return r < 0 ? -EPROTO : r;
}

const char *sockbroker_table_type(const struct sockbroker_table *t)
{
	return t && t->has_record ? t->record.type : NULL;
}

const char *sockbroker_table_get(const struct sockbroker_table *t, const char *key)
{
	return t && t->has_record ? sb_record_get(&t->record, key) : NULL;
}

int sockbroker_table_field(const struct sockbroker_table *t, size_t index, const char **ret_key,
			   const char **ret_value)
{
	if (!t || !t->has_record || index >= t->record.n_fields)
		return 0;
	*ret_key = t->record.fields[index].key;
	*ret_value = t->record.fields[index].value;
	return 1;
}

void sockbroker_table_free(struct sockbroker_table *t)
{
	if (!t)
		return;
	if (t->map)
		munmap(t->map, t->map_length);
	sb_text_free(&t->text);
	free(t);
}
