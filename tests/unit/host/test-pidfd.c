/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/host/pidfd.h"

static void test_own_process(void **state)
{
	int fd = pidfd_of(getpid());
	pid_t pid = 0;

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pidfd_read_pid(fd, &pid), 0);
	assert_int_equal(pid, getpid());
	close(fd);
}

static void test_process_that_ends(void **state)
{
	pid_t child = fork(), pid = 0;
	int fd;

	if (child == 0) {
		pause();
		_exit(0);
	}
	fd = pidfd_of(child);
	assert_int_equal(pidfd_read_pid(fd, &pid), 0);
	assert_int_equal(pid, child);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(pidfd_read_pid(fd, &pid), -ESRCH);
	assert_int_equal(pidfd_of(child), -ESRCH);
	close(fd);
}

static void test_no_pidfd(void **state)
{
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	pid_t pid = 7;

	assert_int_equal(pidfd_read_pid(sock, &pid), -EBADF);
	assert_int_equal(pidfd_read_pid(file, &pid), -EBADF);
	assert_int_equal(pidfd_read_pid(9999, &pid), -EBADF);
	assert_int_equal(pid, 7);
	close(sock);
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_process),
		cmocka_unit_test(test_process_that_ends),
		cmocka_unit_test(test_no_pidfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
