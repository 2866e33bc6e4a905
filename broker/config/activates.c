/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/activates.h"

#include <stdio.h>
#include <string.h>

#include "broker/config/file.h"
#include "broker/config/lines.h"

struct search {
	const char *unit;
	bool found;
};

static void on_line(void *data, const char *key, const char *value, unsigned line)
{
	struct search *s = data;

	s->found |= !strcmp(key, "Activate") && !strcmp(value, s->unit);
}

static void search_file(const char *path, struct search *s)
{
	_cleanup_(config_report_clear) struct config_report ignored = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t length;

	if (file_read(path, true, &text, &length, &ignored) > 0)
		lines_parse(path, text, length, "Label", on_line, s, &ignored);
}

bool config_activates(const char *dir, const char *unit)
{
	_cleanup_(config_report_clear) struct config_report ignored = { 0 };
	struct search search = { .unit = unit };
	_cleanup_free_ char *labels = NULL;
	char **names;
	size_t n;

	if (asprintf(&labels, "%s/labels.d", dir) < 0 ||
	    file_names(labels, &names, &n, &ignored) < 0)
		return false;
	for (size_t i = 0; i < n && !search.found; i++) {
		_cleanup_free_ char *path = NULL;
		size_t length = strlen(names[i]);

		if (length > 6 && !strcmp(names[i] + length - 6, ".label") &&
		    asprintf(&path, "%s/%s", labels, names[i]) >= 0)
			search_file(path, &search);
	}
	file_names_free(names, n);
	return search.found;
}
