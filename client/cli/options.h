/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Command lines against tables; pure. Options may stand before or after the other arguments. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "protocol/errors.h"

#define OPTIONS_MAX 8 /* of one table, its end included */

struct option_spec {
	const char *name;    /* "--from"; NULL ends a table */
	unsigned int values; /* how many follow it */
	bool more_numbers;   /* and after these, all that are numbers (--fd 3 4 5) */
};

struct option_value {
	bool given;
	size_t n_values; /* the option may come several times: values add up */
	const char **values;
};

struct arguments {
	size_t n_args;
	const char **args;                        /* what is not an option */
	bool dashes;                              /* there was a "--" ... */
	size_t n_before_dashes;                   /* ... behind so many of these */
	struct option_value options[OPTIONS_MAX]; /* in the order of the verb's table */
	struct option_value globals[OPTIONS_MAX];
	void *memory; /* owned; holds the arrays above */
};

/*
 * Sorts ARGC words at ARGV by the two tables (each ends with a NULL name; OWN may be NULL). The
 * words must outlive RET, which arguments_free() ends. With STOP_AT_FIRST it stops in front of the
 * first word that is no option; *RET_USED is the number of words read. "--" ends the options.
 * -EINVAL with a sentence, -ENOMEM.
 */
int arguments_parse(struct arguments *ret, int argc, char **argv, const struct option_spec *globals,
		    const struct option_spec *own, bool stop_at_first, int *ret_used,
		    struct sb_error *error);
void arguments_free(struct arguments *a);
