/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log: lines on standard error, with the "<N>" priority prefix that the journal understands
 * when standard error is connected to it ($JOURNAL_STREAM).
 *
 * The level is process-wide state, set once by main: every line of the program goes to the one
 * standard error there is.
 */
#pragma once

#include <syslog.h>

#include "protocol/cleanup.h"

/* "err", "warning", "notice", "info", "debug" or 0-7 -> LOG_*; -EINVAL. */
int log_level_parse(const char *s);

/* Lines less important than LEVEL (LOG_*) are dropped. Reads $JOURNAL_STREAM. */
void log_setup(int level);

/* One line, no final newline in FORMAT; control characters in it are made harmless. */
void log_line(int level, const char *format, ...) _printf_(2, 3);

#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
