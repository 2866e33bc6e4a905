/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a label to a socket: real packets, and the counters that they leave. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/bpf/steered.h"

static void test_steers(void **state)
{
	struct fixture *f = *state;
	int fd = socket_open("tcp", REAL, 0), client, peer;
	struct sockaddr_in local;
	socklen_t length = sizeof(local);

	fill(f, "tcp", SB_GROUP_V4, 0, &fd, 1);
	client = client_connect("tcp", STEERED, PORT);
	assert_true(client >= 0);
	peer = accept_next(fd);
	assert_true(peer >= 0);
	/* The service sees what the client asked for. */
	assert_int_equal(getsockname(peer, (struct sockaddr *)&local, &length), 0);
	assert_int_equal(ntohs(local.sin_port), PORT);
	assert_int_equal(ntohl(local.sin_addr.s_addr), 0x7f010203);
	close(client);
	close(peer);
	assert_counted(f, "tcp", SB_GROUP_V4, (struct sb_group_counters){ .lookups = 1 });
	/* Other addresses are not touched. */
	assert_int_equal(client_connect("tcp", "127.2.0.1", PORT), -ECONNREFUSED);
	assert_true(reaches(fd, REAL, socket_port(fd)));
	/* A run by hand gives the answer, and is not counted. */
	assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, 1).cookie, socket_cookie(fd));
	assert_counted(f, "tcp", SB_GROUP_V4, (struct sb_group_counters){ .lookups = 1 });
	close(fd);
}

static void test_udp(void **state)
{
	struct fixture *f = *state;
	int fd = socket_open("udp", REAL, 0), client;
	char buf[8];

	fill(f, "udp", SB_GROUP_V4, 0, &fd, 1);
	client = client_connect("udp", STEERED, PORT);
	assert_int_equal(send(client, "x", 1, 0), 1);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 1);
	assert_counted(f, "udp", SB_GROUP_V4, (struct sb_group_counters){ .lookups = 1 });
	assert_counted(f, "tcp", SB_GROUP_V4, (struct sb_group_counters){});
	close(client);
	close(fd);
}

static void test_ipv6(void **state)
{
	struct fixture *f = *state;
	int fd = socket_open("tcp", "::1", 0);

	fill(f, "tcp", SB_GROUP_V6, 0, &fd, 1);
	assert_true(reaches(fd, "::1", PORT));
	assert_counted(f, "tcp", SB_GROUP_V6, (struct sb_group_counters){ .lookups = 1 });
	close(fd);
}

/* A closed socket costs its siblings nothing, and nobody has to tell. */
static void test_dead_slot(void **state)
{
	struct fixture *f = *state;
	int fds[4], reached = 0;
	struct sb_group_counters c;

	for (int i = 0; i < 4; i++)
		fds[i] = socket_open("tcp", REAL, 0);
	fill(f, "tcp", SB_GROUP_V4, 0, fds, 4);
	close(fds[1]);
	for (int i = 0; i < 100; i++) {
		int client = client_connect("tcp", STEERED, PORT);

		assert_true(client >= 0);
		close(client);
	}
	for (int i = 0; i < 4; i++) {
		int peer;

		while (i != 1 && (peer = accept_next(fds[i])) >= 0) {
			close(peer);
			reached++;
		}
	}
	assert_int_equal(reached, 100);
	c = counted(f, "tcp", SB_GROUP_V4);
	assert_int_equal(c.lookups, 100);
	assert_true(c.dead_slots > 0 && c.dead_slots < 60);
	c.lookups = c.dead_slots = 0;
	assert_memory_equal(&c, &(struct sb_group_counters){}, sizeof(c));
	close(fds[0]);
	close(fds[2]);
	close(fds[3]);
}

/* The last living one of the largest group is found. */
static void test_largest_group(void **state)
{
	struct fixture *f = *state;
	int fd = socket_open("tcp", REAL, 0), gone = socket_open("tcp", REAL, 0);
	int fds[SB_GROUP_SLOTS_MAX];

	for (int living = 0; living < SB_GROUP_SLOTS_MAX; living += 51) {
		for (int i = 0; i < SB_GROUP_SLOTS_MAX; i++)
			fds[i] = i == living ? fd : gone;
		fill(f, "tcp", SB_GROUP_V4, 1000, fds, SB_GROUP_SLOTS_MAX);
		for (uint32_t i = 0; i < SB_GROUP_SLOTS_MAX; i++) {
			if ((int)i != living)
				assert_int_equal(f->port.slot_clear(f->port.self, 1000 + i), 0);
		}
		for (unsigned from = 1; from < 50; from++)
			assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, from).cookie,
					 socket_cookie(fd));
	}
	/* Each slot is tried once. */
	assert_int_equal(f->port.slot_clear(f->port.self, 1255), 0);
	close(fd);
	assert_int_equal(client_connect("tcp", STEERED, PORT), -ECONNREFUSED);
	assert_counted(f, "tcp", SB_GROUP_V4,
		       (struct sb_group_counters){
			       .lookups = 1, .misses = 1, .dead_slots = SB_GROUP_SLOTS_MAX });
	close(gone);
}

