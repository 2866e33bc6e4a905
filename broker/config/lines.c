/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/lines.h"

#include <ini.h>
#include <string.h>

#include "broker/config/report.h"
#include "protocol/printable.h"

#define BLANKS " \t\r\v\f"

struct reader {
	const char *path, *section;
	const char *at, *end;
	unsigned line; /* the one that libinih was given last */
	lines_handler handler;
	void *data;
	struct config_report *report;
};

struct span {
	const char *s;
	size_t n;
};

static bool is_blank(char c)
{
	return c != '\0' && strchr(BLANKS, c);
}

static struct span trim(struct span t)
{
	while (t.n > 0 && is_blank(t.s[0])) {
		t.s++;
		t.n--;
	}
	while (t.n > 0 && is_blank(t.s[t.n - 1]))
		t.n--;
	return t;
}

static bool is_text(struct span t)
{
	for (size_t i = 0, length; i < t.n; i += length) {
		length = sb_utf8_length(t.s + i, t.n - i);
		if (length == 0 || (t.s[i] != '\t' && sb_is_control(t.s + i, length)))
			return false;
	}
	return true;
}

/* libinih takes a semicolon behind a blank for the start of a comment. */
static bool has_inline_comment(struct span t)
{
	for (size_t i = 1; i < t.n; i++)
		if (t.s[i] == ';' && is_blank(t.s[i - 1]))
			return true;
	return false;
}

static bool check_section(struct reader *r, struct span t)
{
	size_t n = strlen(r->section);

	if (t.n < 2 || t.s[t.n - 1] != ']' || memchr(t.s, ']', t.n - 1)) {
		report_error(r->report, r->path, r->line,
			     "a section is written [%s], with nothing behind it", r->section);
		return false;
	}
	if (t.n != n + 2 || memcmp(t.s + 1, r->section, n)) {
		report_error(r->report, r->path, r->line,
			     "section %.*s is not known; this file has [%s] only", (int)t.n, t.s,
			     r->section);
		/* Passed on all the same: what stands in it must not count as [SECTION]'s. */
	}
	return true;
}

static bool check_setting(struct reader *r, struct span t)
{
	const char *equals = memchr(t.s, '=', t.n);
	const char *colon = memchr(t.s, ':', t.n);

	/* libinih would take Key:value too. */
	if (!equals || equals == t.s || (colon && colon < equals)) {
		report_error(r->report, r->path, r->line,
			     "this is not of the form Key=value, [Section] or # comment");
		return false;
	}
	if (t.s[t.n - 1] == '\\') {
		report_error(r->report, r->path, r->line,
			     "a backslash does not continue the line; write the key again on the "
			     "next one");
		return false;
	}
	return true;
}

/* Whether libinih may see the line; T is without blanks around it and not empty. */
static bool check_line(struct reader *r, struct span t)
{
	if (t.s[0] == '#' || t.s[0] == ';')
		return false;
	if (t.n > LINES_LENGTH_MAX) {
		report_error(r->report, r->path, r->line,
			     "the line is %zu bytes long, %d is the most; a key with a list may be "
			     "written several times",
			     t.n, LINES_LENGTH_MAX);
		return false;
	}
	if (!is_text(t)) {
		report_error(r->report, r->path, r->line,
			     "the line has bytes in it that are no text in UTF-8");
		return false;
	}
	if (has_inline_comment(t)) {
		report_error(r->report, r->path, r->line,
			     "a comment stands on a line of its own, and no value may have a "
			     "semicolon behind a blank");
		return false;
	}
	return t.s[0] == '[' ? check_section(r, t) : check_setting(r, t);
}

/* fgets() for libinih. A line that it is not to see comes as an empty one, so that it counts as
 * many lines as there are; blanks before a line, which would join it to the one above, are gone. */
static char *next_line(char *buf, int size, void *data)
{
	struct reader *r = data;
	struct span t = { .s = r->at };
	const char *newline;

	if (r->at == r->end)
		return NULL;
	newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
	t.n = (size_t)((newline ? newline : r->end) - r->at);
	r->at = newline ? newline + 1 : r->end;
	r->line++;
	t = trim(t);
	if (t.n == 0 || !check_line(r, t))
		t.n = 0;
	if (t.n + 2 > (size_t)size) { /* a libinih that was built with a smaller buffer */
		report_error(r->report, r->path, r->line, "the line is too long");
		t.n = 0;
	}
	memcpy(buf, t.s, t.n);
	buf[t.n] = '\n';
	buf[t.n + 1] = '\0';
	return buf;
}

static int on_setting(void *data, const char *section, const char *key, const char *value)
{
	struct reader *r = data;

	if (section[0] == '\0')
		report_error(r->report, r->path, r->line, "%s= stands above the first [%s]", key,
			     r->section);
	else if (!strcmp(section, r->section))
		r->handler(r->data, key, value, r->line);
	/* else: the section's own line was reported */
	return 1;
}

void lines_parse(const char *path, const char *text, size_t length, const char *section,
		 lines_handler handler, void *data, struct config_report *report)
{
	struct reader r = {
		.path = path,
		.section = section,
		.at = text,
		.end = text + length,
		.handler = handler,
		.data = data,
		.report = report,
	};
	size_t before = report->n_all_errors;
	int result;

	if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		r.at += 3;
	result = ini_parse_stream(next_line, &r, on_setting, &r);
	if (result < 0)
		report_out_of_memory(report);
	else if (result > 0 && report->n_all_errors == before)
		report_error(report, path, (unsigned)result, "the line is not understood");
}
