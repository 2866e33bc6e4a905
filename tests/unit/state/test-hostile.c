/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whatever may be found in place of the state directory and its files, or may become of them while
 * a broker runs. A refusal names the thing, says what to do, and has changed nothing. */
#include "tests/unit/state/fixture.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "broker/model/snapshot.h"

#define RULES (&sides[0])
#define LABELS (&sides[1])

static const char *const all_names[] = { "labels", "labels.journal", "rules", "journal", "lock" };

static void close_state(struct fixture *f)
{
	state_free(f->state);
	f->state = NULL;
}

/* -- the directory ---------------------------------------------------------------------------- */

static void test_directory_writable_by_others(void **state)
{
	static const mode_t modes[] = { 0775, 0757, 0777, 01777, 0730, 0702 };
	struct fixture *f = *state;
	char mode[16];

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(chmod(f->dir, modes[i]), 0);
		snprintf(mode, sizeof(mode), "(mode %04o)", (unsigned)modes[i]);
		check_open_refused(f, EPERM, mode);
		assert_non_null(strstr(f->error.message, f->dir));
		assert_non_null(strstr(f->error.message, "chmod go-w"));
	}
	assert_int_equal(chmod(f->dir, 0755), 0);
	reopen(f);
}

static void test_directory_of_somebody_else(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(f->dir, NOBODY, 0), 0);
	check_open_refused(f, EPERM, "belongs to uid 65534");
	assert_non_null(strstr(f->error.message, "--state"));
	assert_int_equal(chown(f->dir, 0, NOBODY), 0);
	reopen(f);
}

static void test_directory_is_a_link(void **state)
{
	struct fixture *f = *state;
	char target[64];

	strcpy(target, f->dir);
	strcat(f->dir, "-link");
	assert_int_equal(symlink(target, f->dir), 0);
	check_open_refused(f, ELOOP, "is a symbolic link");
	strcat(f->dir, "/");
	check_open_refused(f, ELOOP, "is a symbolic link");
	strcpy(f->dir, target);
	strcat(f->dir, "-dangling");
	assert_int_equal(symlink("/tmp/test-state-nowhere", f->dir), 0);
	check_open_refused(f, ELOOP, "is a symbolic link");
	assert_int_equal(access("/tmp/test-state-nowhere", F_OK), -1);
}

static void test_directory_is_none(void **state)
{
	struct fixture *f = *state;
	FILE *file;

	strcat(f->dir, "-file");
	file = fopen(f->dir, "w");
	assert_non_null(file);
	fclose(file);
	check_open_refused(f, ENOTDIR, f->dir);
	snprintf(f->dir, sizeof(f->dir), "%s/missing/state", f->base);
	check_open_refused(f, ENOENT, "cannot be made");
}

/* -- files ------------------------------------------------------------------------------------ */

static void make_fifo(const char *at)
{
	assert_int_equal(mkfifo(at, 0600), 0);
}

static void make_directory(const char *at)
{
	assert_int_equal(mkdir(at, 0700), 0);
}

static void make_link(const char *at)
{
	assert_int_equal(symlink("/etc/passwd", at), 0);
}

static void make_dangling_link(const char *at)
{
	assert_int_equal(symlink("/tmp/test-state-nowhere", at), 0);
}

static void make_socket(const char *at)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, at);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

static void (*const make[])(const char *at) = {
	make_fifo, make_directory, make_link, make_dangling_link, make_socket,
};

static void save_all(struct fixture *f)
{
	for (size_t i = 0; i < SIDES; i++) {
		save(f, sides[i].whole, "whole\n");
		save(f, sides[i].change, "change\n.\n");
	}
}

static void check_all(struct fixture *f)
{
	for (size_t i = 0; i < SIDES; i++)
		check_saved(f, &sides[i], "whole\n", "change\n.\n");
}

