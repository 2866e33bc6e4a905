/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bind and unbind: a few rules under one prefix, all or none. */
#include <string.h>

#include "broker/base/log.h"
#include "broker/core/guard.h"
#include "broker/core/hold.h"
#include "broker/core/shares.h"

#define EDITS_MAX (SB_PORT_LIST_MAX * 2)

struct edits {
	struct rule_edit list[EDITS_MAX];
	size_t n, added, moved, removed, unchanged;
	uint8_t owner; /* of those that are added */
};

/* Calls F for every rule that the request names. */
static int each_rule(const struct sb_rule_line *line, uint32_t label,
		     int (*f)(struct core *c, const struct rule *rule, struct edits *e, void *data,
			      struct sb_error *error),
		     struct core *c, struct edits *e, void *data, struct sb_error *error)
{
	for (unsigned udp = 0; udp < 2; udp++) {
		if (!(line->protocols & (udp ? SB_PROTOCOL_UDP : SB_PROTOCOL_TCP)))
			continue;
		for (size_t i = 0; i < line->n_ports; i++) {
			struct rule rule = rule_make(udp ? IPPROTO_UDP : IPPROTO_TCP, &line->prefix,
						     line->ports[i], label, RULE_RUNTIME);
			int r = f(c, &rule, e, data, error);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int bind_one(struct core *c, const struct rule *rule, struct edits *e, void *data,
		    struct sb_error *error)
{
	const bool *move = data;
	const struct rule *found = ruleset_find(c->rules, rule);
	char text[RULE_TEXT_MAX];

	if (!found) {
		e->list[e->n] = (struct rule_edit){ .kind = RULE_ADD, .rule = *rule };
		e->list[e->n++].rule.owner = e->owner & RULE_OWNERS_MAX;
		e->added++;
		return 0;
	}
	if (found->label == rule->label) {
		e->unchanged++;
		return 0;
	}
	if (found->origin == RULE_CONFIG)
		return sb_fail(error, EEXIST,
			       "rule %s belongs to label %s by its label file; change it there",
			       rule_format(rule, text),
			       registry_get(c->registry, found->label)->name);
	if (!*move)
		return sb_fail(
			error, EEXIST, "rule %s belongs to label %s already; --move reassigns it",
			rule_format(rule, text), registry_get(c->registry, found->label)->name);
	e->list[e->n++] = (struct rule_edit){
		.kind = RULE_MOVE,
		.rule = *rule,
		.old_label = found->label,
	};
	e->moved++;
	return 0;
}

/* Labels that lost rules. */
static void look_at_old_labels(struct core *c, const struct edits *e)
{
	for (size_t i = 0; i < e->n; i++) {
		struct label *l = registry_get(c->registry, e->list[i].old_label);

		if (e->list[i].kind == RULE_ADD || !l)
			continue;
		hold_refresh(c, l, NULL, &(struct sb_error){ 0 }); /* else the next sweep does */
		core_label_collect(c, l);
	}
}

/* The packets of new rules must find a place to wait from the first one on. */
static int prepare_hold(struct core *c, struct label *l, const struct edits *e,
			struct sb_error *error)
{
	size_t n[2][2];

	memcpy(n, l->n_rules, sizeof(n));
	for (size_t i = 0; i < e->n; i++) {
		const struct rule *r = &e->list[i].rule;

		n[r->family == AF_INET6][r->protocol == IPPROTO_UDP]++;
	}
	return hold_refresh(c, l, n, error);
}

static int bind_rules(struct core *c, const struct sb_rule_line *line, struct label *l,
		      bool created, bool move, struct edits *e, struct sb_error *error)
{
	int r = each_rule(line, l->id, bind_one, c, e, &move, error);

	if (r < 0 || e->n == 0)
		return r;
	if (ruleset_count(c->rules) + e->added > c->settings.max_rules)
		return sb_fail(error, ENOSPC,
			       "there are %zu rules already, there may be %zu (MaxRules= in "
			       "sockbroker.conf)",
			       ruleset_count(c->rules), c->settings.max_rules);
	r = shares_check_rules(c, e->owner, e->added, false, error);
	if (r == 0)
		r = prepare_hold(c, l, e, error);
	if (r < 0)
		return r;
	r = rules_edit(c, &line->prefix, e->list, e->n, created ? l : NULL, error);
	if (r < 0)
		hold_refresh(c, l, NULL, &(struct sb_error){ 0 });
	return r;
}

static void warn_taken(struct core *c, const struct edits *e, struct reply *reply)
{
	_cleanup_(guard_freep) struct guard *guard = e->n ? guard_new(c) : NULL;

	if (!guard)
		return;
	for (size_t i = 0; i < e->n; i++)
		guard_look(guard, &e->list[i].rule);
	guard_report(guard, reply);
}

int op_bind(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	_cleanup_free_ struct edits *e = calloc(1, sizeof(*e));
	struct sb_rule_line line;
	const char *name;
	struct label *l;
	bool move, created;
	int r;

	if (!e)
		return sb_fail(error, ENOMEM, "out of memory");
	r = request_need(rq, "LABEL", &name, error);
	if (r == 0)
		r = sb_label_check(name, error);
	if (r == 0)
		r = request_rule(rq, &line, error);
	if (r == 0)
		r = request_flag(rq, "MOVE", &move, error);
	if (r == 0)
		r = core_label_get(c, name, &l, &created, error);
	if (r < 0)
		return r;
	e->owner = shares_owner(c, rq->actor->uid);
	r = bind_rules(c, &line, l, created, move, e, error);
	if (r < 0) {
		if (created)
			core_label_collect(c, l);
		return r;
	}
	log_info("label %s: %zu rules added, %zu moved by uid %u", name, e->added, e->moved,
		 (unsigned)rq->actor->uid);
	look_at_old_labels(c, e);
	sb_writer_add(&reply->writer, "ADDED", "%zu", e->added);
	sb_writer_add(&reply->writer, "MOVED", "%zu", e->moved);
	sb_writer_add(&reply->writer, "UNCHANGED", "%zu", e->unchanged);
	warn_taken(c, e, reply);
	return 0;
}

static int unbind_one(struct core *c, const struct rule *rule, struct edits *e, void *data,
		      struct sb_error *error)
{
	const struct label *wanted = data;
	const struct rule *found = ruleset_find(c->rules, rule);
	char text[RULE_TEXT_MAX], other[RULE_NAME_MAX];

	if (!found)
		return sb_fail(error, ENOENT, "there is no rule %s", rule_format(rule, text));
	if (wanted && found->label != wanted->id)
		return sb_fail(error, ENOENT, "label %s has no rule %s; there is rule %s",
			       wanted->name, rule_format(rule, text), rule_name(c, found, other));
	if (found->origin == RULE_CONFIG)
		return sb_fail(error, EBUSY,
			       "rule %s is part of the label file of %s; remove it there and "
			       "reload",
			       rule_format(rule, text),
			       registry_get(c->registry, found->label)->name);
	e->list[e->n++] = (struct rule_edit){
		.kind = RULE_REMOVE,
		.rule = *found,
		.old_label = found->label,
	};
	e->removed++;
	return 0;
}

int op_unbind(struct core *c, struct request *rq, struct reply *reply, struct sb_error *error)
{
	_cleanup_free_ struct edits *e = calloc(1, sizeof(*e));
	struct sb_rule_line line;
	struct label *l;
	int r;

	if (!e)
		return sb_fail(error, ENOMEM, "out of memory");
	r = request_label(c, rq, true, &l, error);
	if (r == 0)
		r = request_rule(rq, &line, error);
	if (r == 0)
		r = each_rule(&line, 0, unbind_one, c, e, l, error);
	if (r == 0)
		r = rules_edit(c, &line.prefix, e->list, e->n, NULL, error);
	if (r < 0)
		return r;
	log_info("%zu rules removed by uid %u", e->removed, (unsigned)rq->actor->uid);
	look_at_old_labels(c, e);
	sb_writer_add(&reply->writer, "REMOVED", "%zu", e->removed);
	return 0;
}
