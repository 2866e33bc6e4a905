/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/activation.h"

#include <stdio.h>
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/hold.h"

/* The pause after the first failure; each doubles it. */
#define PAUSE_US 100000
/* How often a unit that runs, but has not taken the sockets yet, is looked at. */
#define LOOK_US 1000000
/* Whoever stops and starts a service by hand may be as quick: not counted as a failure. */
#define QUICK_US 2000000
/* The pause doubles for so many services that ended that quickly, to 6.4 s. */
#define QUICK_ENDS_MAX 6

static bool something_waits(struct core *c, const struct label *l)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (hold_waiting(c, &l->members[i]) > 0)
			return true;
	return false;
}

static void ask_later(struct core *c, struct label *l, uint64_t us)
{
	l->activation.ask_at_us = c->host.monotonic_us(c->host.self) + us;
	hold_alarm(c, l->activation.ask_at_us);
}

static void give_up(struct core *c, struct label *l)
{
	struct activation *a = &l->activation;

	a->state = ACTIVATION_FAILED;
	a->ask_at_us = 0;
	log_error("label %s is given up until the next reload, or until a service comes by itself: "
		  "%s: %s",
		  l->name, a->unit, a->reason);
	hold_let_go(c, l);
}

static void failed(struct core *c, struct label *l, const char *reason)
{
	struct activation *a = &l->activation;

	snprintf(a->reason, sizeof(a->reason), "%s", reason);
	a->state = ACTIVATION_READY;
	if (++a->failures >= ACTIVATION_FAILURES_MAX) {
		give_up(c, l);
		return;
	}
	log_warning("label %s: %s: %s; trying again", l->name, a->unit, a->reason);
	ask_later(c, l, (uint64_t)PAUSE_US << a->failures);
}

/* Whether one more start is within the limit. */
static bool count_start(struct core *c, struct activation *a)
{
	uint64_t now_us = c->host.monotonic_us(c->host.self);

	if (a->interval_us == 0 || a->burst == 0)
		return true;
	if (a->starts == 0 || now_us - a->window_us >= a->interval_us) {
		a->window_us = now_us;
		a->starts = 0;
	}
	return a->starts++ < a->burst;
}

static void too_many_starts(struct core *c, struct label *l)
{
	struct activation *a = &l->activation;

	snprintf(a->reason, sizeof(a->reason),
		 "%u starts within %.6g s are too many (TriggerLimitBurst=, "
		 "TriggerLimitIntervalSec=)",
		 a->burst + 1, (double)a->interval_us / 1e6);
	give_up(c, l);
}

static void ask(struct core *c, struct label *l)
{
	struct activation *a = &l->activation;
	struct sb_error error = { 0 };

	a->ask_at_us = 0;
	if (!a->looking && !count_start(c, a)) {
		too_many_starts(c, l);
		return;
	}
	a->state = ACTIVATION_ASKED;
	if (c->units.start(c->units.self, a->unit, l->id, &error) < 0)
		failed(c, l, error.message);
	else if (!a->looking)
		log_info("label %s: %s is started for what waits", l->name, a->unit);
}

void activation_trigger(struct core *c, struct label *l)
{
	const struct activation *a = &l->activation;

	if (a->unit && a->state == ACTIVATION_READY && a->ask_at_us == 0)
		ask(c, l);
}

void activation_update(struct core *c, struct label *l)
{
	struct activation *a = &l->activation;

	if (a->ask_at_us == 0)
		return;
	if (a->ask_at_us > c->host.monotonic_us(c->host.self)) {
		hold_alarm(c, a->ask_at_us);
		return;
	}
	a->ask_at_us = 0;
	if (a->unit && something_waits(c, l))
		ask(c, l);
}

void activation_resume(struct core *c)
{
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		if (l->activation.unit && something_waits(c, l))
			activation_trigger(c, l);
}

void activation_in_vain(struct core *c, struct label *l)
{
	if (l->activation.unit && l->activation.state != ACTIVATION_FAILED)
		failed(c, l, "what waited was not taken in time (HoldTimeout=)");
}

void activation_ended(struct core *c, struct label *l, uint64_t after_us)
{
	struct activation *a = &l->activation;

	if (!a->unit || a->state == ACTIVATION_FAILED)
		return;
	if (after_us >= QUICK_US) {
		failed(c, l, "it has ended without accepting what waits");
		return;
	}
	a->quick_ends += a->quick_ends < QUICK_ENDS_MAX;
	ask_later(c, l, (uint64_t)PAUSE_US << a->quick_ends);
}

/* It is active, but has not taken anything yet. */
static void look(struct core *c, struct label *l, const char *invocation)
{
	struct activation *a = &l->activation;
	bool anew = a->looking && a->invocation[0] && invocation[0] &&
		    strcmp(a->invocation, invocation) != 0;

	a->looking = true;
	snprintf(a->invocation, sizeof(a->invocation), "%s", invocation);
	if (!anew)
		ask_later(c, l, LOOK_US);
	else if (!count_start(c, a)) /* it was a start after all */
		too_many_starts(c, l);
	else
		failed(c, l, "it has ended without taking the sockets");
}

void core_unit_started(struct core *c, uint32_t id, const struct unit_start *start)
{
	struct label *l = registry_get(c->registry, id);
	struct activation *a = l ? &l->activation : NULL;

	/* The label may be another one by now, or be served. */
	if (!a || a->state != ACTIVATION_ASKED)
		return;
	a->state = ACTIVATION_READY;
	if (!start->error && start->active && something_waits(c, l)) {
		look(c, l, start->invocation);
		return;
	}
	a->looking = false;
	if (start->error)
		failed(c, l, start->message);
	else if (!start->active && something_waits(c, l))
		failed(c, l, "it has ended without taking the sockets");
}

static bool has_probation(const struct label *l)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (l->members[i].probation.since_us)
			return true;
	return false;
}

void activation_settle(struct label *l)
{
	struct activation *a = &l->activation;

	a->state = ACTIVATION_READY;
	a->ask_at_us = 0;
	a->looking = false;
	a->invocation[0] = '\0';
	if (has_probation(l))
		return;
	a->failures = a->quick_ends = 0;
	a->reason[0] = '\0';
}

void activation_configure(struct label *l, char *unit, uint64_t interval_us, unsigned burst)
{
	free(l->activation.unit);
	l->activation = (struct activation){
		.unit = unit,
		.interval_us = interval_us,
		.burst = burst,
	};
}
