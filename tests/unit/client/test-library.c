/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls of the library against a broker that answers by a script. */
#include "tests/unit/client/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "client/sockbroker.h"
#include "protocol/wire-io.h"
#include "tests/unit/client/fake-broker.h"

static void test_register(void **state)
{
	int fds[2] = { 0, 1 };

	START({ .reply = "OK=1\nSOCKETS=2\n" }, { .reply = "OK=1\nSOCKETS=1" });
	assert_int_equal(sockbroker_register(sb, "web", fds, 2, 0), 0);
	assert_string_equal(f.requests[0].text,
			    "REQUEST=register\nMODE=replace\nLABEL=web\nCOUNT=2\n");
	assert_int_equal(f.requests[0].n_fds, 2);
	assert_int_equal(sockbroker_failure(sb), SOCKBROKER_NO_FAILURE);
	assert_string_equal(sockbroker_error(sb), "");

	assert_int_equal(sockbroker_register(sb, "web", fds, 1, SOCKBROKER_ADD), 0);
	check_contains(f.requests[1].text, "MODE=add\n");
	STOP();
}

static void test_register_many(void **state)
{
	int fds[3] = { 0, 1, 2 };
	const struct sockbroker_sockets sets[] = { { "a", fds, 1 }, { "b:c", fds + 1, 2 } };

	START({ .reply = "OK=1\nSOCKETS=3\n" });
	assert_int_equal(sockbroker_register_many(sb, sets, 2, 0), 0);
	assert_string_equal(f.requests[0].text, "REQUEST=register\nMODE=replace\nLABEL=a\nCOUNT=1\n"
						"LABEL=b:c\nCOUNT=2\n");
	assert_int_equal(f.requests[0].n_fds, 3);
	STOP();
}

static void check_local(struct sockbroker *sb, int r, int code)
{
	assert_int_equal(r, -code);
	assert_int_equal(sockbroker_failure(sb), SOCKBROKER_LOCAL);
	assert_string_not_equal(sockbroker_error(sb), "");
}

/* What is wrong on this side is never sent, and leaves the connection usable. */
static void test_register_local_errors(void **state)
{
	struct sockbroker_sockets many[100];
	char label[101];
	int fds[SOCKBROKER_FDS_MAX + 1] = { 0 };

	memset(label, 'x', 100);
	label[100] = '\0';
	for (size_t i = 0; i < 100; i++)
		many[i] = (struct sockbroker_sockets){ label, fds, 1 };

	START({ .reply = "OK=1\n" }, { .reply = "OK=1\n" });
	check_local(sb, sockbroker_register(sb, "web", fds, 0, 0), EINVAL);
	check_local(sb, sockbroker_register_many(sb, many, 0, 0), EINVAL);
	check_local(sb, sockbroker_register(sb, "web", fds, 1, SOCKBROKER_MOVE), EINVAL);
	check_local(sb, sockbroker_register(sb, "web", fds, SOCKBROKER_FDS_MAX + 1, 0), EMFILE);
	check_local(sb, sockbroker_register_many(sb, many, 100, 0), EMSGSIZE);
	check_local(sb, sockbroker_register(sb, "web", (int[]){ 9999 }, 1, 0), EBADF);
	assert_int_equal(f.n_requests, 0);
	assert_int_equal(sockbroker_register_many(sb, many, 35, 0), 0);
	assert_int_equal(sockbroker_register(sb, "web", fds, SOCKBROKER_FDS_MAX, 0), 0);
	assert_int_equal(f.requests[1].n_fds, SOCKBROKER_FDS_MAX);
	STOP();
}

static void test_unregister(void **state)
{
	uint64_t n = 0;

	START({ .reply = "OK=1\nSOCKETS=4\n" }, { .reply = "OK=1\nSOCKETS=1\n" });
	assert_int_equal(sockbroker_unregister(sb, "web", NULL, &n), 0);
	assert_string_equal(f.requests[0].text, "REQUEST=unregister\nLABEL=web\n");
	assert_int_equal(n, 4);
	assert_int_equal(sockbroker_unregister(sb, "web", "udp", NULL), 0);
	assert_string_equal(f.requests[1].text, "REQUEST=unregister\nLABEL=web\nPROTOCOL=udp\n");
	STOP();
}

