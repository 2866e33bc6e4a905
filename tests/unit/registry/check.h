/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every test of labels and their numbers starts with. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/errors.h"

static inline void check_refused(int r, const struct sb_error *e, int code, const char *part)
{
	if (r != -code || e->code != code || !strstr(e->message, part))
		fail_msg("not %s with \"%s\", but %d: %s", sb_error_name(code), part, r,
			 e->message);
	assert_int_not_equal(e->message[strlen(e->message) - 1], '.');
}