static void test_owner(void **state)
{
	struct fixture *f = *state;
	const struct dataplane_port *p = &f->port;
	int fd = socket_open("tcp", REAL, 0);
	const uint32_t slot = 0, others[] = { SB_SLOT_OWNER(LABEL + 1, false),
					      SB_SLOT_OWNER(LABEL, true), 0 };

	/* A slot that has gone to another label is as good as dead. */
	fill(f, "tcp", SB_GROUP_V4, slot, &fd, 1);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_int_equal(p->slot_clear(p->self, slot), 0);
		assert_int_equal(p->slot_store(p->self, slot, others[i], fd), 0);
		assert_int_equal(client_connect("tcp", STEERED, PORT), -ECONNREFUSED);
	}
	assert_counted(f, "tcp", SB_GROUP_V4,
		       (struct sb_group_counters){ .lookups = 3, .misses = 3, .dead_slots = 3 });
	assert_int_equal(p->slot_clear(p->self, slot), 0);
	assert_int_equal(p->slot_store(p->self, slot, SB_SLOT_OWNER(LABEL, false), fd), 0);
	assert_true(reaches(fd, STEERED, PORT));
	close(fd);
}

static void test_dual_stack(void **state)
{
	struct fixture *f = *state;
	int dual = socket_open("tcp", "::", 0), v4 = socket_open("tcp", REAL, 0);

	fill(f, "tcp", SB_GROUP_DUAL, 0, &dual, 1);
	assert_true(reaches(dual, STEERED, PORT));
	/* IPv4 sockets come first, as long as one lives. */
	fill(f, "tcp", SB_GROUP_V4, 1, &v4, 1);
	assert_true(reaches(v4, STEERED, PORT));
	close(v4);
	assert_true(reaches(dual, STEERED, PORT));
	/* It counts in the row of the packet's family. */
	assert_counted(f, "tcp", SB_GROUP_V4,
		       (struct sb_group_counters){ .lookups = 3, .dead_slots = 1 });
	assert_counted(f, "tcp", SB_GROUP_DUAL, (struct sb_group_counters){});
	/* IPv6 packets do not look there. */
	assert_int_equal(client_connect("tcp", "::1", PORT), -ECONNREFUSED);
	assert_counted(f, "tcp", SB_GROUP_V6,
		       (struct sb_group_counters){ .lookups = 1, .misses = 1 });
	close(dual);
}

static void test_empty(void **state)
{
	struct fixture *f = *state;
	const struct dataplane_port *p = &f->port;
	const uint32_t group = group_of(LABEL, "tcp", SB_GROUP_V4);
	int listener = socket_open("tcp", STEERED, PORT);

	/* Drop, although somebody listens there; pass, and he is asked. */
	assert_int_equal(p->group_store(p->self, group, 0, 0, SB_EMPTY_DROP), 0);
	assert_int_equal(client_connect("tcp", STEERED, PORT), -ECONNREFUSED);
	assert_int_equal(verdict_of(p, "tcp", STEERED, PORT, 1).kind, VERDICT_DROP);
	assert_int_equal(p->group_store(p->self, group, 0, 0, SB_EMPTY_PASS), 0);
	assert_true(reaches(listener, STEERED, PORT));
	assert_int_equal(verdict_of(p, "tcp", STEERED, PORT, 1).kind, VERDICT_PASS);
	assert_counted(f, "tcp", SB_GROUP_V4,
		       (struct sb_group_counters){ .lookups = 2, .misses = 2 });
	assert_int_equal(p->counters_reset(p->self, group), 0);
	assert_counted(f, "tcp", SB_GROUP_V4, (struct sb_group_counters){});
	close(listener);
}

