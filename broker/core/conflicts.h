/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "broker/core/core-internal.h"

/*
 * Looks at all rules of P (number: the line; rules of label files may be among them). Adds each
 * line that is in conflict with an earlier one or a label file to P's bad lines, and drops rules
 * that repeat another of the same label (counted in skipped). The order of P's rules is undefined
 * afterwards. 0 also when there are conflicts: look at n_bad. -ENOMEM.
 */
int conflicts_find(const struct core *c, struct parsed_rules *p);
