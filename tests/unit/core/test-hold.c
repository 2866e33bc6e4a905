/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* WhenEmpty=hold: where packets wait, who takes them over, and for how long. */
#include <stdio.h>

#include "tests/unit/core/world.h"

#define SERVICE 300 /* pids */
#define NEXT 301
#define TIMEOUT_US 10000000

/* web holds TCP of both families, and UDP over IPv4. */
static int setup(void **state)
{
	struct world *w = world_new();
	struct core_label_config *l = config_label(
		w, "web",
		RULES("tcp 192.0.2.0/24 80", "tcp 2001:db8::/32 80", "udp 192.0.2.0/24 53"));

	l->when_empty = WHEN_EMPTY_HOLD;
	l->hold_timeout_us = TIMEOUT_US;
	allow_user(l, 33);
	config_label(w, "plain", RULES("tcp 198.51.100.0/24 80"));
	assert_int_equal(world_start(w), 0);
	*state = w;
	return 0;
}

static void as(struct world *w, pid_t pid)
{
	w->actor.pid = pid;
}

static int tcp4(struct world *w)
{
	return hit(w, "tcp", "192.0.2.1", 80);
}

static int tcp6(struct world *w)
{
	return hit(w, "tcp", "2001:db8::1", 80);
}

static int udp4(struct world *w)
{
	return hit(w, "udp", "192.0.2.1", 53);
}

static struct label *web(struct world *w)
{
	return registry_find(w->core->registry, "web");
}

static size_t count_own(const struct label *l)
{
	return l->n_members - label_sockets(l);
}

/* The value of KEY for the socket with that cookie in status; "" when there is none. */
static const char *socket_value(struct world *w, int cookie, const char *key)
{
	char number[16];
	const char *value;

	snprintf(number, sizeof(number), "%d", cookie);
	assert_int_equal(ask(w, "REQUEST=status\n"), 0);
	for (size_t i = 0; i < table_count(w, "socket"); i++) {
		if (strcmp(table_get(w, "socket", i, "cookie"), number) != 0)
			continue;
		value = table_get(w, "socket", i, key);
		return value ? value : "";
	}
	return "";
}

/* What waits can be taken; *COOKIES are the sockets that came. */
static size_t take(struct world *w, const char *label, int *cookies)
{
	size_t n;

	if (ask(w, "REQUEST=take\nLABEL=%s\n", label) < 0)
		fail_msg("%s", w->error.message);
	n = w->reply.n_fds;
	for (size_t i = 0; i < n; i++)
		cookies[i] = (int)fake_facts(w->host, w->reply.fds[i])->cookie;
	return n;
}

/* -- the broker's own sockets ---------------------------------------------------------------------
 */

static void test_packets_wait(void **state)
{
	struct world *w = *state;
	int first = tcp4(w);

	assert_true(first > 0 && tcp6(w) > 0 && udp4(w) > 0);
	assert_int_not_equal(tcp6(w), first);
	assert_int_equal(count_own(web(w)), 3);
	assert_string_equal(socket_value(w, first, "own"), "yes");
	assert_string_equal(socket_value(w, first, "held"), "yes");
	assert_string_equal(socket_value(w, first, "waiting"), "0");
	assert_string_equal(socket_value(w, first, "pid"), "");
	/* Not a socket that anybody handed in. */
	assert_string_equal(table_get(w, "label", 0, "sockets"), "0");
	assert_string_equal(table_get(w, "label", 0, "when_empty"), "hold");
	assert_string_equal(table_get(w, "label", 0, "hold_timeout"), "10");
	assert_true(table_count(w, "warning") > 0);
	assert_int_equal(hit(w, "tcp", "198.51.100.1", 80), DROP);
}

