/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Slots for sockets that a porter stores. */
#include "tests/unit/core/world.h"

#include <stdio.h>

static struct request request_of(struct world *w, const char *packet)
{
	assert_int_equal(sb_message_decode(&w->request, packet, strlen(packet), NULL), 0);
	return (struct request){ .message = &w->request, .actor = &w->actor, .pidfd = -1 };
}

static enum files_wanted wanted(struct world *w, const char *packet)
{
	struct request request = request_of(w, packet);

	return core_wants_files(w->core, &request);
}

static int setup(void **state)
{
	int r = world_setup(state);
	struct world *w = *state;
	struct core_label_config *keep;

	allow_user(config_label(w, "web", NULL), 33);
	allow_user(config_label(w, "other", NULL), 34);
	keep = config_label(w, "keep", NULL);
	keep->when_empty = WHEN_EMPTY_HOLD;
	allow_user(keep, 33);
	assert_int_equal(world_reload(w), 0);
	w->actor = (struct actor){ .pid = 200, .uid = 33, .gid = 33 };
	return r;
}

/* Nobody's files are looked at who may not register them. */
static void test_wanted(void **state)
{
	struct world *w = *state;

	assert_int_equal(wanted(w, "web#"), FILES_LOOKED_AT);
	assert_int_equal(wanted(w, "other#"), FILES_UNWANTED);
	assert_int_equal(wanted(w, "nobody#"), FILES_UNWANTED);
	assert_int_equal(wanted(w, "keep#"), FILES_PASSED_ON);
	assert_int_equal(wanted(w, "REQUEST=register\nLABEL=web\nLABEL=keep\n"), FILES_PASSED_ON);
	assert_int_equal(wanted(w, "REQUEST=register\nLABEL=web\nLABEL=other\n"), FILES_UNWANTED);
	assert_int_equal(wanted(w, "REQUEST=status\n"), FILES_UNWANTED);
	assert_int_equal(wanted(w, "REQUEST=register\n"), FILES_UNWANTED);
	assert_int_equal(wanted(w, "REQUEST=register\nPIDFD=yes\n"), FILES_UNWANTED);
	assert_int_equal(wanted(w, "REQUEST=unregister\nLABEL=web\n"), FILES_UNWANTED);
	assert_int_equal(wanted(w, "LABEL=web\nREQUEST=register\n"), FILES_UNWANTED);
	w->actor.uid = 0;
	assert_int_equal(wanted(w, "nobody#"), FILES_LOOKED_AT);
}

/* Root's, which nobody is charged for. */
static int reserve(struct world *w, uint32_t *slots, size_t n)
{
	struct quota_charge charge = { 0 };

	return core_slots_reserve(w->core, 0, slots, n, &charge, &w->error);
}

static void test_reserve_and_release(void **state)
{
	struct world *w = *state;
	struct request_socket sockets[3] = { 0 };
	uint32_t slots[3];

	assert_int_equal(reserve(w, slots, 3), 0);
	assert_int_equal(w->core->registry->slots.used, 3);
	for (size_t i = 0; i < 3; i++) {
		sockets[i].slot = slots[i];
		assert_int_equal(w->kernel->slots[slots[i]].owner, SB_SLOT_RESERVED);
		w->kernel->slots[slots[i]].cookie = 1 + i;
	}
	sockets[1].taken = true;
	core_slots_release(w->core, sockets, 3);
	assert_int_equal(w->core->registry->slots.used, 1);
	assert_int_equal(w->kernel->slots[slots[0]].owner, 0);
	assert_int_equal(w->kernel->slots[slots[0]].cookie, 0);
	assert_int_equal(w->kernel->slots[slots[1]].cookie, 2);
	sockets[1].taken = false;
	/* What cannot be emptied stays out of use. */
	fake_calls_begin(&w->calls, 1, EIO);
	core_slots_release(w->core, &sockets[1], 1);
	assert_int_equal(w->core->registry->slots.used, 1);
}

