/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/core/scenarios.h"

static void configure(struct world *w)
{
	struct core_label_config *l;

	l = config_label(w, "web", RULES("tcp 192.0.2.0/24 80", "tcp 2001:db8::/32 80"));
	allow_user(l, 33);
	allow_unit(l, "web.service");
	l->policy.summary = strdup("user www-data");
	l->description = "public web";
	l = config_label(w, "gate", RULES("tcp 198.51.100.0/24 443"));
	l->when_empty = WHEN_EMPTY_PASS;
	allow_group(l, 44);
	l = config_label(w, "keep", RULES("tcp 203.0.113.0/24 443", "udp 203.0.113.0/24 443"));
	l->when_empty = WHEN_EMPTY_HOLD;
	l->hold_timeout_us = SCENARIO_HOLD_US;
	l->activate = "keep.service";
	allow_user(l, 33);
	config_label(w, "wait", RULES("tcp 2001:db9::/32 443"))->when_empty = WHEN_EMPTY_HOLD;
}

static void make_sockets(struct fake_host *h)
{
	fake_tcp(h, "127.0.0.1", 8080);
	fake_tcp(h, "127.0.0.1", 8081);
	fake_udp(h, "127.0.0.1", 5353);
	fake_udp(h, "::1", 5353);
	fake_tcp(h, "::", 9000);
	fake_tcp(h, "127.0.0.1", 7000);
	fake_tcp(h, "127.0.0.1", 7001);
	fake_tcp(h, "127.0.0.1", 8082);
	fake_tcp(h, "127.0.0.1", 8083);
	fake_tcp(h, "::1", 8084);
	fake_tcp(h, "::", 8085);
	fake_udp(h, "127.0.0.1", 5354);
	fake_tcp(h, "127.0.0.1", 6000);
	fake_tcp(h, "127.0.0.1", 6001);
	fake_udp(h, "127.0.0.1", 6002);
}

struct world *scenario_world(const struct scenario *s)
{
	struct world *w = world_new();

	w->kernel->rule_numbers = FAKE_RULE_NUMBERS;
	configure(w);
	make_sockets(w->host);
	assert_int_equal(world_start(w), 0);
	fake_unit(w->host, 200, "web.service");
	w->actor.pid = 200;
	assert_int_equal(ask_fds(w, FDS(WEB_1, WEB_2), "REQUEST=register\nLABEL=web\n"), 0);
	assert_int_equal(ask_fds(w, FDS(DNS_4, DNS_6), "REQUEST=register\nLABEL=dns\n"), 0);
	assert_int_equal(ask_register(w, "app", APP_6), 0);
	assert_int_equal(ask_register(w, "old", OLD_4), 0);
	assert_int_equal(ask_register(w, "bare", BARE_4), 0);
	w->actor.pid = SCENARIO_SERVICE;
	assert_int_equal(ask_fds(w, FDS(KEEP_1, KEEP_2), "REQUEST=register\nLABEL=keep\n"), 0);
	w->actor.pid = 200;
	assert_int_equal(ask_apply(w,
				   "udp 203.0.113.0/24 53 dns\n"
				   "udp 2001:db8::/32 53 dns\n"
				   "any 10.0.0.0/8 1-1023 app\n",
				   false),
			 0);
	assert_int_equal(ask_bind(w, "app tcp 10.1.0.0/16 80"), 0);
	assert_int_equal(ask_bind(w, "old tcp 10.1.2.0/24 80,443"), 0);
	assert_int_equal(ask_bind(w, "alone udp 172.16.0.0/12 any"), 0);
	if (s->prepare)
		s->prepare(w);
	if (s->restarts) /* what the broker itself has open goes with it */
		world_stop(w);
	/* A start looks at every group and every slot: the first few will do. */
	w->calls.limit[FAKE_CALL_group_load] = s->restarts ? 10 : 0;
	w->calls.limit[FAKE_CALL_slot_owner] = s->restarts ? 20 : 0;
	return w;
}

static int register_new(struct world *w)
{
	return ask_register(w, "fresh", NEW_4);
}

static int register_replace(struct world *w)
{
	return ask_fds(w, FDS(NEW_4, WEB_2, NEW_DUAL), "REQUEST=register\nLABEL=web\n");
}

static int register_add(struct world *w)
{
	return ask_fds(w, FDS(NEW_4, NEW_6), "REQUEST=register\nLABEL=web\nMODE=add\n");
}

static int register_several(struct world *w)
{
	return ask_fds(w, FDS(NEW_4, NEW_UDP, NEW_4B, NEW_DUAL),
		       "REQUEST=register\nLABEL=web\nCOUNT=1\nLABEL=one\nCOUNT=1\nLABEL=two\n"
		       "COUNT=1\nLABEL=app\n");
}

