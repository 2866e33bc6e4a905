/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/io/harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "broker/base/log.h"
#include "broker/io/zygote.h"

/* Tells over the first fd what it was told, and how many fds there are. */
static void child(void *data, const int *fds, size_t n);

static const zygote_child children[PROCESS_KINDS] = { [PROCESS_PORTER] = child };

static void child(void *data, const int *fds, size_t n)
{
	char text[128];
	DIR *dir = opendir("/proc/self/fd");
	int n_fds = -3; /* . and .. and the directory itself */

	while (readdir(dir))
		n_fds++;
	closedir(dir);
	snprintf(text, sizeof(text), "%s %zu %d", (const char *)data, n, n_fds);
	if (write(fds[0], text, strlen(text)) < 0)
		_exit(1);
	if (n > 1) /* until the other end is closed */
		while (read(fds[0], text, 1) > 0)
			;
}

static void check_said(int fd, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[128] = "";

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
	assert_string_equal(buf, text);
}

/* It has what it was given and the standard ones, whatever is open here. */
static void test_nothing_else_is_open(void **state)
{
	int pair[2], other = open("/dev/null", O_RDONLY);
	struct zygote *z = zygote_new(children, "hello");
	char text[32];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (size_t n = 1; n < 4; n++) {
		int fds[] = { pair[1], other, other };

		assert_int_equal(zygote_spawn(z, PROCESS_PORTER, fds, n), 0);
		snprintf(text, sizeof(text), "hello %zu %zu", n, n + 3);
		check_said(pair[0], text);
	}
	close(pair[0]);
	close(pair[1]);
	close(other);
	zygote_free(z);
}

static pid_t only_child(void)
{
	pid_t pids[2];

	return children_of(getpid(), pids, 2) == 1 ? pids[0] : 0;
}

/* Another one takes its place; what it has made goes on. */
static void test_killed(void **state)
{
	int pair[2], again[2];
	struct zygote *z = zygote_new(children, "x");
	pid_t first;

	while (!(first = only_child())) /* the last test's goes */
		usleep(1000);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, again), 0);
	assert_int_equal(zygote_spawn(z, PROCESS_PORTER, (int[]){ pair[1], pair[1] }, 2), 0);
	close(pair[1]);
	check_said(pair[0], "x 2 5");
	kill(first, SIGKILL);
	while (only_child() == first)
		usleep(1000);
	assert_int_equal(zygote_spawn(z, PROCESS_PORTER, (int[]){ again[1] }, 1), 0);
	check_said(again[0], "x 1 4");
	assert_int_not_equal(only_child(), 0);
	assert_int_equal(write(pair[0], "still there", 11), 11);
	close(pair[0]);
	close(again[0]);
	close(again[1]);
	zygote_free(z);
}

/* It goes when its owner does, and signals to all are not for it. */
static void test_end(void **state)
{
	struct zygote *z = zygote_new(children, "x");
	pid_t pid;

	while (!(pid = only_child()))
		usleep(1000);
	usleep(10000);
	kill(pid, SIGTERM);
	kill(pid, SIGINT);
	kill(pid, SIGHUP);
	usleep(10000);
	assert_int_equal(only_child(), pid);
	zygote_free(z);
	while (only_child() == pid)
		usleep(1000);
	zygote_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_else_is_open),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_end),
	};

	log_setup(LOG_EMERG);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
