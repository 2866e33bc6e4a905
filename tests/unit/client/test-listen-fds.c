/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/client/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/sockbroker.h"

static void set_environment(const char *n, const char *pid, const char *names)
{
	const struct {
		const char *key, *value;
	} rows[] = { { "LISTEN_FDS", n }, { "LISTEN_PID", pid }, { "LISTEN_FDNAMES", names } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].value)
			setenv(rows[i].key, rows[i].value, 1);
		else
			unsetenv(rows[i].key);
}

static const char *own_pid(void)
{
	static char text[16];

	snprintf(text, sizeof(text), "%d", getpid());
	return text;
}

/* Opens fds 3 to 3 + N - 1, without CLOEXEC as a service manager passes them. */
static void open_fds(int n)
{
	for (int fd = 3; fd < 3 + n; fd++)
		assert_int_equal(dup2(0, fd), fd);
}

static void close_fds(int n)
{
	for (int fd = 3; fd < 3 + n; fd++)
		close(fd);
}

static void test_names(void **state)
{
	char **names;

	open_fds(3);
	set_environment("3", own_pid(), "web:web-udp:");
	assert_int_equal(sockbroker_listen_fds(0, &names), 3);
	assert_string_equal(names[0], "web");
	assert_string_equal(names[1], "web-udp");
	assert_string_equal(names[2], "");
	assert_null(names[3]);
	sockbroker_free_names(names);
	for (int fd = 3; fd < 6; fd++)
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_string_equal(getenv("LISTEN_FDS"), "3"); /* as it was */
	close_fds(3);
}

static void test_without_names(void **state)
{
	char **names;

	open_fds(2);
	set_environment("2", own_pid(), NULL);
	assert_int_equal(sockbroker_listen_fds(0, NULL), 2);
	assert_int_equal(sockbroker_listen_fds(0, &names), 2);
	assert_string_equal(names[0], "unknown");
	assert_string_equal(names[1], "unknown");
	assert_null(names[2]);
	sockbroker_free_names(names);
	close_fds(2);
}

static void test_not_for_us(void **state)
{
	char **names = (char **)1;

	set_environment("1", "1", "web");
	open_fds(1);
	assert_int_equal(sockbroker_listen_fds(0, &names), 0);
	assert_null(names);
	assert_false(fcntl(3, F_GETFD) & FD_CLOEXEC); /* left alone */
	set_environment("1", NULL, "web");
	assert_int_equal(sockbroker_listen_fds(0, &names), 0);
	set_environment(NULL, own_pid(), "web");
	assert_int_equal(sockbroker_listen_fds(0, &names), 0);
	set_environment("0", own_pid(), NULL);
	assert_int_equal(sockbroker_listen_fds(0, &names), 0);
	assert_null(names);
	close_fds(1);
}

static void test_malformed(void **state)
{
	const struct {
		const char *n, *pid, *names;
		int code;
	} rows[] = {
		{ "x", NULL, NULL, EINVAL },   { "-1", NULL, NULL, EINVAL },
		{ "1x", NULL, NULL, EINVAL },  { "", NULL, NULL, EINVAL },
		{ "1", "", NULL, EINVAL },     { "1", "0", NULL, EINVAL },
		{ "1", "x", NULL, EINVAL },    { "99999999999", NULL, NULL, EINVAL },
		{ "1", NULL, "a:b", EINVAL },  { "2", NULL, "a", EINVAL },
		{ "3", NULL, "a:b:c", EBADF }, { "2147483647", NULL, NULL, EINVAL },
	};
	char **names;

	open_fds(2);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		set_environment(rows[i].n, rows[i].pid ? rows[i].pid : own_pid(), rows[i].names);
		assert_int_equal(sockbroker_listen_fds(0, &names), -rows[i].code);
		assert_null(names);
	}
	close_fds(2);
}

static void test_unset(void **state)
{
	open_fds(1);
	set_environment("1", own_pid(), "web");
	assert_int_equal(sockbroker_listen_fds(SOCKBROKER_UNSET_ENV, NULL), 1);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDNAMES"));
	assert_int_equal(sockbroker_listen_fds(0, NULL), 0);
	set_environment("x", own_pid(), NULL);
	assert_int_equal(sockbroker_listen_fds(SOCKBROKER_UNSET_ENV, NULL), -EINVAL);
	assert_null(getenv("LISTEN_FDS"));
	assert_int_equal(sockbroker_listen_fds(SOCKBROKER_ADD, NULL), -EINVAL);
	close_fds(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),      cmocka_unit_test(test_without_names),
		cmocka_unit_test(test_not_for_us), cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_unset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
