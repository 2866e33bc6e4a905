/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Passed fds start at 3 by convention: each case runs in a child, where nothing else is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "broker/systemd/listen.h"

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #x);          \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

enum { SEQPACKET, SEQPACKET_QUIET, STREAM_UNIX, TCP, UDP, PIPE };

static int make(int kind)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd, p[2];

	switch (kind) {
	case PIPE:
		CHECK(pipe(p) == 0);
		close(p[1]);
		return p[0];
	case TCP:
	case UDP:
		fd = socket(AF_INET, kind == TCP ? SOCK_STREAM : SOCK_DGRAM, 0);
		CHECK(bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0);
		if (kind == TCP)
			CHECK(listen(fd, 1) == 0);
		return fd;
	default:
		fd = socket(AF_UNIX, kind == STREAM_UNIX ? SOCK_STREAM : SOCK_SEQPACKET, 0);
		CHECK(bind(fd, (struct sockaddr *)&un, sizeof(sa_family_t)) == 0);
		if (kind != SEQPACKET_QUIET)
			CHECK(listen(fd, 1) == 0);
		return fd;
	}
}

/* Puts such fds at 3, 4, ... as the service manager does. */
static void pass(const char *names, size_t n, const int *kinds)
{
	char text[32];

	for (int fd = 3; fd < 20; fd++)
		close(fd);
	for (size_t i = 0; i < n; i++) {
		int fd = make(kinds[i]);

		if (fd != 3 + (int)i) {
			CHECK(dup2(fd, 3 + (int)i) == 3 + (int)i);
			close(fd);
		}
	}
	snprintf(text, sizeof(text), "%d", (int)getpid());
	setenv("LISTEN_PID", text, 1);
	snprintf(text, sizeof(text), "%zu", n);
	setenv("LISTEN_FDS", text, 1);
	if (names)
		setenv("LISTEN_FDNAMES", names, 1);
	else
		unsetenv("LISTEN_FDNAMES");
}

