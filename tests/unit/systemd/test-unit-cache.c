/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A /proc of plain files, of real processes: libsystemd's part answers from the files, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "broker/systemd/unit.h"
#include "broker/systemd/unit-cache.h"

#define ENTRIES 16
#define TEXT_SIZE 4096

struct process {
	pid_t pid;
	int pidfd;
};

struct fixture {
	char proc[64];
	struct unit_cache *cache;
	struct process a, b;
	unsigned asked;
	int error;
	int check_error; /* what the cache, not unit_of_process(), is told of the process */
	/* What happens while libsystemd is asked: before it has read, or after. */
	void (*before)(struct fixture *f), (*after)(struct fixture *f);
};

static struct fixture *current;

int __wrap_sd_pid_get_unit(pid_t pid, char **ret);
int __real_unit_check_process(int pidfd);
int __wrap_unit_check_process(int pidfd);

/* -- the files -------------------------------------------------------------------------------- */

static void path_of(const struct fixture *f, char buf[static 128], pid_t pid, const char *name)
{
	snprintf(buf, 128, "%s/%d%s", f->proc, (int)pid, name);
}

static void put_text(const struct fixture *f, pid_t pid, const char *text)
{
	char path[128];
	FILE *file;

	path_of(f, path, pid, "");
	assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	path_of(f, path, pid, "/cgroup");
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void put(const struct fixture *f, pid_t pid, const char *unit)
{
	char text[512];

	snprintf(text, sizeof(text), "1:name=systemd:/system.slice/%s\n0::/\n", unit);
	put_text(f, pid, text);
}

static void take_away(const struct fixture *f, pid_t pid)
{
	char path[128];

	path_of(f, path, pid, "/cgroup");
	assert_int_equal(unlink(path), 0);
}

/* The last part of the first line's path, and which process 1 that depends on. */
int __wrap_sd_pid_get_unit(pid_t pid, char **ret)
{
	struct fixture *f = current;
	char path[128], line[2 * TEXT_SIZE], init[512];
	FILE *file;
	int r = 0;

	f->asked++;
	if (f->before)
		f->before(f);
	if (f->error)
		return f->error;
	path_of(f, path, 1, "/cgroup");
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(init, sizeof(init), file));
	fclose(file);
	path_of(f, path, pid, "/cgroup");
	file = fopen(path, "r");
	if (!file)
		return -ESRCH;
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	line[strcspn(line, "\n")] = '\0';
	if (asprintf(ret, "%s%s", strstr(init, "moved") ? "shifted-" : "", strrchr(line, '/') + 1) <
	    0)
		r = -ENOMEM;
	if (f->after)
		f->after(f);
	return r;
}

int __wrap_unit_check_process(int pidfd)
{
	return current->check_error ? current->check_error : __real_unit_check_process(pidfd);
}

/* -- the processes ---------------------------------------------------------------------------- */

static struct process start_process(void)
{
	struct process p = { .pid = fork() };

	assert_true(p.pid >= 0);
	if (p.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
	assert_true(p.pidfd >= 0);
	return p;
}

static void end_process(struct process *p)
{
	if (p->pid <= 0)
		return;
	kill(p->pid, SIGKILL);
	assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
	p->pid = 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->proc, "/tmp/test-unit-cache-XXXXXX");
	assert_non_null(mkdtemp(f->proc));
	put(f, 1, "init.scope");
	f->a = start_process();
	f->b = start_process();
	f->cache = unit_cache_new(f->proc);
	assert_non_null(f->cache);
	*state = current = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	unit_cache_free(f->cache);
	end_process(&f->a);
	end_process(&f->b);
	sb_close(f->a.pidfd);
	sb_close(f->b.pidfd);
	snprintf(command, sizeof(command), "rm -rf %s", f->proc);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* P is in UNIT, and libsystemd has been asked ASKED times when that is known. */
#define expect(f, p, unit, asked) expect_at(f, p, unit, asked, __LINE__)

static void expect_at(struct fixture *f, struct process p, const char *unit, unsigned asked,
		      int line)
{
	char buf[256] = "left over";
	int r = unit_cache_get(f->cache, p.pid, p.pidfd, buf, sizeof(buf));

	if (r != 0 || strcmp(buf, unit) != 0 || f->asked != asked)
		fail_msg("line %d: %d, %s, asked %u times", line, r, buf, f->asked);
}

static void expect_error(struct fixture *f, pid_t pid, int pidfd, size_t size, int error)
{
	char buf[256] = "left over";

	assert_int_equal(unit_cache_get(f->cache, pid, pidfd, buf, size), error);
	assert_string_equal(buf, size > 0 ? "" : "left over");
}

/* -- tests ------------------------------------------------------------------------------------ */

static void test_asked_once(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	expect(f, f->a, "nginx.service", 1);
	expect(f, f->a, "nginx.service", 1);
}

static void test_processes_of_one_cgroup(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	put(f, f->b.pid, "nginx.service");
	expect(f, f->a, "nginx.service", 1);
	expect(f, f->b, "nginx.service", 1);
}

static void test_process_that_moves(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	expect(f, f->a, "nginx.service", 1);
	put(f, f->a.pid, "nginx.servicf");
	expect(f, f->a, "nginx.servicf", 2);
	put(f, f->a.pid, "nginx.service2");
	expect(f, f->a, "nginx.service2", 3);
	put(f, f->a.pid, "nginx.service");
	expect(f, f->a, "nginx.service", 3);
}

static void test_no_unit_is_remembered(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "x");
	f->error = -ENXIO;
	expect(f, f->a, "", 1);
	f->error = 0;
	expect(f, f->a, "", 1);
}

