/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/io/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void test_requests_in_order(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = client_new(h);

	assert_int_equal(client_ask(a, "REQUEST=one\n"), 0);
	assert_int_equal(client_ask(a, "REQUEST=two\n"), 0);
	assert_int_equal(client_ask(b, "REQUEST=other\n"), 0);
	assert_int_equal(client_ask(a, "REQUEST=three\n"), 0);
	check_reply(h, a, "OK=1\nECHO=one\n");
	check_reply(h, a, "OK=1\nECHO=two\n");
	check_reply(h, a, "OK=1\nECHO=three\n");
	check_reply(h, b, "OK=1\nECHO=other\n");
	assert_int_equal(client_ask(a, "web#"), 0);
	check_reply(h, a, "OK");
	assert_int_equal(h->handled, 5);
	assert_int_equal(h->actor.uid, getuid());
	assert_int_equal(h->actor.gid, getgid());
	assert_int_equal(h->actor.pid, getpid());
}

/* Who has the reply may count on the fds being gone. */
static void test_fds_are_closed(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	int fds[SB_WIRE_FDS_MAX + 1], ends[2];
	size_t before;
	char c;

	assert_int_equal(client_ask(a, "REQUEST=one\n"), 0);
	check_reply(h, a, "OK=1\nECHO=one\n");
	before = count_fds();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	for (int i = 0; i < SB_WIRE_FDS_MAX; i++)
		fds[i] = ends[1];
	fds[SB_WIRE_FDS_MAX] = -1;
	assert_int_equal(client_send(a, "REQUEST=two\n", 12, fds), 0);
	check_reply(h, a, "OK=1\nECHO=two\n");
	assert_int_equal(h->n_fds, SB_WIRE_FDS_MAX);
	close(ends[1]);
	assert_int_equal(read(ends[0], &c, 1), 0);
	/* Those of packets that are no request as well. */
	assert_int_equal(client_send(a, "\1\2\3", 3, (const int[]){ ends[0], ends[0], -1 }), 0);
	check_refusal(h, a, "ERROR=EPROTO\n");
	close(ends[0]);
	assert_int_equal(count_fds(), before);
}

static void test_table(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	size_t before, length;
	void *data;
	int fd;

	assert_int_equal(client_ask(a, "REQUEST=x\n"), 0);
	check_reply(h, a, "OK=1\nECHO=x\n");
	before = count_fds();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(client_ask(a, "REQUEST=big\n"), 0);
		assert_string_equal(client_reply(h, a, &fd), "OK=1\nECHO=big\n");
		assert_true(fd >= 0);
		assert_int_equal(sb_memfd_map(fd, 100, false, &data, &length, NULL), 0);
		assert_int_equal(length, 7);
		assert_memory_equal(data, "a table", 7);
		munmap(data, length);
		close(fd);
	}
	assert_int_equal(count_fds(), before);
}

static void test_bad_packets(void **state)
{
	static char large[SB_WIRE_PACKET_MAX + 1];
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);

	memset(large, 'A', sizeof(large));
	assert_int_equal(send(a, large, sizeof(large), 0), sizeof(large));
	check_refusal(h, a, "ERROR=EMSGSIZE\n");
	memcpy(large, "web#", 4);
	assert_int_equal(send(a, large, sizeof(large), 0), sizeof(large));
	check_refusal(h, a, "ERR EMSGSIZE ");
	memcpy(large, "A=b#", 4);
	assert_int_equal(send(a, large, sizeof(large), 0), sizeof(large));
	check_refusal(h, a, "ERROR=EMSGSIZE\n");
	memset(large, 'A', 4);
	assert_int_equal(client_send(a, large, SB_WIRE_PACKET_MAX, NULL), 0);
	check_refusal(h, a, "ERROR=EPROTO\n");
	assert_int_equal(client_ask(a, "no equals sign\n"), 0);
	check_refusal(h, a, "ERROR=EPROTO\n");
	assert_int_equal(client_ask(a, "\377#"), 0);
	check_refusal(h, a, "ERR EPROTO ");
	assert_int_equal(h->handled, 0);
	/* It may go on. */
	assert_int_equal(client_ask(a, "REQUEST=fine\n"), 0);
	check_reply(h, a, "OK=1\nECHO=fine\n");
	/* An empty packet is the end. */
	assert_int_equal(send(a, "", 0, 0), 0);
	assert_null(client_reply(h, a, NULL));
}

