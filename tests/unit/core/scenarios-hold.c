/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Label keep has two TCP sockets of one service, and the broker's own for UDP; label wait the
 * broker's own for TCP over IPv6. */
#include "broker/core/activation.h"
#include "tests/unit/core/scenarios.h"

int hold_register(struct world *w)
{
	return ask_fds(w, FDS(NEW_4, KEEP_UDP), "REQUEST=register\nLABEL=keep\n");
}

int hold_register_for(struct world *w)
{
	int pidfd = fake_pidfd(w->host, 301);
	int r = ask_fds(w, FDS(NEW_6, pidfd), "REQUEST=register\nLABEL=wait\nCOUNT=1\nPIDFD=yes\n");

	fake_close_fd(w->host, pidfd);
	return r;
}

int hold_take_own(struct world *w)
{
	return ask(w, "REQUEST=take\nLABEL=wait\n");
}

int hold_take(struct world *w)
{
	return ask(w, "REQUEST=take\nLABEL=keep\nLABEL=wait\n");
}

int hold_unregister(struct world *w)
{
	return ask(w, "REQUEST=unregister\nLABEL=keep\nPROTOCOL=tcp\n");
}

/* Its first rules for UDP, and for IPv4. */
int hold_bind(struct world *w)
{
	return ask_bind(w, "wait any 10.2.0.0/16 80");
}

int hold_bind_move(struct world *w)
{
	return ask(w, "REQUEST=bind\nLABEL=wait\nPROTOCOL=tcp\nPREFIX=10.1.2.0/24\nPORTS=80\n"
		      "MOVE=yes\n");
}

int hold_unbind(struct world *w)
{
	return ask_unbind(w, "wait any 10.2.0.0/16 80");
}

int hold_apply(struct world *w)
{
	return ask_apply(w, "udp 10.1.0.0/16 80 wait\ntcp 10.1.2.0/24 80 keep\n", false);
}

/* gate begins to hold with new rules, wait gets rules of another kind, keep loses some. */
int hold_reload(struct world *w)
{
	config_clear(w);
	config_label(w, "gate", RULES("tcp 198.51.100.0/24 443", "udp 198.51.100.0/24 53"))
		->when_empty = WHEN_EMPTY_HOLD;
	config_label(w, "wait", RULES("tcp 203.0.113.0/25 8080"))->when_empty = WHEN_EMPTY_HOLD;
	config_label(w, "keep", RULES("tcp 203.0.113.0/24 443"))->when_empty = WHEN_EMPTY_HOLD;
	return world_reload(w);
}

int hold_reload_none(struct world *w)
{
	config_clear(w);
	config_label(w, "keep", RULES("tcp 203.0.113.0/24 443"));
	config_label(w, "wait", RULES("tcp 2001:db9::/32 443"))->when_empty = WHEN_EMPTY_PASS;
	return world_reload(w);
}

int hold_end(struct world *w)
{
	process_ends(w, SCENARIO_SERVICE);
	return 0;
}

int hold_time_is_up(struct world *w)
{
	time_passes(w, SCENARIO_HOLD_US);
	return 0;
}

int hold_wait_is_over(struct world *w)
{
	time_passes(w, SCENARIO_HOLD_US);
	return 0;
}

int hold_wait(struct world *w)
{
	hold_connections_wait(w);
	return 0;
}

void hold_service_ends(struct world *w)
{
	fake_close_fd(w->host, KEEP_1);
	fake_close_fd(w->host, KEEP_2);
	process_ends(w, SCENARIO_SERVICE);
}

void hold_bind_before(struct world *w)
{
	assert_int_equal(hold_bind(w), 0);
}

void hold_connections_wait(struct world *w)
{
	connections_wait(w, (uint64_t)hit(w, "udp", "203.0.113.1", 443), 1);
}

/* Asked again after a refusal there may be nothing to answer any more. */
int hold_unit_failed(struct world *w)
{
	if (w->units->pending)
		unit_started(w, ENOENT, false);
	return 0;
}

int hold_ask_again(struct world *w)
{
	time_passes(w, 1000000);
	return 0;
}

void hold_unit_failed_before(struct world *w)
{
	hold_connections_wait(w);
	hold_unit_failed(w);
}

void hold_unit_fails_often(struct world *w)
{
	hold_connections_wait(w);
	for (unsigned i = 1; i < ACTIVATION_FAILURES_MAX; i++) {
		hold_unit_failed(w);
		time_passes(w, SCENARIO_HOLD_US / 5);
	}
}

/* With a service manager that keeps fds: keep is served, and a connection waits for wait. */
void hold_in_store(struct world *w)
{
	w->fdstore->off = false;
	assert_int_equal(hold_register_for(w), 0);
	w->actor.pid = SCENARIO_SERVICE;
	assert_int_equal(hold_register(w), 0);
	w->actor.pid = 200;
}

void hold_in_store_ended(struct world *w)
{
	hold_in_store(w);
	fake_close_fd(w->host, NEW_4);
	fake_close_fd(w->host, KEEP_UDP);
	process_ends(w, SCENARIO_SERVICE);
}

/* One for a label that holds, one for a label that does not, and one that is nobody's. */
void hold_inherit(struct world *w)
{
	w->units_fds[0] = (struct core_passed_fd){ NEW_6, "wait" };
	w->units_fds[1] = (struct core_passed_fd){ NEW_4, "web" };
	w->units_fds[2] = (struct core_passed_fd){ NEW_UDP, "-" };
	w->n_units_fds = 3;
}

void scenario_settle(struct world *w)
{
	time_passes(w, 2000000);
	w->in_core = true;
	core_sweep(w->core);
	w->in_core = false;
}