static void test_bind_and_unbind(void **state)
{
	struct sockbroker_changes c;
	uint64_t n;

	START({ .reply = "OK=1\nADDED=3\nMOVED=2\nUNCHANGED=1\n" },
	      { .reply = "OK=1\nREMOVED=5\n" }, { .reply = "OK=1\nREMOVED=1\n" });
	assert_int_equal(
		sockbroker_bind(sb, "web", "any", "192.0.2.0/24", "80,443", SOCKBROKER_MOVE, &c),
		0);
	assert_string_equal(f.requests[0].text, "REQUEST=bind\nLABEL=web\nPROTOCOL=any\n"
						"PREFIX=192.0.2.0/24\nPORTS=80,443\nMOVE=yes\n");
	assert_int_equal(c.added, 3);
	assert_int_equal(c.moved, 2);
	assert_int_equal(c.unchanged, 1);
	assert_int_equal(c.removed, 0);
	assert_int_equal(sockbroker_unbind(sb, NULL, "tcp", "::/0", "any", &n), 0);
	assert_string_equal(f.requests[1].text,
			    "REQUEST=unbind\nPROTOCOL=tcp\nPREFIX=::/0\nPORTS=any\n");
	assert_int_equal(n, 5);
	assert_int_equal(sockbroker_unbind(sb, "web", "tcp", "::/0", "any", NULL), 0);
	check_contains(f.requests[2].text, "LABEL=web\n");
	STOP();
}

/* A value can't smuggle in a line of its own. */
static void test_no_forged_fields(void **state)
{
	START({ .reply = "OK=1\n" });
	assert_int_equal(sockbroker_unregister(sb, "web\nREQUEST=unload", NULL, NULL), 0);
	assert_string_equal(f.requests[0].text, "REQUEST=unregister\nLABEL=web REQUEST=unload\n");
	STOP();
}

static void test_refusal(void **state)
{
	START({ .reply = "ERROR=EPERM\nMESSAGE=web: only root may register\n" },
	      { .reply = "ERROR=EWHATEVER\nMESSAGE=from a later version\n" },
	      { .reply = "OK=1\nWARNING=one\nWARNING=two\n" }, { .reply = "OK=1\n" });
	assert_int_equal(sockbroker_unload(sb), -EPERM);
	assert_int_equal(sockbroker_failure(sb), SOCKBROKER_REFUSED);
	assert_string_equal(sockbroker_error(sb), "web: only root may register");
	assert_int_equal(sockbroker_unload(sb), -EIO);
	assert_string_equal(sockbroker_error(sb), "from a later version");
	assert_null(sockbroker_warning(sb, 0));

	assert_int_equal(sockbroker_unload(sb), 0);
	assert_string_equal(sockbroker_error(sb), "");
	assert_string_equal(sockbroker_warning(sb, 0), "one");
	assert_string_equal(sockbroker_warning(sb, 1), "two");
	assert_null(sockbroker_warning(sb, 2));
	assert_int_equal(sockbroker_unload(sb), 0);
	assert_null(sockbroker_warning(sb, 0));
	STOP();
}

static void check_unreachable(struct sockbroker *sb, int r, int code, const char *part)
{
	assert_int_equal(r, -code);
	assert_int_equal(sockbroker_failure(sb), SOCKBROKER_UNREACHABLE);
	check_contains(sockbroker_error(sb), part);
}

static void test_unreachable(void **state)
{
	struct sockbroker *sb = sockbroker_new();
	char path[200];

	check_unreachable(sb, sockbroker_unload(sb), ENOTCONN, "not connected");
	check_unreachable(sb, sockbroker_connect(sb, "/nowhere/at/all"), ENOENT, "/nowhere/at/all");
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	check_unreachable(sb, sockbroker_connect(sb, path), ENAMETOOLONG, "at most 107 bytes");
	setenv("SOCKBROKER_SOCKET", "/from/the/environment", 1);
	check_unreachable(sb, sockbroker_connect(sb, NULL), ENOENT, "/from/the/environment");
	unsetenv("SOCKBROKER_SOCKET");
	sockbroker_free(sb);
}

static void test_hang_up(void **state)
{
	START({ .action = FAKE_HANG_UP }, { .reply = "OK=1\n" });
	check_unreachable(sb, sockbroker_unload(sb), ECONNRESET, "closed the connection");
	check_unreachable(sb, sockbroker_unload(sb), ENOTCONN, "not connected");
	assert_int_equal(sockbroker_connect(sb, f.path), 0);
	assert_int_equal(sockbroker_unload(sb), 0);
	STOP();
}

/* A broker that is too busy says so and closes, before it has read anything. */
static void test_hang_up_with_a_reason(void **state)
{
	for (int i = 0; i < 20; i++) {
		START({ .action = FAKE_HANG_UP_AT_ONCE, .reply = "ERROR=EAGAIN\nMESSAGE=busy\n" });
		assert_int_equal(sockbroker_unload(sb), -EAGAIN);
		assert_int_equal(sockbroker_failure(sb), SOCKBROKER_REFUSED);
		assert_string_equal(sockbroker_error(sb), "busy");
		STOP();
	}
}

