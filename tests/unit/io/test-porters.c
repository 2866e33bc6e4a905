/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clients that do not administer: porters have them. A stopped porter stands for one that the
 * kernel keeps waiting. */
#include "tests/unit/io/harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define PIDS_MAX 300

static int setup(void **state)
{
	struct harness *h;
	int r = harness_setup(state);

	h = *state;
	h->nobody_administers = true;
	return r;
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, harness_teardown)

static int listener_new(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void test_requests_in_order(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = client_new(h);
	pid_t pids[PIDS_MAX];
	int fd;

	assert_int_equal(client_ask(a, "REQUEST=one\n"), 0);
	assert_int_equal(client_ask(a, "REQUEST=two\n"), 0);
	ask(h, b, "other");
	check_reply(h, a, "OK=1\nECHO=one\n");
	check_reply(h, a, "OK=1\nECHO=two\n");
	assert_int_equal(client_ask(b, "no request"), 0);
	check_refusal(h, b, "ERROR=EPROTO\n");
	assert_int_equal(client_ask(b, "REQUEST=big\n"), 0);
	assert_string_equal(client_reply(h, b, &fd), "OK=1\nECHO=big\n");
	assert_int_equal(lseek(fd, 0, SEEK_END), 7);
	close(fd);
	assert_int_equal(h->handled, 4);
	assert_int_equal(h->actor.uid, getuid());
	assert_int_equal(h->actor.pid, getpid());
	assert_int_equal(porters(pids, PIDS_MAX), 1);
}

/* The broker hears of the files, and does not have them; who has the reply may count on the fds
 * being gone. */
static void test_sockets_are_looked_at(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), listener = listener_new();
	int ends[2], stored = -1;
	size_t fds;
	char c;

	ask(h, a, "first");
	fds = count_fds();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(client_send(a, "web#", 4, (const int[]){ listener, ends[1], -1 }), 0);
	check_reply(h, a, "OK");
	assert_int_equal(h->looked, 2);
	assert_int_equal(h->socket.looked, 0);
	assert_true(h->socket.facts.is_socket);
	assert_true(h->socket.facts.listening);
	assert_int_equal(h->socket.facts.protocol, IPPROTO_TCP);
	assert_int_equal(h->socket.stored, 0);
	assert_int_equal(h->socket.slot, 1000);
	assert_int_equal(pread(h->sockmap, &stored, sizeof(stored), 0), sizeof(stored));
	assert_true(stored > 0);
	assert_int_equal(h->reserved, 0);
	close(ends[1]);
	assert_int_equal(read(ends[0], &c, 1), 0);
	close(ends[0]);
	assert_int_equal(count_fds(), fds);
}

/* What is no socket that could be registered is not stored. */
static void test_other_files_are_not_stored(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	int fds[] = { socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
		      socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
		      open("/dev/null", O_RDONLY | O_CLOEXEC) };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		assert_int_equal(client_send(a, "web#", 4, (const int[]){ fds[i], -1 }), 0);
		check_reply(h, a, "OK");
		assert_int_equal(h->looked, 1);
		assert_int_equal(h->socket.facts.is_socket, i < 2);
		assert_int_equal(h->socket.stored, -EOPNOTSUPP);
		close(fds[i]);
	}
}

/* Where the broker needs them itself it gets sockets and pidfds, and nothing else. */
static void test_files_are_passed_on(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), listener = listener_new(),
			    null = open("/dev/null", O_RDONLY | O_CLOEXEC),
			    pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	size_t fds;

	h->keeps_sockets = true;
	ask(h, a, "first");
	fds = count_fds();
	assert_int_equal(
		client_send(a, "web#", 4, (const int[]){ listener, null, pidfd, null, -1 }), 0);
	check_reply(h, a, "OK");
	assert_int_equal(h->looked, 4);
	assert_int_equal(h->n_here, 2);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(client_send(a, "web#", 4, (const int[]){ null, -1 }), 0);
	check_reply(h, a, "OK");
	assert_int_equal(h->n_here, 0);
}

