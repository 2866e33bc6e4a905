/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Activate=: when a unit is asked for, how often, and when the broker gives up. */
#include <stdio.h>

#include "broker/core/activation.h"
#include "tests/unit/core/world.h"

#define SECOND_US 1000000ULL

static struct core_label_config *configure(struct world *w)
{
	struct core_label_config *l =
		config_label(w, "web", RULES("tcp 192.0.2.0/24 80", "udp 192.0.2.0/24 53"));

	l->when_empty = WHEN_EMPTY_HOLD;
	l->hold_timeout_us = 90 * SECOND_US;
	l->activate = "web.service";
	l->trigger_interval_us = 2 * SECOND_US;
	l->trigger_burst = 20;
	return l;
}

static int setup(void **state)
{
	struct world *w = world_new();

	configure(w);
	assert_int_equal(world_start(w), 0);
	*state = w;
	return 0;
}

static int tcp(struct world *w)
{
	return hit(w, "tcp", "192.0.2.1", 80);
}

static const char *label_value(struct world *w, const char *key)
{
	const char *value;

	assert_int_equal(ask(w, "REQUEST=status\n"), 0);
	value = table_get(w, "label", 0, key);
	return value ? value : "";
}

static bool warned(struct world *w, const char *part)
{
	assert_int_equal(ask(w, "REQUEST=status\n"), 0);
	for (size_t i = 0; i < table_count(w, "warning"); i++)
		if (strstr(table_get(w, "warning", i, "text"), part))
			return true;
	return false;
}

static void take(struct world *w, pid_t pid)
{
	w->actor.pid = pid;
	assert_int_equal(ask(w, "REQUEST=take\nLABEL=web\n"), 0);
	assert_int_equal(ask(w, "REQUEST=version\n"), 0); /* what was taken is closed again */
}

/* What waited has been accepted. */
static void accept_all(struct world *w)
{
	for (size_t i = 0; i < w->host->n_files; i++)
		w->host->files[i].waiting = 0;
}

static void test_started_by_the_first(void **state)
{
	struct world *w = *state;
	uint64_t cookie = (uint64_t)tcp(w);

	assert_string_equal(label_value(w, "activate"), "web.service");
	assert_string_equal(label_value(w, "activation"), "ready");
	assert_int_equal(w->units->n_starts, 0);
	connections_wait(w, cookie, 1);
	assert_int_equal(w->units->n_starts, 1);
	assert_string_equal(w->units->unit, "web.service");
	assert_string_equal(label_value(w, "activation"), "starting");
	connections_wait(w, cookie, 5); /* more of them change nothing */
	connections_wait(w, (uint64_t)hit(w, "udp", "192.0.2.1", 53), 1);
	assert_int_equal(w->units->n_starts, 1);
	take(w, 300);
	accept_all(w);
	unit_started(w, 0, true);
	assert_int_equal((uint64_t)tcp(w), cookie);
	time_passes(w, 100 * SECOND_US);
	assert_int_equal(w->units->n_starts, 1);
}

/* When the unit ends the label arms again. */
static void test_armed_again(void **state)
{
	struct world *w = *state;
	uint64_t cookie = (uint64_t)tcp(w);

	for (pid_t pid = 300; pid < 303; pid++) {
		connections_wait(w, cookie, 1);
		take(w, pid);
		accept_all(w);
		unit_started(w, 0, true);
		time_passes(w, 10 * SECOND_US);
		process_ends(w, pid);
		assert_int_equal((uint64_t)tcp(w), cookie);
	}
	assert_int_equal(w->units->n_starts, 3);
	/* Also when it was held for so long that the broker's own socket is there again. */
	time_passes(w, 90 * SECOND_US);
	assert_int_not_equal((uint64_t)tcp(w), cookie);
	connections_wait(w, (uint64_t)tcp(w), 1);
	assert_int_equal(w->units->n_starts, 4);
}

/* It runs, but is slow to take the sockets: it is looked at, not started over and over. */
static void test_slow_service(void **state)
{
	struct world *w = *state;

	connections_wait(w, (uint64_t)tcp(w), 1);
	for (int i = 0; i < 60; i++) {
		unit_started(w, 0, true);
		time_passes(w, SECOND_US);
		assert_true(w->units->pending);
	}
	assert_string_equal(label_value(w, "activation"), "starting");
	take(w, 300);
	unit_started(w, 0, true);
	time_passes(w, 60 * SECOND_US);
	assert_false(w->units->pending);
}

