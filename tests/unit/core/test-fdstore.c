/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service manager keeps for the next broker, and passes to each. */
#include "tests/unit/core/world.h"

#define SERVICE 300
#define TIMEOUT_US 10000000

static int setup(void **state)
{
	struct world *w = world_new();
	struct core_label_config *l =
		config_label(w, "web", RULES("tcp 192.0.2.0/24 80", "udp 192.0.2.0/24 53"));

	l->when_empty = WHEN_EMPTY_HOLD;
	l->hold_timeout_us = TIMEOUT_US;
	config_label(w, "plain", RULES("tcp 198.51.100.0/24 80"));
	w->fdstore->off = false;
	assert_int_equal(world_start(w), 0);
	*state = w;
	return 0;
}

static int tcp(struct world *w)
{
	return hit(w, "tcp", "192.0.2.1", 80);
}

static struct label *web(struct world *w)
{
	return registry_find(w->core->registry, "web");
}

static const struct member *member_of(struct world *w, int cookie)
{
	const struct label *l = web(w);

	for (size_t i = 0; i < l->n_members; i++)
		if (l->members[i].cookie == (uint64_t)cookie)
			return &l->members[i];
	return NULL;
}

/* How many copies of sockets that were handed in labels have. */
static int copies(struct world *w)
{
	int n = 0;

	for (struct label *l = registry_next(w->core->registry, NULL); l;
	     l = registry_next(w->core->registry, l))
		for (size_t i = 0; i < l->n_members; i++)
			n += l->members[i].copy >= 0 && !l->members[i].own;
	return n;
}

/* -- the fd store ----------------------------------------------------------------------------- */

static void test_waiting_connections_outlive_the_broker(void **state)
{
	struct world *w = *state;
	int cookie = tcp(w);

	assert_int_equal(w->fdstore->n, 2); /* TCP and UDP */
	connections_wait(w, (uint64_t)cookie, 3);
	world_stop(w);
	assert_int_equal(tcp(w), cookie); /* also while none runs */
	assert_int_equal(world_start(w), 0);
	assert_int_equal(tcp(w), cookie);
	assert_int_equal(w->fdstore->n, 2);
	/* It is watched again: what waits has its time. */
	connections_wait(w, (uint64_t)cookie, 0);
	assert_true(member_of(w, cookie)->wait_since > 0);
	time_passes(w, TIMEOUT_US);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)cookie), 0);
	assert_int_equal(w->fdstore->n, 2);
	assert_true(tcp(w) > 0);
}

static void test_served_sockets(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	w->actor.pid = SERVICE;
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(w->fdstore->n, 3); /* this one, its process, and UDP's own */
	assert_int_equal(world_start(w), 0);
	assert_true(member_served(member_of(w, fd)));
	assert_int_equal(w->fdstore->n, 3);
	/* The process is watched again. */
	fake_close_fd(w->host, fd);
	process_ends(w, SERVICE);
	assert_false(member_served(member_of(w, fd)));
	assert_int_equal(tcp(w), fd);
	/* And held ones stay held. */
	assert_int_equal(world_start(w), 0);
	assert_int_equal(tcp(w), fd);
	assert_true(member_of(w, fd)->held_since == w->host->now);
	time_passes(w, TIMEOUT_US);
	assert_true(tcp(w) > 0 && tcp(w) != fd);
	assert_int_equal(w->fdstore->n, 2);
}

static void test_service_ended_meanwhile(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	w->actor.pid = SERVICE;
	assert_int_equal(ask_register(w, "web", fd), 0);
	world_stop(w);
	fake_close_fd(w->host, fd);
	for (size_t i = 0; i < w->host->n_files; i++)
		if (w->host->files[i].pid == SERVICE)
			w->host->files[i].ended = true;
	assert_int_equal(world_start(w), 0);
	assert_int_equal(tcp(w), fd);
	assert_false(member_served(member_of(w, fd)));
	assert_int_equal(w->fdstore->n, 2);
	w->actor.pid = 301;
	assert_int_equal(ask(w, "REQUEST=take\nLABEL=web\n"), 0);
	assert_true(member_served(member_of(w, fd)));
}