/* The same where the reset is certain: the closed end had something unread. */
static void test_reset_with_a_reason(void **state)
{
	static const char refusal[] = "ERROR=EAGAIN\nMESSAGE=busy\n";
	struct sockbroker *sb = sockbroker_new();
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(send(pair[0], "x", 1, 0), 1);
	assert_int_equal(send(pair[1], refusal, strlen(refusal), 0), strlen(refusal));
	close(pair[1]);
	assert_int_equal(sockbroker_connect_fd(sb, pair[0]), 0);
	assert_int_equal(sockbroker_unload(sb), -EAGAIN);
	assert_string_equal(sockbroker_error(sb), "busy");
	sockbroker_free(sb);
}

static void test_timeout(void **state)
{
	START({ .action = FAKE_SILENCE }, { .reply = "OK=1\n" });
	assert_int_equal(sockbroker_set_timeout(sb, -2), -EINVAL);
	assert_int_equal(sockbroker_set_timeout(sb, 50), 0);
	check_unreachable(sb, sockbroker_unload(sb), ETIMEDOUT, "within 0.05 s");
	/* The late answer can't be taken for that of the next request. */
	check_unreachable(sb, sockbroker_unload(sb), ENOTCONN, "not connected");
	STOP();
}

static void test_garbage(void **state)
{
	static const char *const replies[] = { "hello",       "OK",  "web#",        "A=1\n",
					       "OK=1\nERROR", "=\n", "ERR EPERM no" };

	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		START({ .reply = replies[i] });
		check_unreachable(sb, sockbroker_unload(sb), EPROTO, "not a broker");
		STOP();
	}
}

static void test_too_long_reply(void **state)
{
	int pair[2];
	struct sockbroker *sb = sockbroker_new();
	char data[SB_WIRE_PACKET_MAX + 100];

	memset(data, 'A', sizeof(data));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(send(pair[1], data, sizeof(data), 0), sizeof(data));
	assert_int_equal(sockbroker_connect_fd(sb, pair[0]), 0);
	check_unreachable(sb, sockbroker_unload(sb), EPROTO, "too long");
	sockbroker_free(sb);
	sb_close(pair[1]);
}

static void test_connect_fd(void **state)
{
	struct sockbroker *sb = sockbroker_new();
	int pair[2], stream[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, stream), 0);
	assert_int_equal(sockbroker_connect_fd(sb, stream[0]), -EPROTOTYPE);
	assert_int_equal(sockbroker_connect_fd(sb, -1), -EBADF);
	assert_int_equal(fcntl(stream[0], F_GETFD) >= 0, 1);
	assert_int_equal(sockbroker_connect_fd(sb, pair[0]), 0);
	assert_int_equal(send(pair[1], "OK=1\n", 5, 0), 5);
	assert_int_equal(sockbroker_unload(sb), 0);
	sockbroker_free(sb);
	assert_int_equal(fcntl(pair[0], F_GETFD), -1); /* it was the handle's */
	sb_close(pair[1]);
	sb_close(stream[0]);
	sb_close(stream[1]);
}

static void test_null_handle(void **state)
{
	struct sockbroker_table *t;

	assert_int_equal(sockbroker_connect(NULL, NULL), -ENOMEM);
	assert_int_equal(sockbroker_register(NULL, "web", (int[]){ 0 }, 1, 0), -ENOMEM);
	assert_int_equal(sockbroker_status(NULL, NULL, &t), -ENOMEM);
	assert_string_equal(sockbroker_error(NULL), "out of memory");
	assert_int_equal(sockbroker_failure(NULL), SOCKBROKER_LOCAL);
	assert_null(sockbroker_warning(NULL, 0));
	sockbroker_free(NULL);
	sockbroker_table_free(NULL);
	sockbroker_free_names(NULL);
}

/* Nothing that a reply carries stays open, wanted or not. */
static void test_no_fd_is_left(void **state)
{
	size_t before = count_fds();

	for (int i = 0; i < 3; i++) {
		START({ .reply = "OK=1\n", .file = "rule\n" },
		      { .reply = "ERROR=EPERM\nMESSAGE=no\n", .file = "x" },
		      { .reply = "garbage", .file = "x" });
		assert_int_equal(sockbroker_unload(sb), 0);
		assert_int_equal(sockbroker_unload(sb), -EPERM);
		assert_int_equal(sockbroker_unload(sb), -EPROTO);
		STOP();
	}
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_register_many),
		cmocka_unit_test(test_register_local_errors),
		cmocka_unit_test(test_unregister),
		cmocka_unit_test(test_bind_and_unbind),
		cmocka_unit_test(test_no_forged_fields),
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_hang_up),
		cmocka_unit_test(test_hang_up_with_a_reason),
		cmocka_unit_test(test_reset_with_a_reason),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_too_long_reply),
		cmocka_unit_test(test_connect_fd),
		cmocka_unit_test(test_null_handle),
		cmocka_unit_test(test_no_fd_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
