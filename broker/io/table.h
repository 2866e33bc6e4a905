/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pointers by small numbers: fds, or names that two processes agree on. Internal to io/. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Makes the N pointers at *TABLE, which is grown by doubling and zeroed, reach as far as INDEX. 0
 * or -ENOMEM, and nothing has changed. */
static inline int table_reach(void ***table, size_t *n, size_t index)
{
	size_t larger = *n ? *n : 16;
	void **p;

	if (index < *n)
		return 0;
	while (larger <= index)
		larger *= 2;
	p = reallocarray(*table, larger, sizeof(*p));
	if (!p)
		return -ENOMEM;
	memset(p + *n, 0, (larger - *n) * sizeof(*p));
	*table = p;
	*n = larger;
	return 0;
}
