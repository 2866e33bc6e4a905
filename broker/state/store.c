/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/state/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/base/log.h"
#include "protocol/wire-io.h"

#define HEAD_MAX 128

void store_init(struct store *s, const struct store_kind *kind)
{
	*s = (struct store){ .kind = kind, .journal = -1 };
}

void store_close(struct store *s)
{
	s->journal = sb_close(s->journal);
}

void store_text_clear(struct store_text *t)
{
	free(t->file);
	free(t->journal);
	*t = (struct store_text){ 0 };
}

static int refuse(struct sb_error *error, const struct directory *d, const char *name, int code)
{
	if (code == ENOENT)
		return sb_fail(error, EIO,
			       "state file %s/%s cannot be written: the directory was removed; the "
			       "broker makes it again within seconds if it can (see its log)",
			       d->path, name);
	return sb_fail(error, code == ENOMEM ? ENOMEM : EIO,
		       "state file %s/%s cannot be written: %s", d->path, name, strerror(code));
}

/* A file NAME of a first line and DATA. On failure there is none. */
static int write_file(const struct directory *d, const char *name, const char *head,
		      const void *data, size_t length)
{
	_cleanup_close_ int fd = directory_create(d, name);
	int r = fd < 0 ? fd : sb_pwrite_all(fd, head, strlen(head), 0);

	if (r == 0)
		r = sb_pwrite_all(fd, data, length, (off_t)strlen(head));
	if (r < 0 && fd >= 0)
		unlinkat(d->fd, name, 0);
	return r;
}

static const char *journal_head(const struct store *s, uint64_t epoch, char buf[static HEAD_MAX])
{
	snprintf(buf, HEAD_MAX, "%s%" PRIu64 "\n", s->kind->journal_head, epoch);
	return buf;
}

static int rename_journal(struct store *s, const struct directory *d)
{
	if (renameat(d->fd, s->kind->journal_new, d->fd, s->kind->journal) < 0)
		return -errno;
	return 0;
}

/* An empty journal of the present epoch. */
static int new_journal(struct store *s, const struct directory *d)
{
	char head[HEAD_MAX];
	int r = write_file(d, s->kind->journal_new, journal_head(s, s->epoch, head), "", 0);

	if (r == 0)
		r = rename_journal(s, d);
	if (r == 0)
		s->journal_length = (off_t)strlen(head);
	return r;
}

static bool is_file(const struct directory *d, const char *name, struct stat *st)
{
	return fstatat(d->fd, name, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode);
}

static uint64_t next_epoch(const struct store *s)
{
	return s->newest_epoch < STORE_EPOCH_MAX ? s->newest_epoch + 1 : 1;
}

int store_replace(struct store *s, const struct directory *d, const void *data, size_t length,
		  struct sb_error *error)
{
	const struct store_kind *k = s->kind;
	char head[HEAD_MAX], empty[HEAD_MAX];
	struct stat st;
	int r;

	/* Whenever there is a file there is a journal, if only one of an earlier epoch: so that one
	 * that is missing was removed by somebody. */
	r = is_file(d, k->journal, &st) ? 0 : new_journal(s, d);
	if (r < 0)
		return refuse(error, d, k->journal, -r);
	snprintf(head, sizeof(head), "%s%" PRIu64 "%cbytes=%zu\n", k->head, next_epoch(s),
		 k->separator, length);
	r = write_file(d, k->file_new, head, data, length);
	if (r == 0) {
		r = write_file(d, k->journal_new, journal_head(s, next_epoch(s), empty), "", 0);
		if (r < 0)
			unlinkat(d->fd, k->file_new, 0);
	}
	if (r < 0)
		return refuse(error, d, k->file, -r);
	s->staged = true;
	s->staged_length = length;
	return 0;
}

static bool has_its_size(const struct store *s, const struct stat *st)
{
	return s->has_rest ? st->st_size >= s->journal_length : st->st_size == s->journal_length;
}

/* For one change: nothing is kept open, so that the file system can become read-only. What was
 * behind the last complete change when the journal was read goes. One that somebody removed, cut or
 * wrote to is lost. */
static int open_journal(struct store *s, const struct directory *d)
{
	_cleanup_close_ int fd =
		openat(d->fd, s->kind->journal, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ENOENT) {
		s->lost = true;
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	s->lost = !has_its_size(s, &st);
	if (!s->lost && s->has_rest && ftruncate(fd, s->journal_length) < 0)
		return -errno;
	s->has_rest &= s->lost;
	s->journal = TAKE_FD(fd);
	return 0;
}

int store_append(struct store *s, const struct directory *d, const void *data, size_t length,
		 struct sb_error *error)
{
	int r = 0;

	if (s->journal < 0 && !s->lost) {
		if (s->journal_length == 0)
			r = new_journal(s, d);
		if (r == 0)
			r = open_journal(s, d);
	}
	if (r < 0)
		return refuse(error, d, s->kind->journal, -r);
	if (s->lost)
		return sb_fail(error, EIO,
			       "state file %s/%s was removed or changed by somebody; the broker "
			       "writes it anew within seconds if it can (see its log)",
			       d->path, s->kind->journal);
	r = sb_pwrite_all(s->journal, data, length, s->journal_length + (off_t)s->staged_append);
	s->staged_append += length;
	return r < 0 ? refuse(error, d, s->kind->journal, -r) : 0;
}

int store_commit_file(struct store *s, const struct directory *d, struct sb_error *error)
{
	const struct store_kind *k = s->kind;
	char head[HEAD_MAX];

	if (!s->staged)
		return 0;
	s->staged = false;
	if (renameat(d->fd, k->file_new, d->fd, k->file) < 0) {
		int code = errno;

		unlinkat(d->fd, k->file_new, 0);
		unlinkat(d->fd, k->journal_new, 0);
		return refuse(error, d, k->file, code);
	}
	s->epoch = s->newest_epoch = next_epoch(s);
	s->length = s->staged_length;
	s->exists = true;
	s->has_rest = s->lost = false;
	s->staged_append = 0;
	store_close(s);
	/* The file is replaced, whatever becomes of its journal: the one that is there belongs to
	 * an epoch that is over, and the next change needs a new one. */
	s->journal_length =
		rename_journal(s, d) == 0 ? (off_t)strlen(journal_head(s, s->epoch, head)) : 0;
	return 0;
}

void store_commit_append(struct store *s)
{
	s->journal_length += (off_t)s->staged_append;
	s->staged_append = 0;
	store_close(s);
}

void store_rollback(struct store *s, const struct directory *d)
{
	if (s->staged) {
		unlinkat(d->fd, s->kind->file_new, 0);
		unlinkat(d->fd, s->kind->journal_new, 0);
	}
	s->staged = false;
	if (s->staged_append > 0 && ftruncate(s->journal, s->journal_length) < 0) {
		log_error("state file %s/%s cannot be cut back: %s", d->path, s->kind->journal,
			  strerror(errno));
		s->lost = true; /* it has a change that was refused */
	}
	s->staged_append = 0;
	store_close(s);
}

bool store_is_there(const struct store *s, const struct directory *d)
{
	const struct store_kind *k = s->kind;
	struct stat st;

	if (s->lost || (s->exists && !is_file(d, k->file, &st)))
		return false;
	if (!is_file(d, k->journal, &st))
		return s->journal_length == 0 && (!s->exists || s->headless);
	return s->journal_length == 0 || has_its_size(s, &st);
}
