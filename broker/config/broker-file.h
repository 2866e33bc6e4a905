/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sockbroker.conf. Internal to config/. */
#pragma once

#include "broker/config/config.h"

/* Every default. */
void broker_file_defaults(struct config_broker *b);

/* Sets in B what the text of the file PATH says. */
void broker_file_parse(struct config_broker *b, const char *path, const char *text, size_t length,
		       struct config_report *report);
