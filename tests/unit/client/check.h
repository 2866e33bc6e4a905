/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every test of client/ starts with. */
#pragma once

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/cleanup.h"

/* TEXT holds PART; shows both when it does not. */
#define check_contains(text, part)                                                                 \
	do {                                                                                       \
		if (!strstr(text, part))                                                           \
			fail_msg("'%s' is not in '%s'", part, text);                               \
	} while (0)

#define check_lacks(text, part)                                                                    \
	do {                                                                                       \
		if (strstr(text, part))                                                            \
			fail_msg("'%s' is in '%s'", part, text);                                   \
	} while (0)

/* How many fds this process has open (and a constant). */
static inline size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
