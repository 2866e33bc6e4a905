/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets of a label without a living socket wait in the broker's own (SB_EMPTY_HOLD). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/bpf/steered.h"

static void hold(const struct fixture *f, const char *kind, uint32_t slot, const int *own,
		 unsigned n)
{
	group_fill(&f->port, group_of(LABEL, kind, SB_GROUP_HOLD), slot, own, n, SB_EMPTY_HOLD);
	for (uint32_t family = SB_GROUP_V4; family <= SB_GROUP_DUAL; family++)
		assert_int_equal(f->port.group_store(f->port.self, group_of(LABEL, kind, family), 0,
						     0, SB_EMPTY_HOLD),
				 0);
}

static void fill_held(const struct fixture *f, uint32_t family, uint32_t slot, const int *fds,
		      unsigned n)
{
	group_fill(&f->port, group_of(LABEL, "tcp", family), slot, fds, n, SB_EMPTY_HOLD);
}

static void test_each_family_waits_in_its_own(void **state)
{
	struct fixture *f = *state;
	int own[2] = { socket_open("tcp", REAL, 0), socket_open("tcp", "::1", 0) };

	hold(f, "tcp", 0, own, 2);
	for (int i = 0; i < PACKETS; i++) {
		assert_true(reaches(own[0], STEERED, PORT));
		assert_true(reaches(own[1], "::1", PORT));
	}
	/* Neither is a miss, or an error. */
	assert_counted(f, "tcp", SB_GROUP_V4,
		       (struct sb_group_counters){ .lookups = PACKETS, .held = PACKETS });
	assert_counted(f, "tcp", SB_GROUP_V6,
		       (struct sb_group_counters){ .lookups = PACKETS, .held = PACKETS });
	assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, 1).cookie,
			 socket_cookie(own[0]));
	close(own[0]);
	close(own[1]);
}

static void test_one_family_only(void **state)
{
	struct fixture *f = *state;
	int own = socket_open("tcp", "::1", 0);

	hold(f, "tcp", 0, &own, 1);
	assert_true(reaches(own, "::1", PORT));
	knock(1);
	assert_counted(f, "tcp", SB_GROUP_V4,
		       (struct sb_group_counters){ .lookups = 1, .misses = 1 });
	close(own);
}

static void test_udp(void **state)
{
	struct fixture *f = *state;
	int own = socket_open("udp", REAL, 0), client = client_connect("udp", STEERED, PORT);
	char buf[8];

	hold(f, "udp", 0, &own, 1);
	assert_int_equal(send(client, "x", 1, 0), 1);
	assert_int_equal(recv(own, buf, sizeof(buf), 0), 1);
	assert_counted(f, "udp", SB_GROUP_V4,
		       (struct sb_group_counters){ .lookups = 1, .held = 1 });
	close(client);
	close(own);
}

/* The kernel does not ask the broker whether the service has gone. */
static void test_service_comes_and_goes(void **state)
{
	struct fixture *f = *state;
	int own = socket_open("tcp", REAL, 0), v4 = socket_open("tcp", REAL, 0);
	int dual = socket_open("tcp", "::", 0);

	hold(f, "tcp", 0, &own, 1);
	fill_held(f, SB_GROUP_DUAL, 2, &dual, 1);
	assert_true(reaches(dual, STEERED, PORT));
	fill_held(f, SB_GROUP_V4, 3, &v4, 1);
	assert_true(reaches(v4, STEERED, PORT));
	close(v4);
	assert_true(reaches(dual, STEERED, PORT));
	close(dual);
	assert_true(reaches(own, STEERED, PORT));
	close(own);
	knock(1);
	/* Each slot of V4 and DUAL is found dead as often as it was tried. */
	assert_counted(f, "tcp", SB_GROUP_V4,
		       (struct sb_group_counters){
			       .lookups = 5, .misses = 1, .held = 1, .dead_slots = 5 });
}

