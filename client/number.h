/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decimal numbers, strictly: digits only, all of the text. Internal to client/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline bool number_parse(const char *s, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*s - '0'), &n))
			return false;
	}
	*ret = n;
	return true;
}
