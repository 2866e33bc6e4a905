/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/systemd/fdstore.h"
#include "tests/unit/systemd/manager.h"

static int setup(void **state)
{
	log_setup(LOG_EMERG);
	return manager_setup(state);
}

/* The text that comes next, or NULL; the fd that comes with it, -1: none. */
static const char *receive(void **state, int *ret_fd)
{
	static char text[256];
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg((int)(intptr_t)*state, &message, MSG_CMSG_CLOEXEC);

	*ret_fd = -1;
	if (n < 0)
		return NULL;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
	return text;
}

static void test_push(void **state)
{
	struct fdstore_port port = fdstore_port();
	struct stat sent, received;
	int fds[2], fd;

	assert_int_equal(pipe(fds), 0);
	port.push(port.self, fds[0], "_socket-1");
	assert_string_equal(receive(state, &fd), "FDSTORE=1\nFDNAME=_socket-1\nFDPOLL=0");
	assert_true(fd >= 0);
	assert_int_equal(fstat(fds[0], &sent), 0); /* it stays the caller's */
	assert_int_equal(fstat(fd, &received), 0);
	assert_int_equal(sent.st_ino, received.st_ino);
	close(fd);
	close(fds[0]);
	close(fds[1]);
}

static void test_remove(void **state)
{
	struct fdstore_port port = fdstore_port();
	int fd;

	port.remove(port.self, "_process-2");
	assert_string_equal(receive(state, &fd), "FDSTOREREMOVE=1\nFDNAME=_process-2");
	assert_int_equal(fd, -1);
}

/* What is not kept is lost with the process, and nothing else happens. */
static void test_without_manager(void **state)
{
	struct fdstore_port port = fdstore_port();
	int fd;

	port.push(port.self, -1, "_socket-1"); /* no such fd */
	assert_null(receive(state, &fd));
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	port.push(port.self, 0, "_socket-1");
	port.remove(port.self, "_socket-1");
	unsetenv("NOTIFY_SOCKET");
	port.push(port.self, 0, "_socket-1");
	port.remove(port.self, "_socket-1");
	assert_null(receive(state, &fd));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, manager_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_push),
		TEST(test_remove),
		TEST(test_without_manager),
	};

	return cmocka_run_group_tests_name("fdstore", tests, NULL, NULL);
}
