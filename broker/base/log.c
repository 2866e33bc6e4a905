/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Allowed as globals: standard error is process-wide itself. */
static int log_max_level = LOG_INFO;
static bool log_to_journal;

int log_level_parse(const char *s)
{
	static const char *const names[] = {
		"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
	};

	if (s[0] >= '0' && s[0] <= '7' && !s[1])
		return s[0] - '0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(s, names[i]))
			return (int)i;
	return -EINVAL;
}

/* $JOURNAL_STREAM is DEVICE:INODE of the stream that systemd connected; stderr may have been
 * redirected since, so both are compared. See systemd.exec(5). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_setup(int level)
{
	log_max_level = level;
	log_to_journal = stderr_is_journal();
}

void log_line(int level, const char *format, ...)
{
	char line[2048];
	va_list ap;

	if (level > log_max_level)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	if (log_to_journal)
		fprintf(stderr, "<%d>%s\n", level, line);
	else
		fprintf(stderr, "sockbrokerd: %s%s\n",
			level <= LOG_ERR       ? "error: "
			: level == LOG_WARNING ? "warning: "
					       : "",
			line);
}