/* A client that does not read is not read from either, and nobody waits for it. */
static void test_client_that_never_reads(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int rude = client_new(h), polite = client_new(h);
	size_t sent = 0, fds, handled;
	int r;

	for (;;) {
		r = client_ask(rude, "REQUEST=big\n");
		if (r < 0) {
			harness_idle(h);
			r = client_ask(rude, "REQUEST=big\n");
		}
		if (r < 0)
			break;
		assert_true(++sent < 100000);
	}
	assert_int_equal(r, -EAGAIN);
	harness_idle(h);
	handled = h->handled;
	fds = count_fds();
	for (int i = 0; i < 10; i++) {
		assert_int_equal(client_ask(polite, "REQUEST=mine\n"), 0);
		check_reply(h, polite, "OK=1\nECHO=mine\n");
	}
	assert_int_equal(h->handled, handled + 10);
	assert_int_equal(count_fds(), fds);
	/* When it reads at last, everything comes, in order. */
	for (size_t i = 0; i < sent; i++) {
		int fd;

		assert_string_equal(client_reply(h, rude, &fd), "OK=1\nECHO=big\n");
		assert_int_equal(close(fd), 0);
	}
	assert_int_equal(h->handled, sent + 10);
}

/* It loses its connection in the end, with all that waits for it. */
static void test_never_reading_times_out(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int rude = -1;
	size_t before = count_fds();

	harness_options(h, 10, 10, 50000);
	rude = client_new(h);
	for (int i = 0; i < 100000 && client_ask(rude, "REQUEST=big\n") == 0; i++)
		if (i % 100 == 0)
			harness_idle(h);
	for (int i = 0; i < 5000 && count_fds() > before + 1; i++) {
		harness_idle(h);
		usleep(1000);
	}
	/* What was sent lies in the socket's queue and is the kernel's. */
	assert_int_equal(count_fds(), before + 1);
}

static void test_silent_client_times_out(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int silent = -1, old = client_new(h);

	harness_idle(h);
	harness_options(h, 10, 10, 20000);
	silent = client_new(h);
	assert_null(client_reply(h, silent, NULL));
	/* One from before the change keeps its own time. */
	assert_int_equal(client_ask(old, "REQUEST=still\n"), 0);
	check_reply(h, old, "OK=1\nECHO=still\n");
}

/* One user's share is not another's. */
static void test_users_apart(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = -1;
	char buf[256] = "";
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(h->dir, 0755), 0);
	harness_options(h, 10, 1, 3600000000);
	a = client_new(h);
	harness_idle(h);
	pid = fork();
	if (pid == 0) {
		int fd;

		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		fd = client_new(h);
		fcntl(fd, F_SETFL, 0);
		if (send(fd, "REQUEST=x\n", 10, 0) < 0 || recv(fd, buf, sizeof(buf), 0) < 0)
			_exit(2);
		_exit(strcmp(buf, "OK=1\nECHO=x\n") != 0 ? 3 : 0);
	}
	for (int i = 0; i < 5000 && waitpid(pid, &status, WNOHANG) == 0; i++) {
		harness_idle(h);
		usleep(1000);
	}
	assert_int_equal(status, 0);
	assert_int_equal(h->actor.uid, 65534);
}