static void give_up(struct world *w)
{
	connections_wait(w, (uint64_t)tcp(w), 2);
	for (int i = 0; i < ACTIVATION_FAILURES_MAX; i++) {
		assert_string_equal(label_value(w, "activation"), "starting");
		unit_started(w, ENOENT, false);
		time_passes(w, 5 * SECOND_US);
	}
	assert_int_equal(w->units->n_starts, ACTIVATION_FAILURES_MAX);
	assert_string_equal(label_value(w, "activation"), "failed");
}

static void test_given_up(void **state)
{
	struct world *w = *state;
	uint64_t first = (uint64_t)tcp(w);

	give_up(w);
	assert_true(warned(w, "until a service comes"));
	assert_true(warned(w, "it cannot be"));
	/* What waited is reset, and the label is empty. */
	assert_int_equal(fake_open_fds(w->host, first), 0);
	assert_int_equal(tcp(w), DROP);
	assert_int_equal(hit(w, "udp", "192.0.2.1", 53), DROP);
	time_passes(w, 1000 * SECOND_US);
	assert_int_equal(w->units->n_starts, ACTIVATION_FAILURES_MAX);
	assert_int_equal(ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n"), 0);
	assert_string_equal(table_get(w, "verdict", 0, "verdict"), "drop");
	assert_string_equal(table_get(w, "verdict", 0, "agrees"), "yes");
}

static void test_given_up_until_reload(void **state)
{
	struct world *w = *state;

	give_up(w);
	assert_int_equal(world_reload(w), 0);
	assert_true(tcp(w) > 0);
	assert_string_equal(label_value(w, "activation"), "ready");
	assert_false(warned(w, "it cannot be"));
	connections_wait(w, (uint64_t)tcp(w), 1);
	assert_int_equal(w->units->n_starts, ACTIVATION_FAILURES_MAX + 1);
}

/* A service that was there before is none that comes. */
static void test_given_up_beside_a_service(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080), udp;

	w->actor.pid = 300;
	assert_int_equal(ask_register(w, "web", fd), 0);
	udp = hit(w, "udp", "192.0.2.1", 53);
	assert_true(udp > 0);
	connections_wait(w, (uint64_t)udp, 1);
	while (w->units->pending) {
		unit_started(w, EIO, false);
		time_passes(w, 5 * SECOND_US);
	}
	assert_string_equal(label_value(w, "activation"), "failed");
	core_sweep(w->core);
	assert_string_equal(label_value(w, "activation"), "failed");
	assert_int_equal(tcp(w), fd);
	assert_int_equal(hit(w, "udp", "192.0.2.1", 53), DROP);
	assert_int_equal(ask_register(w, "web", fake_udp(w->host, "127.0.0.1", 53)), 0);
	assert_string_equal(label_value(w, "activation"), "ready");
}

/* Somebody has repaired it and started it by hand. */
static void test_given_up_until_a_service_takes(void **state)
{
	struct world *w = *state;

	give_up(w);
	take(w, 300);
	assert_true(tcp(w) > 0 && hit(w, "udp", "192.0.2.1", 53) > 0);
	assert_string_equal(label_value(w, "activation"), "ready");
	process_ends(w, 300);
	connections_wait(w, (uint64_t)tcp(w), 1);
	assert_int_equal(w->units->n_starts, ACTIVATION_FAILURES_MAX + 1);
}

static void test_given_up_until_a_service_registers(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	give_up(w);
	w->actor.pid = 300;
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(tcp(w), fd);
	core_sweep(w->core);
	assert_true(hit(w, "udp", "192.0.2.1", 53) > 0);
}

static void test_ends_without_taking(void **state)
{
	struct world *w = *state;

	connections_wait(w, (uint64_t)tcp(w), 1);
	for (int i = 0; i < ACTIVATION_FAILURES_MAX; i++) {
		unit_started(w, 0, false);
		time_passes(w, 5 * SECOND_US);
	}
	assert_string_equal(label_value(w, "activation"), "failed");
	assert_true(warned(w, "without taking the sockets"));
}

