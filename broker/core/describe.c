/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/core/describe.h"

#include <inttypes.h>

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
	sb_record_add(text, "sockets", "%zu", l->n_members);
	sb_record_add(text, "when_empty", "%s", when_empty_name(l->when_empty));
	sb_record_add(text, "origin", "%s", l->configured ? "config" : "runtime");
	sb_record_add(text, "max_sockets", "%u", l->max_sockets);
	if (l->description)
		sb_record_add(text, "description", "%s", l->description);
	sb_record_end(text);
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
	sb_record_add(text, "held", "no");
	if (m->address.family == AF_INET6)
		sb_record_add(text, "dual", "%s", m->dual ? "yes" : "no");
	sb_record_add(text, "reuseport", "%s", m->reuseport ? "yes" : "no");
	sb_record_add(text, "pid", "%d", (int)m->pid);
	sb_record_add(text, "uid", "%u", (unsigned)m->uid);
	sb_record_add(text, "gid", "%u", (unsigned)m->gid);
	if (m->unit)
		sb_record_add(text, "unit", "%s", m->unit);
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
