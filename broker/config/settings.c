/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/settings.h"

#include <string.h>
#include <strings.h>

#include "broker/config/lines.h"
#include "broker/config/report.h"

static void report_unknown(struct settings *s)
{
	for (size_t i = 0; i < s->n_table; i++)
		if (!strcasecmp(s->table[i].key, s->key)) {
			report_error(s->report, s->path, s->line,
				     "%s= is not known; it is written %s=", s->key,
				     s->table[i].key);
			return;
		}
	report_error(s->report, s->path, s->line, "%s= is not known", s->key);
}

static void on_setting(void *data, const char *key, const char *value, unsigned line)
{
	struct settings *s = data;
	const struct setting *found = NULL;
	unsigned *first;

	s->key = key;
	s->line = line;
	for (size_t i = 0; i < s->n_table && !found; i++)
		if (!strcmp(s->table[i].key, key))
			found = &s->table[i];
	if (!found) {
		report_unknown(s);
		return;
	}
	first = &s->first_line[found - s->table];
	if (*first && !found->list) {
		report_error(s->report, s->path, line, "%s= stands in line %u already", key,
			     *first);
		return;
	}
	*first = line;
	if (!*value && !found->may_be_empty)
		report_error(s->report, s->path, line,
			     "%s= has no value; to have the default, leave the line out", key);
	else
		found->set(s, value);
}

void settings_parse(struct settings *s, const char *section, const char *text, size_t length)
{
	lines_parse(s->path, text, length, section, on_setting, s, s->report);
}

void settings_refuse(struct settings *s, const struct sb_error *error)
{
	if (error->code == ENOMEM)
		report_out_of_memory(s->report);
	else
		report_error(s->report, s->path, s->line, "%s=: %s", s->key, error->message);
}

int settings_words(const char *value, int (*f)(struct settings *s, const char *word),
		   struct settings *s)
{
	while (*value) {
		_cleanup_free_ char *word = NULL;
		size_t n = strcspn(value, " \t");
		int r;

		if (n > 0) {
			word = strndup(value, n);
			if (!word) {
				report_out_of_memory(s->report);
				return -ENOMEM;
			}
			r = f(s, word);
			if (r < 0)
				return r;
		}
		value += n;
		value += strspn(value, " \t");
	}
	return 0;
}
