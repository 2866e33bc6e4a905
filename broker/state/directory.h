/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The directory that the state is in. Whoever can write there decides where traffic goes, so it is
 * used only if nobody but the broker's user and root can, and so is each file in it.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "protocol/errors.h"

#define DIRECTORY_FILE_MAX ((off_t)1 << 30) /* bytes of a file that is read */

struct directory {
	int fd, lock; /* owned, -1: none */
	/* The directory once more, owned, with a shared flock: for processes of this broker that
	 * may be there longer than it, and show the next one by that that they are. */
	int presence;
	bool alone; /* none of an earlier broker was there when this one began */
	char path[PATH_MAX];
};

#define DIRECTORY_NULL ((struct directory){ .fd = -1, .lock = -1, .presence = -1 })

/*
 * Opens PATH (made with mode 0755 if missing) and takes its lock. Nothing but the lock file is
 * touched. -EBUSY when another broker has the lock, -EPERM for a directory that others can write or
 * own, -ELOOP for a symbolic link, and what the kernel says; all with a sentence.
 */
int directory_open(struct directory *d, const char *path, struct sb_error *error);
void directory_close(struct directory *d);

/* Whether the path still leads to this directory, and the lock in it is the one that is held. */
bool directory_is_there(const struct directory *d);

/*
 * Reads the file NAME: *RET is owned by the caller and ends in a NUL, which *RET_LENGTH does not
 * count; NULL: no such file. -EPERM for what others can write or own and for what is no file,
 * -EFBIG beyond DIRECTORY_FILE_MAX, and what the kernel says; all with a sentence.
 */
int directory_read(const struct directory *d, const char *name, char **ret, size_t *ret_length,
		   struct sb_error *error);

/* An empty file NAME, whatever was there before, opened for writing; a negative errno without a
 * sentence. */
int directory_create(const struct directory *d, const char *name);