/* What bpf_sk_assign refuses is counted by kind, exactly. */
static void test_errors(void **state)
{
	struct fixture *f = *state;
	const struct dataplane_port *p = &f->port;
	int v6 = socket_open("tcp", "::1", 0), udp = socket_open("udp", REAL, 0);
	int closed = socket_open("tcp", REAL, 0);
	struct sb_group_counters wanted = {};

	fill(f, "tcp", SB_GROUP_V4, 0, &v6, 1);
	knock(PACKETS);
	wanted.lookups = wanted.misses = wanted.err_family = PACKETS;
	assert_counted(f, "tcp", SB_GROUP_V4, wanted);

	fill(f, "tcp", SB_GROUP_V4, 1, &udp, 1);
	knock(PACKETS + 1);
	wanted.err_protocol = PACKETS + 1;
	wanted.lookups = wanted.misses = 2 * PACKETS + 1;
	assert_counted(f, "tcp", SB_GROUP_V4, wanted);

	fill(f, "tcp", SB_GROUP_V4, 2, &closed, 1);
	shutdown(closed, SHUT_RDWR);
	knock(PACKETS + 2);
	wanted.err_state = PACKETS + 2;
	wanted.lookups = wanted.misses = 3 * PACKETS + 3;
	/* Kernels up to 5.18 take such a socket out of the slot. */
	if (p->slot_cookie(p->self, 2, &(uint64_t){ 0 }) == 0)
		assert_counted(f, "tcp", SB_GROUP_V4, wanted);
	close(v6);
	close(udp);
	close(closed);
}

static void test_connected_udp(void **state)
{
	struct fixture *f = *state;
	int fds[2] = { socket_open("udp", REAL, 0), socket_open("udp", REAL, 0) };
	int client = client_connect("udp", STEERED, PORT);
	struct sb_group_counters c;
	char buf[8];

	fill(f, "udp", SB_GROUP_V4, 0, fds, 2);
	assert_int_equal(connect(fds[0],
				 &(struct sockaddr){ .sa_family = AF_INET, .sa_data = { 0, 9 } },
				 sizeof(struct sockaddr)),
			 0);
	assert_int_equal(send(client, "x", 1, 0), 1);
	assert_int_equal(recv(fds[1], buf, sizeof(buf), 0), 1);
	c = counted(f, "udp", SB_GROUP_V4);
	assert_true(c.lookups == 1 && c.misses == 0 && c.err_state <= 1);
	close(client);
	close(fds[0]);
	close(fds[1]);
}

/* A slot that cannot take the packet does not keep its neighbour from it. */
static void test_steps_over_errors(void **state)
{
	struct fixture *f = *state;
	int fds[2] = { socket_open("tcp", "::1", 0), socket_open("tcp", REAL, 0) };
	struct sb_group_counters c;

	fill(f, "tcp", SB_GROUP_V4, 0, fds, 2);
	for (int i = 0; i < 40; i++)
		assert_true(reaches(fds[1], STEERED, PORT));
	c = counted(f, "tcp", SB_GROUP_V4);
	assert_true(c.err_family > 0 && c.err_family < 40 && c.misses == 0);
	close(fds[0]);
	close(fds[1]);
}

/* The same connection always meets the same socket, different ones meet all of them. */
static void test_spread(void **state)
{
	struct fixture *f = *state;
	uint64_t first[64], met[8] = {};
	unsigned n_met = 0;
	int fds[8];

	for (int i = 0; i < 8; i++)
		fds[i] = socket_open("tcp", REAL, 0);
	fill(f, "tcp", SB_GROUP_V4, 0, fds, 8);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned from = 0; from < 64; from++) {
			struct verdict v = verdict_of(&f->port, "tcp", STEERED, PORT, 30000 + from);

			assert_int_equal(v.kind, VERDICT_SOCKET);
			if (round > 0)
				assert_int_equal(v.cookie, first[from]);
			first[from] = v.cookie;
		}
	}
	for (int i = 0; i < 8; i++) {
		for (unsigned from = 0; from < 64; from++)
			met[i] += first[from] == socket_cookie(fds[i]);
		n_met += met[i] > 0;
		assert_true(met[i] < 32);
		close(fds[i]);
	}
	assert_int_equal(n_met, 8);
}

