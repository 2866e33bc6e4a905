/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which units label files have started. */
#pragma once

#include <stdbool.h>

/*
 * Whether a label file in DIR/labels.d says Activate=UNIT. Files with errors count as well: the
 * broker may run with what stood in them before. False when they cannot be read.
 */
bool config_activates(const char *dir, const char *unit);
