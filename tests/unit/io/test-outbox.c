/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages between the broker and a porter, and those that have to wait. */
#include "tests/unit/io/harness.h"

#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "broker/io/keepers.h"
#include "broker/io/outbox.h"
#include "broker/io/zygote.h"

struct box {
	struct event_base *base;
	int ours, theirs;
	struct outbox outbox;
	struct zygote *zygote;
	struct keepers *keepers;
	size_t fds_before;
	struct porter_message message;
};

static const zygote_child children[PROCESS_KINDS] = { [PROCESS_KEEPER] = keeper_main };

static int setup(void **state)
{
	struct box *b = calloc(1, sizeof(*b));
	int pair[2];

	b->fds_before = count_fds();
	b->zygote = zygote_new(children, NULL);
	b->base = event_base_new();
	b->keepers = keepers_new(b->base, b->zygote);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	b->ours = pair[0];
	b->theirs = pair[1];
	assert_int_equal(outbox_init(&b->outbox, b->base, b->ours, b->keepers, 1000), 0);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct box *b = *state;

	outbox_clear(&b->outbox);
	keepers_free(b->keepers);
	event_base_free(b->base);
	zygote_free(b->zygote);
	close(b->ours);
	sb_close(b->theirs);
	assert_int_equal(count_fds(), b->fds_before);
	free(b);
	return 0;
}

static void turn(struct box *b)
{
	event_base_loop(b->base, EVLOOP_NONBLOCK);
}

static void send_number(struct box *b, uint32_t number)
{
	const struct porter_header header = {
		.kind = PORTER_REPLY,
		.id = number,
		.length = 1000,
	};
	char data[1000];
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	memset(data, (int)number, sizeof(data));
	outbox_send(&b->outbox, &header, data, &fd, 1);
}

static void check_number(struct box *b, uint32_t number)
{
	assert_int_equal(porter_receive(b->theirs, &b->message, MSG_DONTWAIT), 1);
	assert_int_equal(b->message.header.kind, PORTER_REPLY);
	assert_int_equal(b->message.header.id, number);
	assert_int_equal(b->message.header.length, 1000);
	assert_int_equal(b->message.data[999], (char)number);
	assert_int_equal(b->message.n_fds, 1);
	assert_true(fcntl(b->message.fds[0], F_GETFD) & FD_CLOEXEC);
	porter_message_close(&b->message);
}

/* All of it comes, in order. */
static void test_full(void **state)
{
	struct box *b = *state;
	uint32_t sent = 0;

	while (outbox_is_empty(&b->outbox))
		send_number(b, sent++);
	for (int i = 0; i < 20; i++)
		send_number(b, sent++);
	for (uint32_t i = 0; i < sent; i++) {
		check_number(b, i);
		turn(b);
	}
	assert_true(outbox_is_empty(&b->outbox));
	assert_int_equal(porter_receive(b->theirs, &b->message, MSG_DONTWAIT), -EAGAIN);
}

/* What waits is closed with the box, and what nobody is there to take at once. */
static void test_clear(void **state)
{
	struct box *b = *state;

	for (uint32_t i = 0; outbox_is_empty(&b->outbox) || i < 1000; i++)
		send_number(b, i);
	outbox_clear(&b->outbox);
	outbox_clear(&b->outbox);
	b->theirs = sb_close(b->theirs);
	assert_int_equal(outbox_init(&b->outbox, b->base, b->ours, b->keepers, 1000), 0);
	send_number(b, 1);
	assert_true(outbox_is_empty(&b->outbox));
}

static void test_nonsense(void **state)
{
	struct box *b = *state;
	struct porter_header header = { .kind = PORTER_PING, .length = 1 };
	int fd = b->ours;

	assert_int_equal(send(b->ours, "x", 1, 0), 1);
	assert_int_equal(porter_receive(b->theirs, &b->message, MSG_DONTWAIT), -EPROTO);
	assert_int_equal(send(b->ours, &header, sizeof(header), 0), sizeof(header));
	assert_int_equal(porter_receive(b->theirs, &b->message, MSG_DONTWAIT), -EPROTO);
	header.length = 0;
	assert_int_equal(porter_send(b->ours, &header, NULL, &fd, 1, 0), 0);
	assert_int_equal(porter_receive(b->theirs, &b->message, MSG_DONTWAIT), 1);
	assert_int_equal(b->message.n_fds, 1);
	porter_message_close(&b->message);
	assert_int_equal(shutdown(b->ours, SHUT_RDWR), 0);
	assert_int_equal(porter_receive(b->theirs, &b->message, MSG_DONTWAIT), 0);
}

#define TEST_BOX(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_BOX(test_full),
		TEST_BOX(test_clear),
		TEST_BOX(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
