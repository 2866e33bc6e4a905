/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transactions of the state directory, and what a broker that is killed leaves of them. */
#include "tests/unit/state/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#define RULES (&sides[0])
#define LABELS (&sides[1])

static void test_fresh(void **state)
{
	static const char *const names[] = { "labels", "labels.journal", "rules", "journal",
					     "lock" };
	struct fixture *f = *state;

	/* Nothing is written before there is something to say. */
	for (size_t i = 0; i < ARRAY_SIZE(names) - 1; i++)
		assert_false(exists(f, names[i]));
	for (size_t i = 0; i < SIDES; i++) {
		assert_null(saved_text(f, &sides[i])->file);
		assert_null(saved_text(f, &sides[i])->journal);
		save(f, sides[i].whole, "whole\n");
		save(f, sides[i].change, "change\n.\n");
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(mode_of(path(f, names[i])), 0600);
}

static void test_made_for_all_to_enter(void **state)
{
	struct fixture *f = *state;
	mode_t mask = umask(0077);

	strcat(f->dir, "-more");
	reopen(f);
	umask(mask);
	assert_int_equal(mode_of(f->dir), 0755);
	/* One that is there stays as it is. */
	assert_int_equal(chmod(f->dir, 0700), 0);
	reopen(f);
	assert_int_equal(mode_of(f->dir), 0700);
}

static void commit_side(struct fixture *f, const struct side *s)
{
	save(f, s->change, "+ v\n.\n"); /* nothing has to be there before */
	check_saved(f, s, NULL, "+ v\n.\n");
	save(f, s->whole, "first\n");
	check_saved(f, s, "first\n", "");
	save(f, s->whole, "second\n");
	save(f, s->change, "+ x\n.\n");
	save(f, s->change, "+ y\n.\n");
	check_saved(f, s, "second\n", "+ x\n.\n+ y\n.\n");
	save(f, s->change, "+ z\n.\n");
	check_saved(f, s, "second\n", "+ x\n.\n+ y\n.\n+ z\n.\n");
	/* A new file makes the changes superfluous. */
	save(f, s->whole, "");
	check_saved(f, s, "", "");
	save(f, s->change, "+ w\n.\n");
	check_saved(f, s, "", "+ w\n.\n");
}

static void test_commit(void **state)
{
	for (size_t i = 0; i < SIDES; i++)
		commit_side(*state, &sides[i]);
}

/* One transaction, both parts, in every combination. */
static void test_both(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(stage(f, STATE_LABELS, "l\n"), 0);
	assert_int_equal(stage(f, STATE_RULES, "r\n"), 0);
	assert_int_equal(commit(f), 0);
	assert_int_equal(stage(f, STATE_LABELS_APPEND, "l2\n.\n"), 0);
	assert_int_equal(stage(f, STATE_RULES_APPEND, "r2\n.\n"), 0);
	assert_int_equal(commit(f), 0);
	check_saved(f, LABELS, "l\n", "l2\n.\n");
	check_saved(f, RULES, "r\n", "r2\n.\n");
	assert_int_equal(stage(f, STATE_LABELS_APPEND, "l3\n.\n"), 0);
	assert_int_equal(stage(f, STATE_RULES, "r3\n"), 0);
	assert_int_equal(commit(f), 0);
	check_saved(f, LABELS, "l\n", "l2\n.\nl3\n.\n");
	check_saved(f, RULES, "r3\n", "");
}

static void test_rollback(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SIDES; i++) {
		save(f, sides[i].whole, "old\n");
		save(f, sides[i].change, "+ x\n.\n");
	}
	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < SIDES; i++)
			assert_int_equal(stage(f, sides[i].change, "+ other\n.\n"), 0);
		f->port.rollback(f->port.self);
		for (size_t i = 0; i < SIDES; i++)
			assert_int_equal(stage(f, sides[i].whole, "other\n"), 0);
		f->port.rollback(f->port.self);
		assert_false(exists(f, "labels.new"));
		assert_false(exists(f, "rules.new"));
	}
	assert_int_equal(commit(f), 0); /* nothing is staged any more */
	for (size_t i = 0; i < SIDES; i++) {
		save(f, sides[i].change, "+ y\n.\n");
		check_saved(f, &sides[i], "old\n", "+ x\n.\n+ y\n.\n");
	}
}

/* Killed between stage and commit: what was staged is not there, but for a complete change, which
 * nobody was told of, and which is as good as done. */
static void test_killed_before_commit(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SIDES; i++) {
		save(f, sides[i].whole, "old\n");
		assert_int_equal(stage(f, sides[i].whole, "other\n"), 0);
		check_saved(f, &sides[i], "old\n", "");
		assert_int_equal(stage(f, sides[i].change, "+ x\n.\n"), 0);
		check_saved(f, &sides[i], "old\n", "+ x\n.\n");
		/* What was left half-written is no matter. */
		write_text(f, i == 0 ? "rules.new" : "labels.new", "half");
		write_text(f, i == 0 ? "journal.new" : "labels.journal.new", "half");
		save(f, sides[i].whole, "new\n");
		save(f, sides[i].change, "+ y\n.\n");
		check_saved(f, &sides[i], "new\n", "+ y\n.\n");
	}
}

