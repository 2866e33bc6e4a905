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

static struct label *web(struct world *w)
{
	return registry_find(w->core->registry, "web");
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
		time_passes(w, SECOND_US);
		assert_false(warned(w, "Activate=:"));
		process_ends(w, pid);
	}
	assert_string_equal(label_value(w, "activation"), "ready");
}

/* It ends, or is ended, after AFTER_US: what waited waits on, or it has been accepted. */
static void serve(struct world *w, pid_t pid, uint64_t after_us, bool accept)
{
	take(w, pid);
	if (w->units->pending)
		unit_started(w, 0, true);
	time_passes(w, after_us);
	if (accept)
		accept_all(w);
	process_ends(w, pid);
	connections_wait(w, (uint64_t)tcp(w), 0);
}

/* It crashes at what it accepts, over and over: too many starts within the time. */
static void test_crash_loop(void **state)
{
	struct world *w = *state;
	pid_t pid = 300;

	connections_wait(w, (uint64_t)tcp(w), 1);
	while (w->units->pending) {
		serve(w, ++pid, 0, true);
		connections_wait(w, (uint64_t)tcp(w), 1);
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
		serve(w, ++pid, 0, true);
		connections_wait(w, (uint64_t)tcp(w), 1);
		assert_true(w->units->pending);
	}
}

/* It takes the sockets, and crashes before it accepts: failures, however slow it is. */
static void test_slow_crash_loop(void **state)
{
	struct world *w = *state;
	uint64_t cookie = (uint64_t)tcp(w);
	pid_t pid = 300;

	connections_wait(w, cookie, 1);
	while (w->units->pending && pid < 310) {
		serve(w, ++pid, 3 * SECOND_US, false);
		time_passes(w, 5 * SECOND_US);
	}
	assert_int_equal(w->units->n_starts, ACTIVATION_FAILURES_MAX);
	assert_string_equal(label_value(w, "activation"), "failed");
	assert_true(warned(w, "without accepting what waits"));
	assert_int_equal(fake_open_fds(w->host, cookie), 0);
	assert_int_equal(tcp(w), DROP);
}

/* What waits does so no longer than HoldTimeout= for all the services that come and go. */
static void crash_until_time_is_up(struct world *w, uint64_t after_us)
{
	uint64_t cookie = (uint64_t)tcp(w), end_us = w->host->monotonic_us + 90 * SECOND_US;
	size_t before = w->units->n_starts;
	static pid_t pid = 1000;

	connections_wait(w, cookie, 1);
	while ((uint64_t)tcp(w) == cookie) {
		if (w->units->pending)
			serve(w, ++pid, after_us, false);
		else
			time_passes(w, SECOND_US / 10);
		assert_true(w->host->monotonic_us <= end_us + after_us + SECOND_US);
	}
	assert_int_equal(fake_open_fds(w->host, cookie), 0);
	/* And it is started after growing pauses. */
	assert_in_range(w->units->n_starts - before, 10, 25);
}

static void test_quick_crash_loop(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < ACTIVATION_FAILURES_MAX; i++) {
		assert_string_equal(label_value(w, "activation"), "ready");
		crash_until_time_is_up(w, SECOND_US / 2);
		time_passes(w, 10 * SECOND_US);
	}
	assert_string_equal(label_value(w, "activation"), "failed");
	assert_true(warned(w, "HoldTimeout="));
}

/* Restarts are no failures, however many and quick, even if connections wait at each of them. */
static void test_quick_restarts(void **state)
{
	struct world *w = *state;
	uint64_t cookie = (uint64_t)tcp(w);
	pid_t pid = 300;

	for (int i = 0; i < 100; i++) {
		connections_wait(w, cookie, 1);
		serve(w, ++pid, SECOND_US / 4, false);
	}
	assert_string_equal(label_value(w, "activation"), "ready");
	assert_int_equal((uint64_t)tcp(w), cookie);
	take(w, ++pid);
	time_passes(w, SECOND_US / 4);
	accept_all(w);
	time_passes(w, SECOND_US);
	assert_false(warned(w, "Activate=:"));
	assert_int_equal(web(w)->activation.quick_ends, 0);
	/* And of a busy one some are accepted while more come. */
	for (int i = 0; i < 2 * ACTIVATION_FAILURES_MAX; i++) {
		process_ends(w, pid);
		connections_wait(w, cookie, 10);
		take(w, ++pid);
		time_passes(w, 3 * SECOND_US);
		accept_all(w);
		connections_wait(w, cookie, 9);
		time_passes(w, 3 * SECOND_US);
		connections_wait(w, cookie, 30);
		assert_string_equal(label_value(w, "activation"), "ready");
		assert_int_equal(web(w)->activation.failures, 0);
	}
}