static void test_most_files(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = client_new(h), listener = listener_new();
	int fds[SB_WIRE_FDS_MAX + 1];

	for (int i = 0; i < SB_WIRE_FDS_MAX; i++)
		fds[i] = listener;
	fds[SB_WIRE_FDS_MAX] = -1;
	/* One after another, so that the slots suffice. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(client_send(a, "web#", 4, fds), 0);
		assert_int_equal(client_send(b, "web#", 4, fds), 0);
	}
	for (int i = 0; i < 3; i++) {
		check_reply(h, a, "OK");
		assert_int_equal(h->looked, SB_WIRE_FDS_MAX);
		check_reply(h, b, "OK");
	}
	assert_int_equal(h->reserved, 0);
}

static void test_files_that_nobody_wants(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), listener = listener_new();

	h->refuses_sockets = true;
	assert_int_equal(client_send(a, "web#", 4, (const int[]){ listener, listener, -1 }), 0);
	check_reply(h, a, "OK");
	assert_int_equal(h->looked, -1);
	assert_int_equal(h->n_fds, 2);
	assert_int_equal(client_send(a, "\1\2", 2, (const int[]){ listener, -1 }), 0);
	check_refusal(h, a, "ERROR=EPROTO\n");
}

static void test_no_slots(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), listener = listener_new();

	h->n_slots = 1;
	assert_int_equal(client_send(a, "web#", 4, (const int[]){ listener, listener, -1 }), 0);
	check_refusal(h, a, "ERR E2BIG no room for 2 sockets");
	assert_int_equal(client_send(a, "web#", 4, (const int[]){ listener, -1 }), 0);
	check_reply(h, a, "OK");
	assert_int_equal(h->handled, 1);
}

static void test_bad_packets(void **state)
{
	static char large[SB_WIRE_PACKET_MAX + 1];
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);

	memset(large, 'A', sizeof(large));
	assert_int_equal(send(a, large, sizeof(large), 0), sizeof(large));
	check_refusal(h, a, "ERROR=EMSGSIZE\n");
	assert_int_equal(client_send(a, large, SB_WIRE_PACKET_MAX, NULL), 0);
	check_refusal(h, a, "ERROR=EPROTO\n");
	ask(h, a, "fine");
	assert_int_equal(send(a, "", 0, 0), 0);
	assert_null(client_reply(h, a, NULL));
}

static void test_silent_client_times_out(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int silent = -1, old = client_new(h);

	ask(h, old, "first");
	harness_options(h, 10, 10, 20000);
	silent = client_new(h);
	assert_null(client_reply(h, silent, NULL));
	ask(h, old, "still");
}

/* -- shares ---------------------------------------------------------------------------------- */

static void test_limit_per_user(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = -1, b = -1, c = -1;

	harness_options(h, 10, 2, 3600000000);
	a = client_new(h);
	b = client_new(h);
	c = client_new(h);
	check_refusal(h, c,
		      "ERROR=EDQUOT\nMESSAGE=your user has 2 connections, as many as it may ");
	assert_null(client_reply(h, c, NULL));
	ask(h, b, "fine");
	a = sb_close(a);
	/* It is given back once the porter has closed it. */
	for (const char *reply = NULL; !reply || strncmp(reply, "OK=1\n", 5) != 0;) {
		int d = client_new(h);

		client_ask(d, "REQUEST=fine\n");
		reply = client_reply(h, d, NULL);
		close(d);
	}
}

static void test_share(void **state)
{
	struct harness *h = *state;
	int fds[6];

	/* Half of what there is, while nobody else is there. */
	harness_options(h, 8, 100, 3600000000);
	for (int i = 0; i < 4; i++) {
		fds[i] = client_new(h);
		ask(h, fds[i], "fine");
	}
	fds[4] = client_new(h);
	check_refusal(h, fds[4], "your user has 4 connections, and its share is 4 just now");
	assert_null(client_reply(h, fds[4], NULL));
	/* Who administers always gets in. */
	h->nobody_administers = false;
	fds[5] = client_new(h);
	ask(h, fds[5], "fine");
	for (int i = 0; i < 6; i++)
		close(fds[i]);
}

static void ask_for_table(struct harness *h, int client, int size)
{
	char request[64];

	snprintf(request, sizeof(request), "REQUEST=size-%d\n", size);
	assert_int_equal(client_ask(client, request), 0);
}

static bool is_refused(struct harness *h, int client, const char *part)
{
	int fd;
	const char *reply = client_reply(h, client, &fd);

	sb_close(fd);
	assert_non_null(reply);
	return strstr(reply, part);
}

/* What another client has taken is given back soon, but not at once. */
static void get_table(struct harness *h, int client, int size)
{
	do
		ask_for_table(h, client, size);
	while (is_refused(h, client, "ERROR=EDQUOT"));
}

/* Tables that lie unread are the user's; once they are read there is room again. */
static void test_unread_tables(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = client_new(h);

	h->options.max_reply_bytes = 1 << 20;
	h->options.reply_bytes_per_minute = 1 << 30;
	server_configure(h->server, &h->options);
	ask_for_table(h, a, 524289);
	assert_true(is_refused(h, a,
			       "ERROR=EDQUOT\nMESSAGE=the reply's table has 524289 bytes; replies "
			       "to your user that were not read yet "
			       "have 0, and may have 524288 (MaxReplyMemory="));
	ask_for_table(h, a, 400000);
	assert_true(harness_turn(h, a));
	ask_for_table(h, b, 124289);
	assert_true(is_refused(h, b, "have 400000, and may have 524288"));
	ask_for_table(h, b, 124288);
	assert_false(is_refused(h, b, "ERROR"));
	assert_false(is_refused(h, a, "ERROR"));
	get_table(h, b, 524288);
	/* So it is when its client goes without reading. */
	get_table(h, a, 1);
	ask_for_table(h, a, 500000);
	assert_true(harness_turn(h, a));
	a = sb_close(a);
	get_table(h, b, 500000);
}

static void test_tables_a_minute(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);

	h->options.max_reply_bytes = 1 << 30;
	h->options.reply_bytes_per_minute = 1 << 20;
	server_configure(h->server, &h->options);
	ask_for_table(h, a, 1 << 20);
	assert_false(is_refused(h, a, "ERROR"));
	ask_for_table(h, a, 1 << 19);
	assert_true(is_refused(h, a,
			       "your user has had all that it may of tables for now "
			       "(MaxReplyRate= in sockbroker.conf); ask again in "));
	/* Those without are not concerned. */
	ask(h, a, "fine");
	/* Nor is who administers. */
	h->nobody_administers = false;
	close(a);
	a = client_new(h);
	for (int i = 0; i < 3; i++) {
		ask_for_table(h, a, 1 << 20);
		assert_false(is_refused(h, a, "ERROR"));
	}
}