/* What is no file is not read, not waited for, not written to and not replaced. */
static void test_files_of_other_kinds(void **state)
{
	struct fixture *f = *state;
	char kept[128];

	save_all(f);
	close_state(f);
	for (size_t i = 0; i < ARRAY_SIZE(all_names); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(make); k++) {
			snprintf(kept, sizeof(kept), "%s/kept", f->base);
			assert_int_equal(rename(path(f, all_names[i]), kept), 0);
			make[k](path(f, all_names[i]));
			if (try_open(f) == 0)
				fail_msg("%s of kind %zu was taken", all_names[i], k);
			assert_non_null(strstr(f->error.message, all_names[i]));
			assert_int_equal(access("/tmp/test-state-nowhere", F_OK), -1);
			remove_file(f, all_names[i]);
			assert_int_equal(rename(kept, path(f, all_names[i])), 0);
		}
	}
	check_all(f);
}

static void test_files_of_somebody_else(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	save_all(f);
	close_state(f);
	for (size_t i = 0; i < ARRAY_SIZE(all_names); i++) {
		assert_int_equal(chown(path(f, all_names[i]), NOBODY, 0), 0);
		check_open_refused(f, EPERM, all_names[i]);
		assert_non_null(strstr(f->error.message, "belongs to uid 65534"));
		assert_non_null(strstr(f->error.message, "chown it"));
		assert_int_equal(chown(path(f, all_names[i]), 0, 0), 0);
	}
	check_all(f);
}

static void test_files_writable_by_others(void **state)
{
	struct fixture *f = *state;

	save_all(f);
	close_state(f);
	for (size_t i = 0; i < ARRAY_SIZE(all_names); i++) {
		for (mode_t bit = 020; bit; bit = bit == 020 ? 02 : 0) {
			assert_int_equal(chmod(path(f, all_names[i]), 0600 | bit), 0);
			check_open_refused(f, EPERM, all_names[i]);
			assert_non_null(strstr(f->error.message, "chmod go-w"));
		}
		assert_int_equal(chmod(path(f, all_names[i]), 0644), 0);
	}
	check_all(f);
}

/* Our own file, but more than can be read: to go on would be to forget what it says. */
static void test_huge_files(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(all_names) - 1; i++) {
		write_file(f, all_names[i], "x", 1);
		assert_int_equal(truncate(path(f, all_names[i]), ((off_t)1 << 30) + 1), 0);
		check_open_refused(f, EFBIG, all_names[i]);
		assert_non_null(strstr(f->error.message, "1073741825 bytes"));
		remove_file(f, all_names[i]);
	}
	reopen(f);
}

/* What stands where new files are to be written is removed, and nothing it leads to is touched. */
static void test_left_overs_of_other_kinds(void **state)
{
	static const char *const names[] = { "labels.new", "labels.journal.new", "rules.new",
					     "journal.new" };
	struct fixture *f = *state;

	for (size_t k = 0; k < ARRAY_SIZE(make); k++) {
		if (make[k] == make_directory)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			make[k](path(f, names[i]));
		save_all(f);
		check_all(f);
		assert_int_equal(access("/tmp/test-state-nowhere", F_OK), -1);
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			assert_false(exists(f, names[i]));
	}
	make_directory(path(f, "rules.new"));
	check_refused(f, stage(f, STATE_RULES, "r\n"), EIO, "Is a directory");
	f->port.rollback(f->port.self);
	check_all(f);
}

/* -- contents --------------------------------------------------------------------------------- */

/* Rules are wanted: if they are not as they were written, somebody has to decide. */
static void test_rules_cut_or_longer(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *whole = NULL;
	size_t length, head;

	save(f, STATE_RULES, "tcp 10.0.0.0/8 1 a\ntcp 10.0.0.0/8 2 a\n");
	whole = read_text(f, "rules");
	length = strlen(whole);
	head = strcspn(whole, "\n") + 1;
	for (size_t n = 0; n < length; n++) {
		write_file(f, "rules", whole, n);
		check_open_refused(f, EPROTO, "/rules ");
		assert_non_null(strstr(f->error.message,
				       n < head ? "does not begin as one" : "is cut short"));
		assert_non_null(
			strstr(f->error.message, "restore it, or remove it and let journal have"));
	}
	strcpy(whole + length, "x");
	write_text(f, "rules", whole);
	check_open_refused(f, EPROTO, "is longer than it was written");
	write_file(f, "rules", whole, length);
	check_saved(f, RULES, "tcp 10.0.0.0/8 1 a\ntcp 10.0.0.0/8 2 a\n", "");
}

