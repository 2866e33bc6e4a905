/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * take: hands out the sockets that the broker keeps for labels (WhenEmpty=hold). Whoever takes them
 * is their registrant from then on, and serves what waits in them.
 */
#include <string.h>

#include "broker/base/log.h"
#include "broker/base/rate-limit.h"
#include "broker/core/hold.h"
#include "broker/core/lives.h"
#include "broker/core/shares.h"
#include "broker/core/probation.h"

#define TAKE_LABELS_MAX 64 /* labels of one request */

struct taking {
	struct label *labels[TAKE_LABELS_MAX];
	size_t counts[TAKE_LABELS_MAX];
	struct members_change changes[TAKE_LABELS_MAX];
	size_t n;
	struct life *life;
	uint64_t now;
};

static int parse(struct core *c, struct request *rq, struct taking *t, struct sb_error *error)
{
	const struct sb_message *m = rq->message;

	for (size_t i = 0; i < m->n_fields; i++) {
		const char *name = m->fields[i].value;
		int r;

		if (strcmp(m->fields[i].key, "LABEL") != 0)
			continue;
		if (t->n == TAKE_LABELS_MAX)
			return sb_fail(error, EMSGSIZE, "more than %d labels in one request",
				       TAKE_LABELS_MAX);
		r = sb_label_check(name, error);
		if (r == 0)
			r = request_may_register(c, rq, name, error);
		if (r < 0)
			return r;
		t->labels[t->n] = registry_find(c->registry, name);
		if (!t->labels[t->n])
			return sb_fail(error, ENOENT, "there is no label %s", name);
		for (size_t k = 0; k < t->n; k++)
			if (t->labels[k] == t->labels[t->n])
				return sb_fail(error, EINVAL, "label %s comes twice", name);
		t->n++;
	}
	return t->n > 0 ? 0 : sb_fail(error, EINVAL, "the request lacks LABEL=");
}

/* Whether there are held sockets of TCP, of UDP: then only those of that protocol are handed out.
 */
static void find_held(const struct members_change *change, bool held[static 2])
{
	for (size_t i = 0; i < change->n_members; i++)
		if (change->members[i].copy >= 0 && !member_served(&change->members[i]))
			held[change->members[i].protocol == IPPROTO_UDP] = true;
}

static int refuse_nothing(const struct label *l, struct sb_error *error)
{
	if (l->when_empty != WHEN_EMPTY_HOLD)
		return sb_fail(error, ENOENT,
			       "no sockets are held for label %s: its label file does not say "
			       "WhenEmpty=hold",
			       l->name);
	if (label_rules(l) == 0)
		return sb_fail(error, ENOENT, "no sockets are held for label %s: it has no rules",
			       l->name);
	return sb_fail(error, ENOENT,
		       "no sockets are held for label %s: those that it has were handed in before "
		       "the broker started",
		       l->name);
}

/* The taker becomes the registrant. The former unit's name is freed with the label's members. */
static int hand_over(struct core *c, const struct taking *t, const struct label *l,
		     const struct request *rq, struct member *m)
{
	char *unit = rq->actor->unit[0] ? strdup(rq->actor->unit) : NULL;

	if (rq->actor->unit[0] && !unit)
		return -ENOMEM;
	probation_begin(c, l, m);
	free(m->unit);
	m->unit = unit;
	m->pid = rq->actor->pid;
	m->uid = rq->actor->uid;
	m->gid = rq->actor->gid;
	m->since = t->now;
	m->own = m->withheld = false;
	m->life = t->life;
	m->served_by = t->life->pid;
	m->held_since = m->wait_since = m->hold_ends_us = 0;
	return 0;
}

static int add_copy(struct core *c, const struct member *m, struct reply *reply)
{
	int r;

	if (reply->n_fds == SB_WIRE_FDS_MAX)
		return -EMFILE;
	r = c->host.copy(c->host.self, m->copy, &reply->fds[reply->n_fds]);
	if (r == 0)
		reply->n_fds++;
	return r;
}

static int take_label(struct core *c, const struct request *rq, struct taking *t, size_t index,
		      struct reply *reply, struct sb_error *error)
{
	struct members_change *change = &t->changes[index];
	struct label *l = t->labels[index];
	bool held[2] = { false, false };
	int r = members_change_begin(c, change, l);

	find_held(change, held);
	for (size_t i = 0; i < change->n_members && r == 0; i++) {
		struct member *m = &change->members[i];

		if (m->copy < 0 || (member_served(m) && held[m->protocol == IPPROTO_UDP]))
			continue;
		t->counts[index]++;
		r = add_copy(c, m, reply);
		if (r == 0)
			r = hand_over(c, t, l, rq, m);
	}
	if (r < 0)
		return sb_fail(error, -r, "label %s: its sockets cannot be handed out: %s", l->name,
			       strerror(-r));
	return t->counts[index] > 0 ? 0 : refuse_nothing(l, error);
}

static int take_all(struct core *c, struct request *rq, struct taking *t, struct reply *reply,
		    struct sb_error *error)
{
	int r = parse(c, rq, t, error);

	if (r == 0)
		r = life_new(c, rq->actor->pid, rq->pidfd, &t->life, error);
	if (r == 0 && !t->life)
		r = sb_fail(error, ESRCH, "process %d, which asked, has ended",
			    (int)rq->actor->pid);
	t->now = c->host.now(c->host.self);
	for (size_t i = 0; i < t->n && r == 0; i++) {
		r = take_label(c, rq, t, i, reply, error);
		sb_writer_add(&reply->writer, "LABEL", "%s", t->labels[i]->name);
		sb_writer_add(&reply->writer, "COUNT", "%zu", t->counts[i]);
	}
	/* Before it is done: what is taken must be told. */
	if (r == 0 && sb_writer_finish(&reply->writer) < 0)
		r = sb_fail(error, EMSGSIZE,
			    "the reply does not fit one packet: ask for fewer "
			    "labels");
	if (r == 0)
		r = shares_check_members(c, t->changes, t->n, rq->actor->uid, 0, error);
	if (r == 0)
		r = members_apply(c, t->changes, t->n, error);
	/* A label that was given up is not any more. */
	for (size_t i = 0; i < t->n && r == 0; i++)
		hold_refresh(c, t->labels[i], NULL, &(struct sb_error){ 0 });
	members_change_end(t->changes, t->n);
	life_collect(c, t->life);
	return r;
}

int op_take(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	_cleanup_free_ struct taking *t = calloc(1, sizeof(*t));
	int r = t ? take_all(c, rq, t, reply, error) : sb_fail(error, ENOMEM, "out of memory");

	if (r < 0) {
		while (reply->n_fds > 0)
			c->host.close(c->host.self, reply->fds[--reply->n_fds]);
		return r;
	}
	for (size_t i = 0; i < t->n; i++)
		log_limited(&c->log, LOG_INFO, "label %s: %zu sockets taken by uid %u, pid %d",
			    t->labels[i]->name, t->counts[i], (unsigned)rq->actor->uid,
			    (int)rq->actor->pid);
	return 0;
}