static int register_short(struct world *w)
{
	return ask_fds(w, FDS(NEW_4), "web#");
}

/* By its unit, which has to be asked for. */
static int register_by_unit(struct world *w)
{
	struct actor root = w->actor;
	int r;

	w->actor = (struct actor){ .pid = 200, .uid = 1000, .gid = 1000 };
	r = ask_register(w, "web", NEW_4);
	w->actor = root;
	return r;
}

static int unregister_some(struct world *w)
{
	return ask(w, "REQUEST=unregister\nLABEL=dns\nPROTOCOL=udp\n");
}

/* It has no rules: nothing is left of it. */
static int unregister_last(struct world *w)
{
	return ask(w, "REQUEST=unregister\nLABEL=bare\n");
}

static int bind_new(struct world *w)
{
	return ask_bind(w, "fresh tcp 10.2.0.0/16 80");
}

static int bind_several(struct world *w)
{
	return ask_bind(w, "web any 10.1.2.0/24 81,8080,50000-50010");
}

static int bind_move(struct world *w)
{
	return ask(w, "REQUEST=bind\nLABEL=web\nPROTOCOL=tcp\nPREFIX=10.1.2.0/24\n"
		      "PORTS=80,443,8080\nMOVE=yes\n");
}

static int bind_without_room(struct world *w)
{
	w->kernel->spare = 0;
	w->kernel->tables.used = w->kernel->tables.capacity;
	return ask_bind(w, "app udp 192.0.2.0/24 53");
}

static int unbind_some(struct world *w)
{
	return ask_unbind(w, "app any 10.0.0.0/8 1-1023");
}

static int unbind_last(struct world *w)
{
	return ask_unbind(w, "alone udp 172.16.0.0/12 any");
}

static int apply(struct world *w)
{
	return ask_apply(w,
			 "udp 203.0.113.0/24 53 dns\n" /* as it was */
			 "any 10.0.0.0/8 1-1023 web\n" /* moved */
			 "tcp 192.0.2.0/24 80 web\n"   /* of the label file */
			 "tcp 10.1.0.0/16 8080 app\n"
			 "tcp 172.16.0.0/12 80 new-a\n"
			 "tcp 172.16.0.0/12 81 new-b\n",
			 false);
}

static int apply_nothing(struct world *w)
{
	return ask_apply(w, "", false);
}

static int apply_dry(struct world *w)
{
	return ask_apply(w, "tcp 10.1.0.0/16 8080 fresh\n", true);
}

static int list_rules(struct world *w)
{
	return ask(w, "REQUEST=rules\nLABEL=app\n");
}

static int status(struct world *w)
{
	return ask(w, "REQUEST=status\n");
}

static int explain(struct world *w)
{
	return ask(w, "REQUEST=explain\nPROTOCOL=tcp\nADDRESS=10.1.2.3\nPORT=80\n");
}

static int version(struct world *w)
{
	return ask(w, "REQUEST=version\n");
}

static int rules_as_text(struct world *w)
{
	return ask(w, "REQUEST=rules\nFORMAT=text\n");
}

static int explain_from(struct world *w)
{
	return ask(w, "REQUEST=explain\nPROTOCOL=udp\nADDRESS=203.0.113.1\nPORT=53\n"
		      "FROM_ADDRESS=192.0.2.1\nFROM_PORT=2\n");
}

static int unload(struct world *w)
{
	return ask(w, "REQUEST=unload\n");
}

/* web gains and loses rules and becomes WhenEmpty=pass, gate loses its file, mail is new. */
static int reload(struct world *w)
{
	struct core_label_config *l;

	config_clear(w);
	w->config.settings.max_sockets = 32;
	l = config_label(w, "web", RULES("tcp 192.0.2.0/24 81", "tcp 2001:db8::/32 80"));
	l->when_empty = WHEN_EMPTY_PASS;
	allow_user(l, 34);
	config_label(w, "mail", RULES("tcp 203.0.113.0/24 80"))->when_empty = WHEN_EMPTY_PASS;
	/* A rule that was made at run time, now in a file. */
	config_label(w, "app", RULES("tcp 10.1.0.0/16 80"));
	return world_reload(w);
}

/* The same, by a request. */
static int reload_asked_for(struct world *w)
{
	config_clear(w);
	config_label(w, "web", RULES("tcp 192.0.2.0/24 81"))->when_empty = WHEN_EMPTY_PASS;
	return ask(w, "REQUEST=reload\n");
}

