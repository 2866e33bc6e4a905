/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* WhenEmpty=hold, as things happen: a service ends, a packet waits, time is up, rules change. */
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/activation.h"
#include "broker/core/hold.h"
#include "broker/core/lives.h"
#include "broker/core/probation.h"

/* After a failure not at once again. */
#define HOLD_RETRY_US 1000000

static bool is_over(const struct member *m, uint64_t now_us)
{
	return m->hold_ends_us != 0 && m->hold_ends_us <= now_us;
}

static bool lost_its_service(const struct member *m)
{
	return member_served(m) && m->life && m->life->ended;
}

static bool is_own_and_over(const struct member *m, const void *data)
{
	return m->own && is_over(m, *(const uint64_t *)data);
}

/* What of L's sockets is to change; how many. */
static size_t change_members(struct core *c, struct members_change *change, uint64_t now_us)
{
	size_t n = members_change_drop(change, is_own_and_over, &now_us);

	for (size_t i = 0; i < change->n_members; i++) {
		struct member *m = &change->members[i];

		if (lost_its_service(m))
			hold_begin(c, change->label, m);
		else if (is_over(m, now_us))
			hold_forget(m); /* if somebody else has it after all, it stays */
		else
			continue;
		n++;
	}
	return n;
}

static void tell(const struct label *l, size_t held, size_t over)
{
	if (held > 0)
		log_notice("label %s: the service of %zu sockets has ended, they are held", l->name,
			   held);
	/* Of a label that was given up that is said already. */
	if (over > 0 && l->activation.state != ACTIVATION_FAILED)
		log_notice("label %s: nobody took over %zu sockets in time (HoldTimeout=)", l->name,
			   over);
}

static void try_again(struct core *c, const struct label *l, uint64_t now_us)
{
	for (size_t i = 0; i < l->n_members; i++)
		if (is_over(&l->members[i], now_us))
			l->members[i].hold_ends_us = now_us + HOLD_RETRY_US;
	hold_alarm(c, now_us + HOLD_RETRY_US);
}

/* Sockets that became held, to see when something waits in them too. Without that it only takes
 * longer to be noticed. */
static void watch_held(struct core *c, const struct members_change *former)
{
	const struct label *l = former->label;

	for (size_t i = 0; i < l->n_members; i++) {
		const struct member *m = &l->members[i];

		if (m->own || m->copy < 0 || member_served(m))
			continue;
		for (size_t k = 0; k < former->n_members; k++)
			if (former->members[k].copy == m->copy &&
			    member_served(&former->members[k]))
				c->watch.watch(c->watch.self, m->copy);
	}
}

/* Applies what change_members() says at NOW_US. */
static int apply_events(struct core *c, struct label *l, uint64_t now_us, struct sb_error *error)
{
	struct members_change change = { 0 };
	int r = members_change_begin(c, &change, l);

	if (r < 0)
		sb_fail(error, -r, "%s", strerror(-r));
	else if (change_members(c, &change, now_us) > 0)
		r = members_apply(c, &change, 1, error);
	if (r == 0)
		watch_held(c, &change);
	members_change_end(&change, 1);
	return r;
}

/* Others are let go of; a service manager keeps these. */
static int empty_inherited(struct core *c, struct label *l, uint64_t now_us, struct sb_error *error)
{
	int r = 0;

	for (size_t i = 0; i < l->n_members && r == 0; i++)
		if (l->members[i].inherited && is_over(&l->members[i], now_us))
			r = hold_empty(c, l, &l->members[i]);
	return r < 0 ? sb_fail(error, -r, "what waits in them cannot be reset: %s", strerror(-r))
		     : 0;
}

/* What happened in a label. */
struct events {
	size_t held, over;
	uint64_t failed_us; /* how long services were on probation that have failed; 0: none has */
	bool in_vain;       /* something waited until its time was up */
};

static struct events find_events(struct core *c, struct label *l, uint64_t now_us)
{
	struct events e = { 0 };

	for (size_t i = 0; i < l->n_members; i++) {
		struct member *m = &l->members[i];

		if (lost_its_service(m)) {
			uint64_t us = probation_failed(c, m);

			e.held++;
			e.failed_us = us > e.failed_us ? us : e.failed_us;
		} else if (is_over(m, now_us)) {
			e.over++;
			e.in_vain |= hold_waiting(c, m) > 0;
		}
	}
	return e;
}

static void end_holds(struct core *c, struct label *l)
{
	uint64_t now_us = c->host.monotonic_us(c->host.self);
	struct events e = find_events(c, l, now_us);
	struct sb_error error = { 0 };
	int r;

	if (e.held + e.over == 0)
		return;
	r = empty_inherited(c, l, now_us, &error);
	if (r == 0)
		r = apply_events(c, l, now_us, &error);
	if (r < 0) {
		log_warning("label %s: held sockets stay as they are for now: %s", l->name,
			    error.message);
		try_again(c, l, now_us);
		return;
	}
	tell(l, e.held, e.over);
	core_sweep_label(c, l); /* what was let go of is gone, or has an owner */
	if (e.in_vain)
		activation_in_vain(c, l);
	else if (e.failed_us)
		activation_ended(c, l, e.failed_us);
}