static void test_no_slots_left(void **state)
{
	struct world *w = *state;
	uint32_t slots[4];

	range_take(&w->core->registry->slots, SB_SLOTS_MAX - 3);
	assert_int_equal(reserve(w, slots, 4), -E2BIG);
	assert_int_equal(w->core->registry->slots.used, SB_SLOTS_MAX - 3);
	assert_int_equal(reserve(w, slots, 3), 0);
	range_give(&w->core->registry->slots, slots[0], 3);
	for (size_t n = 1; n <= 3; n++) {
		fake_calls_begin(&w->calls, n, EIO);
		assert_int_equal(reserve(w, slots, 3), -EIO);
		assert_int_equal(w->core->registry->slots.used, SB_SLOTS_MAX - 3);
	}
}

/* A socket of an earlier run's porter may still be on its way there: the slot is emptied, and not
 * used, nor is it in the way of a start. */
static void test_start_heeds_them(void **state)
{
	struct world *w = *state;
	uint32_t slots[2], first;

	assert_int_equal(reserve(w, slots, 2), 0);
	first = slots[0];
	w->kernel->slots[first].cookie = 77;
	for (int i = 0; i < 2; i++) { /* and the run after that */
		assert_int_equal(world_start(w), 0);
		assert_int_equal(w->core->registry->slots.used, 2);
		assert_int_equal(w->kernel->slots[first].cookie, 0);
		assert_int_equal(w->kernel->slots[first].owner, SB_SLOT_RESERVED);
	}
}

/* Nobody is there who could store into them. */
static void test_start_alone(void **state)
{
	struct world *w = *state;
	uint32_t slots[2];

	assert_int_equal(reserve(w, slots, 2), 0);
	w->kernel->slots[slots[0]].cookie = 77;
	w->alone = true;
	assert_int_equal(world_start(w), 0);
	assert_int_equal(w->core->registry->slots.used, 0);
	assert_int_equal(w->kernel->slots[slots[0]].cookie, 0);
	assert_int_equal(w->kernel->slots[slots[0]].owner, 0);
	assert_int_equal(w->kernel->slots[slots[1]].owner, 0);
}

/* They are the user's who sends the sockets, as long as they are on their way. */
static void test_charged(void **state)
{
	struct world *w = *state;
	struct quota_charge charges[3] = { { 0 } };
	struct request_socket sockets[4] = { 0 };
	uint32_t slots[4];

	range_take(&w->core->registry->slots, SB_SLOTS_MAX - 8);
	assert_int_equal(core_slots_reserve(w->core, 33, slots, 4, &charges[0], &w->error), 0);
	assert_int_equal(quota_used(w->quota, QUOTA_SOCKETS), 4);
	check_refusal(w, core_slots_reserve(w->core, 33, slots, 1, &charges[1], &w->error), EDQUOT,
		      "uid 33 has 4 sockets registered or on their way, and sends 1 more; its "
		      "share of the broker's 65536 slots is 4 just now");
	assert_int_equal(core_slots_reserve(w->core, 34, slots, 2, &charges[1], &w->error),
			 -EDQUOT);
	assert_int_equal(core_slots_reserve(w->core, 34, &slots[3], 1, &charges[1], &w->error), 0);
	quota_charge_clear(&charges[1]);
	/* One that failed is not charged. */
	fake_calls_begin(&w->calls, 1, EIO);
	assert_int_equal(core_slots_reserve(w->core, 35, slots, 1, &charges[2], &w->error), -EIO);
	assert_null(charges[2].user);
	quota_charge_clear(&charges[0]);
	for (size_t i = 0; i < 4; i++)
		sockets[i].slot = slots[i];
	core_slots_release(w->core, &sockets[3], 1);
	assert_int_equal(quota_used(w->quota, QUOTA_SOCKETS), 0);
}