/* -- porters that are gone, or stuck ---------------------------------------------------------- */

static bool no_porters(struct harness *h)
{
	pid_t pids[PIDS_MAX];

	return porters(pids, PIDS_MAX) == 0;
}

static bool no_children(struct harness *h)
{
	pid_t pid;

	return children_of(getpid(), &pid, 1) == 0;
}

static void test_idle_porter_ends(void **state)
{
	struct harness *h = *state;
	size_t fds = count_fds();
	int a = client_new(h);

	ask(h, a, "fine");
	assert_true(count_fds() > fds + 1);
	close(a);
	assert_true(harness_until(h, no_porters));
	harness_idle(h);
	assert_int_equal(count_fds(), fds);
	a = client_new(h);
	ask(h, a, "again");
	close(a);
}

static void test_porter_killed(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = -1;
	pid_t pids[PIDS_MAX];

	harness_options(h, 10, 1, 3600000000);
	ask(h, a, "fine");
	assert_int_equal(porters(pids, PIDS_MAX), 1);
	kill(pids[0], SIGKILL);
	assert_null(client_reply(h, a, NULL));
	assert_true(harness_until(h, no_porters));
	harness_idle(h);
	/* What its clients were charged came back. */
	b = client_new(h);
	ask(h, b, "fine");
}

static void test_zygote_killed(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = -1;
	pid_t pids[PIDS_MAX], zygote;

	ask(h, a, "fine");
	assert_int_equal(children_of(getpid(), &zygote, 1), 1);
	assert_int_equal(porters(pids, PIDS_MAX), 1);
	kill(zygote, SIGKILL);
	/* The porter goes on without. */
	ask(h, a, "fine");
	kill(pids[0], SIGKILL);
	assert_null(client_reply(h, a, NULL));
	assert_true(harness_until(h, no_children));
	/* Its end may be seen a little later. */
	do {
		sb_close(b);
		b = client_new(h);
		client_ask(b, "REQUEST=again\n");
	} while (!client_reply(h, b, NULL));
	ask(h, b, "and again");
}

/* The broker and those who administer do not wait for porters. */
static void admin_is_served(struct harness *h)
{
	int admin;

	h->nobody_administers = false;
	admin = client_new(h);
	ask(h, admin, "fine");
	close(admin);
	harness_idle(h);
	h->nobody_administers = true;
}

