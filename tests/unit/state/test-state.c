/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state directory, in a real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "broker/base/log.h"
#include "broker/state/state.h"

#define NOBODY 65534

struct fixture {
	char base[32], dir[64];
	struct state *state;
	struct state_saved saved;
	struct state_port port;
	struct sb_error error;
};

static int try_open(struct fixture *f)
{
	int r;

	state_saved_clear(&f->saved);
	state_free(f->state);
	f->state = NULL;
	f->error = (struct sb_error){ 0 };
	r = state_open(f->dir, &f->state, &f->saved, &f->error);
	if (r == 0)
		f->port = state_port(f->state);
	return r;
}

/* As a broker that was killed and started again. */
static void reopen(struct fixture *f)
{
	if (try_open(f) < 0)
		fail_msg("%s", f->error.message);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_setup(LOG_EMERG);
	strcpy(f->base, "/tmp/test-state-XXXXXX");
	assert_non_null(mkdtemp(f->base));
	snprintf(f->dir, sizeof(f->dir), "%s/state", f->base);
	reopen(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	state_saved_clear(&f->saved);
	state_free(f->state);
	snprintf(command, sizeof(command), "rm -rf %s", f->base);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static const char *path(const struct fixture *f, const char *name)
{
	static char buf[128];

	snprintf(buf, sizeof(buf), "%s/%s", f->dir, name);
	return buf;
}

static bool exists(const struct fixture *f, const char *name)
{
	struct stat st;

	return lstat(path(f, name), &st) == 0;
}

static void write_file(const struct fixture *f, const char *name, const char *text, size_t n)
{
	FILE *file = fopen(path(f, name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

/* The file's text; owned by the caller. */
static char *read_text(const struct fixture *f, const char *name)
{
	FILE *file = fopen(path(f, name), "r");
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) < 65535);
	fclose(file);
	return text;
}

static int stage(struct fixture *f, enum state_part part, const char *text)
{
	return f->port.stage(f->port.self, part, text, strlen(text), &f->error);
}

static int commit(struct fixture *f)
{
	return f->port.commit(f->port.self, &f->error);
}

static void save(struct fixture *f, enum state_part part, const char *text)
{
	assert_int_equal(stage(f, part, text), 0);
	assert_int_equal(commit(f), 0);
}

/* What the next broker reads; NULL: nothing. Rules come with a comment line on top. */
static void check_saved(struct fixture *f, const char *labels, const char *rules,
			const char *journal)
{
	reopen(f);
	if (labels)
		assert_string_equal(f->saved.labels, labels);
	else
		assert_null(f->saved.labels);
	if (rules) {
		assert_int_equal(f->saved.rules[0], '#');
		assert_string_equal(strchr(f->saved.rules, '\n') + 1, rules);
	} else {
		assert_null(f->saved.rules);
	}
	assert_string_equal(f->saved.journal ? f->saved.journal : "", journal);
	assert_int_equal(f->saved.journal_length, strlen(journal));
}

static void check_refused(const struct fixture *f, int r, int code, const char *part)
{
	if (r != -code || f->error.code != code || !strstr(f->error.message, part))
		fail_msg("not %d \"%s\", but %d: %s", -code, part, r, f->error.message);
}

static mode_t mode_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_mode & 07777;
}

static void test_fresh(void **state)
{
	struct fixture *f = *state;

	assert_null(f->saved.labels);
	assert_null(f->saved.rules);
	assert_null(f->saved.journal);
	save(f, STATE_LABELS, "l");
	save(f, STATE_RULES, "r");
	assert_int_equal(mode_of(path(f, "labels")), 0600);
	assert_int_equal(mode_of(path(f, "rules")), 0600);
	assert_int_equal(mode_of(path(f, "journal")), 0600);
	assert_int_equal(mode_of(path(f, "lock")), 0600);
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

static void test_commit(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_LABELS, "first");
	check_saved(f, "first", NULL, "");
	save(f, STATE_LABELS, "second");
	save(f, STATE_RULES, "tcp 10.0.0.0/8 1 a\n");
	check_saved(f, "second", "tcp 10.0.0.0/8 1 a\n", "");
	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	save(f, STATE_RULES_APPEND, "+ y\n.\n");
	check_saved(f, "second", "tcp 10.0.0.0/8 1 a\n", "+ x\n.\n+ y\n.\n");
	save(f, STATE_RULES_APPEND, "+ z\n.\n");
	check_saved(f, "second", "tcp 10.0.0.0/8 1 a\n", "+ x\n.\n+ y\n.\n+ z\n.\n");
	/* All in one; a new text makes the changes superfluous. */
	assert_int_equal(stage(f, STATE_LABELS, "third"), 0);
	assert_int_equal(stage(f, STATE_RULES, ""), 0);
	assert_int_equal(commit(f), 0);
	check_saved(f, "third", "", "");
	save(f, STATE_RULES_APPEND, "+ w\n.\n");
	check_saved(f, "third", "", "+ w\n.\n");
}

static void test_rollback(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_LABELS, "l");
	save(f, STATE_RULES, "r\n");
	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(stage(f, STATE_LABELS, "other"), 0);
		assert_int_equal(stage(f, STATE_RULES_APPEND, "+ other\n.\n"), 0);
		f->port.rollback(f->port.self);
		assert_int_equal(stage(f, STATE_RULES, "other"), 0);
		f->port.rollback(f->port.self);
		assert_false(exists(f, "labels.new"));
		assert_false(exists(f, "rules.new"));
	}
	assert_int_equal(commit(f), 0); /* nothing is staged any more */
	save(f, STATE_RULES_APPEND, "+ y\n.\n");
	check_saved(f, "l", "r\n", "+ x\n.\n+ y\n.\n");
}