/* What could not be stored, or not be looked at, is refused like any other. */
static void test_what_the_porter_says(void **state)
{
	struct world *w = *state;
	struct request request = request_of(w, "REQUEST=register\nLABEL=web\n");
	struct request_socket socket = { 0 };
	uint32_t slot;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	assert_int_equal(reserve(w, &slot, 1), 0);
	socket = (struct request_socket){ .slot = slot, .facts = *fake_facts(w->host, fd) };
	request.n_fds = 1;
	request.sockets = &socket;
	socket.stored = -EEXIST;
	core_request(w->core, &request, &w->reply);
	assert_non_null(strstr(w->reply.writer.buffer,
			       "ERROR=EIO\nMESSAGE=label web: the kernel does "
			       "not take socket 127.0.0.1:8080"));
	socket.stored = 0;
	socket.looked = -EBADF;
	w->reply = (struct reply){ 0 };
	core_request(w->core, &request, &w->reply);
	assert_non_null(strstr(w->reply.writer.buffer, "socket 0 cannot be looked at"));
	assert_false(socket.taken);
	/* Nobody has it: the actor's rights have changed. */
	request.sockets = NULL;
	w->reply = (struct reply){ 0 };
	core_request(w->core, &request, &w->reply);
	assert_non_null(strstr(w->reply.writer.buffer, "ERROR=EAGAIN\n"));
	w->reply = (struct reply){ 0 };
	core_slots_release(w->core, &socket, 1);
	assert_int_equal(w->core->registry->slots.used, 0);
}

/* The same for who administers by now. */
static void test_apply_without_its_file(void **state)
{
	struct world *w = *state;
	struct request request = request_of(w, "REQUEST=apply\n");

	w->actor.uid = 0;
	request.n_fds = 1;
	core_request(w->core, &request, &w->reply);
	assert_non_null(strstr(w->reply.writer.buffer, "ERROR=EAGAIN\n"));
	w->reply = (struct reply){ 0 };
}

/* hold needs the socket itself. */
static void test_hold_without_the_socket(void **state)
{
	struct world *w = *state;
	struct request request = request_of(w, "REQUEST=register\nLABEL=keep\n");
	struct request_socket socket = { 0 };
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);
	uint32_t slot;

	assert_int_equal(reserve(w, &slot, 1), 0);
	socket = (struct request_socket){ .slot = slot, .facts = *fake_facts(w->host, fd) };
	w->kernel->slots[slot].cookie = socket.facts.cookie;
	request.n_fds = 1;
	request.sockets = &socket;
	core_request(w->core, &request, &w->reply);
	assert_non_null(strstr(w->reply.writer.buffer, "ERROR=EAGAIN\n"));
	w->reply = (struct reply){ 0 };
	core_slots_release(w->core, &socket, 1);
	assert_int_equal(w->core->registry->slots.used, 0);
}

static void test_takes_long(void **state)
{
	struct world *w = *state;
	struct request request = request_of(w, "REQUEST=rules\n");
	_cleanup_free_ char *text = NULL;
	size_t n = 0;

	w->actor.uid = 0;
	w->config.settings.max_rules = 100000;
	assert_int_equal(world_reload(w), 0);
	assert_false(core_takes_long(w->core, &request));
	text = malloc(5000 * 40);
	for (int i = 0; i < 5000; i++)
		n += (size_t)sprintf(text + n, "tcp 10.0.%d.%d 80 %s\n", i / 256, i % 256,
				     i % 2 ? "web" : "other");
	assert_int_equal(ask_apply(w, text, false), 0);
	request = request_of(w, "REQUEST=rules\n");
	assert_true(core_takes_long(w->core, &request));
	request = request_of(w, "REQUEST=rules\nFORMAT=text\n");
	assert_true(core_takes_long(w->core, &request));
	request = request_of(w, "REQUEST=rules\nLABEL=web\n");
	assert_false(core_takes_long(w->core, &request));
	request = request_of(w, "REQUEST=status\n");
	assert_false(core_takes_long(w->core, &request));
	request = request_of(w, "REQUEST=apply\n");
	assert_false(core_takes_long(w->core, &request));
	request = request_of(w, "web#");
	assert_false(core_takes_long(w->core, &request));
	request = request_of(w, "X=y\n");
	assert_false(core_takes_long(w->core, &request));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_wanted),
		TEST(test_reserve_and_release),
		TEST(test_no_slots_left),
		TEST(test_start_heeds_them),
		TEST(test_start_alone),
		TEST(test_charged),
		TEST(test_what_the_porter_says),
		TEST(test_apply_without_its_file),
		TEST(test_hold_without_the_socket),
		TEST(test_takes_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
