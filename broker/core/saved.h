/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of the saved state while the broker runs. */
#pragma once

#include "broker/core/core-internal.h"

/* Replaces saved labels or rules and the changes since by one text, when the changes have become
 * many, and writes all of it again when somebody removed it. */
void saved_sweep(struct core *c);

/* The first half of it for very many changes, as can come between two sweeps; after each request
 * but those that a forked process may answer. */
void saved_bound(struct core *c);
