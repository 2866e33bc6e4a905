/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Adding to a struct config_report. Internal to config/. */
#pragma once

#include "broker/config/config.h"

/* "PATH:LINE: sentence", or "PATH: sentence" when LINE is 0. */
void report_error(struct config_report *report, const char *path, unsigned line, const char *format,
		  ...) _printf_(4, 5);
void report_warning(struct config_report *report, const char *path, const char *format, ...)
	_printf_(3, 4);

/* Memory ran out while something was noted or kept: the reading as a whole has failed. */
void report_out_of_memory(struct config_report *report);

/* Whether nothing is wrong so far. */
bool report_clean(const struct config_report *report);