static void test_explained(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n"), 0);
	assert_string_equal(table_get(w, "verdict", 0, "verdict"), "hold");
	assert_string_equal(table_get(w, "verdict", 0, "agrees"), "yes");
	assert_non_null(strstr(table_get(w, "verdict", 0, "reason"), "WhenEmpty=hold"));
	assert_string_equal(table_get(w, "socket", 0, "own"), "yes");
	w->kernel->cannot_run = true;
	assert_int_equal(ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=2001:db8::1\nPORT=80\n"),
			 0);
	assert_string_equal(table_get(w, "verdict", 0, "verdict"), "hold");
	w->kernel->cannot_run = false;
	assert_int_equal(ask_register(w, "web", fake_tcp(w->host, "127.0.0.1", 8080)), 0);
	assert_int_equal(ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=192.0.2.1\nPORT=80\n"), 0);
	assert_string_equal(table_get(w, "verdict", 0, "verdict"), "socket");
}

static void test_waiting_ends(void **state)
{
	struct world *w = *state;
	int first = tcp4(w), other = tcp6(w);

	time_passes(w, 10 * TIMEOUT_US); /* nothing waits */
	assert_int_equal(tcp4(w), first);
	connections_wait(w, (uint64_t)first, 3);
	assert_string_equal(socket_value(w, first, "waiting"), "3");
	assert_string_equal(socket_value(w, first, "hold_left"), "10");
	time_passes(w, TIMEOUT_US - 1);
	assert_int_equal(tcp4(w), first);
	time_passes(w, 1);
	/* Those are reset, and the next ones may wait again. */
	assert_int_equal(fake_open_fds(w->host, (uint64_t)first), 0);
	assert_int_not_equal(tcp4(w), first);
	assert_true(tcp4(w) > 0);
	assert_int_equal(tcp6(w), other);
	connections_wait(w, (uint64_t)tcp4(w), 1);
	time_passes(w, TIMEOUT_US);
	assert_true(tcp4(w) > 0);
	assert_int_equal(count_own(web(w)), 3);
}

static void test_rules_come_and_go(void **state)
{
	struct world *w = *state;

	assert_int_equal(hit(w, "udp", "2001:db8::1", 53), PASS);
	assert_int_equal(ask_bind(w, "web udp 2001:db8::/32 53"), 0);
	assert_true(hit(w, "udp", "2001:db8::1", 53) > 0);
	assert_int_equal(count_own(web(w)), 4);
	assert_int_equal(ask_bind(w, "other udp 203.0.113.0/24 1"), 0);
	assert_int_equal(ask(w, "REQUEST=bind\nLABEL=other\nPROTOCOL=udp\nPREFIX=2001:db8::/32\n"
				"PORTS=53\nMOVE=yes\n"),
			 0);
	assert_int_equal(count_own(web(w)), 3);
	assert_int_equal(ask_apply(w, "udp 2001:db8::/32 54 web\n", false), 0);
	assert_true(hit(w, "udp", "2001:db8::1", 54) > 0);
	assert_int_equal(ask_unbind(w, "web udp 2001:db8::/32 54"), 0);
	assert_int_equal(count_own(web(w)), 3);
}

/* -- services -------------------------------------------------------------------------------------
 */

static void test_service_registers(void **state)
{
	struct world *w = *state;
	int first = tcp4(w), six = tcp6(w), fd = fake_tcp(w->host, "127.0.0.1", 8080);

	connections_wait(w, (uint64_t)first, 2);
	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(warnings(w, "2 connections that waited"), 1);
	assert_int_equal(tcp4(w), fd);
	assert_int_equal(tcp6(w), six);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)first), 0);
	assert_string_equal(socket_value(w, fd, "held"), "no");
	assert_string_equal(socket_value(w, fd, "served_by"), "300");
	/* A dual-stack socket takes both. */
	fd = fake_tcp(w->host, "::", 8080);
	assert_int_equal(ask_add(w, "web", fd), 0);
	assert_int_equal(warnings(w, "waited"), 0);
	assert_int_equal(tcp6(w), fd);
	assert_int_equal(count_own(web(w)), 1);
}