static void test_taken_out(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	w->actor.pid = SERVICE;
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(ask_register(w, "web", fake_udp(w->host, "127.0.0.1", 53)), 0);
	assert_int_equal(w->fdstore->n, 4); /* two sockets, their process once for each request */
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\nPROTOCOL=udp\n"), 0);
	assert_int_equal(w->fdstore->n, 4); /* UDP's own instead; the process serves TCP still */
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\n"), 0);
	assert_int_equal(w->fdstore->n, 2);
	config_clear(w);
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(w->fdstore->n, 0);
}

/* One socket of two labels is one entry, and goes with the second of them. */
static void test_socket_of_two_labels(void **state)
{
	struct world *w = *state;
	struct core_label_config *l = config_label(w, "other", RULES("tcp 203.0.113.0/24 80"));
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	l->when_empty = WHEN_EMPTY_HOLD;
	l->hold_timeout_us = TIMEOUT_US;
	assert_int_equal(world_reload(w), 0);
	w->actor.pid = SERVICE;
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(ask_register(w, "other", fd), 0);
	assert_int_equal(copies(w), 2);
	assert_int_equal(world_start(w), 0);
	assert_int_equal(copies(w), 2);
	fake_close_fd(w->host, fd);
	process_ends(w, SERVICE);
	assert_int_equal(tcp(w), fd);
	assert_int_equal(hit(w, "tcp", "203.0.113.1", 80), fd);
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=other\n"), 0);
	assert_int_equal(copies(w), 1);
	assert_int_equal(world_start(w), 0);
	assert_int_equal(tcp(w), fd);
	assert_int_equal(copies(w), 1);
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\n"), 0);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)fd), 0);
}

/* A socket that had left its slot comes again: the new copy takes the former one's place. */
static void test_registered_again(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	w->actor.pid = SERVICE;
	assert_int_equal(ask_register(w, "web", fd), 0);
	w->kernel->slots[member_of(w, fd)->slot].cookie = 0;
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(tcp(w), fd);
	assert_int_equal(copies(w), 1);
	assert_int_equal(world_start(w), 0);
	fake_close_fd(w->host, fd);
	process_ends(w, SERVICE);
	assert_int_equal(tcp(w), fd);
}

static void test_unload_empties_it(void **state)
{
	struct world *w = *state;

	w->actor.pid = SERVICE;
	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 8080)), 0);
	assert_int_equal(ask(w, "REQUEST=unload\n"), 0);
	assert_int_equal(w->fdstore->n, 0);
}

/* The store has what no label knows: of an earlier state, or of somebody else. */
static void test_strangers(void **state)
{
	struct world *w = *state;
	struct fdstore_port port = fake_fdstore_port(w->fdstore);
	int stranger = fake_tcp(w->host, "127.0.0.1", 1), file = fake_tcp(w->host, "127.0.0.1", 2);

	fake_facts(w->host, file)->is_socket = false;
	port.push(port.self, stranger, "_socket-1");
	port.push(port.self, file, "_socket-2");
	port.push(port.self, stranger, "_process-17");
	port.push(port.self, stranger, "_something");
	assert_int_equal(world_start(w), 0);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)stranger), 2); /* ours, _something */
	assert_int_equal(w->fdstore->n, 3);
}

/* Labels that do not hold any more give back what was kept for them. */
static void test_configured_otherwise_meanwhile(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	w->actor.pid = SERVICE;
	assert_int_equal(ask_register(w, "web", fd), 0);
	config_clear(w);
	config_label(w, "web", RULES("tcp 192.0.2.0/24 80"));
	assert_int_equal(world_start(w), 0);
	assert_int_equal(w->fdstore->n, 0);
	assert_int_equal(tcp(w), fd);
	assert_int_equal(fake_core_fds(w->host), 0);
}

/* What waited has been accepted. */
static void accept_all(struct world *w)
{
	for (size_t i = 0; i < w->host->n_files; i++)
		w->host->files[i].waiting = 0;
}

/* -- sockets of socket units ------------------------------------------------------------------ */

static void pass(struct world *w, const char *name, int fd)
{
	w->units_fds[w->n_units_fds++] = (struct core_passed_fd){ fd, name };
}

