/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A broker with labels, rules and sockets, everything that may be asked of it, and pictures of all
 * that must not change when it is refused. */
#pragma once

#include "tests/unit/core/world.h"

/* Sockets of the world: fds, which are their cookies. */
enum {
	WEB_1 = FAKE_FD_FIRST,
	WEB_2,
	DNS_4,
	DNS_6,
	APP_6,
	OLD_4,
	BARE_4,
	NEW_4, /* from here to NEW_UDP: not registered */
	NEW_4B,
	NEW_6,
	NEW_DUAL,
	NEW_UDP,
	KEEP_1,
	KEEP_2,
	KEEP_UDP, /* not registered */
};

#define SCENARIO_SERVICE 300         /* the process that serves KEEP_1 and KEEP_2 */
#define SCENARIO_HOLD_US 10000000ULL /* HoldTimeout= of label keep */

struct scenario {
	const char *name;
	int (*request)(struct world *w);  /* 0, or the negative errno with w->error */
	void (*prepare)(struct world *w); /* what happened before; may be NULL */
	bool restarts;                    /* what is refused is a start: there is no core then */
	bool frugal;                      /* takes no memory */
	bool ends;                        /* the broker is of no use afterwards */
	bool may_do_less;                 /* goes by steps; what fails is left out, and logged */
};

extern const struct scenario scenarios[];
extern const size_t n_scenarios;

/* A started world with configured and runtime labels, rules and sockets of every kind, prepared for
 * S. The same each time. */
struct world *scenario_world(const struct scenario *s);

/* scenarios-main.c: the main program NAME with a test CHECK for each scenario, which is its *STATE.
 * With arguments PART and PARTS, for every PARTS-th from PART (counted from 0). */
int scenarios_main(const char *name, void (*check)(void **state), int argc, char **argv);

/* scenarios-hold.c: the requests and preparations that have to do with WhenEmpty=hold. */
int hold_register(struct world *w);
int hold_register_for(struct world *w);
int hold_take_own(struct world *w);
int hold_take(struct world *w);
int hold_unregister(struct world *w);
int hold_bind(struct world *w);
int hold_bind_move(struct world *w);
int hold_unbind(struct world *w);
int hold_apply(struct world *w);
int hold_reload(struct world *w);
int hold_reload_none(struct world *w);
int hold_end(struct world *w);
int hold_time_is_up(struct world *w);
int hold_wait_is_over(struct world *w);
int hold_wait(struct world *w);
int hold_unit_failed(struct world *w);
int hold_ask_again(struct world *w);
void hold_unit_failed_before(struct world *w);
void hold_unit_fails_often(struct world *w);
void hold_in_store(struct world *w);
void hold_in_store_ended(struct world *w);
void hold_inherit(struct world *w);
void hold_service_ends(struct world *w);
void hold_bind_before(struct world *w);
void hold_connections_wait(struct world *w);

/* Lets done what a failure has put off. */
void scenario_settle(struct world *w);

/* All that is in model, kernel and saved state. */
struct picture {
	char *rules;    /* rule text */
	char *verdicts; /* of many packets */
	char *model;    /* rules and status; NULL without a core */
	struct fake_kernel *kernel;
	char *saved_sockets;                   /* labels, after their changes */
	struct fake_blob saved_rules, journal; /* committed */
	size_t used[6]; /* ids, slots, places in lists, rules' numbers, fds, watches */
};

struct picture picture_take(struct world *w);
void picture_clear(struct picture *p);
/* What differs, or NULL. */
const char *picture_compare(const struct picture *a, const struct picture *b);
/* Only what packets and people notice: the verdicts and the rules. */
const char *picture_compare_outcome(const struct picture *a, const struct picture *b);

/* Verdicts only, as text; owned by the caller. */
char *verdicts_text(struct world *w);