#define PASS(names, ...)                                                                           \
	pass(names, ARRAY_SIZE(((const int[]){ __VA_ARGS__ })), (const int[]){ __VA_ARGS__ })

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void in_child(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		f();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void nothing(void)
{
	struct listen_fds l;
	struct sb_error e = { 0 };

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	CHECK(listen_fds_take(&l, &e) == 0);
	CHECK(l.control == -1 && l.n_others == 0);
	listen_fds_clear(&l);
	listen_fds_clear(&l);
}

static void for_another_process(void)
{
	struct listen_fds l;

	PASS("a", SEQPACKET);
	setenv("LISTEN_PID", "1", 1);
	CHECK(listen_fds_take(&l, NULL) == 0);
	CHECK(l.control == -1 && l.n_others == 0 && is_open(3));
}

static void by_name(void)
{
	struct listen_fds l;

	PASS("odd:web:sockbroker.socket:dns", SEQPACKET, TCP, SEQPACKET, UDP);
	CHECK(listen_fds_take(&l, NULL) == 0);
	CHECK(l.control == 5);
	CHECK(fcntl(5, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(5, F_GETFD) & FD_CLOEXEC);
	CHECK(l.n_others == 3);
	CHECK(l.others[0].fd == 3 && !strcmp(l.others[0].name, "odd"));
	CHECK(l.others[1].fd == 4 && !strcmp(l.others[1].name, "web"));
	CHECK(l.others[2].fd == 6 && !strcmp(l.others[2].name, "dns"));
	CHECK(fcntl(4, F_GETFD) & FD_CLOEXEC);
	CHECK(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
	l.others[1].fd = -1; /* taken */
	listen_fds_clear(&l);
	CHECK(!is_open(3) && is_open(4) && !is_open(5) && !is_open(6));
	CHECK(l.control == -1 && l.n_others == 0 && !l.others);
}

static void by_kind(void)
{
	struct listen_fds l;

	PASS("pipe:quiet:stream:x:y", PIPE, SEQPACKET_QUIET, STREAM_UNIX, SEQPACKET, SEQPACKET);
	CHECK(listen_fds_take(&l, NULL) == 0);
	CHECK(l.control == 6 && l.n_others == 4);
	CHECK(l.others[3].fd == 7 && !strcmp(l.others[3].name, "y"));
	listen_fds_clear(&l);
}

static void without_names(void)
{
	struct listen_fds l;

	PASS(NULL, TCP, SEQPACKET);
	CHECK(listen_fds_take(&l, NULL) == 0);
	CHECK(l.control == 4 && l.n_others == 1 && !strcmp(l.others[0].name, "unknown"));
	listen_fds_clear(&l);
}

static void no_control(void)
{
	struct listen_fds l;

	PASS("web", TCP);
	CHECK(listen_fds_take(&l, NULL) == 0);
	CHECK(l.control == -1 && l.n_others == 1);
	listen_fds_clear(&l);
}

static void wrong_kind(int kind)
{
	struct sb_error e = { 0 };
	struct listen_fds l;

	pass("sockbroker.socket:x", 2, (const int[]){ kind, SEQPACKET });
	CHECK(listen_fds_take(&l, &e) == -EINVAL);
	CHECK(!strcmp(e.message, "what sockbroker.socket passed is not a listening Unix socket of "
				 "type SEQPACKET: write ListenSequentialPacket= in that unit"));
	CHECK(l.control == -1 && !is_open(3) && !is_open(4));
}

static void wrong_stream(void)
{
	wrong_kind(STREAM_UNIX);
}

static void wrong_quiet(void)
{
	wrong_kind(SEQPACKET_QUIET);
}

static void wrong_pipe(void)
{
	wrong_kind(PIPE);
}

static void two_of_them(void)
{
	struct sb_error e = { 0 };
	struct listen_fds l;

	PASS("sockbroker.socket:sockbroker.socket", SEQPACKET, SEQPACKET);
	CHECK(listen_fds_take(&l, &e) == -EINVAL);
	CHECK(!strcmp(e.message, "sockbroker.socket passed two sockets: leave one "
				 "ListenSequentialPacket= in that unit"));
	CHECK(!is_open(3) && !is_open(4));
}

static void names_do_not_fit(void)
{
	struct sb_error e = { 0 };
	struct listen_fds l;

	PASS("one", TCP, TCP);
	CHECK(listen_fds_take(&l, &e) == -EINVAL);
	CHECK(e.code == EINVAL && strstr(e.message, "LISTEN_FDNAMES"));
	CHECK(l.n_others == 0 && !is_open(3) && !is_open(4) && !getenv("LISTEN_FDS"));
}

static void fd_not_open(void)
{
	struct sb_error e = { 0 };
	struct listen_fds l;

	PASS(NULL, TCP);
	setenv("LISTEN_FDS", "2", 1);
	CHECK(listen_fds_take(&l, &e) == -EBADF);
	CHECK(e.code == EBADF);
}

#define CASE(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		in_child(name);                                                                    \
	}

CASE(nothing)
CASE(for_another_process)
CASE(by_name)
CASE(by_kind)
CASE(without_names)
CASE(no_control)
CASE(wrong_stream)
CASE(wrong_quiet)
CASE(wrong_pipe)
CASE(two_of_them)
CASE(names_do_not_fit)
CASE(fd_not_open)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),          cmocka_unit_test(test_for_another_process),
		cmocka_unit_test(test_by_name),          cmocka_unit_test(test_by_kind),
		cmocka_unit_test(test_without_names),    cmocka_unit_test(test_no_control),
		cmocka_unit_test(test_wrong_stream),     cmocka_unit_test(test_wrong_quiet),
		cmocka_unit_test(test_wrong_pipe),       cmocka_unit_test(test_two_of_them),
		cmocka_unit_test(test_names_do_not_fit), cmocka_unit_test(test_fd_not_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