static void test_inherited(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080), plain = fake_tcp(w->host, "127.0.0.1", 8081);
	int made = fake_tcp(w->host, "127.0.0.1", 8082);

	pass(w, "web", fd);
	pass(w, "plain", plain);
	pass(w, "new", made);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(world_start(w), 0);
		assert_int_equal(tcp(w), fd);
		assert_int_equal(hit(w, "tcp", "198.51.100.1", 80), plain);
		assert_int_equal(label_sockets(web(w)), 1);
		assert_int_equal(label_sockets(registry_find(w->core->registry, "new")), 1);
		assert_false(member_served(member_of(w, fd)));
	}
	/* A service may take it. */
	connections_wait(w, (uint64_t)fd, 1);
	w->actor.pid = SERVICE;
	assert_int_equal(ask(w, "REQUEST=take\nLABEL=web\n"), 0);
	assert_true(member_served(member_of(w, fd)));
	accept_all(w);
	time_passes(w, TIMEOUT_US);
	process_ends(w, SERVICE);
	time_passes(w, 10 * TIMEOUT_US);
	assert_int_equal(tcp(w), fd);
	assert_false(member_served(member_of(w, fd)));
	/* Where it is not held the broker needs no copy. */
	check_refusal(w, ask(w, "REQUEST=take\nLABEL=plain\n"), ENOENT, "WhenEmpty=hold");
}

static uint32_t waiting(struct world *w, int fd)
{
	return w->host->files[fd - FAKE_FD_FIRST].waiting;
}

/* What waits there does so no longer than elsewhere; then the next may wait. */
static void test_inherited_time_is_up(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	pass(w, "web", fd);
	assert_int_equal(world_start(w), 0);
	for (int i = 0; i < 3; i++) {
		time_passes(w, 10 * TIMEOUT_US); /* nothing waits */
		connections_wait(w, (uint64_t)fd, 2);
		assert_true(member_of(w, fd)->wait_since > 0);
		time_passes(w, TIMEOUT_US - 1);
		assert_int_equal(waiting(w, fd), 2);
		time_passes(w, 1);
		assert_int_equal(waiting(w, fd), 0);
		assert_int_equal(member_of(w, fd)->wait_since, 0);
		assert_false(member_served(member_of(w, fd)));
		assert_int_equal(tcp(w), fd);
	}
	/* Nor for those who take it and end. */
	connections_wait(w, (uint64_t)fd, 1);
	time_passes(w, TIMEOUT_US / 2);
	w->actor.pid = SERVICE;
	assert_int_equal(ask(w, "REQUEST=take\nLABEL=web\n"), 0);
	time_passes(w, TIMEOUT_US / 4);
	process_ends(w, SERVICE);
	connections_wait(w, (uint64_t)fd, 0);
	time_passes(w, TIMEOUT_US / 4 - 1);
	assert_int_equal(waiting(w, fd), 1);
	time_passes(w, 1);
	assert_int_equal(waiting(w, fd), 0);
	assert_int_equal(tcp(w), fd);
}

/* It stays as it is until what has to be done works. */
static void test_inherited_faults(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);
	bool tried = true;

	pass(w, "web", fd);
	assert_int_equal(world_start(w), 0);
	for (size_t n = 1; tried; n++) {
		connections_wait(w, (uint64_t)fd, 1);
		fake_calls_begin(&w->calls, n, EIO);
		time_passes(w, TIMEOUT_US);
		tried = w->calls.failed;
		fake_calls_begin(&w->calls, 0, 0);
		assert_int_equal(tcp(w), fd);
		time_passes(w, 2000000);
		assert_int_equal(waiting(w, fd), 0);
		assert_int_equal(tcp(w), fd);
	}
}

static void start_activated(struct world *w, int fd)
{
	config_clear(w);
	*config_label(w, "web", RULES("tcp 192.0.2.0/24 80")) = (struct core_label_config){
		.name = "web",
		.file = "x.label",
		.rules = w->config.labels[0].rules,
		.n_rules = 1,
		.when_empty = WHEN_EMPTY_HOLD,
		.hold_timeout_us = TIMEOUT_US,
		.activate = "web.service",
	};
	pass(w, "web", fd);
	assert_int_equal(world_start(w), 0);
}

