/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every test of protocol/ starts with. */
#pragma once

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/errors.h"

/* R is a refusal with CODE, and the sentence is exactly MESSAGE (NULL: any that is not empty and
 * has no final dot). */
static inline void check_refused(int r, const struct sb_error *e, int code, const char *message)
{
	assert_int_equal(r, -code);
	assert_int_equal(e->code, code);
	if (message)
		assert_string_equal(e->message, message);
	assert_int_not_equal(strlen(e->message), 0);
	assert_int_not_equal(e->message[strlen(e->message) - 1], '.');
}

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
