/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/describe.h"

#include <inttypes.h>

#include "broker/core/lives.h"
#include "broker/core/numbers.h"

bool member_alive(struct core *c, const struct member *m)
{
	uint64_t cookie;

	return c->dataplane.slot_cookie(c->dataplane.self, m->slot, &cookie) == 0 &&
	       cookie == m->cookie;
}

void describe_label(struct core *c, const struct label *l, struct sb_text *text)
{
	sb_record_begin(text, "label");
	sb_record_add(text, "label", "%s", l->name);
	sb_record_add(text, "rules", "%zu", label_rules(l));
	sb_record_add(text, "sockets", "%zu", label_sockets(l));
	sb_record_add(text, "when_empty", "%s", when_empty_name(l->when_empty));
	if (l->when_empty == WHEN_EMPTY_HOLD)
		sb_record_add(text, "hold_timeout", "%" PRIu64, l->hold_timeout_us / 1000000);
	sb_record_add(text, "origin", "%s", l->configured ? "config" : "runtime");
	sb_record_add(text, "max_sockets", "%u", l->max_sockets);
	if (l->activation.unit) {
		sb_record_add(text, "activate", "%s", l->activation.unit);
		sb_record_add(text, "activation", "%s", activation_state_name(l->activation.state));
	}
	if (l->description)
		sb_record_add(text, "description", "%s", l->description);
	sb_record_end(text);
}

/* What is kept of M, and for how long. */
static void describe_hold(struct core *c, const struct member *m, struct sb_text *text)
{
	uint64_t now_us = c->host.monotonic_us(c->host.self);
	uint32_t waiting;

	sb_record_add(text, "held", "%s", member_served(m) ? "no" : "yes");
	if (member_served(m))
		return;
	if (m->held_since)
		sb_record_add(text, "held_since", "%" PRIu64, m->held_since);
	if (m->wait_since)
		sb_record_add(text, "waiting_since", "%" PRIu64, m->wait_since);
	if (m->hold_ends_us) {
		uint64_t left_us = m->hold_ends_us > now_us ? m->hold_ends_us - now_us : 0;

		sb_record_add(text, "hold_left", "%" PRIu64, left_us / 1000000);
		/* Its former name. */
		sb_record_add(text, "held_for", "%" PRIu64, left_us / 1000000);
	}
	if (c->host.waiting(c->host.self, m->copy, &waiting) == 0)
		sb_record_add(text, "waiting", "%" PRIu32, waiting);
}

void describe_member(struct core *c, const struct label *l, const struct member *m,
		     struct sb_text *text)
{
	char address[SB_ADDRESS_TEXT_MAX];

	sb_record_begin(text, "socket");
	sb_record_add(text, "label", "%s", l->name);
	sb_record_add(text, "protocol", "%s", sb_protocol_name(m->protocol));
	sb_record_add(text, "family", "%s", sb_family_name(m->address.family));
	sb_record_add(text, "address", "%s", sb_endpoint_format(&m->address, m->port, address));
	sb_record_add(text, "cookie", "%" PRIu64, m->cookie);
	sb_record_add(text, "slot", "%" PRIu32, m->slot);
	sb_record_add(text, "state", "%s", member_alive(c, m) ? "alive" : "dead");
	describe_hold(c, m, text);
	if (m->address.family == AF_INET6)
		sb_record_add(text, "dual", "%s", m->dual ? "yes" : "no");
	sb_record_add(text, "reuseport", "%s", m->reuseport ? "yes" : "no");
	if (m->own) {
		sb_record_add(text, "own", "yes");
	} else {
		sb_record_add(text, "pid", "%d", (int)m->pid);
		sb_record_add(text, "uid", "%u", (unsigned)m->uid);
		sb_record_add(text, "gid", "%u", (unsigned)m->gid);
	}
	if (m->unit)
		sb_record_add(text, "unit", "%s", m->unit);
	if (m->life)
		sb_record_add(text, "served_by", "%d", (int)m->life->pid);
	sb_record_add(text, "since", "%" PRIu64, m->since);
	sb_record_end(text);
}

void describe_rule(struct core *c, const char *type, const struct rule *r, struct sb_text *text)
{
	char prefix[SB_ADDRESS_TEXT_MAX], range[SB_PORTS_TEXT_MAX];
	struct sb_prefix p = rule_prefix(r);
	struct sb_ports ports = rule_ports(r);
	uint64_t hits;

	sb_record_begin(text, type);
	sb_record_add(text, "protocol", "%s", sb_protocol_name(r->protocol));
	sb_record_add(text, "family", "%s", sb_family_name(r->family));
	sb_record_add(text, "prefix", "%s", sb_prefix_format(&p, prefix));
	sb_record_add(text, "ports", "%s", sb_ports_format(&ports, range));
	sb_record_add(text, "label", "%s", registry_get(c->registry, r->label)->name);
	sb_record_add(text, "origin", "%s", r->origin == RULE_CONFIG ? "config" : "runtime");
	if (numbers_used(c) && c->dataplane.hits(c->dataplane.self, r->number, &hits) == 0)
		sb_record_add(text, "hits", "%" PRIu64, hits);
	sb_record_end(text);
}
