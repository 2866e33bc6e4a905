/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers that take long are written by another process; nobody waits but who asked. The executable
 * is linked so that what may fail on the way there comes through here.
 */
#include "tests/unit/io/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "broker/io/porter-wire.h"

#define PIDS_MAX 16

/* -- what may fail ---------------------------------------------------------------------------- */

static size_t fail_at;       /* the so many-th call from now on; 0: none */
static pid_t talks_too_much; /* this one's children say more than fits a reply; 0: nobody's */

static bool allow(void)
{
	return fail_at == 0 || --fail_at > 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
int __real_socketpair(int domain, int type, int protocol, int *pair);
pid_t __real_fork(void);
int __real_porter_send(int socket, const struct porter_header *header, const void *data,
		       const int *fds, size_t n_fds, int flags);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
int __wrap_socketpair(int domain, int type, int protocol, int *pair);
pid_t __wrap_fork(void);
int __wrap_porter_send(int socket, const struct porter_header *header, const void *data,
		       const int *fds, size_t n_fds, int flags);

void *__wrap_malloc(size_t n)
{
	return allow() ? __real_malloc(n) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return allow() ? __real_calloc(n, size) : NULL;
}

int __wrap_socketpair(int domain, int type, int protocol, int *pair)
{
	if (allow())
		return __real_socketpair(domain, type, protocol, pair);
	errno = EMFILE;
	return -1;
}

pid_t __wrap_fork(void)
{
	return allow() ? __real_fork() : -1;
}

int __wrap_porter_send(int socket, const struct porter_header *header, const void *data,
		       const int *fds, size_t n_fds, int flags)
{
	static const char much[PORTER_DATA_MAX];
	struct porter_header more = *header;

	if (talks_too_much == 0 || talks_too_much != getppid())
		return __real_porter_send(socket, header, data, fds, n_fds, flags);
	more.length = sizeof(much);
	return __real_porter_send(socket, &more, much, fds, n_fds, flags);
}

/* -- helpers ---------------------------------------------------------------------------------- */

static size_t scribes(pid_t *pids)
{
	pid_t all[PIDS_MAX];
	size_t n = children_of(getpid(), all, PIDS_MAX), found = 0;

	for (size_t i = 0; i < n; i++) {
		char path[64], name[32] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/comm", (int)all[i]);
		file = fopen(path, "re");
		if (file && fgets(name, sizeof(name), file) && !strcmp(name, "sb-scribe\n"))
			pids[found++] = all[i];
		if (file)
			fclose(file);
	}
	return found;
}

static int setup(void **state)
{
	struct harness *h;
	pid_t pids[PIDS_MAX];
	int r = harness_setup(state);

	h = *state;
	/* Those of the last test have said what there was to say, or it has failed. */
	for (size_t n; (n = scribes(pids)) > 0; usleep(1000))
		for (size_t i = 0; i < n; i++)
			kill(pids[i], SIGKILL);
	fail_at = 0;
	talks_too_much = 0;
	assert_int_equal(pipe2(h->gate, O_CLOEXEC), 0);
	return r;
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, harness_teardown)

static void open_gate(struct harness *h)
{
	assert_int_equal(write(h->gate[1], "x", 1), 1);
}

static void check_table(struct harness *h, int client, int size)
{
	char reply[64];
	int fd;

	snprintf(reply, sizeof(reply), "OK=1\nECHO=long-%d\n", size);
	assert_string_equal(client_reply(h, client, &fd), reply);
	assert_int_equal(lseek(fd, 0, SEEK_END), size);
	close(fd);
}

/* -- tests ------------------------------------------------------------------------------------ */

static void test_others_are_served(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = client_new(h);
	size_t fds;

	ask(h, a, "fine");
	ask(h, b, "fine");
	fds = count_fds();
	assert_int_equal(client_ask(a, "REQUEST=long-1000000\n"), 0);
	assert_int_equal(client_ask(a, "REQUEST=next\n"), 0);
	for (int i = 0; i < 5; i++)
		ask(h, b, "fine");
	assert_false(has_something(a));
	open_gate(h);
	check_table(h, a, 1000000);
	check_reply(h, a, "OK=1\nECHO=next\n");
	ask(h, b, "fine");
	assert_int_equal(count_fds(), fds);
}

/* Two at a time; the others have their turn. */
static void test_queue(void **state)
{
	struct harness *h = *state;
	int clients[5];
	pid_t pids[PIDS_MAX];

	for (int i = 0; i < 5; i++) {
		char request[32];

		snprintf(request, sizeof(request), "REQUEST=long-%d\n", i + 10);
		clients[i] = client_new(h);
		assert_int_equal(client_ask(clients[i], request), 0);
		harness_idle(h);
	}
	while (scribes(pids) < 2)
		harness_idle(h);
	assert_int_equal(scribes(pids), 2);
	/* One that waits, and one that is being written, are not wanted any more. */
	close(clients[1]);
	close(clients[3]);
	harness_idle(h);
	for (int i = 0; i < 5; i++)
		open_gate(h);
	for (int i = 0; i < 5; i += 2) {
		check_table(h, clients[i], i + 10);
		close(clients[i]);
	}
}

/* Those who administer have places of their own. */
static void test_lanes(void **state)
{
	struct harness *h = *state;
	int clients[4];
	pid_t pids[PIDS_MAX];

	for (int i = 0; i < 4; i++) {
		h->nobody_administers = i == 0;
		clients[i] = client_new(h);
		ask(h, clients[i], "fine");
		assert_int_equal(client_ask(clients[i], "REQUEST=long-10\n"), 0);
		while (i == 0 && scribes(pids) < 1)
			harness_idle(h);
	}
	for (int i = 0; i < 1000 && scribes(pids) < 3; i++)
		harness_idle(h);
	assert_int_equal(scribes(pids), 3); /* one of users, two of the three others */
	for (int i = 0; i < 4; i++)
		open_gate(h);
	for (int i = 0; i < 4; i++) {
		check_table(h, clients[i], 10);
		close(clients[i]);
	}
}

static void test_killed(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	pid_t pids[PIDS_MAX];

	assert_int_equal(client_ask(a, "REQUEST=long-1\n"), 0);
	while (scribes(pids) < 1)
		harness_idle(h);
	kill(pids[0], SIGKILL);
	check_reply(h, a,
		    "ERROR=EIO\nMESSAGE=the answer could not be written: Input/output error\n");
	ask(h, a, "fine");
}

/* One for each user who does not administer. */
static void test_users(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = -1, b = -1;

	h->nobody_administers = true;
	h->options.max_reply_bytes = 2000;
	server_configure(h->server, &h->options);
	a = client_new(h);
	b = client_new(h);
	ask(h, a, "fine");
	assert_int_equal(client_ask(a, "REQUEST=long-100\n"), 0);
	while (children_of(getpid(), (pid_t[2]){ 0 }, 2) < 2)
		harness_idle(h);
	assert_int_equal(client_ask(b, "REQUEST=long-100\n"), 0);
	check_reply(h, b,
		    "ERROR=EAGAIN\nMESSAGE=your user has one long answer being written already\n");
	ask(h, b, "fine");
	open_gate(h);
	check_table(h, a, 100);
	/* What it may have is known when it is there. */
	open_gate(h);
	assert_int_equal(client_ask(a, "REQUEST=long-1001\n"), 0);
	assert_non_null(strstr(client_reply(h, a, NULL), "ERROR=EDQUOT\nMESSAGE=the reply's table "
							 "has 1001 bytes; "));
	/* A client that goes meanwhile. */
	assert_int_equal(client_ask(b, "REQUEST=long-100\n"), 0);
	while (children_of(getpid(), (pid_t[2]){ 0 }, 2) < 2)
		harness_idle(h);
	b = sb_close(b);
	open_gate(h);
	ask(h, a, "fine");
}

/* What cannot be had is refused before it is written: nobody opens the gate. */
static void test_refused_at_once(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = -1, b = -1;

	h->nobody_administers = true;
	h->options.reply_bytes_per_minute = 3000;
	h->options.max_reply_bytes = 4000;
	server_configure(h->server, &h->options);
	a = client_new(h);
	b = client_new(h);
	/* Unread, all that the user may have. */
	open_gate(h);
	assert_int_equal(client_ask(a, "REQUEST=long-2000\n"), 0);
	assert_true(harness_turn(h, a));
	assert_int_equal(client_ask(b, "REQUEST=long-1\n"), 0);
	check_reply(h, b,
		    "ERROR=EDQUOT\nMESSAGE=replies to your user that were not read yet have 2000 "
		    "bytes, and may have 2000 (MaxReplyMemory= in sockbroker.conf)\n");
	check_table(h, a, 2000);
	ask(h, a, "fine");
	/* More a minute than it may have: how much is known when it is there, but only once. */
	open_gate(h);
	assert_int_equal(client_ask(b, "REQUEST=long-1500\n"), 0);
	assert_non_null(strstr(client_reply(h, b, NULL), "MaxReplyRate="));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(client_ask(i ? a : b, "REQUEST=long-1500\n"), 0);
		assert_non_null(strstr(client_reply(h, i ? a : b, NULL),
				       "ERROR=EDQUOT\nMESSAGE=your user has had all that it may of "
				       "tables for now (MaxReplyRate= in sockbroker.conf); ask "
				       "again in "));
	}
	ask(h, b, "fine");
	assert_int_equal(h->handled, 2);
	/* A reload that allows more. */
	h->options.reply_bytes_per_minute = 6000;
	server_configure(h->server, &h->options);
	open_gate(h);
	assert_int_equal(client_ask(b, "REQUEST=long-1500\n"), 0);
	check_table(h, b, 1500);
}