static void test_service_ends(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", fd), 0);
	fake_close_fd(w->host, fd); /* with the process */
	process_ends(w, SERVICE);
	assert_int_equal(tcp4(w), fd);
	assert_string_equal(socket_value(w, fd, "held"), "yes");
	assert_string_equal(socket_value(w, fd, "held_since"), "1000000");
	assert_string_equal(socket_value(w, fd, "hold_left"), "10");
	connections_wait(w, (uint64_t)fd, 5);
	assert_string_equal(socket_value(w, fd, "waiting"), "5");
	time_passes(w, TIMEOUT_US);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)fd), 0);
	assert_int_equal(label_sockets(web(w)), 0);
	assert_true(tcp4(w) > 0);
	assert_int_not_equal(tcp4(w), fd);
}

static void test_taken_again(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080), taken[8], kept;

	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", fd), 0);
	fake_close_fd(w->host, fd);
	process_ends(w, SERVICE);
	as(w, NEXT);
	/* TCP: the held one, with IPv6's own, which no service has either; UDP: the own one. */
	assert_int_equal(take(w, "web", taken), 3);
	assert_int_equal(taken[0] == fd || taken[1] == fd || taken[2] == fd, 1);
	check_field(w, "LABEL", "web");
	check_field(w, "COUNT", "3");
	kept = fake_dup(w->host, w->reply.fds[0]);
	(void)kept;
	time_passes(w, 10 * TIMEOUT_US);
	assert_int_equal(tcp4(w), fd);
	assert_string_equal(socket_value(w, fd, "held"), "no");
	assert_string_equal(socket_value(w, fd, "pid"), "301");
	assert_int_equal(count_own(web(w)), 0);
	/* And it is held again when that one ends. */
	process_ends(w, NEXT);
	assert_string_equal(socket_value(w, fd, "held"), "yes");
	assert_int_equal(tcp4(w), fd);
}

static void test_own_taken(void **state)
{
	struct world *w = *state;
	int four = tcp4(w), six = tcp6(w), udp = udp4(w), taken[8];

	connections_wait(w, (uint64_t)four, 1);
	as(w, SERVICE);
	assert_int_equal(take(w, "web", taken), 3);
	assert_int_equal(tcp4(w), four);
	assert_int_equal(tcp6(w), six);
	assert_int_equal(udp4(w), udp);
	assert_int_equal(label_sockets(web(w)), 3);
	time_passes(w, 10 * TIMEOUT_US);
	assert_int_equal(tcp4(w), four);
	/* While it serves, another one may share the sockets. */
	as(w, NEXT);
	assert_int_equal(take(w, "web", taken), 3);
	process_ends(w, SERVICE);
	assert_string_equal(socket_value(w, four, "held"), "no");
	process_ends(w, NEXT);
	assert_string_equal(socket_value(w, four, "held"), "yes");
}

/* One of several ends: what waits in its socket stays, but nothing new goes there. */
static void test_pool(void **state)
{
	struct world *w = *state;
	int a = fake_tcp(w->host, "127.0.0.1", 1), b = fake_tcp(w->host, "127.0.0.1", 2), taken[8];

	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", a), 0);
	as(w, NEXT);
	assert_int_equal(ask_add(w, "web", b), 0);
	fake_close_fd(w->host, a);
	process_ends(w, SERVICE);
	for (uint16_t from = 0; from < 8; from++)
		assert_int_equal(hit_from(w, "tcp", "192.0.2.1", 80, from), b);
	assert_string_equal(socket_value(w, a, "held"), "yes");
	assert_int_equal(fake_open_fds(w->host, (uint64_t)a), 1);
	/* Only that one is handed out, and the own ones of IPv6 and UDP. */
	as(w, 302);
	assert_int_equal(take(w, "web", taken), 3);
	assert_true(taken[0] != b && taken[1] != b && taken[2] != b);
	/* Both end: packets wait in both. */
	process_ends(w, 302);
	fake_close_fd(w->host, b);
	process_ends(w, NEXT);
	assert_true(hit_from(w, "tcp", "192.0.2.1", 80, 0) !=
		    hit_from(w, "tcp", "192.0.2.1", 80, 1));
}

