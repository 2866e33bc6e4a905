/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is taken from a client that is turned away, and what is left. */
#include <fcntl.h>
#include <sys/socket.h>

#include "broker/io/refusal.h"
#include "protocol/wire-io.h"
#include "tests/unit/io/harness.h"

struct pair {
	int here, client;
};

static int setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int ends[2];

	assert_non_null(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	*p = (struct pair){ ends[0], ends[1] };
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	sb_close(p->here);
	sb_close(p->client);
	free(p);
	return 0;
}

static bool refuse(struct pair *p)
{
	struct sb_error error = { 0 };

	sb_fail(&error, EAGAIN, "not now");
	refusal_send(p->here, &error);
	return refusal_drain(p->here);
}

/* The refusal, and then the end, not a reset. */
static void check_told(const struct pair *p)
{
	static struct sb_packet packet;

	assert_int_equal(sb_packet_receive(p->client, &packet), 1);
	packet.data[packet.length] = '\0';
	assert_string_equal(packet.data, "ERROR=EAGAIN\nMESSAGE=not now\n");
	assert_int_equal(sb_packet_receive(p->client, &packet), 0);
}

static void test_nothing_was_sent(void **state)
{
	struct pair *p = *state;

	assert_true(refuse(p));
	p->here = sb_close(p->here);
	check_told(p);
}

static void test_packets(void **state)
{
	struct pair *p = *state;

	assert_int_equal(client_send(p->client, "REQUEST=version\n", 16, NULL), 0);
	assert_int_equal(send(p->client, "", 0, 0), 0);
	assert_int_equal(client_send(p->client, "web#", 4, NULL), 0);
	assert_true(refuse(p));
	p->here = sb_close(p->here);
	check_told(p);
	/* It can send no more. */
	assert_int_equal(client_send(p->client, "web#", 4, NULL), -EPIPE);
}

/* A file is not received, and not closed: its end is seen when the connection is closed. */
static void test_files(void **state)
{
	struct pair *p = *state;
	int ends[2];
	char c;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(client_send(p->client, "REQUEST=version\n", 16, NULL), 0);
	assert_int_equal(client_send(p->client, "web#", 4, (const int[]){ ends[1], -1 }), 0);
	close(ends[1]);
	assert_false(refuse(p));
	assert_int_equal(read(ends[0], &c, 1), -1);
	p->here = sb_close(p->here);
	assert_int_equal(read(ends[0], &c, 1), 0);
	close(ends[0]);
}

static void test_too_much(void **state)
{
	struct pair *p = *state;

	for (int i = 0; i < 65; i++)
		assert_int_equal(client_send(p->client, "x", 1, NULL), 0);
	assert_false(refuse(p));
}

/* The client closed its end: whatever was sent is still looked at. */
static void test_client_is_gone(void **state)
{
	struct pair *p = *state;
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(client_send(p->client, "web#", 4, (const int[]){ file, -1 }), 0);
	close(file);
	p->client = sb_close(p->client);
	assert_false(refuse(p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_was_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_much, setup, teardown),
		cmocka_unit_test_setup_teardown(test_client_is_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
