/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "broker/systemd/unit.h"
#include "protocol/cleanup.h"

int __real_sd_pid_get_unit(pid_t pid, char **ret);
int __wrap_sd_pid_get_unit(pid_t pid, char **ret);

/* What libsystemd would say; NULL and 0: what it really says. */
static const char *fake_unit;
static int fake_error;

int __wrap_sd_pid_get_unit(pid_t pid, char **ret)
{
	if (fake_error)
		return fake_error;
	if (!fake_unit)
		return __real_sd_pid_get_unit(pid, ret);
	*ret = strdup(fake_unit);
	return *ret ? 0 : -ENOMEM;
}

static int reset(void **state)
{
	fake_unit = NULL;
	fake_error = 0;
	return 0;
}

static int open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	assert_true(fd >= 0);
	return fd;
}

/* A process that has ended; with its pidfd. */
static pid_t make_dead(int *ret_pidfd, bool reap)
{
	siginfo_t info;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(0);
	*ret_pidfd = open_pidfd(pid);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | (reap ? 0 : WNOWAIT)), 0);
	return pid;
}

static void test_own_process_for_real(void **state)
{
	char a[256] = "x", b[256] = "y";
	_cleanup_close_ int pidfd = open_pidfd(getpid());

	assert_int_equal(unit_of_process(getpid(), pidfd, a, sizeof(a)), 0);
	assert_int_equal(unit_of_process(getpid(), -1, b, sizeof(b)), 0);
	assert_string_equal(a, b);
}

static void test_names(void **state)
{
	char buf[256];

	fake_unit = "nginx.service";
	assert_int_equal(unit_of_process(getpid(), -1, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "nginx.service");
}

static void test_no_unit_is_empty(void **state)
{
	const int errors[] = { -ENODATA, -ENXIO, -ENOMEDIUM, -EOPNOTSUPP };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		char buf[256] = "left over";

		fake_error = errors[i];
		assert_int_equal(unit_of_process(getpid(), -1, buf, sizeof(buf)), 0);
		assert_string_equal(buf, "");
	}
}

static void test_other_errors_pass(void **state)
{
	char buf[256] = "left over";

	fake_error = -EACCES;
	assert_int_equal(unit_of_process(getpid(), -1, buf, sizeof(buf)), -EACCES);
	assert_string_equal(buf, "");
}

static void test_pid_zero_is_not_ourselves(void **state)
{
	char buf[256] = "left over";

	fake_unit = "sockbroker.service";
	assert_int_equal(unit_of_process(0, -1, buf, sizeof(buf)), -ESRCH);
	assert_string_equal(buf, "");
	assert_int_equal(unit_of_process(-1, -1, buf, sizeof(buf)), -ESRCH);
}

static void test_reused_pid(void **state)
{
	char buf[256] = "left over";
	_cleanup_close_ int pidfd = -1;

	/* The pid lives (it is ours), the process that was meant does not. */
	make_dead(&pidfd, true);
	fake_unit = "nginx.service";
	assert_int_equal(unit_of_process(getpid(), pidfd, buf, sizeof(buf)), -ESRCH);
	assert_string_equal(buf, "");
	fake_unit = NULL;
	fake_error = -ENODATA;
	assert_int_equal(unit_of_process(getpid(), pidfd, buf, sizeof(buf)), -ESRCH);
}

static void test_zombie_still_counts(void **state)
{
	char buf[256];
	_cleanup_close_ int pidfd = -1;
	pid_t pid = make_dead(&pidfd, false);

	fake_unit = "nginx.service";
	assert_int_equal(unit_of_process(pid, pidfd, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "nginx.service");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unit_of_process(pid, pidfd, buf, sizeof(buf)), -ESRCH);
}

static void test_gone_for_real(void **state)
{
	char buf[256] = "left over";
	_cleanup_close_ int pidfd = -1;
	pid_t pid = make_dead(&pidfd, true);

	/* Where no cgroups are mounted libsystemd does not look at the process at all. */
	if (access("/sys/fs/cgroup/unified", F_OK) < 0 &&
	    access("/sys/fs/cgroup/cgroup.controllers", F_OK) < 0)
		skip();
	assert_int_equal(unit_of_process(pid, -1, buf, sizeof(buf)), -ESRCH);
	assert_string_equal(buf, "");
}

static void test_size(void **state)
{
	char buf[16] = "left over";

	fake_unit = "nginx.service"; /* 13 bytes */
	assert_int_equal(unit_of_process(getpid(), -1, buf, 14), 0);
	assert_string_equal(buf, "nginx.service");
	assert_int_equal(unit_of_process(getpid(), -1, buf, 13), -ENOBUFS);
	assert_string_equal(buf, "");
	assert_int_equal(unit_of_process(getpid(), -1, buf, 0), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_own_process_for_real, reset),
		cmocka_unit_test_setup(test_names, reset),
		cmocka_unit_test_setup(test_no_unit_is_empty, reset),
		cmocka_unit_test_setup(test_other_errors_pass, reset),
		cmocka_unit_test_setup(test_pid_zero_is_not_ourselves, reset),
		cmocka_unit_test_setup(test_reused_pid, reset),
		cmocka_unit_test_setup(test_zombie_still_counts, reset),
		cmocka_unit_test_setup(test_gone_for_real, reset),
		cmocka_unit_test_setup(test_size, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