static bool five_processes(struct harness *h)
{
	pid_t pids[PIDS_MAX];

	return porters(pids, PIDS_MAX) == 5;
}

static void stop_porters(void)
{
	pid_t pids[PIDS_MAX];

	for (size_t i = porters(pids, PIDS_MAX); i > 0; i--)
		kill(pids[i - 1], SIGSTOP);
}

/* The files of somebody who is turned away: one process more has them. */
static void files_are_kept(struct harness *h)
{
	_cleanup_close_ int late = client_new(h), listener = listener_new();

	assert_int_equal(client_send(late, "web#", 4, (const int[]){ listener, -1 }), 0);
	check_refusal(h, late, "ERROR=EAGAIN");
	assert_null(client_reply(h, late, NULL));
	assert_true(harness_until(h, five_processes));
	admin_is_served(h);
}

/* A user whose porter does not answer gets another one, and after some none any more. */
static void test_stuck_porters(void **state)
{
	struct harness *h = *state;
	pid_t pids[PIDS_MAX];
	int clients[64];
	bool answered[64], refused = false;
	size_t n = 0;

	while (!refused) {
		assert_true(n < ARRAY_SIZE(clients));
		clients[n] = client_new(h);
		client_ask(clients[n], "REQUEST=fine\n");
		for (int i = 0; i < 60 && !has_something(clients[n]); i++) {
			harness_idle(h);
			usleep(1000);
		}
		answered[n] = has_something(clients[n]);
		if (answered[n])
			refused = is_refused(h, clients[n], "ERROR=EAGAIN");
		stop_porters();
		admin_is_served(h);
		n++;
	}
	assert_null(client_reply(h, clients[n - 1], NULL));
	assert_int_equal(porters(pids, PIDS_MAX), 4);
	files_are_kept(h);
	for (int i = 0; i < 5; i++)
		kill(pids[i], SIGCONT);
	/* Nobody is lost who can be served after all. */
	for (size_t i = 0; i < n; i++) {
		if (!answered[i])
			check_reply(h, clients[i], "OK=1\nECHO=fine\n");
		close(clients[i]);
	}
	/* Nothing is kept for ever, either. */
	assert_true(harness_until(h, no_porters));
}

static bool slot_is_reserved(struct harness *h)
{
	return h->reserved == 1;
}

/* A porter that stores for as long as the test wants: its slot is reserved. */
static void begin_storing(struct harness *h, int client)
{
	_cleanup_close_ int listener = listener_new();

	hold_up_storing(h, true);
	assert_int_equal(client_send(client, "web#", 4, (const int[]){ listener, -1 }), 0);
	assert_true(harness_until(h, slot_is_reserved));
}

/* It may store after the server is gone: the slot stays reserved. */
static void test_server_goes(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = client_new(h);

	ask(h, a, "fine");
	ask(h, b, "fine");
	begin_storing(h, a);
	assert_int_equal(client_ask(b, "REQUEST=big\n"), 0);
	harness_idle(h);
	server_free(h->server);
	h->server = NULL;
	assert_int_equal(h->reserved, 1);
	hold_up_storing(h, false);
	assert_true(harness_until(h, no_porters));
}

/* One that has ended stores nothing any more. */
static void test_porter_killed_while_it_stores(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	pid_t pids[PIDS_MAX];

	begin_storing(h, a);
	assert_int_equal(porters(pids, PIDS_MAX), 1);
	kill(pids[0], SIGKILL);
	assert_null(client_reply(h, a, NULL));
	assert_true(harness_until(h, no_porters));
	harness_idle(h);
	assert_int_equal(h->reserved, 0);
	assert_int_equal(quota_used(h->quota, QUOTA_SOCKETS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests_in_order),
		TEST(test_sockets_are_looked_at),
		TEST(test_other_files_are_not_stored),
		TEST(test_files_are_passed_on),
		TEST(test_most_files),
		TEST(test_files_that_nobody_wants),
		TEST(test_no_slots),
		TEST(test_bad_packets),
		TEST(test_silent_client_times_out),
		TEST(test_limit_per_user),
		TEST(test_share),
		TEST(test_unread_tables),
		TEST(test_tables_a_minute),
		TEST(test_idle_porter_ends),
		TEST(test_porter_killed),
		TEST(test_zygote_killed),
		TEST(test_stuck_porters),
		TEST(test_server_goes),
		TEST(test_porter_killed_while_it_stores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