static void test_clients_that_go(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	size_t before = count_fds();

	for (int i = 0; i < 200; i++) {
		int gone = client_new(h);

		if (i % 2)
			assert_int_equal(client_ask(gone, "REQUEST=big\n"), 0);
		if (i % 3 == 0)
			harness_idle(h);
		close(gone);
	}
	harness_idle(h);
	assert_int_equal(client_ask(a, "REQUEST=fine\n"), 0);
	check_reply(h, a, "OK=1\nECHO=fine\n");
	assert_true(count_fds() <= before + 2); /* a's own connection, and its pidfd */
}

/* Without fds accepting rests, and goes on later; who is there is served meanwhile. */
static void test_no_fds(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = -1;
	struct rlimit before, tight;
	int spare[64], n = 0;

	assert_int_equal(client_ask(a, "REQUEST=x\n"), 0);
	check_reply(h, a, "OK=1\nECHO=x\n");
	b = client_new(h);
	getrlimit(RLIMIT_NOFILE, &before);
	tight = (struct rlimit){ 40, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	while (n < 64 && (spare[n] = dup(0)) >= 0)
		n++;
	assert_true(n < 64);
	harness_idle(h);
	assert_int_equal(client_ask(a, "REQUEST=y\n"), 0);
	check_reply(h, a, "OK=1\nECHO=y\n");
	/* fds that it has no room for */
	assert_int_equal(client_send(a, "REQUEST=z\n", 10, (const int[]){ 0, 1, -1 }), 0);
	check_refusal(h, a, "ERROR=EMSGSIZE\n");
	assert_int_equal(client_send(a, "web#", 4, (const int[]){ 0, 1, -1 }), 0);
	check_refusal(h, a, "ERR EMSGSIZE ");
	while (n-- > 0)
		close(spare[n]);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(client_ask(b, "REQUEST=at last\n"), 0);
	check_reply(h, b, "OK=1\nECHO=at last\n");
}

/* What was done is not refused because nobody can be told the details; a query is, and a refusal
 * keeps its own reason. */
static void test_no_fd_for_the_table(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	struct rlimit before, tight;
	int spare[64], n = 0;

	assert_int_equal(client_ask(a, "REQUEST=x\n"), 0);
	check_reply(h, a, "OK=1\nECHO=x\n");
	getrlimit(RLIMIT_NOFILE, &before);
	tight = (struct rlimit){ 40, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	while (n < 64 && (spare[n] = dup(0)) >= 0)
		n++;
	assert_true(n < 64);
	assert_int_equal(client_ask(a, "REQUEST=change\n"), 0);
	check_reply(
		h, a,
		"OK=1\nECHO=change\nWARNING=done, but the reply's table cannot be made: Too many "
		"open files\n");
	assert_int_equal(client_ask(a, "REQUEST=full\n"), 0);
	check_refusal(h, a, "OK=1\nECHO=full\nFILL=");
	assert_int_equal(client_ask(a, "REQUEST=refused\n"), 0);
	check_reply(h, a, "ERROR=EINVAL\nMESSAGE=line 1: bad\n");
	assert_int_equal(client_ask(a, "REQUEST=big\n"), 0);
	check_reply(
		h, a,
		"ERROR=EMFILE\nMESSAGE=the reply's table cannot be made: Too many open files\n");
	while (n-- > 0)
		close(spare[n]);
	setrlimit(RLIMIT_NOFILE, &before);
}

/* The server goes while clients are there, with replies waiting. */
static void test_server_goes(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = client_new(h);

	for (int i = 0; i < 2000 && client_ask(a, "REQUEST=big\n") == 0; i++)
		if (i % 50 == 0)
			harness_idle(h);
	server_free(h->server);
	h->server = NULL;
	assert_null(client_reply(h, b, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests_in_order),
		TEST(test_fds_are_closed),
		TEST(test_table),
		TEST(test_bad_packets),
		TEST(test_client_that_never_reads),
		TEST(test_never_reading_times_out),
		TEST(test_silent_client_times_out),
		TEST(test_users_apart),
		TEST(test_clients_that_go),
		TEST(test_no_fds),
		TEST(test_no_fd_for_the_table),
		TEST(test_server_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