/* Its unit is given up: what waits is reset, and nothing more comes until a reload. */
static void test_inherited_given_up(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);
	size_t n = 1;

	start_activated(w, fd);
	connections_wait(w, (uint64_t)fd, 2);
	while (w->units->pending) {
		assert_int_equal(w->units->n_starts, n++);
		assert_int_equal(tcp(w), fd);
		unit_started(w, EIO, false);
		time_passes(w, 2000000);
	}
	assert_int_equal(waiting(w, fd), 0);
	assert_int_equal(tcp(w), DROP);
	assert_int_equal(label_sockets(web(w)), 1);
	assert_false(member_served(member_of(w, fd)));
	assert_int_equal(ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n"), 0);
	assert_string_equal(table_get(w, "verdict", 0, "verdict"), "drop");
	assert_string_equal(table_get(w, "verdict", 0, "agrees"), "yes");
	w->kernel->cannot_run = true;
	assert_int_equal(ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n"), 0);
	assert_string_equal(table_get(w, "verdict", 0, "verdict"), "drop");
	w->kernel->cannot_run = false;
	/* Not by its own address either. */
	connections_wait(w, (uint64_t)fd, 1);
	time_passes(w, 0);
	assert_int_equal(waiting(w, fd), 0);
	core_sweep(w->core);
	assert_int_equal(tcp(w), DROP);
	assert_int_equal(w->units->n_starts, n - 1);
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(tcp(w), fd);
	connections_wait(w, (uint64_t)fd, 1);
	assert_int_equal(w->units->n_starts, n);
}

/* Or until a service takes it. */
static void test_inherited_given_up_and_taken(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	start_activated(w, fd);
	connections_wait(w, (uint64_t)fd, 1);
	while (w->units->pending) {
		unit_started(w, EIO, false);
		time_passes(w, 2000000);
	}
	w->actor.pid = SERVICE;
	assert_int_equal(ask(w, "REQUEST=take\nLABEL=web\n"), 0);
	assert_int_equal(tcp(w), fd);
	process_ends(w, SERVICE);
	assert_int_equal(tcp(w), fd);
}

/* A service has a socket of its own: what waits in this one is reset, though it stays open. */
static void test_inherited_replaced(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080), own = fake_tcp(w->host, "127.0.0.1", 8081);

	pass(w, "web", fd);
	assert_int_equal(world_start(w), 0);
	connections_wait(w, (uint64_t)fd, 3);
	w->actor.pid = SERVICE;
	assert_int_equal(ask_register(w, "web", own), 0);
	assert_int_equal(warnings(w, "3 connections that waited"), 1);
	assert_int_equal(tcp(w), own);
	assert_int_equal(waiting(w, fd), 0);
}

static void test_inherited_while_served(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	pass(w, "web", fd);
	assert_int_equal(world_start(w), 0);
	w->actor.pid = SERVICE;
	assert_int_equal(ask(w, "REQUEST=take\nLABEL=web\n"), 0);
	assert_int_equal(world_start(w), 0);
	assert_true(member_served(member_of(w, fd)));
	assert_int_equal(tcp(w), fd);
}

static void test_inherited_refused(void **state)
{
	struct world *w = *state;
	int bad = fake_tcp(w->host, "127.0.0.1", 8080), good = fake_tcp(w->host, "127.0.0.1", 8081);

	fake_facts(w->host, bad)->listening = false;
	pass(w, "web", bad);
	pass(w, "no label", good);
	pass(w, "plain", good);
	assert_int_equal(world_start(w), 0);
	assert_int_equal(hit(w, "tcp", "198.51.100.1", 80), good);
	assert_int_equal(label_sockets(web(w)), 0);
	assert_null(registry_find(w->core->registry, "no label"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_waiting_connections_outlive_the_broker),
		TEST(test_served_sockets),
		TEST(test_service_ended_meanwhile),
		TEST(test_taken_out),
		TEST(test_socket_of_two_labels),
		TEST(test_registered_again),
		TEST(test_unload_empties_it),
		TEST(test_strangers),
		TEST(test_configured_otherwise_meanwhile),
		TEST(test_inherited),
		TEST(test_inherited_time_is_up),
		TEST(test_inherited_faults),
		TEST(test_inherited_given_up),
		TEST(test_inherited_given_up_and_taken),
		TEST(test_inherited_replaced),
		TEST(test_inherited_while_served),
		TEST(test_inherited_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