static void test_helper_registers(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080), pidfd = fake_pidfd(w->host, SERVICE);
	int more = fake_tcp(w->host, "127.0.0.1", 8081);

	as(w, 500);
	assert_int_equal(
		ask_fds(w, FDS(fd, pidfd), "REQUEST=register\nLABEL=web\nCOUNT=1\nPIDFD=yes\n"), 0);
	check_field(w, "SOCKETS", "1");
	process_ends(w, 500);
	assert_string_equal(socket_value(w, fd, "held"), "no");
	assert_string_equal(socket_value(w, fd, "served_by"), "300");
	process_ends(w, SERVICE);
	assert_string_equal(socket_value(w, fd, "held"), "yes");
	check_refusal(w, ask_fds(w, FDS(fd, more), "REQUEST=register\nLABEL=web\nPIDFD=yes\n"),
		      EBADF, "no pidfd");
	check_refusal(w, ask_fds(w, FDS(pidfd), "REQUEST=register\nLABEL=web\nPIDFD=yes\n"), EBADF,
		      "no socket is left");
	check_refusal(w, ask_fds(w, FDS(more), "REQUEST=register\nLABEL=web\nPIDFD=maybe\n"),
		      EINVAL, "PIDFD=");
	/* Where nothing is held nobody is watched, and a pidfd is as good as none. */
	assert_int_equal(ask_fds(w, FDS(more, pidfd), "REQUEST=register\nLABEL=plain\nPIDFD=yes\n"),
			 0);
	assert_string_equal(socket_value(w, more, "served_by"), "");
}

/* A porter passes nothing on that is no pidfd: who asked is not watched instead. */
static void test_no_pidfd(void **state)
{
	struct world *w = *state;
	const int junk[] = {
		fake_tcp(w->host, "127.0.0.1", 8081),
		fake_tcp(w->host, "127.0.0.1", 8082),
	};

	*fake_facts(w->host, junk[1]) = (struct socket_facts){ .is_socket = false };
	as(w, 500);
	for (int i = 0; i < 4; i++) {
		int fd = fake_tcp(w->host, "127.0.0.1", 8080);

		w->by_porter = i >= 2;
		check_refusal(w,
			      ask_fds(w, FDS(fd, junk[i % 2]),
				      "REQUEST=register\nLABEL=web\nPIDFD=yes\n"),
			      EBADF,
			      "PIDFD=yes, but the last file descriptor of the request is no pidfd");
		/* Nobody looks at it where nothing is held, whoever asks. */
		assert_int_equal(ask_fds(w, FDS(fd, junk[i % 2]),
					 "REQUEST=register\nLABEL=plain\nPIDFD=yes\n"),
				 0);
	}
}

/* The broker cannot see that somebody else has the socket: it lets go, and the socket stays. */
static void test_somebody_else_has_it(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", fd), 0);
	process_ends(w, SERVICE); /* a helper: the service still has it */
	time_passes(w, TIMEOUT_US);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)fd), 1);
	assert_int_equal(tcp4(w), fd);
	assert_string_equal(socket_value(w, fd, "held"), "no");
	assert_string_equal(socket_value(w, fd, "state"), "alive");
	/* Packets find a place to wait as soon as it closes: nobody has to notice. */
	fake_close_fd(w->host, fd);
	assert_true(tcp4(w) > 0);
	assert_int_not_equal(tcp4(w), fd);
	core_sweep(w->core);
	assert_int_equal(label_sockets(web(w)), 0);
	assert_true(tcp4(w) > 0);
}

