/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the broker listens, who is at the other end, and the loop itself. */
#include "tests/unit/io/harness.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "broker/io/peer.h"

static void check_refused(struct harness *h, const char *path, int code, const char *part)
{
	struct sb_error error = { 0 };
	int r = server_listen(path, &error);

	if (r != -code || !strstr(error.message, part))
		fail_msg("not %d \"%s\", but %d: %s", -code, part, r, error.message);
}

static void test_mode(void **state)
{
	struct harness *h = *state;
	struct stat st;

	assert_int_equal(stat(h->path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0666);
}

static void test_live_socket(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = -1;

	check_refused(h, h->path, EADDRINUSE, "another broker listens at");
	harness_idle(h);
	a = client_new(h);
	assert_int_equal(client_ask(a, "REQUEST=x\n"), 0);
	assert_string_equal(client_reply(h, a, NULL), "OK=1\nECHO=x\n");
}

static void test_stale_socket(void **state)
{
	struct harness *h = *state;
	struct sb_error error = { 0 };
	int fd;

	server_free(h->server);
	h->server = NULL;
	assert_int_equal(access(h->path, F_OK), 0);
	fd = server_listen(h->path, &error);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
}

/* Another program's socket, of another type: not ours to remove. */
static void test_foreign_socket(void **state)
{
	struct harness *h = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/other", h->dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	check_refused(h, address.sun_path, EADDRINUSE, "listens at");
	assert_int_equal(access(address.sun_path, F_OK), 0);
	unlink(address.sun_path);
}

static void test_in_the_way(void **state)
{
	struct harness *h = *state;
	char path[200];

	snprintf(path, sizeof(path), "%s/file", h->dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	check_refused(h, path, EEXIST, "is in the way and is no socket");
	unlink(path);
	check_refused(h, "/nonexistent/socket", ENOENT, "/nonexistent/socket");
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	check_refused(h, path, ENAMETOOLONG, "too long");
}

static void test_peer(void **state)
{
	gid_t groups[POLICY_GROUPS_MAX];
	struct actor actor;
	int pair[2], pidfd, n = getgroups(POLICY_GROUPS_MAX, groups);

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(peer_read(pair[0], &actor, &pidfd), 0);
	assert_int_equal(actor.pid, getpid());
	assert_int_equal(actor.uid, geteuid());
	assert_int_equal(actor.gid, getegid());
	assert_int_equal(actor.n_groups, n);
	for (int i = 0; i < n; i++) {
		bool found = false;

		for (int k = 0; k < n; k++)
			found |= actor.groups[k] == groups[i];
		assert_true(found);
	}
	assert_string_equal(actor.unit, "");
	if (pidfd >= 0)
		assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
	sb_close(pidfd);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(peer_read(pair[0], &actor, &pidfd), -EBADF);
	assert_int_equal(pidfd, -1);
}

struct counts {
	struct loop *loop;
	unsigned ticks, signals;
};

static void on_tick(void *data)
{
	struct counts *c = data;

	if (++c->ticks == 3)
		raise(SIGUSR1);
}

static void on_signal(void *data)
{
	struct counts *c = data;

	c->signals++;
	loop_stop(c->loop);
}

static void test_loop(void **state)
{
	struct counts c = { .loop = loop_new() };

	assert_int_equal(loop_every(c.loop, 1000, on_tick, &c), 0);
	assert_int_equal(loop_on_signal(c.loop, SIGUSR1, on_signal, &c), 0);
	assert_int_equal(loop_run(c.loop), 0);
	assert_true(c.ticks >= 3);
	assert_int_equal(c.signals, 1);
	for (int i = 2; i < 8; i++)
		assert_int_equal(loop_every(c.loop, 1000000, on_tick, &c), 0);
	assert_int_equal(loop_every(c.loop, 1000000, on_tick, &c), -ENOSPC);
	loop_free(c.loop);
	loop_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mode),
		TEST(test_live_socket),
		TEST(test_stale_socket),
		TEST(test_foreign_socket),
		TEST(test_in_the_way),
		cmocka_unit_test(test_peer),
		cmocka_unit_test(test_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