/* Killed between stage and commit: what was staged is not there, but for a complete change, which
 * nobody was told of, and which is as good as done. */
static void test_killed_before_commit(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_LABELS, "l");
	assert_int_equal(stage(f, STATE_LABELS, "other"), 0);
	assert_int_equal(stage(f, STATE_RULES, "other"), 0);
	check_saved(f, "l", NULL, "");
	assert_int_equal(stage(f, STATE_RULES_APPEND, "+ x\n.\n"), 0);
	check_saved(f, "l", NULL, "+ x\n.\n");
}

/* Killed after the rules were replaced and before the journal was: the old one is not replayed. */
static void test_journal_of_another_epoch(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *old = NULL;

	save(f, STATE_RULES, "first\n");
	save(f, STATE_RULES_APPEND, "+ old\n.\n");
	old = read_text(f, "journal");
	save(f, STATE_RULES, "second\n");
	write_file(f, "journal", old, strlen(old));
	check_saved(f, NULL, "second\n", "");
	save(f, STATE_RULES_APPEND, "+ new\n.\n");
	check_saved(f, NULL, "second\n", "+ new\n.\n");
}

/* The journal, cut at every byte: complete changes are kept, and the next one stands on its own. */
static void test_cut_journal(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *whole = NULL;
	size_t header, length;

	save(f, STATE_RULES, "r\n");
	save(f, STATE_RULES_APPEND, "+ a.\n- b\n.\n");
	save(f, STATE_RULES_APPEND, "+ c\n.\n");
	whole = read_text(f, "journal");
	length = strlen(whole);
	header = (size_t)(strchr(whole, '\n') + 1 - whole);
	for (size_t n = 0; n < length; n++) {
		bool first = n >= header + strlen("+ a.\n- b\n.\n");
		char wanted[64];

		write_file(f, "journal", whole, n);
		check_saved(f, NULL, "r\n", first ? "+ a.\n- b\n.\n" : "");
		save(f, STATE_RULES_APPEND, "+ d\n.\n");
		snprintf(wanted, sizeof(wanted), "%s+ d\n.\n", first ? "+ a.\n- b\n.\n" : "");
		check_saved(f, NULL, "r\n", wanted);
	}
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

static void test_links_are_not_followed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(symlink("/etc/passwd", path(f, "labels")), 0);
	check_refused(f, try_open(f), ELOOP, "state file labels");
	assert_null(f->state);
	unlink(path(f, "labels"));
	unlink(path(f, "lock"));
	assert_int_equal(symlink("/tmp/test-state-nowhere", path(f, "lock")), 0);
	check_refused(f, try_open(f), ELOOP, "state directory");
	assert_int_equal(access("/tmp/test-state-nowhere", F_OK), -1);
}