static void test_rules_of_strangers(void **state)
{
	static const struct {
		const char *text;
		size_t length;
	} cases[] = {
		{ "", 0 },
		{ "\0\0\0\n", 4 },
		{ "\177ELF\1\2\3\0\n", 9 },
		{ "tcp 10.0.0.0/8 1 a\n", 19 },
		{ "# sockbroker-rules epoch=\n", 26 },
		{ "# sockbroker-rules epoch=-1\n", 28 },
		{ "# sockbroker-rules epoch=1", 26 },
		{ "# sockbroker-rules epoch=1 more\n", 32 },
		{ "# sockbroker-rules epoch=1 bytes=\n", 34 },
		{ "# sockbroker-rules epoch=18446744073709551615\n", 46 },
		{ "# sockbroker-rules epoch=99999999999999999999999\n", 49 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		write_file(f, "rules", cases[i].text, cases[i].length);
		check_open_refused(f, EPROTO, "/rules does not begin as one");
	}
	remove_file(f, "rules");
	check_saved(f, RULES, NULL, "");
}

/* A journal that cannot be told to belong to the file. */
static void check_journals(struct fixture *f, const struct side *s, bool with_file)
{
	static const char *const numbers[] = {
		"2\nx\n.\n", "9223372036854775807\n", "x\n", "\n", "-1\n",
		"1",         "18446744073709551615\n"
	};
	char text[128];

	for (size_t i = 0; i <= ARRAY_SIZE(numbers); i++) {
		if (i < ARRAY_SIZE(numbers))
			snprintf(text, sizeof(text), "%s%s", s->journal_head, numbers[i]);
		else
			text[0] = '\0';
		write_text(f, s->journal, text);
		if (s == RULES) {
			check_open_refused(f, EPROTO, "/journal ");
			continue;
		}
		/* Whether labels can be spared is decided by whether their sockets are alive. */
		reopen(f);
		assert_int_equal(f->saved.labels_damage.code, EPROTO);
		assert_non_null(strstr(f->saved.labels_damage.message, "/labels.journal "));
		assert_null(f->saved.labels.journal);
		assert_int_equal(!f->saved.labels.file, !with_file);
	}
	snprintf(text, sizeof(text), "%s%d\n", s->journal_head, with_file);
	write_text(f, s->journal, text);
	check_saved(f, s, with_file ? "whole\n" : NULL, "");
}

static void test_journals_of_strangers(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SIDES; i++) {
		check_journals(f, &sides[i], false);
		save(f, sides[i].whole, "whole\n");
		check_journals(f, &sides[i], true);
	}
}

/* Where there is a file there is a journal. What was in one that was removed nobody knows, but how
 * to go on without it is said. */
static void test_journals_removed(void **state)
{
	struct fixture *f = *state;
	char *line;

	save_all(f);
	remove_file(f, "journal");
	check_open_refused(f, EPROTO, "/journal is missing");
	line = strstr(f->error.message, "\"# sockbroker-journal epoch=1\"");
	assert_non_null(line);
	write_text(f, "journal", "# sockbroker-journal epoch=1\n");
	check_saved(f, RULES, "whole\n", "");
	remove_file(f, "labels.journal");
	reopen(f);
	assert_int_equal(f->saved.labels_damage.code, EPROTO);
	assert_non_null(strstr(f->saved.labels_damage.message, "/labels.journal is missing"));
	/* Also the first file has one. */
	for (size_t i = 0; i < ARRAY_SIZE(all_names) - 1; i++)
		if (exists(f, all_names[i]))
			remove_file(f, all_names[i]);
	reopen(f);
	save(f, STATE_RULES, "r\n");
	remove_file(f, "journal");
	check_open_refused(f, EPROTO, "/journal is missing");
}

