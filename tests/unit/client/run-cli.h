/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command, run inside the test. */
#pragma once

#include "tests/unit/client/fake-broker.h"

#define RUN_WORDS_MAX 300

/* What a run left behind. */
struct run {
	int status;
	char *out, *err; /* owned */
};

/* Runs `sockbroker --socket PATH WORD...` (WORDS end with NULL); PATH NULL: no --socket. INPUT is
 * the standard input's fd. Replaces what R held; the first R is zeroed. */
void run_cli(struct run *r, const char *path, int input, const char *const *words);
void run_free(struct run *r);

/* RUN(&r, f.path, "rules", "--json"); the standard input is closed. */
#define RUN(r, path, ...) run_cli(r, path, -1, (const char *[]){ __VA_ARGS__, NULL })

/* The same with a broker F that has one step, stopped afterwards. */
#define RUN_ONCE(r, f, step, ...) run_cli_once(r, f, step, (const char *[]){ __VA_ARGS__, NULL })
void run_cli_once(struct run *r, struct fake_broker *f, struct fake_step step,
		  const char *const *words);

/* Steps that answer, with a file and without. */
static inline struct fake_step answer_file(const char *reply, const char *file)
{
	return (struct fake_step){ .reply = reply, .file = file };
}

static inline struct fake_step answer(const char *reply)
{
	return answer_file(reply, NULL);
}
