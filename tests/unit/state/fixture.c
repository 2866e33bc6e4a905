/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/state/fixture.h"

#include "broker/base/log.h"

int try_open(struct fixture *f)
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

void reopen(struct fixture *f)
{
	if (try_open(f) < 0)
		fail_msg("%s", f->error.message);
}

int setup(void **state)
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

static void remove_tree(const char *directory)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
}

int teardown(void **state)
{
	struct fixture *f = *state;

	state_saved_clear(&f->saved);
	state_free(f->state);
	remove_tree(f->base);
	free(f);
	return 0;
}

const char *path(const struct fixture *f, const char *name)
{
	static char buf[128];

	snprintf(buf, sizeof(buf), "%s/%s", f->dir, name);
	return buf;
}

bool exists(const struct fixture *f, const char *name)
{
	struct stat st;

	return lstat(path(f, name), &st) == 0;
}

mode_t mode_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	return st.st_mode & 07777;
}

void write_file(const struct fixture *f, const char *name, const char *text, size_t n)
{
	FILE *file = fopen(path(f, name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, n, file), n);
	assert_int_equal(fclose(file), 0);
}

void write_text(const struct fixture *f, const char *name, const char *text)
{
	write_file(f, name, text, strlen(text));
}

char *read_text(const struct fixture *f, const char *name)
{
	FILE *file = fopen(path(f, name), "r");
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) < 65535);
	fclose(file);
	return text;
}

void remove_file(const struct fixture *f, const char *name)
{
	assert_int_equal(remove(path(f, name)), 0);
}

void remove_all(const struct fixture *f)
{
	remove_tree(f->dir);
}

int stage(struct fixture *f, enum state_part part, const char *text)
{
	return f->port.stage(f->port.self, part, text, strlen(text), &f->error);
}

int commit(struct fixture *f)
{
	return f->port.commit(f->port.self, &f->error);
}

void save(struct fixture *f, enum state_part part, const char *text)
{
	if (stage(f, part, text) < 0 || commit(f) < 0)
		fail_msg("%s", f->error.message);
}

const struct side sides[SIDES] = {
	{ STATE_RULES, STATE_RULES_APPEND, "rules", "journal", "# sockbroker-journal epoch=" },
	{ STATE_LABELS, STATE_LABELS_APPEND, "labels", "labels.journal",
	  "# sockbroker-labels-journal epoch=" },
};

const struct store_text *saved_text(const struct fixture *f, const struct side *side)
{
	return side->whole == STATE_LABELS ? &f->saved.labels : &f->saved.rules;
}

void check_saved(struct fixture *f, const struct side *side, const char *file, const char *journal)
{
	const struct store_text *t = saved_text(f, side);

	reopen(f);
	assert_string_equal(f->saved.labels_damage.message, "");
	if (file) {
		assert_non_null(t->file);
		assert_string_equal(strchr(t->file, '\n') + 1, file);
		assert_int_equal(t->length, strlen(t->file));
	} else {
		assert_null(t->file);
	}
	assert_string_equal(t->journal ? t->journal : "", journal);
	assert_int_equal(t->journal_length, strlen(journal));
}

void check_refused(const struct fixture *f, int r, int code, const char *part)
{
	if (r != -code || f->error.code != code || !strstr(f->error.message, part))
		fail_msg("not %d \"%s\", but %d: %s", -code, part, r, f->error.message);
}

/* Names, kinds and times of all files but the lock. */
static void picture(const struct fixture *f, char text[4096])
{
	char command[256];
	FILE *out;
	size_t n;

	snprintf(command, sizeof(command),
		 "find %s -mindepth 1 ! -name lock -printf '%%P %%y %%s %%T@ %%C@\\n' 2>&1 | sort",
		 f->dir);
	out = popen(command, "r");
	assert_non_null(out);
	n = fread(text, 1, 4095, out);
	text[n] = '\0';
	pclose(out);
}

void check_open_refused(struct fixture *f, int code, const char *part)
{
	char before[4096], after[4096];

	picture(f, before);
	check_refused(f, try_open(f), code, part);
	assert_null(f->state);
	picture(f, after);
	assert_string_equal(before, after);
}