/* Killed after a file was replaced and before its journal was removed: that is not replayed. */
static void test_journal_of_an_earlier_epoch(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SIDES; i++) {
		const struct side *s = &sides[i];
		_cleanup_free_ char *old = NULL;

		save(f, s->whole, "first\n");
		save(f, s->change, "+ old\n.\n");
		old = read_text(f, s->journal);
		save(f, s->whole, "second\n");
		write_text(f, s->journal, old);
		check_saved(f, s, "second\n", "");
		save(f, s->change, "+ new\n.\n");
		check_saved(f, s, "second\n", "+ new\n.\n");
	}
}

/* The journal, cut at every byte: complete changes are kept, and the next one stands on its own. */
static void cut_journal(struct fixture *f, const struct side *s)
{
	_cleanup_free_ char *whole = NULL, *cut = NULL;
	size_t head, length;

	save(f, s->whole, "r\n");
	save(f, s->change, "+ a.\n- b\n.\n");
	save(f, s->change, "+ c\n.\n");
	whole = read_text(f, s->journal);
	length = strlen(whole);
	head = (size_t)(strchr(whole, '\n') + 1 - whole);
	for (size_t n = head; n < length; n++) {
		bool first = n >= head + strlen("+ a.\n- b\n.\n");
		char wanted[64];

		write_file(f, s->journal, whole, n);
		check_saved(f, s, "r\n", first ? "+ a.\n- b\n.\n" : "");
		save(f, s->change, "+ d\n.\n");
		snprintf(wanted, sizeof(wanted), "%s+ d\n.\n", first ? "+ a.\n- b\n.\n" : "");
		check_saved(f, s, "r\n", wanted);
	}
	/* What is left of one that was longer than the next. */
	strcat(strcpy(whole + head, "+ a much longer change"), "\n- than the next one");
	write_text(f, s->journal, whole);
	check_saved(f, s, "r\n", "");
	save(f, s->change, "+ e\n.\n");
	cut = read_text(f, s->journal);
	assert_int_equal(strlen(cut), head + strlen("+ e\n.\n"));
	check_saved(f, s, "r\n", "+ e\n.\n");
}

static void test_cut_journal(void **state)
{
	for (size_t i = 0; i < SIDES; i++)
		cut_journal(*state, &sides[i]);
}

static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct state *second = NULL;
	struct state_saved saved = { 0 };

	f->error = (struct sb_error){ 0 };
	check_refused(f, state_open(f->dir, &second, &saved, &f->error), EBUSY,
		      "another broker runs on state directory");
	assert_null(second);
	state_saved_clear(&saved);
	state_free(f->state);
	f->state = NULL;
	reopen(f);
}

static void check_sizes(const struct fixture *f, const struct side *s, size_t wanted,
			const char *change)
{
	size_t whole, changes, head = strlen(s->journal_head) + strlen("1\n");

	f->port.sizes(f->port.self, s->whole, &whole, &changes);
	assert_int_equal(whole, wanted);
	assert_int_equal(changes, head + strlen(change));
}

/* What is staged does not count, nor what was taken back. */
static void sizes(struct fixture *f, const struct side *s)
{
	size_t head;

	assert_int_equal(stage(f, s->whole, "rules\n"), 0);
	check_sizes(f, s, 0, "");
	f->port.rollback(f->port.self);
	check_sizes(f, s, 0, "");
	save(f, s->whole, "rules\n");
	check_sizes(f, s, 6, "");
	assert_int_equal(stage(f, s->change, "+ y\n.\n"), 0);
	f->port.rollback(f->port.self);
	check_sizes(f, s, 6, "");
	save(f, s->change, "+ x\n.\n");
	check_sizes(f, s, 6, "+ x\n.\n");
	reopen(f);
	head = strcspn(saved_text(f, s)->file, "\n") + 1;
	check_sizes(f, s, 6 + head, "+ x\n.\n");
	save(f, s->whole, "more rules\n");
	check_sizes(f, s, 11, "");
}

static void test_sizes(void **state)
{
	for (size_t i = 0; i < SIDES; i++)
		sizes(*state, &sides[i]);
}

