/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keepers: what they have is closed when they end, and not before. A stopped one stands for one
 * that the kernel holds up. */
#include "tests/unit/io/harness.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>

#include "broker/io/keepers.h"
#include "broker/io/zygote.h"

#define PIDS_MAX 32
#define TURNS_MAX 10000 /* of a millisecond, at most */

struct fixture {
	struct event_base *base;
	struct zygote *zygote;
	struct keepers *keepers;
	size_t fds_before;
};

static bool no_process;

int __real_zygote_spawn(struct zygote *z, enum process_kind kind, const int *fds, size_t n);
int __wrap_zygote_spawn(struct zygote *z, enum process_kind kind, const int *fds, size_t n);

int __wrap_zygote_spawn(struct zygote *z, enum process_kind kind, const int *fds, size_t n)
{
	return no_process ? -EAGAIN : __real_zygote_spawn(z, kind, fds, n);
}

static int setup(void **state)
{
	static const zygote_child children[PROCESS_KINDS] = { [PROCESS_KEEPER] = keeper_main };
	struct fixture *f = calloc(1, sizeof(*f));

	f->fds_before = count_fds();
	f->zygote = zygote_new(children, NULL);
	f->base = event_base_new();
	f->keepers = keepers_new(f->base, f->zygote);
	assert_non_null(f->keepers);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	keepers_free(f->keepers);
	event_base_free(f->base);
	zygote_free(f->zygote);
	assert_int_equal(count_fds(), f->fds_before);
	free(f);
	return 0;
}

/* Turns until there are as many keepers. */
static void until_there_are(struct fixture *f, size_t n)
{
	pid_t pids[PIDS_MAX];

	for (int i = 0; i < TURNS_MAX && porters(pids, PIDS_MAX) != n; i++) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	event_base_loop(f->base, EVLOOP_NONBLOCK);
	assert_int_equal(porters(pids, PIDS_MAX), n);
}

/* Gives a file away. The end of it that is returned tells when all others are closed. */
static int give(struct fixture *f, uid_t uid)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	keepers_take(f->keepers, uid, ends[1]);
	return ends[0];
}

static bool is_kept(int end)
{
	char c;

	return read(end, &c, 1) < 0 && errno == EAGAIN;
}

static void until_closed(struct fixture *f, int end)
{
	for (int i = 0; i < TURNS_MAX && is_kept(end); i++) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	assert_false(is_kept(end));
	close(end);
}

static void test_kept_for_a_while(void **state)
{
	struct fixture *f = *state;
	int a = give(f, 1000), b = give(f, 1000);

	until_there_are(f, 1);
	assert_true(is_kept(a) && is_kept(b));
	until_closed(f, a);
	until_closed(f, b);
	until_there_are(f, 0);
	assert_false(keepers_are_full(f->keepers));
}

static void test_users_have_their_own(void **state)
{
	struct fixture *f = *state;
	int a = give(f, 1000), b = give(f, 1001);

	until_there_are(f, 2);
	until_closed(f, a);
	until_closed(f, b);
}

/* One that was killed is replaced. */
static void test_killed(void **state)
{
	struct fixture *f = *state;
	int a = give(f, 1000), b;
	pid_t pids[PIDS_MAX];

	until_there_are(f, 1);
	assert_int_equal(porters(pids, PIDS_MAX), 1);
	kill(pids[0], SIGKILL);
	until_closed(f, a);
	until_there_are(f, 0);
	b = give(f, 1000);
	until_there_are(f, 1);
	until_closed(f, b);
}

/* Nothing is left behind by who goes first. */
static void test_owner_goes(void **state)
{
	struct fixture *f = *state;
	int a = give(f, 1000);

	until_there_are(f, 1);
	keepers_free(f->keepers);
	f->keepers = NULL;
	until_closed(f, a);
	until_there_are(f, 0);
}

/* Without processes files stay open here, and are offered again. */
static void test_no_process(void **state)
{
	struct fixture *f = *state;
	int ends[64];

	no_process = true;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		assert_false(keepers_are_full(f->keepers));
		ends[i] = give(f, 1000);
	}
	assert_true(keepers_are_full(f->keepers));
	assert_true(is_kept(ends[0]));
	no_process = false;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		until_closed(f, ends[i]);
	assert_false(keepers_are_full(f->keepers));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept_for_a_while, setup, teardown),
		cmocka_unit_test_setup_teardown(test_users_have_their_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_process, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