/* What is no file of the broker's is not read; it is replaced when there is something to say. */
static void test_foreign_files(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkfifo(path(f, "labels"), 0600), 0);
	assert_int_equal(mkfifo(path(f, "rules"), 0600), 0);
	unlink(path(f, "journal"));
	assert_int_equal(mkfifo(path(f, "journal"), 0600), 0);
	check_saved(f, NULL, NULL, "");
	save(f, STATE_LABELS, "l");
	save(f, STATE_RULES, "r\n");
	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	check_saved(f, "l", "r\n", "+ x\n.\n");
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(path(f, "labels"), NOBODY, NOBODY), 0);
	check_saved(f, NULL, "r\n", "+ x\n.\n");
}

/* Our own file, but more than can be read: to go on would be to forget what it says. */
static void test_huge_files(void **state)
{
	static const char *const names[] = { "labels", "rules", "journal" };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		write_file(f, names[i], "x", 1);
		assert_int_equal(truncate(path(f, names[i]), ((off_t)1 << 30) + 1), 0);
		check_refused(f, try_open(f), EFBIG, names[i]);
		assert_non_null(strstr(f->error.message, "1073741825 bytes"));
		assert_true(exists(f, names[i]));
		unlink(path(f, names[i]));
	}
	reopen(f);
}

static void check_sizes(const struct fixture *f, size_t wanted_rules, bool changes)
{
	size_t rules, journal, header = strlen("# sockbroker-journal epoch=1\n");

	f->port.sizes(f->port.self, &rules, &journal);
	assert_int_equal(rules, wanted_rules);
	assert_int_equal(journal, header + (changes ? strlen("+ x\n.\n") : 0));
}

/* What is staged does not count, nor what was taken back. */
static void test_sizes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(stage(f, STATE_RULES, "rules\n"), 0);
	check_sizes(f, 0, false);
	f->port.rollback(f->port.self);
	check_sizes(f, 0, false);
	save(f, STATE_RULES, "rules\n");
	check_sizes(f, 6, false);
	assert_int_equal(stage(f, STATE_RULES_APPEND, "+ y\n.\n"), 0);
	f->port.rollback(f->port.self);
	check_sizes(f, 6, false);
	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	check_sizes(f, 6, true);
	reopen(f);
	check_sizes(f, 6 + strlen("# sockbroker-rules epoch=1\n"), true);
	save(f, STATE_RULES, "more rules\n");
	check_sizes(f, 11, false);
}

static void test_odd_bytes(void **state)
{
	struct fixture *f = *state;

	write_file(f, "labels", "\0\1\377", 3);
	write_file(f, "rules", "no header\n", 10);
	write_file(f, "journal", "\0\0\0\n", 4);
	reopen(f);
	assert_int_equal(f->saved.labels_length, 3);
	assert_string_equal(f->saved.rules, "no header\n");
	assert_int_equal(f->saved.journal_length, 0);
	save(f, STATE_RULES, "r\n");
	check_saved(f, "", "r\n", "");
}

/* A commit that fails is a refusal: nothing of it is read afterwards. */
static void test_failing_commit(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_RULES, "r\n");
	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	assert_int_equal(mkdir(path(f, "labels"), 0700), 0);
	assert_int_equal(stage(f, STATE_LABELS, "l"), 0);
	assert_int_equal(stage(f, STATE_RULES_APPEND, "+ y\n.\n"), 0);
	check_refused(f, commit(f), EIO, "state file labels cannot be replaced");
	assert_int_equal(stage(f, STATE_LABELS, "l"), 0);
	assert_int_equal(stage(f, STATE_RULES, "other\n"), 0);
	check_refused(f, commit(f), EIO, "state file labels cannot be replaced");
	assert_false(exists(f, "labels.new"));
	assert_false(exists(f, "rules.new"));
	check_saved(f, NULL, "r\n", "+ x\n.\n");
	rmdir(path(f, "labels"));
	save(f, STATE_LABELS, "l");
	check_saved(f, "l", "r\n", "+ x\n.\n");
}

/* Once the rules are replaced, they are: a journal that cannot be made refuses the next change, not
 * this one. */