static void test_unregistered(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);

	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\n"), 0);
	check_field(w, "SOCKETS", "1");
	assert_int_equal(fake_open_fds(w->host, (uint64_t)fd), 1);
	assert_true(tcp4(w) > 0 && tcp4(w) != fd);
	check_refusal(w, ask(w, "REQUEST=unregister\nLABEL=web\n"), ENOENT, "has no sockets");
}

static void test_replaced(void **state)
{
	struct world *w = *state;
	int a = fake_tcp(w->host, "127.0.0.1", 1), b = fake_tcp(w->host, "127.0.0.1", 2);

	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", a), 0);
	assert_int_equal(ask_register(w, "web", b), 0);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)a), 1); /* the service's */
	assert_int_equal(tcp4(w), b);
	/* The same socket once more keeps its copy. */
	assert_int_equal(ask_register(w, "web", b), 0);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)b), 2);
	fake_close_fd(w->host, b);
	process_ends(w, SERVICE);
	connections_wait(w, (uint64_t)b, 4);
	as(w, NEXT);
	assert_int_equal(ask_register(w, "web", a), 0);
	assert_int_equal(warnings(w, "4 connections"), 1);
	assert_int_equal(fake_open_fds(w->host, (uint64_t)b), 0);
}

/* -- refusals --------------------------------------------------------------------------------- */

static void test_take_refused(void **state)
{
	struct world *w = *state;
	char *before = model_text(w), *after;

	check_refusal(w, ask(w, "REQUEST=take\nLABEL=none\n"), ENOENT, "no label none");
	check_refusal(w, ask(w, "REQUEST=take\nLABEL=plain\n"), ENOENT, "WhenEmpty=hold");
	check_refusal(w, ask(w, "REQUEST=take\n"), EINVAL, "LABEL=");
	check_refusal(w, ask(w, "REQUEST=take\nLABEL=web\nLABEL=web\n"), EINVAL, "twice");
	check_refusal(w, ask(w, "REQUEST=take\nLABEL=web\nLABEL=plain\n"), ENOENT, "plain");
	w->actor.uid = 34;
	check_refusal(w, ask(w, "REQUEST=take\nLABEL=web\n"), EPERM, "uid 34");
	w->actor.uid = 33;
	after = model_text(w);
	assert_string_equal(before, after);
	free(before);
	free(after);
	assert_int_equal(ask(w, "REQUEST=take\nLABEL=web\n"), 0);
}

static void test_take_of_no_rules(void **state)
{
	struct world *w = *state;

	config_clear(w);
	config_label(w, "web", RULES(NULL))->when_empty = WHEN_EMPTY_HOLD;
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(count_own(web(w)), 0);
	check_refusal(w, ask(w, "REQUEST=take\nLABEL=web\n"), ENOENT, "no rules");
}

/* -- reload and restart ---------------------------------------------------------------------------
 */

static void test_reload_lets_go(void **state)
{
	struct world *w = *state;
	int a = fake_tcp(w->host, "127.0.0.1", 1), b = fake_udp(w->host, "127.0.0.1", 2);

	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", a), 0);
	fake_close_fd(w->host, a);
	process_ends(w, SERVICE);
	as(w, NEXT);
	assert_int_equal(ask_register(w, "web", b), 0);
	config_clear(w);
	config_label(w, "web", RULES("tcp 192.0.2.0/24 80", "udp 192.0.2.0/24 53"));
	assert_int_equal(world_reload(w), 0);
	assert_int_equal(fake_core_fds(w->host), 0);
	assert_int_equal(tcp4(w), DROP);
	assert_int_equal(udp4(w), b);
	core_sweep(w->core);
	assert_int_equal(label_sockets(web(w)), 1);
	process_ends(w, NEXT);
	assert_int_equal(udp4(w), b);
	/* and back: what is there is not kept, but packets wait when it goes */
	config_clear(w);
	config_label(w, "web", RULES("tcp 192.0.2.0/24 80", "udp 192.0.2.0/24 53"))->when_empty =
		WHEN_EMPTY_HOLD;
	assert_int_equal(world_reload(w), 0);
	assert_true(tcp4(w) > 0);
	assert_int_equal(udp4(w), b);
	fake_close_fd(w->host, b);
	assert_true(udp4(w) > 0);
}