/* It is looked at when something else is to be remembered. */
static void test_process_1_that_moves(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	put(f, f->b.pid, "new.service");
	expect(f, f->a, "nginx.service", 1);
	put(f, 1, "moved");
	expect(f, f->b, "shifted-new.service", 2);
	expect(f, f->a, "shifted-nginx.service", 3);
	expect(f, f->a, "shifted-nginx.service", 3);
	expect(f, f->b, "shifted-new.service", 3);
}

static void test_process_1_unreadable(void **state)
{
	struct fixture *f = *state;

	put_text(f, 1, "");
	put(f, f->a.pid, "nginx.service");
	f->error = -ENXIO;
	expect(f, f->a, "", 1);
	expect(f, f->a, "", 2);
}

/* One more than there are entries, then all but the oldest from memory. */
static void test_oldest_is_forgotten(void **state)
{
	struct fixture *f = *state;
	char name[32];

	for (unsigned i = 0; i <= ENTRIES; i++) {
		snprintf(name, sizeof(name), "u%u.service", i);
		put(f, f->a.pid, name);
		expect(f, f->a, name, i + 1);
	}
	for (unsigned i = 1; i <= ENTRIES; i++) {
		snprintf(name, sizeof(name), "u%u.service", i);
		put(f, f->a.pid, name);
		expect(f, f->a, name, ENTRIES + 1);
	}
	put(f, f->a.pid, "u0.service");
	expect(f, f->a, "u0.service", ENTRIES + 2);
}

static void move_a(struct fixture *f)
{
	put(f, f->a.pid, "other.service");
}

static void move_1(struct fixture *f)
{
	put(f, 1, "moved");
}

static void take_a_away(struct fixture *f)
{
	take_away(f, f->a.pid);
}

static void end_a(struct fixture *f)
{
	end_process(&f->a);
}

static void test_moved_before_libsystemd_read(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	f->before = move_a;
	expect(f, f->a, "other.service", 1);
	f->before = NULL;
	put(f, f->a.pid, "nginx.service");
	expect(f, f->a, "nginx.service", 2);
}

static void test_moved_after_libsystemd_read(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	f->after = move_a;
	expect(f, f->a, "nginx.service", 1);
	f->after = NULL;
	expect(f, f->a, "other.service", 2);
	put(f, f->a.pid, "nginx.service");
	expect(f, f->a, "nginx.service", 3);
}

static void test_process_1_moved_meanwhile(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	f->before = move_1;
	expect(f, f->a, "shifted-nginx.service", 1);
	f->before = NULL;
	put(f, 1, "init.scope");
	expect(f, f->a, "nginx.service", 2);
}

static void test_no_second_text(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	f->after = take_a_away;
	expect(f, f->a, "nginx.service", 1);
	f->after = NULL;
	put(f, f->a.pid, "nginx.service");
	expect(f, f->a, "nginx.service", 2);
}

static void test_ended_while_asked(void **state)
{
	struct fixture *f = *state;
	pid_t pid = f->a.pid;

	/* Its number is someone else's at once, in the same cgroup. */
	put(f, pid, "nginx.service");
	f->after = end_a;
	expect_error(f, pid, f->a.pidfd, 256, -ESRCH);
	f->after = NULL;
	put(f, f->b.pid, "nginx.service");
	expect(f, f->b, "nginx.service", 2);
}

/* After libsystemd answered, before the text was read again. */
static void test_ended_after_the_answer(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	f->check_error = -ESRCH;
	expect(f, f->a, "nginx.service", 1);
	f->check_error = 0;
	expect(f, f->a, "nginx.service", 2);
}

static void test_reused_pid(void **state)
{
	struct fixture *f = *state;

	put(f, f->b.pid, "nginx.service");
	expect(f, f->b, "nginx.service", 1);
	/* The pidfd is of a process that is gone. */
	end_process(&f->a);
	expect_error(f, f->b.pid, f->a.pidfd, 256, -ESRCH);
	assert_int_equal(f->asked, 1);
}

