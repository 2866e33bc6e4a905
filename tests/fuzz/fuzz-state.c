/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A state directory that anyone could have written: what is read of it is read the same after it
 * was written again, and a change that is appended is all that is new. The input says which of the
 * four files there are, then what is in them, each ended by a byte 0x1e.
 */
#include "broker/state/state.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/model/snapshot.h"
#include "tests/fuzz/fuzz.h"

#define LABEL_CHANGE "label\tname=new\tid=4000\n.\n"
#define RULE_CHANGE "+ tcp 192.0.2.1/32 80 new\n.\n"
#define SEPARATOR 0x1e

static const char *const files[] = { "labels", "labels.journal", "rules", "journal" };

/* Made once, in memory where there is such a place; gone when the process is. */
static char directory[64];

static void remove_directory(void)
{
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/lock", directory);
	unlink(path);
	rmdir(directory);
}

static void make_directory(void)
{
	if (directory[0])
		return;
	log_setup(LOG_EMERG);
	strcpy(directory, access("/dev/shm", W_OK) == 0 ? "/dev/shm/fuzz-state-XXXXXX"
							: "/tmp/fuzz-state-XXXXXX");
	require(mkdtemp(directory));
	atexit(remove_directory);
}

static void write_files(struct bytes *b)
{
	unsigned present = take_8(b);
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	require(dir >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const uint8_t *end = b->left ? memchr(b->data, SEPARATOR, b->left) : NULL;
		size_t n = end ? (size_t)(end - b->data) : b->left;
		int fd;

		unlinkat(dir, files[i], 0);
		if (present & 1U << i) {
			fd = openat(dir, files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
			require(fd >= 0 && write(fd, b->data, n) == (ssize_t)n);
			close(fd);
		}
		n += end != NULL;
		b->data += n;
		b->left -= n;
	}
	close(dir);
}

struct opened {
	struct state *state;
	struct state_port port;
	struct state_saved saved;
};

/* What is read are whole changes. */
static void check_changes(const struct store_text *t)
{
	const size_t n = t->journal_length;

	require(n == 0 || (n >= 2 && !memcmp(t->journal + n - 2, ".\n", 2)));
	require(n <= 2 || t->journal[n - 3] == '\n');
}

static int try_open(struct opened *o)
{
	struct sb_error error = { 0 };
	int r;

	*o = (struct opened){ 0 };
	r = state_open(directory, &o->state, &o->saved, &error);
	require(r == 0 || (r == -error.code && error.message[0]));
	check_changes(&o->saved.labels);
	check_changes(&o->saved.rules);
	if (r == 0)
		o->port = state_port(o->state);
	return r;
}

static void close_state(struct opened *o)
{
	state_saved_clear(&o->saved);
	state_free(o->state);
}

/* The labels that were saved, as text without their first line; without data when they are of no
 * use. The caller's to free. */
static struct sb_text labels_of(struct state_saved *s)
{
	struct registry *r = registry_new();
	struct sb_text text = { 0 };

	require(r);
	if (s->labels.file && !s->labels_damage.code &&
	    snapshot_decode(r, s->labels.file, s->labels.length, NULL) == 0 &&
	    (!s->labels.journal ||
	     snapshot_replay(r, s->labels.journal, s->labels.journal_length, NULL) == 0))
		snapshot_encode(r, &text);
	require(text.error == 0);
	registry_free(r);
	return text;
}

static void stage(struct opened *o, enum state_part part, const char *data, size_t n)
{
	require(o->port.stage(o->port.self, part, data, n, NULL) == 0);
}

static void commit(struct opened *o)
{
	require(o->port.commit(o->port.self, NULL) == 0);
}

static bool is_text(const char *data, size_t length, const struct sb_text *wanted)
{
	return length == wanted->length && (!length || !memcmp(data, wanted->data, length));
}

/* What is behind the first line. */
static bool is_body(const struct store_text *t, const struct sb_text *wanted)
{
	const char *end = t->file ? memchr(t->file, '\n', t->length) : NULL;

	return end && is_text(end + 1, t->length - (size_t)(end + 1 - t->file), wanted);
}

static struct sb_text copy_of(const char *data, size_t length)
{
	struct sb_text text = { 0 };

	sb_text_append(&text, data ? data : "", data ? length : 0);
	require(text.error == 0);
	return text;
}

/* A change of the rules on top of what is there. */
static void check_append(struct opened *o)
{
	struct sb_text file = copy_of(o->saved.rules.file, o->saved.rules.length);
	struct sb_text journal = copy_of(o->saved.rules.journal, o->saved.rules.journal_length);

	stage(o, STATE_RULES_APPEND, RULE_CHANGE, strlen(RULE_CHANGE));
	commit(o);
	close_state(o);
	sb_text_append(&journal, RULE_CHANGE, strlen(RULE_CHANGE));
	require(try_open(o) == 0);
	require(is_text(o->saved.rules.file, o->saved.rules.length, &file));
	require(is_text(o->saved.rules.journal, o->saved.rules.journal_length, &journal));
	sb_text_free(&file);
	sb_text_free(&journal);
}

/* All of it anew, as a start writes it; then changes of both. */
static void check_again(struct opened *o)
{
	struct sb_text labels = labels_of(&o->saved), again;
	struct sb_text rules = copy_of(o->saved.rules.file, o->saved.rules.length);

	stage(o, STATE_LABELS, labels.data ? labels.data : "end\n",
	      labels.data ? labels.length : 4);
	stage(o, STATE_RULES, rules.data, rules.length);
	commit(o);
	require(o->port.check(o->port.self, NULL) == 0);
	stage(o, STATE_LABELS_APPEND, LABEL_CHANGE, strlen(LABEL_CHANGE));
	o->port.rollback(o->port.self);
	close_state(o);
	require(try_open(o) == 0);
	require(!o->saved.labels_damage.code);
	require(o->saved.labels.journal_length == 0 && o->saved.rules.journal_length == 0);
	require(is_body(&o->saved.rules, &rules));
	again = labels_of(&o->saved);
	require(again.data && (!labels.data || is_text(again.data, again.length, &labels)));
	sb_text_free(&labels);
	sb_text_free(&again);
	sb_text_free(&rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	struct opened o;

	make_directory();
	write_files(&b);
	if (try_open(&o) == 0) {
		check_append(&o);
		check_again(&o);
	}
	close_state(&o);
	return 0;
}