static void test_no_new_journal(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_RULES, "first\n");
	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	unlink(path(f, "journal"));
	assert_int_equal(mkdir(path(f, "journal"), 0700), 0);
	save(f, STATE_RULES, "second\n");
	check_refused(f, stage(f, STATE_RULES_APPEND, "+ y\n.\n"), EIO, "journal");
	f->port.rollback(f->port.self);
	rmdir(path(f, "journal"));
	save(f, STATE_RULES_APPEND, "+ z\n.\n");
	check_saved(f, NULL, "second\n", "+ z\n.\n");
}

/* The disk is full after 8 KiB: what was half-written is gone again. */
static void test_full_disk(void **state)
{
	static char much[16384];
	const struct rlimit limit = { 8192, RLIM_INFINITY };
	struct fixture *f = *state;
	struct rlimit before;

	memset(much, 'x', sizeof(much) - 1);
	save(f, STATE_LABELS, "l");
	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (enum state_part part = STATE_LABELS; part <= STATE_RULES_APPEND; part++) {
		check_refused(f, stage(f, part, much), EIO, "cannot be written");
		f->port.rollback(f->port.self);
	}
	save(f, STATE_RULES_APPEND, "+ y\n.\n");
	setrlimit(RLIMIT_FSIZE, &before);
	assert_false(exists(f, "labels.new"));
	assert_false(exists(f, "rules.new"));
	check_saved(f, "l", NULL, "+ x\n.\n+ y\n.\n");
}

/* Runs F(fixture) in a child of user nobody, which must return 0. */
static void as_nobody(struct fixture *f, int (*child)(struct fixture *f))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0
			      ? 99
			      : child(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int open_denied(struct fixture *f)
{
	struct state *s = NULL;
	struct state_saved saved = { 0 };
	struct sb_error error = { 0 };

	if (state_open(f->dir, &s, &saved, &error) != -EACCES || s)
		return 1;
	return strstr(error.message, f->dir) ? 0 : 2;
}

/* Opens its own directory, which becomes read-only then. */
static int write_denied(struct fixture *f)
{
	struct state *s = NULL;
	struct state_saved saved = { 0 };
	struct state_port port;
	struct sb_error error = { 0 };

	if (state_open(f->dir, &s, &saved, &error) < 0 || chmod(f->dir, 0500) < 0)
		return 1;
	port = state_port(s);
	if (port.stage(port.self, STATE_LABELS, "x", 1, &error) != -EIO ||
	    !strstr(error.message, "labels"))
		return 2;
	if (port.stage(port.self, STATE_RULES, "x", 1, &error) != -EIO)
		return 3;
	port.rollback(port.self);
	state_saved_clear(&saved);
	state_free(s);
	return 0;
}

static void test_unwritable(void **state)
{
	struct fixture *f = *state;

	strcat(f->dir, "/missing/state");
	check_refused(f, try_open(f), ENOENT, "cannot be made");
	if (geteuid() != 0)
		skip();
	snprintf(f->dir, sizeof(f->dir), "%s/state", f->base);
	assert_int_equal(chmod(f->base, 0755), 0);
	as_nobody(f, open_denied); /* there, but not theirs */
	strcat(f->dir, "-none");
	as_nobody(f, open_denied); /* to be made */
	assert_int_equal(mkdir(f->dir, 0700), 0);
	assert_int_equal(chown(f->dir, NOBODY, NOBODY), 0);
	as_nobody(f, write_denied);
}

static void test_erase(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_LABELS, "l");
	save(f, STATE_RULES, "r\n");
	state_erase(f->state);
	assert_int_equal(rmdir(f->dir), 0);
	check_saved(f, NULL, NULL, "");
}

static void test_fds_are_private(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_RULES, "r\n");
	for (int fd = 3; fd < 64; fd++) {
		char link[64], target[128] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, target, sizeof(target) - 1) > 0 && strstr(target, f->base))
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fresh),
		TEST(test_made_for_all_to_enter),
		TEST(test_commit),
		TEST(test_rollback),
		TEST(test_killed_before_commit),
		TEST(test_journal_of_another_epoch),
		TEST(test_cut_journal),
		TEST(test_lock),
		TEST(test_links_are_not_followed),
		TEST(test_foreign_files),
		TEST(test_huge_files),
		TEST(test_sizes),
		TEST(test_odd_bytes),
		TEST(test_failing_commit),
		TEST(test_no_new_journal),
		TEST(test_full_disk),
		TEST(test_unwritable),
		TEST(test_erase),
		TEST(test_fds_are_private),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
