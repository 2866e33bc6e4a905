/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/state/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "broker/base/log.h"

#define STATE_FILE_MAX ((off_t)1 << 30)

#define RULES_HEADER "# sockbroker-rules epoch=%" PRIu64 "\n"
#define JOURNAL_HEADER "# sockbroker-journal epoch=%" PRIu64 "\n"

struct state {
	int dir;              /* owned */
	int lock;             /* owned */
	int journal;          /* owned; opened for appending */
	off_t journal_length; /* of what is committed */
	size_t rules_length;  /* of `rules`, give or take its header */
	size_t staged_rules_length;
	uint64_t epoch; /* of `rules` and `journal` */
	bool staged_labels, staged_rules, staged_append;
};

void state_saved_clear(struct state_saved *s)
{
	free(s->labels);
	free(s->rules);
	free(s->journal);
	memset(s, 0, sizeof(*s));
}

static int write_all(int fd, const void *data, size_t length)
{
	const char *p = data;

	while (length > 0) {
		ssize_t n = write(fd, p, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		length -= (size_t)n;
	}
	return 0;
}

static int create(const struct state *s, const char *name)
{
	int fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

/* A file NAME with an optional header; removed again when it cannot be written whole. */
static int write_file(const struct state *s, const char *name, const char *header, const void *data,
		      size_t length, struct sb_error *error)
{
	_cleanup_close_ int fd = create(s, name);
	int r = fd < 0 ? fd : 0;

	if (r == 0)
		r = write_all(fd, header, strlen(header));
	if (r == 0)
		r = write_all(fd, data, length);
	if (r < 0) {
		unlinkat(s->dir, name, 0);
		return sb_fail(error, r == -ENOMEM ? ENOMEM : EIO,
			       "state file %s cannot be written: %s", name, strerror(-r));
	}
	return 0;
}

/* An empty journal for the present epoch. */
static int new_journal(struct state *s)
{
	_cleanup_close_ int fd = -1;
	char header[64];
	int r;

	snprintf(header, sizeof(header), JOURNAL_HEADER, s->epoch);
	fd = openat(s->dir, "journal.new",
		    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, header, strlen(header));
	if (r < 0)
		return r;
	if (renameat(s->dir, "journal.new", s->dir, "journal") < 0)
		return -errno;
	sb_close(s->journal);
	s->journal = TAKE_FD(fd);
	s->journal_length = (off_t)strlen(header);
	return 0;
}

static int stage_append(struct state *s, const void *data, size_t length, struct sb_error *error)
{
	int r = s->journal < 0 ? new_journal(s) : 0;

	if (r == 0) {
		s->staged_append = true;
		r = write_all(s->journal, data, length);
	}
	return r < 0 ? sb_fail(error, EIO, "state file journal cannot be written: %s", strerror(-r))
		     : 0;
}

static int stage(void *self, enum state_part part, const void *data, size_t length,
		 struct sb_error *error)
{
	struct state *s = self;
	char header[64];
	int r;

	switch (part) {
	case STATE_LABELS:
		r = write_file(s, "labels.new", "", data, length, error);
		s->staged_labels = r == 0;
		return r;
	case STATE_RULES:
		snprintf(header, sizeof(header), RULES_HEADER, s->epoch + 1);
		r = write_file(s, "rules.new", header, data, length, error);
		s->staged_rules = r == 0;
		s->staged_rules_length = length;
		return r;
	case STATE_RULES_APPEND:
		return stage_append(s, data, length, error);
	}
	return sb_fail(error, EINVAL, "no such part of the state");
}

static void rollback(void *self)
{
	struct state *s = self;

	if (s->staged_labels)
		unlinkat(s->dir, "labels.new", 0);
	if (s->staged_rules)
		unlinkat(s->dir, "rules.new", 0);
	if (s->staged_append && ftruncate(s->journal, s->journal_length) < 0)
		log_error("state file journal cannot be cut back: %s", strerror(errno));
	s->staged_labels = s->staged_rules = s->staged_append = false;
}

/* The rules were replaced, and that is what is said, even if no journal can be made now: the old
 * one belongs to an epoch that is over, and is not replayed. The next change tries again. */
static void start_journal(struct state *s)
{
	int r = new_journal(s);

	if (r == 0)
		return;
	log_warning("state file journal cannot be made: %s", strerror(-r));
	s->journal = sb_close(s->journal);
}

static int commit_file(struct state *s, const char *from, const char *to, struct sb_error *error)
{
	if (renameat(s->dir, from, s->dir, to) == 0)
		return 0;
	return sb_fail(error, EIO, "state file %s cannot be replaced: %s", to, strerror(errno));
}

static int commit(void *self, struct sb_error *error)
{
	struct state *s = self;
	struct stat st;
	int r = 0;

	if (s->staged_labels) {
		r = commit_file(s, "labels.new", "labels", error);
		s->staged_labels = r < 0;
	}
	if (r == 0 && s->staged_rules) {
		r = commit_file(s, "rules.new", "rules", error);
		s->staged_rules = r < 0;
		if (r == 0) {
			s->epoch++;
			s->rules_length = s->staged_rules_length;
			start_journal(s);
		}
	}
	if (r < 0) {
		rollback(s);
		return r;
	}
	if (s->staged_append && fstat(s->journal, &st) == 0)
		s->journal_length = st.st_size;
	s->staged_append = false;
	return 0;
}

static void sizes(void *self, size_t *rules, size_t *journal)
{
	const struct state *s = self;

	*rules = s->rules_length;
	*journal = s->journal < 0 ? 0 : (size_t)s->journal_length;
}

struct state_port state_port(struct state *s)
{
	return (struct state_port){
		.self = s,
		.stage = stage,
		.sizes = sizes,
		.commit = commit,
		.rollback = rollback,
	};
}

static int read_file(const struct state *s, const char *name, char **ret, size_t *ret_length,
		     struct sb_error *error)
{
	_cleanup_close_ int fd =
		openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *data = NULL;
	struct stat st;
	size_t used = 0;

	if (fd < 0)
		return errno == ENOENT
			       ? 0
			       : sb_fail(error, errno, "state file %s: %s", name, strerror(errno));
	if (fstat(fd, &st) < 0)
		return sb_fail(error, errno, "state file %s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
		log_error("state file %s is not a file of this broker's, left alone", name);
		return 0;
	}
	/* To go on without it would be to forget what it says. */
	if (st.st_size > STATE_FILE_MAX)
		return sb_fail(error, EFBIG,
			       "state file %s has %jd bytes, more than the %jd that can be read; "
			       "restore it, or remove it to start without what it says",
			       name, (intmax_t)st.st_size, (intmax_t)STATE_FILE_MAX);
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return sb_fail(error, ENOMEM, "out of memory");
	while (used < (size_t)st.st_size) {
		ssize_t n = read(fd, data + used, (size_t)st.st_size - used);

		if (n < 0)
			return sb_fail(error, errno, "state file %s: %s", name, strerror(errno));
		if (n == 0)
			break;
		used += (size_t)n;
	}
	data[used] = '\0';
	*ret_length = used;
	*ret = TAKE_PTR(data);
	return 0;
}

static uint64_t epoch_of(const char *text, const char *header)
{
	uint64_t epoch = 0;
	const char *key = strstr(header, "%");
	size_t n = (size_t)(key - header);

	if (text && !strncmp(text, header, n))
		epoch = strtoull(text + n, NULL, 10);
	return epoch;
}

static int load(struct state *s, struct state_saved *saved, struct sb_error *error)
{
	char *line_end;
	int r;

	r = read_file(s, "labels", &saved->labels, &saved->labels_length, error);
	if (r == 0)
		r = read_file(s, "rules", &saved->rules, &saved->rules_length, error);
	if (r == 0)
		r = read_file(s, "journal", &saved->journal, &saved->journal_length, error);
	if (r < 0)
		return r;
	s->epoch = epoch_of(saved->rules, RULES_HEADER);
	s->rules_length = saved->rules_length;
	if (!saved->journal)
		return 0;
	line_end = strchr(saved->journal, '\n');
	if (!line_end || epoch_of(saved->journal, JOURNAL_HEADER) != s->epoch) {
		if (saved->journal_length > 0)
			log_notice("state file journal belongs to rules that were replaced since, "
				   "not replayed");
		free(saved->journal);
		saved->journal = NULL;
		saved->journal_length = 0;
		return 0;
	}
	saved->journal_length -= (size_t)(line_end + 1 - saved->journal);
	memmove(saved->journal, line_end + 1, saved->journal_length + 1);
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

/* Goes on with the journal that was read, or starts one. A last change that was cut short never
 * happened: it is cut off, so that the next one is not taken for its end. */
static int open_journal(struct state *s, struct state_saved *saved)
{
	size_t complete;
	struct stat st;

	if (!saved->journal)
		return new_journal(s);
	s->journal = openat(s->dir, "journal", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (s->journal < 0 || fstat(s->journal, &st) < 0)
		return -errno;
	complete = complete_changes(saved->journal, saved->journal_length);
	s->journal_length = st.st_size - (off_t)(saved->journal_length - complete);
	if (complete == saved->journal_length)
		return 0;
	log_notice("state file journal: its last change was not complete, it did not happen");
	saved->journal_length = complete;
	saved->journal[complete] = '\0';
	return ftruncate(s->journal, s->journal_length) < 0 ? -errno : 0;
}

static int take_lock(struct state *s, const char *dir, struct sb_error *error)
{
	s->lock = openat(s->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock < 0)
		return sb_fail(error, errno, "state directory %s: %s", dir, strerror(errno));
	if (flock(s->lock, LOCK_EX | LOCK_NB) < 0)
		return sb_fail(error, errno == EWOULDBLOCK ? EBUSY : errno,
			       errno == EWOULDBLOCK ? "another broker runs on state directory %s"
						    : "state directory %s cannot be locked",
			       dir);
	return 0;
}

int state_open(const char *dir, struct state **ret, struct state_saved *saved,
	       struct sb_error *error)
{
	_cleanup_(state_freep) struct state *s = calloc(1, sizeof(*s));
	bool made;
	int r;

	if (!s)
		return sb_fail(error, ENOMEM, "out of memory");
	s->dir = s->lock = s->journal = -1;
	made = mkdir(dir, 0755) == 0;
	if (!made && errno != EEXIST)
		return sb_fail(error, errno, "state directory %s cannot be made: %s", dir,
			       strerror(errno));
	/* Whatever the umask: by default the socket that everybody connects to lives here too. */
	if (made && chmod(dir, 0755) < 0)
		return sb_fail(error, errno, "state directory %s: %s", dir, strerror(errno));
	s->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return sb_fail(error, errno, "state directory %s: %s", dir, strerror(errno));
	r = take_lock(s, dir, error);
	if (r == 0)
		r = load(s, saved, error);
	if (r < 0)
		return r;
	r = open_journal(s, saved);
	if (r < 0)
		return sb_fail(error, -r, "state directory %s: the journal cannot be opened: %s",
			       dir, strerror(-r));
	*ret = TAKE_PTR(s);
	return 0;
}

void state_free(struct state *s)
{
	if (!s)
		return;
	sb_close(s->journal);
	sb_close(s->lock);
	sb_close(s->dir);
	free(s);
}

void state_erase(struct state *s)
{
	static const char *const names[] = { "labels", "rules", "journal", "lock" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlinkat(s->dir, names[i], 0);
}