/* A commit that fails is a refusal: nothing of it is read afterwards. */
static void test_failing_commit(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_RULES, "r\n");
	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	assert_int_equal(mkdir(path(f, "labels"), 0700), 0);
	assert_int_equal(stage(f, STATE_LABELS, "l\n"), 0);
	assert_int_equal(stage(f, STATE_RULES_APPEND, "+ y\n.\n"), 0);
	check_refused(f, commit(f), EIO, "/labels cannot be written");
	assert_int_equal(stage(f, STATE_LABELS, "l\n"), 0);
	assert_int_equal(stage(f, STATE_RULES, "other\n"), 0);
	check_refused(f, commit(f), EIO, "/labels cannot be written");
	assert_false(exists(f, "labels.new"));
	assert_false(exists(f, "rules.new"));
	remove_file(f, "labels");
	check_saved(f, RULES, "r\n", "+ x\n.\n");
	save(f, STATE_LABELS, "l\n");
	check_saved(f, LABELS, "l\n", "");
}

/* A journal cannot be made: then nothing is committed that would need one. */
static void no_new_journal(struct fixture *f, const struct side *s)
{
	save(f, s->whole, "first\n");
	save(f, s->change, "+ x\n.\n");
	remove_file(f, s->journal);
	assert_int_equal(mkdir(path(f, s->journal), 0700), 0);
	check_refused(f, stage(f, s->whole, "second\n"), EIO, s->journal);
	f->port.rollback(f->port.self);
	check_refused(f, stage(f, s->change, "+ y\n.\n"), EIO, s->journal);
	f->port.rollback(f->port.self);
	remove_file(f, s->journal);
	/* Made a directory in between: the file counts, and the next change is what is refused. */
	assert_int_equal(stage(f, s->whole, "second\n"), 0);
	remove_file(f, s->journal);
	assert_int_equal(mkdir(path(f, s->journal), 0700), 0);
	assert_int_equal(commit(f), 0);
	check_refused(f, stage(f, s->change, "+ y\n.\n"), EIO, s->journal);
	f->port.rollback(f->port.self);
	remove_file(f, s->journal);
	save(f, s->change, "+ z\n.\n");
	check_saved(f, s, "second\n", "+ z\n.\n");
}

static void test_no_new_journal(void **state)
{
	for (size_t i = 0; i < SIDES; i++)
		no_new_journal(*state, &sides[i]);
}

/* The disk is full after 8 KiB: what was half-written is gone again. */
static void test_full_disk(void **state)
{
	static char much[16384];
	const struct rlimit limit = { 8192, RLIM_INFINITY };
	struct fixture *f = *state;
	struct rlimit before;

	memset(much, 'x', sizeof(much) - 1);
	for (size_t i = 0; i < SIDES; i++) {
		save(f, sides[i].whole, "l\n");
		save(f, sides[i].change, "+ x\n.\n");
	}
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (enum state_part part = STATE_LABELS; part <= STATE_RULES_APPEND; part++) {
		check_refused(f, stage(f, part, much), EIO, "cannot be written");
		f->port.rollback(f->port.self);
	}
	for (size_t i = 0; i < SIDES; i++)
		save(f, sides[i].change, "+ y\n.\n");
	setrlimit(RLIMIT_FSIZE, &before);
	assert_false(exists(f, "labels.new"));
	assert_false(exists(f, "rules.new"));
	for (size_t i = 0; i < SIDES; i++)
		check_saved(f, &sides[i], "l\n", "+ x\n.\n+ y\n.\n");
}

static void test_erase(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SIDES; i++) {
		save(f, sides[i].whole, "l\n");
		save(f, sides[i].change, "+ x\n.\n");
		assert_int_equal(stage(f, sides[i].whole, "l\n"), 0);
	}
	state_erase(f->state);
	assert_int_equal(rmdir(f->dir), 0);
	for (size_t i = 0; i < SIDES; i++)
		check_saved(f, &sides[i], NULL, "");
}

/* Those that it has open, the same before a change and after it. */
static void test_fds(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 3; round++) {
		size_t found = 0;

		for (int fd = 3; fd < 64; fd++) {
			char link[64], target[128] = "";

			snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
			if (readlink(link, target, sizeof(target) - 1) <= 0 ||
			    !strstr(target, f->base))
				continue;
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
			found++;
		}
		assert_int_equal(found, 3); /* the directory, twice, and the lock */
		for (size_t i = 0; i < SIDES; i++) {
			save(f, sides[i].change, "+ x\n.\n");
			assert_int_equal(stage(f, sides[i].change, "+ y\n.\n"), 0);
			f->port.rollback(f->port.self);
			save(f, sides[i].whole, "whole\n");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fresh),
		TEST(test_made_for_all_to_enter),
		TEST(test_commit),
		TEST(test_both),
		TEST(test_rollback),
		TEST(test_killed_before_commit),
		TEST(test_journal_of_an_earlier_epoch),
		TEST(test_cut_journal),
		TEST(test_lock),
		TEST(test_sizes),
		TEST(test_failing_commit),
		TEST(test_no_new_journal),
		TEST(test_full_disk),
		TEST(test_erase),
		TEST(test_fds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
