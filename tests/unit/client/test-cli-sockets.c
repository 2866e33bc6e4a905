/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* register and unregister. */
#include "tests/unit/client/check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "client/cli/commands.h"
#include "tests/unit/client/run-cli.h"

/* As a service manager does it: fds from 3 on, and three variables. */
static void pass_fds(int n, const char *names)
{
	char text[16];

	for (int fd = 3; fd < 3 + n; fd++)
		assert_int_equal(dup2(0, fd), fd);
	snprintf(text, sizeof(text), "%d", n);
	setenv("LISTEN_FDS", text, 1);
	snprintf(text, sizeof(text), "%d", getpid());
	setenv("LISTEN_PID", text, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	else
		unsetenv("LISTEN_FDNAMES");
}

static void pass_nothing(int n)
{
	for (int fd = 3; fd < 3 + n; fd++)
		close(fd);
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
}

static void test_fd(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer("OK=1\nSOCKETS=2\n"), "register", "web", "--fd", "0", "1", "--add");
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(f.requests[0].text, "REQUEST=register\nMODE=add\nLABEL=web\nCOUNT=2\n");
	assert_int_equal(f.requests[0].n_fds, 2);
	assert_string_equal(r.out, "web: 2 sockets registered\n");
	RUN_ONCE(&r, &f, answer("OK=1\nSOCKETS=2\n"), "register", "--fd", "0", "--fd=1", "--json",
		 "web");
	check_contains(f.requests[0].text, "MODE=replace\nLABEL=web\nCOUNT=2\n");
	check_contains(r.out, "\"label\": \"web\"");
	check_contains(r.out, "\"sockets\": 2");
	RUN(&r, "/nowhere", "register", "web", "--fd", "9999");
	assert_int_equal(r.status, CLI_FAILED);
	assert_string_equal(r.err, "sockbroker: fd 9999 is not open\n");
	run_free(&r);
}

static void test_listen_fds(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	/* The broker's own fds are opened after those, as in a service. */
	pass_fds(3, "web:api:web");
	RUN_ONCE(&r, &f, answer("OK=1\nSOCKETS=3\n"), "register", "--listen-fds");
	assert_int_equal(r.status, CLI_DONE);
	assert_string_equal(f.requests[0].text, "REQUEST=register\nMODE=replace\nLABEL=web\n"
						"COUNT=2\nLABEL=api\nCOUNT=1\n");
	assert_int_equal(f.requests[0].n_fds, 3);
	assert_string_equal(r.out, "web: 2 sockets registered\napi: 1 socket registered\n");

	/* It is the default, and a label stands above the names. */
	RUN_ONCE(&r, &f, answer("OK=1\nSOCKETS=3\n"), "register", "other");
	check_contains(f.requests[0].text, "LABEL=other\nCOUNT=3\n");
	pass_nothing(3);
	run_free(&r);
}

static void test_listen_fds_refused(void **state)
{
	struct run r = { 0 };

	RUN(&r, "/nowhere", "register", "web", "--listen-fds");
	assert_int_equal(r.status, CLI_FAILED);
	check_contains(r.err, "LISTEN_FDS and LISTEN_PID are not set");
	pass_fds(1, NULL);
	RUN(&r, "/nowhere", "register", "--listen-fds");
	assert_int_equal(r.status, CLI_FAILED);
	check_contains(r.err, "LISTEN_FDNAMES is not set");
	pass_fds(1, "no label");
	RUN(&r, "/nowhere", "register", "--listen-fds");
	assert_int_equal(r.status, CLI_FAILED);
	check_contains(r.err, "LISTEN_FDNAMES: ");
	pass_fds(1, "a:b");
	RUN(&r, "/nowhere", "register", "--listen-fds");
	check_contains(r.err, "malformed");
	setenv("LISTEN_PID", "1", 1);
	RUN(&r, "/nowhere", "register", "web", "--listen-fds");
	assert_int_equal(r.status, CLI_FAILED);
	check_contains(r.err, "for process 1,");
	RUN(&r, "/nowhere", "register", "web"); /* not for us: not the default either */
	assert_int_equal(r.status, CLI_USAGE);
	pass_nothing(1);
	run_free(&r);
}

static void test_pid(void **state)
{
	struct sockaddr_in sin = { AF_INET, 0, { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char pid_text[16], port[16];
	struct run r = { 0 };
	struct fake_broker f;
	pid_t pid;

	assert_int_equal(bind(fd, (void *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (void *)&sin, &(socklen_t){ sizeof(sin) }), 0);
	snprintf(port, sizeof(port), "%d", ntohs(sin.sin_port));
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	snprintf(pid_text, sizeof(pid_text), "%d", pid);

	RUN_ONCE(&r, &f, answer("OK=1\nSOCKETS=1\n"), "register", "web", "--pid", pid_text);
	assert_int_equal(r.status, CLI_DONE);
	assert_int_equal(f.requests[0].n_fds, 2); /* and a pidfd */
	check_contains(f.requests[0].text, "LABEL=web\nCOUNT=1\nPIDFD=yes\n");
	RUN_ONCE(&r, &f, answer("OK=1\nSOCKETS=1\n"), "register", "web", "--pid", pid_text, "tcp",
		 "127.0.0.1", port);
	assert_int_equal(r.status, CLI_DONE);
	RUN_ONCE(&r, &f, answer("OK=1\nSOCKETS=1\n"), "register", "web", "--pid", pid_text, "any",
		 "*", "*");
	assert_int_equal(r.status, CLI_DONE);
	RUN(&r, "/nowhere", "register", "web", "--pid", pid_text, "udp", "*", "*");
	assert_int_equal(r.status, CLI_FAILED);
	check_contains(r.err,
		       "sockbroker: web: looking for udp * *: none of the 1 socket of process");
	RUN(&r, "/nowhere", "register", "web", "--pid", pid_text, "--main-pid", pid_text);
	assert_int_equal(r.status, CLI_USAGE);
	RUN(&r, "/nowhere", "register", "web", "--pid", pid_text, "icmp", "*", "*");
	assert_int_equal(r.status, CLI_USAGE);
	RUN(&r, "/nowhere", "register", "web", "--pid", pid_text, "tcp", "localhost", "*");
	assert_int_equal(r.status, CLI_USAGE);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
	run_free(&r);
}

static void test_unregister(void **state)
{
	struct run r = { 0 };
	struct fake_broker f;

	RUN_ONCE(&r, &f, answer("OK=1\nSOCKETS=2\n"), "unregister", "web", "udp");
	assert_string_equal(f.requests[0].text, "REQUEST=unregister\nLABEL=web\nPROTOCOL=udp\n");
	assert_string_equal(r.out, "web: 2 sockets taken out\n");
	run_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fd),
		cmocka_unit_test(test_listen_fds),
		cmocka_unit_test(test_listen_fds_refused),
		cmocka_unit_test(test_pid),
		cmocka_unit_test(test_unregister),
	};

	pass_nothing(0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