/* Nothing is lost on the way to a scribe, whatever fails, and the next request works. */
static void test_no_scribe(void **state)
{
	static const char *const refusals[] = {
		"ERROR=ENOMEM\nMESSAGE=the answer cannot be written: out of memory\n",
		"ERROR=ENOMEM\nMESSAGE=the answer cannot be written: out of memory\n",
		"ERROR=EMFILE\nMESSAGE=the answer could not be written: Too many open files\n",
		"ERROR=EAGAIN\nMESSAGE=the answer could not be written: Resource temporarily "
		"unavailable\n",
	};
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	size_t fds;

	ask(h, a, "fine");
	fds = count_fds();
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		fail_at = i + 1;
		assert_int_equal(client_ask(a, "REQUEST=long-1\n"), 0);
		check_reply(h, a, refusals[i]);
		assert_int_equal(fail_at, 0);
		assert_int_equal(count_fds(), fds);
	}
	open_gate(h);
	assert_int_equal(client_ask(a, "REQUEST=long-1\n"), 0);
	check_table(h, a, 1);
}

/* No memory to note what the user has had: it does not get it. */
static void test_not_counted(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = -1;

	h->nobody_administers = true;
	a = client_new(h);
	ask(h, a, "fine");
	assert_int_equal(client_ask(a, "REQUEST=size-10\n"), 0);
	fail_at = 1;
	check_reply(h, a,
		    "ERROR=ENOMEM\nMESSAGE=the reply's table cannot be counted: out of memory\n");
	assert_int_equal(fail_at, 0);
	assert_int_equal(client_ask(a, "REQUEST=long-10\n"), 0);
	open_gate(h);
	check_table(h, a, 10);
}