void hold_update(struct core *c, struct label *l)
{
	end_holds(c, l);
	probation_update(c, l);
	activation_update(c, l);
}

void hold_resume(struct core *c)
{
	uint64_t now_us = c->host.monotonic_us(c->host.self);

	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l)) {
		for (size_t i = 0; i < l->n_members; i++) {
			struct member *m = &l->members[i];

			if (m->copy < 0 || m->own || m->inherited || member_served(m))
				continue;
			m->hold_ends_us = now_us + l->hold_timeout_us;
			hold_alarm(c, m->hold_ends_us);
		}
	}
}

void hold_let_go(struct core *c, struct label *l)
{
	uint64_t now_us = c->host.monotonic_us(c->host.self);

	/* First of all nothing more comes; if that fails the next sweep does it. */
	hold_refresh(c, l, NULL, &(struct sb_error){ 0 });
	for (size_t i = 0; i < l->n_members; i++)
		if (!member_served(&l->members[i]))
			l->members[i].hold_ends_us = now_us;
	end_holds(c, l);
}

/* The first packet that waits in an own or inherited socket starts its time. */
static void begin_waiting(struct core *c, struct label *l, struct member *m)
{
	bool given_up = l->activation.state == ACTIVATION_FAILED;

	m->wait_since = c->host.now(c->host.self);
	if (member_waits_first(m) && m->hold_ends_us == 0) {
		m->hold_ends_us = c->host.monotonic_us(c->host.self);
		m->hold_ends_us += given_up ? 0 : l->hold_timeout_us;
		hold_alarm(c, m->hold_ends_us);
	}
	if (given_up) /* it came when nothing should, by the socket's own address */
		return;
	log_info("label %s: %s waits for a service", l->name,
		 m->protocol == IPPROTO_UDP ? "a datagram" : "a connection");
	activation_trigger(c, l);
}

static void find_waiting(struct core *c, int fd)
{
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l)) {
		for (size_t i = 0; i < l->n_members; i++) {
			if (l->members[i].copy != fd || member_served(&l->members[i]))
				continue;
			begin_waiting(c, l, &l->members[i]);
			return;
		}
	}
}

static void update_all(struct core *c)
{
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		hold_update(c, l);
}

void core_ready(struct core *c, int fd)
{
	struct life *life = life_find(c, fd);

	if (!life) {
		find_waiting(c, fd);
		return;
	}
	life->ended = true;
	update_all(c);
}

void core_alarm(struct core *c)
{
	c->alarm_us = 0;
	update_all(c);
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l)) {
		hold_alarm(c, l->activation.ask_at_us);
		for (size_t i = 0; i < l->n_members; i++)
			hold_alarm(c, l->members[i].hold_ends_us);
	}
}

/* Counts by label, [IPv6][UDP]. */
static size_t (*count_rules(const struct ruleset *rules))[2][2]
{
	size_t(*counts)[2][2] = calloc(SB_LABELS_MAX, sizeof(*counts));
	struct ruleset_cursor cursor;
	const struct rule *r;

	if (!counts)
		return NULL;
	for (ruleset_begin(rules, &cursor); (r = ruleset_next(&cursor));)
		counts[r->label][r->family == AF_INET6][r->protocol == IPPROTO_UDP]++;
	return counts;
}

static bool any_holds(const struct core *c)
{
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l))
		if (l->when_empty == WHEN_EMPTY_HOLD)
			return true;
	return false;
}

int hold_refresh_all(struct core *c, const struct ruleset *rules, struct sb_error *error)
{
	size_t(*counts)[2][2] = NULL;
	int r = 0;

	if (!any_holds(c))
		return 0;
	if (rules) {
		counts = count_rules(rules);
		if (!counts)
			return sb_fail(error, ENOMEM, "out of memory");
	}
	for (struct label *l = registry_next(c->registry, NULL); l && r == 0;
	     l = registry_next(c->registry, l)) {
		size_t n[2][2];

		for (unsigned i = 0; i < 4; i++)
			n[i / 2][i % 2] = l->n_rules[i / 2][i % 2] +
					  (counts ? counts[l->id][i / 2][i % 2] : 0);
		r = hold_refresh(c, l, n, error);
	}
	free(counts);
	return r;
}

void hold_clear(struct core *c)
{
	struct life *each;

	/* What is in the fd store is for the next broker. */
	LIST_FOREACH(each, &c->lives, entry)
	each->stored = false;
	for (struct label *l = registry_next(c->registry, NULL); l;
	     l = registry_next(c->registry, l)) {
		for (size_t i = 0; i < l->n_members; i++) {
			struct member *m = &l->members[i];
			struct life *life = m->life;

			m->life = NULL;
			life_remove(c, life);
			if (m->copy < 0)
				continue;
			c->watch.unwatch(c->watch.self, m->copy);
			c->host.discard(c->host.self, m->uid, m->copy);
			m->copy = -1;
		}
	}
}
