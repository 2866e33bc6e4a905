/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/probation.h"

#include "broker/core/activation.h"
#include "broker/core/hold.h"

/* The first look; the pauses grow with the time that has passed. */
#define LOOK_US 50000
#define LOOK_FRACTION 4

void probation_begin(struct core *c, const struct label *l, struct member *m)
{
	uint64_t now_us = c->host.monotonic_us(c->host.self);
	uint32_t n = 0;

	if (member_served(m)) /* by another one, too */
		return;
	m->probation = (struct probation){ 0 };
	if (c->host.waiting(c->host.self, m->copy, &n) < 0 || n == 0)
		return;
	m->probation = (struct probation){
		.since_us = now_us,
		.look_us = now_us + LOOK_US,
		.hold_ends_us = m->hold_ends_us ? m->hold_ends_us : now_us + l->hold_timeout_us,
		.waiting = n,
	};
}

static bool has_accepted(struct core *c, struct member *m)
{
	uint32_t n, before = m->probation.waiting;

	if (c->host.waiting(c->host.self, m->copy, &n) < 0)
		return false;
	m->probation.waiting = n;
	return n < before;
}

static bool look(struct core *c, const struct label *l, struct member *m, uint64_t now_us)
{
	struct probation *t = &m->probation;
	uint64_t pause_us = (now_us - t->since_us) / LOOK_FRACTION;
	uint64_t end_us = t->since_us + l->hold_timeout_us;

	if (has_accepted(c, m) || now_us >= end_us)
		return true;
	t->look_us = now_us + (pause_us > LOOK_US ? pause_us : LOOK_US);
	if (t->look_us > end_us)
		t->look_us = end_us;
	return false;
}

void probation_update(struct core *c, struct label *l)
{
	uint64_t now_us = c->host.monotonic_us(c->host.self);
	bool passed = false;

	for (size_t i = 0; i < l->n_members; i++) {
		struct member *m = &l->members[i];

		if (m->probation.since_us == 0)
			continue;
		if (m->probation.look_us <= now_us && look(c, l, m, now_us)) {
			m->probation = (struct probation){ 0 };
			passed = true;
		}
		hold_alarm(c, m->probation.look_us);
	}
	if (passed)
		activation_settle(l);
}

uint64_t probation_failed(struct core *c, struct member *m)
{
	if (m->probation.since_us && has_accepted(c, m))
		m->probation = (struct probation){ 0 };
	return m->probation.since_us
		       ? c->host.monotonic_us(c->host.self) - m->probation.since_us + 1
		       : 0;
}