/* Also when the journal was all that there was: what broker was here is known from the labels. */
static void test_rules_removed(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_RULES_APPEND, "+ x\n.\n");
	save(f, STATE_LABELS, "l\n");
	check_saved(f, RULES, NULL, "+ x\n.\n");
	remove_file(f, "journal");
	check_open_refused(f, EPROTO, "state files rules and journal in ");
	assert_non_null(strstr(f->error.message, "let journal have the line"));
	remove_file(f, "labels"); /* the journal of labels is enough to know */
	check_open_refused(f, EPROTO, "rules and journal in ");
	write_text(f, "journal", "# sockbroker-journal epoch=0\n");
	reopen(f);
	save(f, STATE_LABELS, "l\n");
	save(f, STATE_RULES, "r\n");
	remove_file(f, "rules");
	remove_file(f, "journal");
	check_open_refused(f, EPROTO, "rules and journal in ");
	/* Version 1 did not save rules if there were none. */
	write_text(f, "labels", "sockbroker_state\tversion=1\nend\n");
	remove_file(f, "labels.journal");
	check_saved(f, RULES, NULL, "");
	/* Nor has a first start that was killed saved them. */
	remove_file(f, "labels");
	reopen(f);
	assert_int_equal(stage(f, STATE_LABELS, "l\n"), 0);
	check_saved(f, RULES, NULL, "");
	assert_int_equal(stage(f, STATE_LABELS, "l\n"), 0);
	assert_int_equal(stage(f, STATE_RULES, ""), 0);
	write_text(f, "labels", "sockbroker_state\tversion=2\tepoch=1\tbytes=2\nl\n");
	check_saved(f, RULES, NULL, "");
	check_saved(f, LABELS, "l\n", "");
}

/* Killed between replacing the first file and its journal. */
static void test_first_file_without_its_journal(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *whole = NULL;

	for (size_t i = 0; i < SIDES; i++) {
		const struct side *s = &sides[i];
		char earlier[64];

		assert_int_equal(stage(f, s->whole, "whole\n"), 0);
		snprintf(earlier, sizeof(earlier), "%s0\n", s->journal_head);
		free(whole);
		whole = read_text(f, s->journal);
		assert_string_equal(whole, earlier);
		assert_int_equal(commit(f), 0);
		write_text(f, s->journal, earlier);
		check_saved(f, s, "whole\n", "");
		save(f, s->change, "+ x\n.\n");
		check_saved(f, s, "whole\n", "+ x\n.\n");
	}
}

/* The file was restored from an older copy, or lost: what its journal says of a newer one is not
 * for it, and no later file has the same number. */
static void test_file_older_than_its_journal(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *old = NULL, *journal = NULL;

	save(f, STATE_RULES, "");
	save(f, STATE_LABELS, "old\n");
	old = read_text(f, "labels");
	save(f, STATE_LABELS, "new\n");
	save(f, STATE_LABELS_APPEND, "+ x\n.\n");
	journal = read_text(f, "labels.journal");
	write_text(f, "labels", old);
	reopen(f);
	assert_int_equal(f->saved.labels_damage.code, EPROTO);
	assert_non_null(strstr(f->saved.labels_damage.message,
			       "belongs to a file that is not there any more"));
	save(f, STATE_LABELS, "newer\n");
	write_text(f, "labels.journal", journal); /* as if killed before it was removed */
	check_saved(f, LABELS, "newer\n", "");
}

/* Labels that are cut are noticed here, too; what else is wrong with them, by whoever reads them.
 */
static void test_labels_cut(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *whole = NULL;
	size_t length, head;

	save(f, STATE_RULES, "");
	save(f, STATE_LABELS, "label\nend\n");
	whole = read_text(f, "labels");
	length = strlen(whole);
	head = strcspn(whole, "\n") + 1;
	for (size_t n = 0; n < length; n++) {
		write_file(f, "labels", whole, n);
		reopen(f);
		assert_non_null(f->saved.labels.file);
		assert_int_equal(f->saved.labels.length, n);
		assert_int_equal(f->saved.labels_damage.code, n < head ? 0 : EPROTO);
	}
}

/* Version 1 had neither numbers in its labels nor a journal of them; a newer one may have both. */
static void test_labels_of_other_versions(void **state)
{
	struct fixture *f = *state;

	save(f, STATE_RULES, "");
	save(f, STATE_LABELS, "end\n");
	save(f, STATE_LABELS_APPEND, "x\n.\n");
	for (int version = 1; version < 10; version += 8) {
		char text[64];

		snprintf(text, sizeof(text), "sockbroker_state\tversion=%d\nend\n", version);
		write_text(f, "labels", text);
		check_saved(f, LABELS, "end\n", "");
		assert_true(exists(f, "labels.journal"));
	}
	/* And the journal that was left alone is not taken for one of a later file. */
	save(f, STATE_LABELS, "later\n");
	write_text(f, "labels.journal", "# sockbroker-labels-journal epoch=1\nx\n.\n");
	check_saved(f, LABELS, "later\n", "");
}

