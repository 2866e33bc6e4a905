/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking sockets, and handing in those of another process. */
#include "tests/unit/client/check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "client/sockbroker.h"
#include "tests/unit/client/fake-broker.h"

static const int std_fds[] = { 0, 1, 2, 0 };

static void close_all(const int *fds, int n)
{
	for (int i = 0; i < n; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
}

static void test_take(void **state)
{
	size_t before = count_fds();
	int fds[SOCKBROKER_FDS_MAX];
	START({ .reply = "OK=1\nLABEL=web\nCOUNT=2\n", .fds = std_fds, .n_fds = 2 });

	assert_int_equal(sockbroker_take(sb, "web", fds), 2);
	assert_string_equal(f.requests[0].text, "REQUEST=take\nLABEL=web\n");
	close_all(fds, 2);
	STOP();
	assert_int_equal(count_fds(), before);
}

static void test_take_many(void **state)
{
	const char *const labels[] = { "web", "dns" };
	int fds[SOCKBROKER_FDS_MAX];
	size_t counts[2];
	START({ .reply = "OK=1\nLABEL=web\nCOUNT=1\nLABEL=dns\nCOUNT=3\n",
		.fds = std_fds,
		.n_fds = 4 });

	assert_int_equal(sockbroker_take_many(sb, labels, 2, fds, counts), 4);
	assert_string_equal(f.requests[0].text, "REQUEST=take\nLABEL=web\nLABEL=dns\n");
	assert_int_equal(counts[0], 1);
	assert_int_equal(counts[1], 3);
	close_all(fds, 4);
	STOP();
}

/* A reply that does not say what came is none; what came is closed. */
static void test_take_garbage(void **state)
{
	static const char *const replies[] = {
		"OK=1\n",
		"OK=1\nLABEL=web\nCOUNT=1\n",
		"OK=1\nLABEL=web\nCOUNT=3\n",
		"OK=1\nLABEL=web\nCOUNT=-2\n",
		"OK=1\nLABEL=other\nCOUNT=2\n",
		"OK=1\nLABEL=web\nSOCKETS=2\n",
		"OK=1\nLABEL=web\nCOUNT=1\nLABEL=web\nCOUNT=1\n",
		"OK=1\nLABEL=web\nCOUNT=99999999999999999999\n",
	};
	size_t before = count_fds();
	int fds[SOCKBROKER_FDS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		START({ .reply = replies[i], .fds = std_fds, .n_fds = 2 });

		assert_int_equal(sockbroker_take(sb, "web", fds), -EPROTO);
		assert_int_equal(sockbroker_failure(sb), SOCKBROKER_UNREACHABLE);
		STOP();
		assert_int_equal(count_fds(), before);
	}
}

static void test_take_refused(void **state)
{
	int fds[SOCKBROKER_FDS_MAX];
	START({ .reply = "ERROR=ENOENT\nMESSAGE=no sockets are held for label web\n" });

	assert_int_equal(sockbroker_take(sb, "web", fds), -ENOENT);
	assert_string_equal(sockbroker_error(sb), "no sockets are held for label web");
	assert_int_equal(sockbroker_take_many(sb, NULL, 0, fds, NULL), -EINVAL);
	assert_int_equal(sockbroker_failure(sb), SOCKBROKER_LOCAL);
	STOP();
	assert_int_equal(sockbroker_take(NULL, "web", fds), -ENOMEM);
}

static void test_register_for(void **state)
{
	struct sockbroker_sockets sets[] = { { "web", (int[]){ 0, 1 }, 2 }, { "dns", std_fds, 1 } };
	int many[SOCKBROKER_FDS_MAX] = { 0 };
	struct sockbroker_sockets full = { "web", many, SOCKBROKER_FDS_MAX };
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	START({ .reply = "OK=1\nSOCKETS=3\n" });

	assert_int_equal(sockbroker_register_for(sb, pidfd, sets, 2, SOCKBROKER_ADD), 0);
	assert_string_equal(f.requests[0].text,
			    "REQUEST=register\nMODE=add\nLABEL=web\nCOUNT=2\nLABEL=dns\nCOUNT=1\n"
			    "PIDFD=yes\n");
	assert_int_equal(f.requests[0].n_fds, 4);
	assert_int_equal(sockbroker_register_for(sb, -1, sets, 2, 0), -EBADF);
	assert_int_equal(sockbroker_register_for(sb, pidfd, &full, 1, 0), -EMFILE);
	assert_int_equal(sockbroker_register_for(sb, pidfd, sets, 2, SOCKBROKER_MOVE), -EINVAL);
	assert_int_equal(sockbroker_register_for(NULL, pidfd, sets, 2, 0), -ENOMEM);
	STOP();
	close(pidfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_take),         cmocka_unit_test(test_take_many),
		cmocka_unit_test(test_take_garbage), cmocka_unit_test(test_take_refused),
		cmocka_unit_test(test_register_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