static int restart(struct world *w)
{
	return world_start(w);
}

static void close_some(struct world *w)
{
	fake_close(w->kernel, WEB_2);
	fake_close(w->kernel, APP_6);
}

static void other_version(struct world *w)
{
	w->kernel->other_version = true;
	/* All groups are written, and again: some failures will do. */
	w->calls.limit[FAKE_CALL_group_store] = 40;
	close_some(w);
}

static int restart_changed(struct world *w)
{
	config_clear(w);
	config_label(w, "web", RULES("tcp 192.0.2.0/24 81"))->when_empty = WHEN_EMPTY_PASS;
	config_label(w, "mail", RULES("tcp 203.0.113.0/24 80"));
	return world_start(w);
}

/* Nothing is ever refused here; what cannot be done now is done the next time. */
static int sweep(struct world *w)
{
	w->in_core = true;
	core_sweep(w->core);
	w->in_core = false;
	return 0;
}

static void remove_state(struct world *w)
{
	fake_blob_clear(&w->state->labels);
	fake_blob_clear(&w->state->labels_journal);
	w->state->gone = true;
}

static void by_porter(struct world *w)
{
	w->by_porter = true;
}

const struct scenario scenarios[] = {
	{ "register, a new label", register_new },
	{ "register, replacing", register_replace },
	{ "register, adding", register_add },
	{ "register, several labels", register_several },
	{ "register, short form", register_short },
	{ "register, by unit", register_by_unit },
	{ "register by a porter, a new label", register_new, by_porter },
	{ "register by a porter, replacing", register_replace, by_porter },
	{ "register by a porter, several labels", register_several, by_porter },
	{ "register by a porter, by unit", register_by_unit, by_porter },
	{ "unregister", unregister_some },
	{ "unregister, the last", unregister_last },
	{ "bind, a new label", bind_new },
	{ "bind, several ports", bind_several },
	{ "bind, moving", bind_move },
	{ "bind, without room", bind_without_room },
	{ "unbind", unbind_some },
	{ "unbind, the last", unbind_last },
	{ "apply", apply },
	{ "apply, nothing", apply_nothing },
	{ "apply, dry run", apply_dry },
	{ "rules", list_rules },
	{ "status", status },
	{ "rules, as text", rules_as_text },
	{ "explain", explain },
	{ "explain, from somewhere", explain_from },
	{ "version", version, .frugal = true },
	{ "reload", reload },
	{ "reload, asked for", reload_asked_for },
	{ "unload", unload, .frugal = true, .ends = true },
	{ "start", restart, .restarts = true },
	{ "start, changed meanwhile", restart_changed, close_some, true },
	{ "start on new maps", restart, other_version, true },
	{ "sweep", sweep, close_some },
	{ "sweep, state removed", sweep, remove_state },
	{ "hold: register", hold_register },
	{ "hold: register for another process", hold_register_for },
	{ "hold: register by a porter", hold_register, by_porter },
	{ "hold: register by a porter for another process", hold_register_for, by_porter },
	{ "hold: register, replacing held ones", hold_register, hold_service_ends },
	{ "hold: take own ones", hold_take_own },
	{ "hold: take held ones", hold_take, hold_service_ends },
	{ "hold: take what is served", hold_take },
	{ "hold: unregister", hold_unregister },
	{ "hold: bind", hold_bind },
	{ "hold: bind, moving", hold_bind_move },
	{ "hold: unbind", hold_unbind, hold_bind_before },
	{ "hold: apply", hold_apply },
	{ "hold: reload", hold_reload },
	{ "hold: reload, nothing is held any more", hold_reload_none, hold_service_ends },
	{ "hold: the service ends", hold_end },
	{ "hold: time is up", hold_time_is_up, hold_service_ends },
	{ "hold: what waits has a unit started", hold_wait, .frugal = true },
	{ "hold: time is up for what waits", hold_wait_is_over, hold_connections_wait },
	{ "hold: the unit has failed", hold_unit_failed, hold_connections_wait, .frugal = true },
	{ "hold: the unit is asked for again", hold_ask_again, hold_unit_failed_before,
	  .frugal = true },
	{ "hold: the label is given up", hold_unit_failed, hold_unit_fails_often },
	{ "hold: start with what was kept", restart, hold_in_store, true },
	{ "hold: start with what was kept of a service that ended", restart, hold_in_store_ended,
	  true },
	{ "hold: start with a socket of a socket unit", restart, hold_inherit, true,
	  .may_do_less = true },
};

const size_t n_scenarios = ARRAY_SIZE(scenarios);
