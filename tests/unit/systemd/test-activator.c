/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking for units, and the answers that may come. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "broker/systemd/activator.h"
#include "protocol/wire-io.h"

struct fixture {
	char directory[64], path[96];
	int listener;
	struct activator *activator;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strcpy(f->directory, "/tmp/test-activator-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->directory);
	strcpy(a.sun_path, f->path);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(f->listener, 1), 0);
	f->activator = activator_new(f->path);
	assert_non_null(f->activator);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	activator_free(f->activator);
	close(f->listener);
	unlink(f->path);
	rmdir(f->directory);
	free(f);
	return 0;
}

/* Starts UNIT; *RET_PEER is the other end, which has read the request. */
static int ask(struct fixture *f, const char *unit, uint32_t label, int *ret_peer)
{
	struct sb_error error = { 0 };
	struct sb_packet packet;
	char wanted[128];
	int fd = activator_start(f->activator, unit, label, &error);

	if (fd < 0)
		fail_msg("%s", error.message);
	assert_true(activator_owns(f->activator, fd));
	*ret_peer = accept(f->listener, NULL, NULL);
	assert_int_equal(sb_packet_receive(*ret_peer, &packet), 1);
	snprintf(wanted, sizeof(wanted), "REQUEST=start\nUNIT=%s\n", unit);
	assert_string_equal(packet.data, wanted);
	return fd;
}

static const struct {
	const char *answer; /* NULL: it hangs up */
	int error;
	bool active;
	const char *message, *invocation;
} answers[] = {
	{ "OK=1\nSTATE=active\n", 0, true, NULL, NULL },
	{ "OK=1\nSTATE=active\nINVOCATION=\n", 0, true, NULL, "" },
	{ "OK=1\nSTATE=active\nINVOCATION=0123456789abcdef0123456789abcdef\n", 0, true, NULL,
	  "0123456789abcdef0123456789abcdef" },
	{ "OK=1\nSTATE=active\nINVOCATION=0123456789abcdef0123456789abcdef0\n", 0, true, NULL, "" },
	{ "OK=1\nSTATE=activating\n", 0, true, NULL, NULL },
	{ "OK=1\nSTATE=reloading\n", 0, true, NULL, NULL },
	{ "OK=1\nSTATE=inactive\n", 0, false, NULL, NULL },
	{ "OK=1\nSTATE=failed\n", 0, false, NULL, NULL },
	{ "OK=1\n", 0, false, NULL, NULL },
	{ "ERROR=ENOENT\nMESSAGE=Unit web.service not found.\n", ENOENT, false, "not found", NULL },
	{ "nonsense", EPROTO, false, "", NULL },
	{ NULL, EPIPE, false, "without an answer", NULL },
};

static void test_answers(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct sb_error error = { 0 };
		struct unit_start start;
		uint32_t label = 0;
		int peer, fd = ask(f, "web.service", 7, &peer);

		if (answers[i].answer)
			assert_true(send(peer, answers[i].answer, strlen(answers[i].answer), 0) >
				    0);
		close(peer);
		start = activator_read(f->activator, fd, &label, &error);
		assert_int_equal(label, 7);
		assert_int_equal(start.error, answers[i].error);
		assert_int_equal(start.active, answers[i].active);
		assert_string_equal(start.invocation,
				    answers[i].invocation ? answers[i].invocation : "");
		if (start.error)
			assert_non_null(strstr(start.message, answers[i].message));
		assert_false(activator_owns(f->activator, fd));
	}
}

static void test_several(void **state)
{
	struct fixture *f = *state;
	struct sb_error error = { 0 };
	int peers[3], fds[3];
	uint32_t label;

	for (int i = 0; i < 3; i++)
		fds[i] = ask(f, "web.service", (uint32_t)i, &peers[i]);
	for (int i = 2; i >= 0; i--)
		assert_true(send(peers[i], "OK=1\n", 5, 0) > 0);
	activator_read(f->activator, fds[1], &label, &error);
	assert_int_equal(label, 1);
	activator_forget(f->activator, fds[0]);
	assert_false(activator_owns(f->activator, fds[0]));
	for (int i = 0; i < 3; i++)
		close(peers[i]);
	/* The third one is freed with the rest. */
}

static void test_out_of_reach(void **state)
{
	struct fixture *f = *state;
	struct activator *a = activator_new("/nowhere/at/all");
	struct activator *too_long = activator_new(
		"/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/"
		"0123456789/0123456789/0123456789");
	struct sb_error error = { 0 };

	assert_int_equal(activator_start(a, "web.service", 1, &error), -ENOENT);
	assert_non_null(strstr(error.message, "/nowhere/at/all"));
	assert_non_null(strstr(error.message, "sockbroker-activate.socket"));
	assert_int_equal(activator_start(too_long, "web.service", 1, &error), -ENAMETOOLONG);
	activator_free(a);
	activator_free(too_long);
	/* Nobody accepts: it does not wait for that either. */
	for (int i = 0; i < 2; i++)
		assert_true(activator_start(f->activator, "web.service", 1, &error) >= 0);
	assert_int_equal(activator_start(f->activator, "web.service", 1, &error), -EAGAIN);
	activator_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(answers), TEST(several), TEST(out_of_reach) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