static void test_restart(void **state)
{
	struct world *w = *state;
	int first = tcp4(w), fd = fake_udp(w->host, "127.0.0.1", 2);

	as(w, SERVICE);
	assert_int_equal(ask_register(w, "web", fd), 0);
	assert_int_equal(world_start(w), 0);
	assert_true(tcp4(w) > 0 && tcp4(w) != first); /* that went with the broker */
	assert_int_equal(udp4(w), fd);
	check_refusal(w, ask(w, "REQUEST=take\nLABEL=web\nLABEL=plain\n"), ENOENT, "plain");
	/* It is not kept, but its packets have where to wait. */
	assert_int_equal(fake_open_fds(w->host, (uint64_t)fd), 1);
	fake_close_fd(w->host, fd);
	assert_true(udp4(w) > 0);
	assert_int_not_equal(udp4(w), fd);
}

/* -- faults ---------------------------------------------------------------------------------------
 */

/* A socket that nobody took over in time stays held when letting go fails, until it works. */
static void test_expiry_fails(void **state)
{
	struct world *w = *state;
	int fd = fake_tcp(w->host, "127.0.0.1", 8080);
	bool tried;

	as(w, SERVICE);
	for (size_t n = 1;; n++) {
		assert_int_equal(ask_register(w, "web", fd), 0);
		process_ends(w, SERVICE);
		fake_calls_begin(&w->calls, n, EIO);
		time_passes(w, TIMEOUT_US);
		tried = w->calls.failed;
		fake_calls_begin(&w->calls, 0, 0);
		assert_int_equal(tcp4(w), fd);
		time_passes(w, 2000000);
		core_sweep(w->core);
		assert_string_equal(socket_value(w, fd, "held"), "no");
		assert_int_equal(fake_open_fds(w->host, (uint64_t)fd), 1);
		assert_int_equal(tcp4(w), fd);
		assert_int_equal(ask(w, "REQUEST=unregister\nLABEL=web\n"), 0);
		if (!tried)
			break;
	}
}

static void test_end_fails(void **state)
{
	struct world *w = *state;
	bool tried;

	for (size_t n = 1;; n++) {
		int fd = fake_tcp(w->host, "127.0.0.1", 8080);

		as(w, SERVICE);
		assert_int_equal(ask_register(w, "web", fd), 0);
		fake_close_fd(w->host, fd);
		fake_calls_begin(&w->calls, n, EIO);
		process_ends(w, SERVICE);
		tried = w->calls.failed;
		fake_calls_begin(&w->calls, 0, 0);
		assert_int_equal(tcp4(w), fd);
		core_sweep(w->core);
		assert_string_equal(socket_value(w, fd, "held"), "yes");
		time_passes(w, TIMEOUT_US + 2000000);
		assert_int_equal(fake_open_fds(w->host, (uint64_t)fd), 0);
		assert_true(tcp4(w) > 0);
		if (!tried)
			break;
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_packets_wait),
		TEST(test_explained),
		TEST(test_waiting_ends),
		TEST(test_rules_come_and_go),
		TEST(test_service_registers),
		TEST(test_service_ends),
		TEST(test_taken_again),
		TEST(test_own_taken),
		TEST(test_pool),
		TEST(test_helper_registers),
		TEST(test_no_pidfd),
		TEST(test_somebody_else_has_it),
		TEST(test_unregistered),
		TEST(test_replaced),
		TEST(test_take_refused),
		TEST(test_take_of_no_rules),
		TEST(test_reload_lets_go),
		TEST(test_restart),
		TEST(test_expiry_fails),
		TEST(test_end_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