static void test_rules_of_version_1(void **state)
{
	struct fixture *f = *state;

	write_text(f, "rules", "# sockbroker-rules epoch=7\ntcp 10.0.0.0/8 1 a");
	write_text(f, "journal", "# sockbroker-journal epoch=7\n+ x\n.\n+ cut");
	check_saved(f, RULES, "tcp 10.0.0.0/8 1 a", "+ x\n.\n");
	save(f, STATE_RULES_APPEND, "+ y\n.\n");
	check_saved(f, RULES, "tcp 10.0.0.0/8 1 a", "+ x\n.\n+ y\n.\n");
	/* Changes without any rules before them. */
	remove_file(f, "rules");
	write_text(f, "journal", "# sockbroker-journal epoch=0\n+ x\n.\n");
	check_saved(f, RULES, NULL, "+ x\n.\n");
	write_text(f, "journal", "# sockbroker-journal epoch=7\n+ x\n.\n");
	check_open_refused(f, EPROTO, "/journal belongs to a file that is not there any more");
}

/* -- while a broker runs ---------------------------------------------------------------------- */

static int check(struct fixture *f)
{
	f->error = (struct sb_error){ 0 };
	return f->port.check(f->port.self, &f->error);
}

/* Nothing is appended to what is not there; once it is written again, all goes on. */
static void check_recovers(struct fixture *f)
{
	for (size_t i = 0; i < SIDES; i++)
		assert_int_equal(stage(f, sides[i].whole, "again\n"), 0);
	assert_int_equal(commit(f), 0);
	assert_int_equal(check(f), 0);
	for (size_t i = 0; i < SIDES; i++) {
		save(f, sides[i].change, "later\n.\n");
		assert_int_equal(check(f), 0);
	}
	for (size_t i = 0; i < SIDES; i++)
		check_saved(f, &sides[i], "again\n", "later\n.\n");
	assert_int_equal(check(f), 0);
}

static void test_directory_removed(void **state)
{
	struct fixture *f = *state;

	for (int with_journals = 0; with_journals < 2; with_journals++) {
		for (size_t i = 0; i < SIDES; i++)
			save(f, sides[i].whole, "whole\n");
		if (with_journals)
			save_all(f);
		assert_int_equal(check(f), 0);
		remove_all(f);
		for (enum state_part part = STATE_LABELS; part <= STATE_RULES_APPEND; part++) {
			check_refused(f, stage(f, part, "x\n.\n"), EIO, f->dir);
			assert_non_null(strstr(f->error.message, "removed"));
			f->port.rollback(f->port.self);
		}
		assert_int_equal(check(f), 1);
		check_refused(f, stage(f, STATE_LABELS_APPEND, "x\n.\n"), EIO, "removed");
		f->port.rollback(f->port.self);
		check_recovers(f);
	}
}

/* It cannot be made again, until it can. */
static void test_directory_removed_for_good(void **state)
{
	struct fixture *f = *state;

	save_all(f);
	remove_all(f);
	assert_int_equal(symlink("/tmp", f->dir), 0);
	check_refused(f, check(f), ELOOP, f->dir);
	check_refused(f, stage(f, STATE_LABELS_APPEND, "x\n.\n"), EIO, "removed");
	f->port.rollback(f->port.self);
	unlink(f->dir);
	assert_int_equal(check(f), 1);
	check_recovers(f);
}

/* Another directory stands in its place: it is taken if it may be one, and if nobody has it. */
static void test_directory_replaced(void **state)
{
	struct state *other = NULL;
	struct state_saved saved = { 0 };
	struct fixture *f = *state;

	save_all(f);
	remove_all(f);
	assert_int_equal(state_open(f->dir, &other, &saved, &f->error), 0);
	check_refused(f, check(f), EBUSY, "another broker runs");
	state_free(other);
	state_saved_clear(&saved);
	assert_int_equal(check(f), 1);
	check_recovers(f);
}

