/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "broker/base/clock.h"
#include "broker/io/watch.h"

struct fixture {
	struct loop *loop;
	struct watch *watch;
	struct watch_port port;
	int ready[16];
	size_t n_ready, n_alarms;
	int again; /* to be watched again when it was ready; -1: none */
};

static void on_ready(void *data, int fd)
{
	struct fixture *f = data;

	f->ready[f->n_ready++] = fd;
	if (fd != f->again)
		return;
	f->again = -1;
	assert_int_equal(f->port.watch(f->port.self, fd), 0);
}

static void on_alarm(void *data)
{
	struct fixture *f = data;

	f->n_alarms++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->again = -1;
	f->loop = loop_new();
	f->watch = watch_new(f->loop, on_ready, on_alarm, f);
	assert_non_null(f->watch);
	f->port = watch_port(f->watch);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	watch_free(f->watch);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void turn(struct fixture *f)
{
	event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
}

static void test_once(void **state)
{
	struct fixture *f = *state;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(f->port.watch(f->port.self, p[0]), 0);
	turn(f);
	assert_int_equal(f->n_ready, 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	turn(f);
	turn(f);
	assert_int_equal(f->n_ready, 1);
	assert_int_equal(f->ready[0], p[0]);
	f->port.unwatch(f->port.self, p[0]); /* no more: a no-op */
	assert_int_equal(f->port.watch(f->port.self, p[0]), 0);
	turn(f);
	assert_int_equal(f->n_ready, 2);
	close(p[0]);
	close(p[1]);
}

static void test_again_from_within(void **state)
{
	struct fixture *f = *state;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	f->again = p[0];
	assert_int_equal(f->port.watch(f->port.self, p[0]), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	turn(f);
	assert_int_equal(f->n_ready, 2);
	close(p[0]);
	close(p[1]);
}

static void test_unwatch(void **state)
{
	struct fixture *f = *state;
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(f->port.watch(f->port.self, p[0]), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	f->port.unwatch(f->port.self, p[0]);
	f->port.unwatch(f->port.self, 100000);
	turn(f);
	assert_int_equal(f->n_ready, 0);
	close(p[0]);
	close(p[1]);
}

/* Numbers of any size; those that are left are forgotten at the end. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	int p[2], high[3];

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 1024, 1024 }), 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	for (int i = 0; i < 3; i++) {
		high[i] = fcntl(p[0], F_DUPFD_CLOEXEC, 60 + i * 400);
		assert_true(high[i] >= 60 + i * 400);
		assert_int_equal(f->port.watch(f->port.self, high[i]), 0);
	}
	f->port.unwatch(f->port.self, high[1]);
	assert_int_equal(write(p[1], "x", 1), 1);
	turn(f);
	assert_int_equal(f->n_ready, 2);
	assert_int_equal(f->port.watch(f->port.self, high[1]), 0);
	for (int i = 0; i < 3; i++)
		close(high[i]);
	close(p[0]);
	close(p[1]);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* epoll takes no such file */

	assert_int_equal(f->port.watch(f->port.self, file), -ENOMEM);
	close(file);
}

static void test_alarm(void **state)
{
	struct fixture *f = *state;
	uint64_t now = clock_monotonic_us();

	f->port.alarm(f->port.self, now + 3600000000ULL);
	turn(f);
	assert_int_equal(f->n_alarms, 0);
	f->port.alarm(f->port.self, now); /* replaces it */
	event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	assert_int_equal(f->n_alarms, 1);
	turn(f);
	assert_int_equal(f->n_alarms, 1);
	f->port.alarm(f->port.self, clock_monotonic_us() + 1000);
	event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
	assert_int_equal(f->n_alarms, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(once), TEST(again_from_within), TEST(unwatch),
		TEST(many), TEST(refused),           TEST(alarm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