/* What no scribe would say is no answer, and its files are not kept. */
static void test_talks_too_much(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h);
	size_t fds;

	ask(h, a, "fine");
	fds = count_fds();
	talks_too_much = getpid();
	open_gate(h);
	assert_int_equal(client_ask(a, "REQUEST=long-1\n"), 0);
	check_reply(h, a,
		    "ERROR=EIO\nMESSAGE=the answer could not be written: Input/output error\n");
	talks_too_much = 0;
	assert_int_equal(count_fds(), fds);
}

static void test_server_goes(void **state)
{
	struct harness *h = *state;
	_cleanup_close_ int a = client_new(h), b = client_new(h), c = client_new(h);

	assert_int_equal(client_ask(a, "REQUEST=long-1\n"), 0);
	assert_int_equal(client_ask(b, "REQUEST=long-1\n"), 0);
	assert_int_equal(client_ask(c, "REQUEST=long-1\n"), 0);
	harness_idle(h);
	server_free(h->server);
	h->server = NULL;
	assert_null(client_reply(h, c, NULL));
	for (int i = 0; i < 3; i++)
		open_gate(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_others_are_served),
		TEST(test_queue),
		TEST(test_lanes),
		TEST(test_killed),
		TEST(test_users),
		TEST(test_refused_at_once),
		TEST(test_no_scribe),
		TEST(test_not_counted),
		TEST(test_talks_too_much),
		TEST(test_server_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
