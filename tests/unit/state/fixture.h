/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A state directory in a real one, and what brokers do with it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "broker/state/state.h"

#define NOBODY 65534

struct fixture {
	char base[32], dir[64];
	struct state *state;
	struct state_saved saved;
	struct state_port port;
	struct sb_error error;
};

/* cmocka setup and teardown: a directory that is fresh, and opened. */
int setup(void **state);
int teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* As a broker that was killed and started again: its errno, or it must work. */
int try_open(struct fixture *f);
void reopen(struct fixture *f);

/* Files in the directory. path() is overwritten by the next call, read_text() is the caller's. */
const char *path(const struct fixture *f, const char *name);
bool exists(const struct fixture *f, const char *name);
mode_t mode_of(const char *file);
void write_file(const struct fixture *f, const char *name, const char *text, size_t n);
void write_text(const struct fixture *f, const char *name, const char *text);
char *read_text(const struct fixture *f, const char *name);
void remove_file(const struct fixture *f, const char *name);
/* rm -rf of the whole directory. */
void remove_all(const struct fixture *f);

int stage(struct fixture *f, enum state_part part, const char *text);
int commit(struct fixture *f);
void save(struct fixture *f, enum state_part part, const char *text);

/* Rules and labels: both are kept the same way, but labels are never the first to be saved. */
struct side {
	enum state_part whole, change;
	const char *file, *journal; /* names */
	const char *journal_head;   /* up to the number of the epoch */
};
#define SIDES 2
extern const struct side sides[SIDES];

/* What the next broker reads of SIDE: the file without its first line, NULL for none; the journal,
 * "" for none. */
void check_saved(struct fixture *f, const struct side *side, const char *file, const char *journal);
const struct store_text *saved_text(const struct fixture *f, const struct side *side);

/* R is -CODE, with a sentence that has PART in it. */
void check_refused(const struct fixture *f, int r, int code, const char *part);
/* Opening it is refused so, and has changed nothing. */
void check_open_refused(struct fixture *f, int code, const char *part);
