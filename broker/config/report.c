/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/config/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/printable.h"

static void texts_free(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

void config_report_clear(struct config_report *report)
{
	texts_free(report->errors, report->n_errors);
	texts_free(report->warnings, report->n_warnings);
	*report = (struct config_report){ 0 };
}

void report_out_of_memory(struct config_report *report)
{
	report->out_of_memory = true;
}

bool report_clean(const struct config_report *report)
{
	return report->n_all_errors == 0 && !report->out_of_memory;
}

static _printf_(3, 0) char *make_text(const char *path, unsigned line, const char *format,
				      va_list ap)
{
	_cleanup_free_ char *sentence = NULL;
	char *text = NULL;
	int r;

	if (vasprintf(&sentence, format, ap) < 0) {
		sentence = NULL; /* undefined after a failure */
		return NULL;
	}
	r = line ? asprintf(&text, "%s:%u: %s", path, line, sentence)
		 : asprintf(&text, "%s: %s", path, sentence);
	if (r < 0)
		return NULL;
	text[sb_make_printable(text, strlen(text))] = '\0';
	return text;
}

static void add(struct config_report *report, char ***texts, size_t *n, char *text)
{
	_cleanup_free_ char *owned = text;

	if (*n == CONFIG_ERRORS_MAX)
		return;
	if (!*texts)
		*texts = calloc(CONFIG_ERRORS_MAX, sizeof(char *));
	if (!owned || !*texts) {
		report_out_of_memory(report);
		return;
	}
	(*texts)[(*n)++] = TAKE_PTR(owned);
}

void report_error(struct config_report *report, const char *path, unsigned line, const char *format,
		  ...)
{
	va_list ap;

	report->n_all_errors++;
	va_start(ap, format);
	add(report, &report->errors, &report->n_errors, make_text(path, line, format, ap));
	va_end(ap);
}

void report_warning(struct config_report *report, const char *path, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(report, &report->warnings, &report->n_warnings, make_text(path, 0, format, ap));
	va_end(ap);
}
