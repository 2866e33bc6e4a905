/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One part of the state: a file that has all of it, and a journal of what changed since.
 *
 * The file is replaced by rename. Its first line numbers its epoch and says how many bytes follow.
 * The journal's first line names the epoch that it belongs to, so that one left over from an
 * earlier file is never replayed. Where there is a file there is a journal, be it of an earlier
 * epoch: a missing one was removed by somebody. A change is appended by one write and ends in a
 * line
 * ".": without that it did not happen.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "broker/state/directory.h"

/* Beyond what anybody counted to: only somebody else can have written it. It begins again at 1. */
#define STORE_EPOCH_MAX (UINT64_MAX / 2)

struct store_kind {
	const char *file, *file_new;
	const char *journal, *journal_new;
	/* The first lines, up to the number of the epoch; what separates it from the bytes. */
	const char *head, *journal_head;
	char separator;
	bool may_lack_head; /* earlier versions wrote none; whoever reads the file finds out */
};

struct store {
	const struct store_kind *kind;
	uint64_t epoch;        /* of the file; 0: there is none, or none with a number */
	uint64_t newest_epoch; /* that was seen anywhere */
	size_t length;         /* of the file, give or take its first line */
	bool exists, headless; /* the file does; it has no such first line */
	int journal;           /* owned, open while a change is staged; else -1 */
	off_t journal_length;  /* of what is committed; 0: there is none of this epoch */
	bool has_rest;         /* a change that was cut short is still behind that */
	size_t staged_length, staged_append;
	bool staged;
	bool lost; /* what was committed is not there any more: only a new file helps */
};

/* What was saved; owned, NULL when absent, ends in a NUL that is not counted. Untrusted bytes. */
struct store_text {
	char *file, *journal; /* the former with its first line, the latter without */
	size_t length, journal_length;
};

void store_init(struct store *s, const struct store_kind *kind);
void store_close(struct store *s);
void store_text_clear(struct store_text *t);

/*
 * Reads what is there and changes nothing. A last change that was cut short is left out. A negative
 * errno with a sentence when a file cannot be read; *DAMAGE has one when what can be read is not
 * what was written, or the journal belongs to no file that is there.
 */
int store_load(struct store *s, const struct directory *d, struct store_text *ret,
	       struct sb_error *damage, struct sb_error *error);

/* Writes a new file aside. */
int store_replace(struct store *s, const struct directory *d, const void *data, size_t length,
		  struct sb_error *error);
/* Appends a change, which counts from then on unless it is rolled back. -EIO also when the journal
 * is lost. */
int store_append(struct store *s, const struct directory *d, const void *data, size_t length,
		 struct sb_error *error);

/* Makes what store_replace() wrote the file. On failure it is gone. */
int store_commit_file(struct store *s, const struct directory *d, struct sb_error *error);
void store_commit_append(struct store *s);
void store_rollback(struct store *s, const struct directory *d);

/* Whether file and journal are there as they were committed. */
bool store_is_there(const struct store *s, const struct directory *d);