/* A socket that an earlier program chose stays chosen. */
static void test_respects(void **state)
{
	int map = bpf_map_create(BPF_MAP_TYPE_SOCKMAP, "earlier", 4, 8, 1, NULL);
	int program = fixed_program(map), link, ours = socket_open("tcp", REAL, 0);
	int earlier = socket_open("tcp", REAL, 0), ns = open("/proc/self/ns/net", O_RDONLY);
	struct fixture *f = *state;
	struct other_program list[8];
	uint64_t value = (uint64_t)earlier;
	struct ruleset *rules = rules_from("tcp 127.1.0.0/16 any", LABEL);

	assert_true(map >= 0 && program >= 0 && ns >= 0);
	/* Attached before ours: that is remade. */
	assert_int_equal(f->port.unload(f->port.self, NULL), 0);
	dataplane_free(f->dataplane);
	link = bpf_link_create(program, ns, BPF_SK_LOOKUP, NULL);
	assert_true(link >= 0);
	f->dataplane = scratch_open(&f->scratch);
	f->port = dataplane_port(f->dataplane);
	assert_int_equal(f->port.publish(f->port.self, rules, NULL), 0);
	fill(f, "tcp", SB_GROUP_V4, 0, &ours, 1);
	assert_int_equal(f->port.programs(f->port.self, list, 8), 2);
	assert_true(!list[0].ours && list[1].ours);
	assert_string_equal(list[0].name, "fixed");

	assert_true(reaches(ours, STEERED, PORT)); /* its slot is empty yet */
	assert_int_equal(bpf_map_update_elem(map, &(uint32_t){ 0 }, &value, BPF_ANY), 0);
	for (int i = 0; i < PACKETS; i++)
		assert_true(reaches(earlier, STEERED, PORT));
	/* Elsewhere too, where there is no rule to count in. */
	assert_true(reaches(earlier, "127.2.0.1", PORT));
	assert_counted(f, "tcp", SB_GROUP_V4,
		       (struct sb_group_counters){ .lookups = PACKETS + 1, .respected = PACKETS });
	/* ... nor is a socket of ours missed. */
	close(ours);
	assert_true(reaches(earlier, STEERED, PORT));
	assert_counted(
		f, "tcp", SB_GROUP_V4,
		(struct sb_group_counters){ .lookups = PACKETS + 2, .respected = PACKETS + 1 });
	ruleset_free(rules);
	close(link);
	close(program);
	close(map);
	close(ns);
	close(earlier);
}

/* Members of a SO_REUSEPORT group are chosen by the group's own program. */
static void test_reuseport(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	open_reuseport_pair(fds);
	fill(f, "tcp", SB_GROUP_V4, 0, fds, 1);
	for (int i = 0; i < PACKETS; i++)
		assert_true(reaches(fds[1], STEERED, PORT));
	/* A run by hand cannot ask the selector, and says so. */
	assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, 1).kind, VERDICT_UNKNOWN);
	assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, 1).error, EOPNOTSUPP);
	close(fds[0]);
	close(fds[1]);
}

struct swapper {
	const struct fixture *fixture;
	int fd;
	unsigned rounds;
	bool stop;
};

/* A service that is replaced now and then, with slots emptied at once. Its socket is the last of a
 * long list of dead slots, so that packets are on their way through it at any time. */
static void *swap_sockets(void *data)
{
	struct swapper *s = data;
	const struct dataplane_port *p = &s->fixture->port;
	const uint32_t group = group_of(LABEL, "tcp", SB_GROUP_V4);
	const uint32_t owner = SB_SLOT_OWNER(LABEL, false), n = SB_GROUP_SLOTS_MAX;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint32_t new = ++s->rounds % 2 * n, old = n - new;

		if (p->slot_store(p->self, new + n - 1, owner, s->fd) < 0 ||
		    p->group_store(p->self, group, new, n, SB_EMPTY_DROP) < 0 ||
		    p->slot_clear(p->self, old + n - 1) < 0)
			return s;
		usleep(20);
	}
	return NULL;
}

static void test_replaced_under_packets(void **state)
{
	struct fixture *f = *state;
	struct swapper s = { .fixture = f, .fd = socket_open("tcp", REAL, 0) };
	void *failed;
	pthread_t thread;

	for (uint32_t i = 0; i < 2 * SB_GROUP_SLOTS_MAX; i++)
		assert_int_equal(f->port.list_store(f->port.self, i, &i, 1), 0);
	assert_int_equal(f->port.slot_store(f->port.self, SB_GROUP_SLOTS_MAX - 1,
					    SB_SLOT_OWNER(LABEL, false), s.fd),
			 0);
	assert_int_equal(f->port.group_store(f->port.self, group_of(LABEL, "tcp", SB_GROUP_V4), 0,
					     SB_GROUP_SLOTS_MAX, SB_EMPTY_DROP),
			 0);
	assert_int_equal(pthread_create(&thread, NULL, swap_sockets, &s), 0);
	for (unsigned i = 0; i < 50000; i++)
		assert_int_equal(verdict_of(&f->port, "tcp", STEERED, PORT, i).kind,
				 VERDICT_SOCKET);
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_true(s.rounds > 100);
	close(s.fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, steered_start, steered_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(steers),
		TEST(udp),
		TEST(ipv6),
		TEST(dead_slot),
		TEST(largest_group),
		TEST(owner),
		TEST(dual_stack),
		TEST(empty),
		TEST(errors),
		TEST(connected_udp),
		TEST(steps_over_errors),
		TEST(spread),
		TEST(respects),
		TEST(reuseport),
		TEST(replaced_under_packets),
	};

	scratch_needs_root();
	return cmocka_run_group_tests(tests, scratch_start, scratch_stop);
}