static void test_foreign_slot(void **state)
{
	struct fixture *f = *state;
	int own = socket_open("tcp", REAL, 0);

	hold(f, "tcp", 0, &own, 1);
	assert_int_equal(f->port.slot_clear(f->port.self, 0), 0);
	assert_int_equal(f->port.slot_store(f->port.self, 0, SB_SLOT_OWNER(LABEL + 1, false), own),
			 0);
	knock(1);
	close(own);
}

/* A group's own program is not asked: it would choose members that are kept for their queue. */
static void test_exact(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	open_reuseport_pair(fds);
	fill_held(f, SB_GROUP_V4, 0, fds, 1);
	for (int i = 0; i < PACKETS; i++)
		assert_true(reaches(fds[0], STEERED, PORT));
	assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, 1).cookie,
			 socket_cookie(fds[0]));
	/* ... nor when the first slot is dead. */
	fill_held(f, SB_GROUP_V4, 4, (int[]){ fds[0], fds[0] }, 2);
	for (uint32_t slot = 4; slot < 6; slot++) {
		assert_int_equal(f->port.slot_clear(f->port.self, slot), 0);
		for (unsigned from = 0; from < 32; from++)
			assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, from).cookie,
					 socket_cookie(fds[0]));
		assert_int_equal(
			f->port.slot_store(f->port.self, slot, SB_SLOT_OWNER(LABEL, false), fds[0]),
			0);
	}
	close(fds[0]);
	close(fds[1]);
}

struct swapper {
	const struct fixture *fixture;
	int own, service;
	unsigned rounds;
	bool stop;
};

/* A service that comes and goes: each time the group that gains a socket is stored first. */
static void *swap(void *data)
{
	struct swapper *s = data;
	const struct dataplane_port *p = &s->fixture->port;
	const uint32_t group = group_of(LABEL, "tcp", SB_GROUP_V4);
	const uint32_t waiting = group_of(LABEL, "tcp", SB_GROUP_HOLD);
	const uint32_t owner = SB_SLOT_OWNER(LABEL, false);

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		s->rounds++;
		if (p->slot_store(p->self, 1, owner, s->service) < 0 ||
		    p->group_store(p->self, group, 1, 1, SB_EMPTY_HOLD) < 0 ||
		    p->group_store(p->self, waiting, 0, 0, SB_EMPTY_HOLD) < 0 ||
		    p->slot_clear(p->self, 0) < 0)
			return s;
		usleep(20);
		if (p->slot_store(p->self, 0, owner, s->own) < 0 ||
		    p->group_store(p->self, waiting, 0, 1, SB_EMPTY_HOLD) < 0 ||
		    p->group_store(p->self, group, 0, 0, SB_EMPTY_HOLD) < 0 ||
		    p->slot_clear(p->self, 1) < 0)
			return s;
		usleep(20);
	}
	return NULL;
}

static void test_swapped_under_packets(void **state)
{
	struct fixture *f = *state;
	struct swapper s = {
		.fixture = f,
		.own = socket_open("tcp", REAL, 0),
		.service = socket_open("tcp", REAL, 0),
	};
	unsigned held = 0;
	pthread_t thread;
	void *failed;

	hold(f, "tcp", 0, &s.own, 1);
	assert_int_equal(f->port.list_store(f->port.self, 1, &(uint32_t){ 1 }, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, swap, &s), 0);
	for (unsigned i = 0; i < 100000; i++) {
		struct verdict v = verdict_of(&f->port, "tcp", STEERED, PORT, i);

		assert_int_equal(v.kind, VERDICT_SOCKET);
		held += v.cookie == socket_cookie(s.own);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_true(s.rounds > 100 && held > 0 && held < 100000);
	close(s.own);
	close(s.service);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, steered_start, steered_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_family_waits_in_its_own), TEST(one_family_only), TEST(udp),
		TEST(service_comes_and_goes),       TEST(foreign_slot),    TEST(exact),
		TEST(swapped_under_packets),
	};

	scratch_needs_root();
	return cmocka_run_group_tests(tests, scratch_start, scratch_stop);
}
