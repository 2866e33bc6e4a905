/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A configuration directory for one test, and what reading it says. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker/config/config.h"

struct scratch {
	char dir[32];
	struct config *config; /* NULL: refused */
	struct config_report report;
	int result; /* of the last scratch_read() */
};

int scratch_setup(void **state);
int scratch_teardown(void **state);

#define scratch_test(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

/* "DIR/NAME" into a buffer that the next call reuses. */
const char *scratch_path(struct scratch *s, const char *name);

/* Makes the file DIR/NAME, and labels.d for it, or replaces it. */
void scratch_write(struct scratch *s, const char *name, const char *text);
void scratch_write_bytes(struct scratch *s, const char *name, const void *data, size_t n);

/* Removes DIR/NAME. */
void scratch_remove(struct scratch *s, const char *name);

/* Reads DIR anew. */
void scratch_read(struct scratch *s);

/* Reads, and expects these errors, in this order and no others: one a line, each line "FILE:LINE:
 * sentence" with FILE relative to DIR. "" expects the configuration to be accepted. "DIR/" within a
 * sentence stands for the directory. */
void scratch_expect(struct scratch *s, const char *errors);
void scratch_expect_warnings(struct scratch *s, const char *warnings);
