/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an earlier broker, or anybody, left in a file and its journal. */
#include <inttypes.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/state/store.h"

static bool parse_number(const char **p, uint64_t *ret)
{
	char *end;

	if (**p < '0' || **p > '9')
		return false;
	errno = 0;
	*ret = strtoull(*p, &end, 10);
	*p = end;
	return errno == 0;
}

/* Parses the first line of TEXT (ends in a NUL), which begins with HEAD: its length, 0 when it is
 * none. *BYTES: how many follow; SIZE_MAX when it does not say. */
static size_t parse_head(const char *text, const char *head, char separator, uint64_t *epoch,
			 uint64_t *bytes)
{
	static const char key[] = "bytes=";
	const char *p = text + strlen(head);

	*epoch = 0;
	*bytes = SIZE_MAX;
	if (strncmp(text, head, strlen(head)) != 0 || !parse_number(&p, epoch) ||
	    *epoch > STORE_EPOCH_MAX)
		return 0;
	if (separator && *p == separator && !strncmp(p + 1, key, strlen(key))) {
		p += 1 + strlen(key);
		if (!parse_number(&p, bytes))
			return 0;
	}
	return *p == '\n' ? (size_t)(p + 1 - text) : 0;
}

static int damaged_file(struct sb_error *damage, const struct directory *d,
			const struct store_kind *k, const char *what)
{
	return sb_fail(damage, EPROTO,
		       "state file %s/%s %s: restore it, or remove it and let %s have the line "
		       "\"%s0\" alone to start without what they say",
		       d->path, k->file, what, k->journal, k->journal_head);
}

/* Of the journal of S; the first to be found out counts. */
static void damaged_journal(struct sb_error *damage, const struct directory *d,
			    const struct store *s, const char *what)
{
	const struct store_kind *k = s->kind;
	const bool whole = s->exists && !s->headless;

	if (damage->code)
		return;
	sb_fail(damage, EPROTO,
		"state file %s/%s %s: restore %s, or let %s have the line \"%s%" PRIu64
		"\" alone to start without what %s said",
		d->path, k->journal, what, whole ? "it" : "that", whole ? "it" : "this",
		k->journal_head, s->epoch, whole ? "it" : "they");
}

static int load_file(struct store *s, const struct directory *d, struct store_text *t,
		     struct sb_error *damage, struct sb_error *error)
{
	const struct store_kind *k = s->kind;
	uint64_t bytes;
	size_t head;
	int r = directory_read(d, k->file, &t->file, &t->length, error);

	if (r < 0 || !t->file)
		return r;
	s->exists = true;
	s->length = t->length;
	head = parse_head(t->file, k->head, k->separator, &s->epoch, &bytes);
	if (head == 0)
		s->epoch = 0;
	s->newest_epoch = s->epoch;
	s->headless = head == 0;
	if (head == 0 && !k->may_lack_head)
		damaged_file(damage, d, k, "does not begin as one of this broker's");
	else if (head > 0 && bytes != SIZE_MAX && bytes != t->length - head)
		damaged_file(damage, d, k,
			     bytes > t->length - head ? "is cut short"
						      : "is longer than it was written");
	return 0;
}

/* Bytes of the N at JOURNAL up to the end of its last complete change. */
static size_t complete_changes(const char *journal, size_t n)
{
	while (n > 0 && !(journal[n - 1] == '\n' && n >= 2 && journal[n - 2] == '.' &&
			  (n == 2 || journal[n - 3] == '\n')))
		n--;
	return n;
}

/* Takes the first line, HEAD bytes, and what is no complete change off the journal. */
static void trim_journal(struct store *s, const struct directory *d, struct store_text *t,
			 size_t head)
{
	size_t length = t->journal_length - head, complete;

	memmove(t->journal, t->journal + head, length + 1);
	complete = complete_changes(t->journal, length);
	if (complete < length)
		log_notice("state file %s/%s: its last change was not complete, it did not happen",
			   d->path, s->kind->journal);
	t->journal[complete] = '\0';
	t->journal_length = complete;
	s->has_rest = complete < length;
	s->journal_length = (off_t)(head + complete);
}

static int load_journal(struct store *s, const struct directory *d, struct store_text *t,
			struct sb_error *damage, struct sb_error *error)
{
	const struct store_kind *k = s->kind;
	uint64_t epoch, bytes;
	size_t head;
	int r = directory_read(d, k->journal, &t->journal, &t->journal_length, error);

	if (r < 0)
		return r;
	if (!t->journal) {
		/* There is one from the first file on. */
		if (s->exists && !s->headless)
			damaged_journal(damage, d, s, "is missing");
		return 0;
	}
	head = parse_head(t->journal, k->journal_head, '\0', &epoch, &bytes);
	if (head > 0 && epoch == s->epoch && !s->headless) {
		trim_journal(s, d, t, head);
		return 0;
	}
	/* A file of before there were journals had all of it. */
	if (head > 0 && (epoch < s->epoch || s->headless))
		log_notice("state file %s/%s belongs to an earlier file %s, not replayed", d->path,
			   k->journal, k->file);
	else
		damaged_journal(damage, d, s,
				head == 0 ? "does not begin as one of this broker's"
					  : "belongs to a file that is not there any more");
	if (head > 0 && epoch > s->newest_epoch)
		s->newest_epoch = epoch;
	free(t->journal);
	t->journal = NULL;
	t->journal_length = 0;
	return 0;
}

int store_load(struct store *s, const struct directory *d, struct store_text *ret,
	       struct sb_error *damage, struct sb_error *error)
{
	int r = load_file(s, d, ret, damage, error);

	return r < 0 ? r : load_journal(s, d, ret, damage, error);
}
