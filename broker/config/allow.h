/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AllowUser=, AllowGroup= and AllowUnit= of a struct config_label. Internal to config/. */
#pragma once

#include "broker/config/settings.h"

void allow_users(struct settings *s, const char *value);
void allow_groups(struct settings *s, const char *value);
void allow_units(struct settings *s, const char *value);
