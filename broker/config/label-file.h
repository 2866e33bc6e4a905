/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.label. Internal to config/. */
#pragma once

#include "broker/config/config.h"

/* Sets in L, whose path and defaults are there already, what the text of its file says. */
void label_file_parse(struct config_label *l, const char *text, size_t length,
		      struct config_report *report);