static void test_files_removed(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(all_names); i++) {
		save_all(f);
		remove_file(f, all_names[i]);
		assert_int_equal(check(f), 1);
		check_recovers(f);
	}
	/* Also before anything was appended by this broker. */
	for (size_t i = 0; i < SIDES; i++) {
		remove_file(f, sides[i].journal);
		assert_int_equal(check(f), 1);
		check_refused(f, stage(f, sides[i].change, "x\n.\n"), EIO,
			      "was removed or changed by somebody");
		f->port.rollback(f->port.self);
		check_recovers(f);
	}
}

static void test_journal_changed_by_somebody(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < SIDES; i++) {
		for (int longer = 0; longer < 2; longer++) {
			save_all(f);
			assert_int_equal(truncate(path(f, sides[i].journal), longer ? 4096 : 10),
					 0);
			assert_int_equal(check(f), 1);
			check_refused(f, stage(f, sides[i].change, "x\n.\n"), EIO,
				      "was removed or changed by somebody");
			f->port.rollback(f->port.self);
			assert_int_equal(check(f), 1);
			check_recovers(f);
		}
	}
}

/* -- as another user -------------------------------------------------------------------------- */

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
	for (enum state_part part = STATE_LABELS; part <= STATE_RULES_APPEND; part++) {
		if (port.stage(port.self, part, "x\n.\n", 4, &error) != -EIO ||
		    !strstr(error.message, "Permission denied"))
			return 2;
		port.rollback(port.self);
	}
	if (chmod(f->dir, 0700) < 0 ||
	    port.stage(port.self, STATE_LABELS_APPEND, "x\n.\n", 4, &error) < 0 ||
	    port.commit(port.self, &error) < 0)
		return 3;
	state_saved_clear(&saved);
	state_free(s);
	return 0;
}

static void test_unwritable(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(f->base, 0755), 0);
	as_nobody(f, open_denied); /* there, but not theirs */
	strcat(f->dir, "-none");
	as_nobody(f, open_denied); /* to be made */
	assert_int_equal(mkdir(f->dir, 0700), 0);
	assert_int_equal(chown(f->dir, NOBODY, NOBODY), 0);
	as_nobody(f, write_denied);
}

/* What root wrote is as good as the broker's own. */
static int open_works(struct fixture *f)
{
	struct state *s = NULL;
	struct state_saved saved = { 0 };
	struct sb_error error = { 0 };
	bool found;

	if (state_open(f->dir, &s, &saved, &error) < 0)
		return 1;
	found = saved.rules.file && saved.rules.length > 0;
	state_saved_clear(&saved);
	state_free(s);
	return found ? 0 : 2;
}

static void test_files_of_root(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	save(f, STATE_RULES, "r\n");
	close_state(f);
	assert_int_equal(chmod(f->base, 0755), 0);
	assert_int_equal(chown(f->dir, NOBODY, NOBODY), 0);
	assert_int_equal(chmod(path(f, "rules"), 0644), 0);
	assert_int_equal(chmod(path(f, "journal"), 0644), 0);
	remove_file(f, "lock");
	as_nobody(f, open_works);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_directory_writable_by_others),
		TEST(test_directory_of_somebody_else),
		TEST(test_directory_is_a_link),
		TEST(test_directory_is_none),
		TEST(test_files_of_other_kinds),
		TEST(test_files_of_somebody_else),
		TEST(test_files_writable_by_others),
		TEST(test_huge_files),
		TEST(test_left_overs_of_other_kinds),
		TEST(test_rules_cut_or_longer),
		TEST(test_rules_of_strangers),
		TEST(test_journals_of_strangers),
		TEST(test_journals_removed),
		TEST(test_rules_removed),
		TEST(test_first_file_without_its_journal),
		TEST(test_file_older_than_its_journal),
		TEST(test_labels_cut),
		TEST(test_labels_of_other_versions),
		TEST(test_rules_of_version_1),
		TEST(test_directory_removed),
		TEST(test_directory_removed_for_good),
		TEST(test_directory_replaced),
		TEST(test_files_removed),
		TEST(test_journal_changed_by_somebody),
		TEST(test_unwritable),
		TEST(test_files_of_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