static void test_gone(void **state)
{
	struct fixture *f = *state;
	pid_t pid = f->a.pid;

	put(f, pid, "nginx.service");
	expect(f, f->a, "nginx.service", 1);
	take_away(f, pid);
	expect_error(f, pid, f->a.pidfd, 256, -ESRCH);
	expect_error(f, 0, f->a.pidfd, 256, -ESRCH);
}

static void test_without_pidfd(void **state)
{
	struct fixture *f = *state;
	struct process p = { f->a.pid, -1 };

	put(f, p.pid, "nginx.service");
	expect(f, p, "nginx.service", 1);
	expect(f, p, "nginx.service", 2);
	/* Neither for one that has a pidfd, nor from it. */
	expect(f, f->a, "nginx.service", 3);
	expect(f, p, "nginx.service", 4);
}

/* Two texts that are the same as far as is read. */
static void test_too_long(void **state)
{
	struct fixture *f = *state;
	char text[TEXT_SIZE + 32];

	memset(text, 'x', sizeof(text));
	text[0] = '/';
	strcpy(text + TEXT_SIZE, "/one.service");
	put_text(f, f->a.pid, text);
	expect(f, f->a, "one.service", 1);
	strcpy(text + TEXT_SIZE, "/two.service");
	put_text(f, f->a.pid, text);
	expect(f, f->a, "two.service", 2);
}

/* The longest that is remembered, and the shortest that is not. */
static void test_length_limit(void **state)
{
	struct fixture *f = *state;
	char text[TEXT_SIZE + 1];

	memset(text, 'x', sizeof(text));
	text[0] = '/';
	text[TEXT_SIZE] = '\0';
	memcpy(text + TEXT_SIZE - 5, "/unit", 5);
	put_text(f, f->a.pid, text);
	expect(f, f->a, "unit", 1);
	expect(f, f->a, "unit", 2);
	text[TEXT_SIZE - 1] = '\0';
	put_text(f, f->a.pid, text);
	expect(f, f->a, "uni", 3);
	expect(f, f->a, "uni", 3);
}

static void test_size(void **state)
{
	struct fixture *f = *state;
	char buf[16] = "left over";

	put(f, f->a.pid, "nginx.service"); /* 13 bytes */
	expect(f, f->a, "nginx.service", 1);
	assert_int_equal(unit_cache_get(f->cache, f->a.pid, f->a.pidfd, buf, 14), 0);
	assert_string_equal(buf, "nginx.service");
	assert_int_equal(f->asked, 1);
	expect_error(f, f->a.pid, f->a.pidfd, 13, -ENOBUFS);
	expect_error(f, f->a.pid, f->a.pidfd, 0, -ENOBUFS);
}

static void test_unit_too_long_to_remember(void **state)
{
	struct fixture *f = *state;
	char name[300], buf[512];

	memset(name, 'u', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	put(f, f->a.pid, name);
	for (unsigned i = 1; i <= 2; i++) {
		assert_int_equal(unit_cache_get(f->cache, f->a.pid, f->a.pidfd, buf, sizeof(buf)),
				 0);
		assert_string_equal(buf, name);
		assert_int_equal(f->asked, i);
	}
}

static void test_error_is_not_remembered(void **state)
{
	struct fixture *f = *state;

	put(f, f->a.pid, "nginx.service");
	f->error = -EACCES;
	expect_error(f, f->a.pid, f->a.pidfd, 256, -EACCES);
	f->error = 0;
	expect(f, f->a, "nginx.service", 2);
}

static void test_unreadable_proc(void **state)
{
	struct fixture *f = *state;

	unit_cache_free(f->cache);
	f->cache = unit_cache_new("/nonexistent");
	put(f, f->a.pid, "nginx.service");
	expect(f, f->a, "nginx.service", 1);
	expect(f, f->a, "nginx.service", 2);
}

#define with_fixture(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_fixture(test_asked_once),
		with_fixture(test_processes_of_one_cgroup),
		with_fixture(test_process_that_moves),
		with_fixture(test_no_unit_is_remembered),
		with_fixture(test_process_1_that_moves),
		with_fixture(test_process_1_unreadable),
		with_fixture(test_oldest_is_forgotten),
		with_fixture(test_moved_before_libsystemd_read),
		with_fixture(test_moved_after_libsystemd_read),
		with_fixture(test_process_1_moved_meanwhile),
		with_fixture(test_no_second_text),
		with_fixture(test_ended_while_asked),
		with_fixture(test_ended_after_the_answer),
		with_fixture(test_reused_pid),
		with_fixture(test_gone),
		with_fixture(test_without_pidfd),
		with_fixture(test_too_long),
		with_fixture(test_length_limit),
		with_fixture(test_size),
		with_fixture(test_unit_too_long_to_remember),
		with_fixture(test_error_is_not_remembered),
		with_fixture(test_unreadable_proc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
