/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text in the manner of systemd's files -> (section, key, value, line), by libinih. Internal to
 * config/.
 *
 * libinih cuts, joins and skips without a word where the text is not what it expects; whatever it
 * would do that to is found before it sees it, reported, and not passed on.
 */
#pragma once

#include "broker/config/config.h"

#define LINES_LENGTH_MAX 197 /* bytes of a line that is no comment; libinih's own limit */

typedef void (*lines_handler)(void *data, const char *key, const char *value, unsigned line);

/*
 * Calls HANDLER for each KEY=VALUE of section SECTION, the only one that the file may have. KEY
 * and VALUE are without blanks around them, and valid UTF-8; VALUE may be "".
 */
void lines_parse(const char *path, const char *text, size_t length, const char *section,
		 lines_handler handler, void *data, struct config_report *report);
