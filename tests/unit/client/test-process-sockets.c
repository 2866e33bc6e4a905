/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets taken out of another process, which is a child with a chosen set of them. */
#include "tests/unit/client/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "client/cli/process-sockets.h"

static const struct socket_filter everything = { .protocols = SB_PROTOCOL_ANY };

/* A socket on 127.0.0.1 (or ::1); its port is chosen by the kernel. */
static int open_socket(int family, int type, bool listening)
{
	struct sockaddr_in sin = { AF_INET, 0, { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (family == AF_INET)
		assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	else
		assert_int_equal(bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage ss;
	struct sb_address address;
	uint16_t port;

	assert_int_equal(getsockname(fd, (void *)&ss, &(socklen_t){ sizeof(ss) }), 0);
	assert_int_equal(sb_address_from_sockaddr(&ss, &address, &port), 0);
	return port;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;

	assert_int_equal(
		getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &(socklen_t){ sizeof(cookie) }), 0);
	return cookie;
}

/* A child that has what this process has now, and sleeps. */
static pid_t start_child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void stop_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A sparse table, duplicates, and sockets that can't be registered. */
static void test_everything(void **state)
{
	int tcp = open_socket(AF_INET, SOCK_STREAM, true);
	int tcp6 = open_socket(AF_INET6, SOCK_STREAM, true);
	int udp = open_socket(AF_INET, SOCK_DGRAM, false);
	int deaf = open_socket(AF_INET, SOCK_STREAM, false);
	int unbound = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int far = fcntl(udp, F_DUPFD_CLOEXEC, 900), again = dup(tcp);
	size_t before = count_fds();
	struct socket_list list;
	struct sb_error e = { 0 };
	pid_t pid;

	sb_close(udp); /* so that the child's table has a large hole */
	pid = start_child();
	assert_int_equal(process_sockets(pid, &everything, &list, &e), 0);
	assert_int_equal(list.n, 3);
	assert_int_equal(list.cookies[0], cookie_of(tcp));
	assert_int_equal(list.cookies[1], cookie_of(tcp6));
	assert_int_equal(list.cookies[2], cookie_of(far));
	for (size_t i = 0; i < list.n; i++) {
		assert_int_equal(cookie_of(list.fds[i]), list.cookies[i]);
		assert_true(fcntl(list.fds[i], F_GETFD) & FD_CLOEXEC);
	}
	socket_list_close(&list);
	stop_child(pid);
	assert_int_equal(count_fds(), before - 1);
	close(tcp);
	close(tcp6);
	close(deaf);
	close(unbound);
	close(local);
	close(far);
	close(again);
}

static void test_filter(void **state)
{
	int tcp = open_socket(AF_INET, SOCK_STREAM, true);
	int udp = open_socket(AF_INET, SOCK_DGRAM, false);
	int udp6 = open_socket(AF_INET6, SOCK_DGRAM, false);
	struct socket_filter filter = { .protocols = SB_PROTOCOL_UDP };
	struct socket_list list;
	struct sb_error e = { 0 };
	pid_t pid = start_child();

	assert_int_equal(process_sockets(pid, &filter, &list, &e), 0);
	assert_int_equal(list.n, 2);
	socket_list_close(&list);
	filter.has_address = true;
	assert_int_equal(sb_address_parse("::1", &filter.address, NULL), 0);
	assert_int_equal(process_sockets(pid, &filter, &list, &e), 0);
	assert_int_equal(list.n, 1);
	assert_int_equal(list.cookies[0], cookie_of(udp6));
	socket_list_close(&list);
	filter.port = port_of(udp6);
	assert_int_equal(process_sockets(pid, &filter, &list, &e), 0);
	assert_int_equal(list.n, 1);
	socket_list_close(&list);
	filter.protocols = SB_PROTOCOL_TCP;
	assert_int_equal(process_sockets(pid, &filter, &list, &e), -ENOENT);
	check_contains(e.message, "3 of another protocol, address or port");
	assert_int_equal(list.n, 0);
	stop_child(pid);
	close(tcp);
	close(udp);
	close(udp6);
}

/* The sentence says what there was. */
static void test_nothing(void **state)
{
	int deaf = open_socket(AF_INET, SOCK_STREAM, false);
	int unbound = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int mptcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262);
	struct socket_list list;
	struct sb_error e = { 0 };
	pid_t pid;

	if (mptcp >= 0)
		assert_int_equal(listen(mptcp, 1), 0);
	pid = start_child();
	assert_int_equal(process_sockets(pid, &everything, &list, &e), -ENOENT);
	check_contains(e.message, "1 connected or not listening, 1 not bound");
	if (mptcp >= 0)
		check_contains(e.message, "1 MPTCP (for a Go program set GODEBUG=multipathtcp=0)");
	stop_child(pid);
	close(deaf);
	close(unbound);
	sb_close(mptcp);

	pid = start_child();
	assert_int_equal(process_sockets(pid, &everything, &list, &e), -ENOENT);
	check_contains(e.message, "has no sockets");
	stop_child(pid);
	assert_int_equal(process_sockets(pid, &everything, &list, &e), -ESRCH);
	check_contains(e.message, "there is no process");
}

static void test_too_many(void **state)
{
	int fds[SOCKBROKER_FDS_MAX + 1];
	struct socket_list list;
	struct sb_error e = { 0 };
	pid_t pid;

	for (size_t i = 0; i < SOCKBROKER_FDS_MAX; i++)
		fds[i] = open_socket(AF_INET, SOCK_DGRAM, false);
	pid = start_child();
	assert_int_equal(process_sockets(pid, &everything, &list, &e), 0);
	assert_int_equal(list.n, SOCKBROKER_FDS_MAX);
	socket_list_close(&list);
	stop_child(pid);

	fds[SOCKBROKER_FDS_MAX] = open_socket(AF_INET, SOCK_DGRAM, false);
	pid = start_child();
	assert_int_equal(process_sockets(pid, &everything, &list, &e), -EMFILE);
	assert_int_equal(list.n, 0);
	stop_child(pid);
	for (size_t i = 0; i <= SOCKBROKER_FDS_MAX; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