/* Success in between starts the count anew. */
static void test_failures_in_a_row(void **state)
{
	struct world *w = *state;
	uint64_t cookie = (uint64_t)tcp(w);

	for (pid_t pid = 300; pid < 310; pid++) {
		connections_wait(w, cookie, 1);
		for (int i = 1; i < ACTIVATION_FAILURES_MAX; i++) {
			unit_started(w, EIO, false);
			time_passes(w, 5 * SECOND_US);
		}
		assert_true(warned(w, "Activate=: it cannot be"));
		take(w, pid);
		accept_all(w);
		unit_started(w, 0, true);
		assert_false(warned(w, "Activate=:"));
		process_ends(w, pid);
	}
	assert_string_equal(label_value(w, "activation"), "ready");
}

/* It takes the sockets and crashes, over and over: too many starts within the time. */
static void test_crash_loop(void **state)
{
	struct world *w = *state;
	pid_t pid = 300;

	connections_wait(w, (uint64_t)tcp(w), 1);
	while (w->units->pending) {
		take(w, ++pid);
		unit_started(w, 0, true);
		process_ends(w, pid);
		connections_wait(w, (uint64_t)tcp(w), 0);
		assert_true(pid < 400);
	}
	assert_int_equal(w->units->n_starts, 20);
	assert_string_equal(label_value(w, "activation"), "failed");
	assert_true(warned(w, "21 starts within 2 s"));
	assert_int_equal(tcp(w), DROP);
}

static void test_no_limit(void **state)
{
	struct world *w = *state;
	pid_t pid = 300;

	((struct core_label_config *)w->config.labels)->trigger_burst = 0;
	assert_int_equal(world_reload(w), 0);
	connections_wait(w, (uint64_t)tcp(w), 1);
	for (int i = 0; i < 100; i++) {
		take(w, ++pid);
		unit_started(w, 0, true);
		process_ends(w, pid);
		connections_wait(w, (uint64_t)tcp(w), 0);
		assert_true(w->units->pending);
	}
}

/* Nothing waits any more: there is nothing to start it for. */
static void test_nobody_waits_any_more(void **state)
{
	struct world *w = *state;

	connections_wait(w, (uint64_t)tcp(w), 1);
	unit_started(w, EIO, false);
	time_passes(w, 90 * SECOND_US); /* HoldTimeout= */
	assert_int_equal(w->units->n_starts, 1);
	assert_string_equal(label_value(w, "activation"), "ready");
	connections_wait(w, (uint64_t)tcp(w), 1);
	assert_int_equal(w->units->n_starts, 2);
}

/* The answer may come for a label that is not what it was. */
static void test_late_answers(void **state)
{
	struct world *w = *state;
	struct unit_start start = { .error = EIO, .message = "late" };

	core_unit_started(w->core, w->units->label, &start);
	core_unit_started(w->core, SB_LABELS_MAX - 1, &start);
	core_unit_started(w->core, UINT32_MAX, &start);
	connections_wait(w, (uint64_t)tcp(w), 1);
	config_clear(w);
	assert_int_equal(world_reload(w), 0);
	unit_started(w, EIO, false);
	assert_int_equal(tcp(w), PASS);
}

static void test_asking_fails(void **state)
{
	struct world *w = *state;

	fake_calls_begin(&w->calls, 1, ECONNREFUSED);
	connections_wait(w, (uint64_t)tcp(w), 1);
	assert_int_equal(w->calls.failed_call, FAKE_CALL_unit_start);
	fake_calls_begin(&w->calls, 0, 0);
	assert_int_equal(w->units->n_starts, 0);
	assert_true(warned(w, "fake units"));
	time_passes(w, SECOND_US);
	assert_int_equal(w->units->n_starts, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_started_by_the_first),
		TEST(test_armed_again),
		TEST(test_slow_service),
		TEST(test_given_up),
		TEST(test_given_up_until_reload),
		TEST(test_given_up_beside_a_service),
		TEST(test_given_up_until_a_service_takes),
		TEST(test_given_up_until_a_service_registers),
		TEST(test_ends_without_taking),
		TEST(test_failures_in_a_row),
		TEST(test_crash_loop),
		TEST(test_no_limit),
		TEST(test_nobody_waits_any_more),
		TEST(test_late_answers),
		TEST(test_asking_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