/* Whoever stays does not have to be seen to accept. */
static void test_stays(void **state)
{
	struct world *w = *state;
	uint64_t cookie = (uint64_t)tcp(w);

	connections_wait(w, cookie, 1);
	unit_started(w, EIO, false);
	take(w, 300);
	time_passes(w, 89 * SECOND_US);
	assert_int_equal(web(w)->activation.failures, 1);
	time_passes(w, 20 * SECOND_US);
	assert_int_equal(web(w)->activation.failures, 0);
	/* What waits then has all the time again. */
	process_ends(w, 300);
	time_passes(w, 89 * SECOND_US);
	assert_int_equal((uint64_t)tcp(w), cookie);
	time_passes(w, SECOND_US);
	assert_int_not_equal((uint64_t)tcp(w), cookie);
}

/* It runs and ends, and does not take anything: what was to be a look at it has started it. */
static void test_ends_between_looks(void **state)
{
	struct world *w = *state;
	uint64_t cookie = (uint64_t)tcp(w);

	connections_wait(w, cookie, 1);
	for (int i = 0; i < 20 && w->units->pending; i++) {
		w->units->invocation = 1 + (unsigned)i / 3;
		unit_started(w, 0, true);
		time_passes(w, SECOND_US);
		if (!w->units->pending) /* a pause that grows */
			time_passes(w, 5 * SECOND_US);
	}
	assert_int_equal(w->units->invocation, 1 + ACTIVATION_FAILURES_MAX);
	assert_string_equal(label_value(w, "activation"), "failed");
	assert_true(warned(w, "without taking the sockets"));
	assert_int_equal(tcp(w), DROP);
}

/* Looks are no starts, but those that started it are. */
static void test_looks_and_the_limit(void **state)
{
	struct world *w = *state;
	struct core_label_config *l = (struct core_label_config *)w->config.labels;

	l->trigger_burst = 2;
	l->trigger_interval_us = 60 * SECOND_US;
	assert_int_equal(world_reload(w), 0);
	connections_wait(w, (uint64_t)tcp(w), 1);
	for (int i = 0; i < 30; i++) {
		w->units->invocation = i < 20 ? 1 : 2;
		unit_started(w, 0, true);
		time_passes(w, SECOND_US);
		assert_true(w->units->pending);
	}
	w->units->invocation = 3;
	unit_started(w, 0, true);
	assert_string_equal(label_value(w, "activation"), "failed");
	assert_true(warned(w, "3 starts within 60 s"));
}

/* It runs, and never takes anything. */
static void test_never_takes(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < ACTIVATION_FAILURES_MAX; i++) {
		assert_string_equal(label_value(w, "activation"), "ready");
		connections_wait(w, (uint64_t)tcp(w), 1);
		for (int k = 0; k < 100; k++) {
			if (w->units->pending)
				unit_started(w, 0, true);
			time_passes(w, SECOND_US);
		}
	}
	assert_string_equal(label_value(w, "activation"), "failed");
	assert_true(warned(w, "HoldTimeout="));
	assert_true(w->units->n_starts > 300);
	assert_int_equal(tcp(w), DROP);
}

/* A reload does not forget that something waits: the answer that is missing, ... */
static void test_reload_while_starting(void **state)
{
	struct world *w = *state;

	connections_wait(w, (uint64_t)tcp(w), 1);
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(w->units->n_starts, 2);
	assert_string_equal(label_value(w, "activation"), "starting");
	/* ... the pause after a failure, ... */
	unit_started(w, EIO, false);
	assert_string_equal(label_value(w, "activation"), "ready");
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(w->units->n_starts, 3);
	assert_false(warned(w, "Activate=:"));
	/* ... or the unit, which was not there before. */
	((struct core_label_config *)w->config.labels)->activate = NULL;
	assert_int_equal(world_reload(w), 0);
	unit_started(w, 0, true);
	assert_int_equal(w->units->n_starts, 3);
	((struct core_label_config *)w->config.labels)->activate = "other.service";
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(w->units->n_starts, 4);
	assert_string_equal(w->units->unit, "other.service");
	/* Nothing waits: nothing is started. */
	take(w, 300);
	accept_all(w);
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(w->units->n_starts, 4);
}

/* Nothing waits any more: there is nothing to start it for. */
static void test_nobody_waits_any_more(void **state)
{
	struct world *w = *state;

	connections_wait(w, (uint64_t)tcp(w), 1);
	unit_started(w, EIO, false);
	time_passes(w, 90 * SECOND_US); /* HoldTimeout= */
	time_passes(w, SECOND_US);
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
		TEST(test_slow_crash_loop),
		TEST(test_quick_crash_loop),
		TEST(test_quick_restarts),
		TEST(test_stays),
		TEST(test_ends_between_looks),
		TEST(test_looks_and_the_limit),
		TEST(test_never_takes),
		TEST(test_reload_while_starting),
		TEST(test_nobody_waits_any_more),
		TEST(test_late_answers),
		TEST(test_asking_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
