/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/rule.h"

#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct rule) == 32, "a million of them are kept");

struct rule rule_make(int protocol, const struct sb_prefix *prefix, struct sb_ports ports,
		      uint32_t label, enum rule_origin origin)
{
	struct rule r = {
		.family = prefix->address.family,
		.protocol = (uint8_t)protocol,
		.prefix_length = prefix->length,
		.origin = origin & 1,
		.port_first = ports.first,
		.port_last = ports.last,
		.label = label,
	};

	memcpy(r.address, prefix->address.bytes, prefix->address.family == AF_INET ? 4 : 16);
	return r;
}

struct sb_prefix rule_prefix(const struct rule *r)
{
	struct sb_prefix p = { .address.family = r->family, .length = r->prefix_length };

	memcpy(p.address.bytes, r->address, sizeof(r->address));
	return p;
}

struct sb_ports rule_ports(const struct rule *r)
{
	return (struct sb_ports){ r->port_first, r->port_last };
}

int rule_compare_prefix(const struct rule *a, const struct rule *b)
{
	int c;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	c = memcmp(a->address, b->address, sizeof(a->address));
	if (c)
		return c < 0 ? -1 : 1;
	return (a->prefix_length > b->prefix_length) - (a->prefix_length < b->prefix_length);
}

int rule_compare(const struct rule *a, const struct rule *b)
{
	int c = rule_compare_prefix(a, b);

	if (c)
		return c;
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	if (a->port_first != b->port_first)
		return a->port_first < b->port_first ? -1 : 1;
	return (a->port_last > b->port_last) - (a->port_last < b->port_last);
}

static unsigned width(const struct rule *r)
{
	return (unsigned)r->port_last - r->port_first;
}

int rule_compare_specific(const struct rule *a, const struct rule *b)
{
	if (a->prefix_length != b->prefix_length)
		return a->prefix_length > b->prefix_length ? -1 : 1;
	if (width(a) != width(b))
		return width(a) < width(b) ? -1 : 1;
	return rule_compare(a, b);
}

bool rule_matches(const struct rule *r, const struct packet *p)
{
	unsigned bytes = r->prefix_length / 8, bits = r->prefix_length % 8;

	if (r->family != p->destination.family || r->protocol != p->protocol ||
	    p->port < r->port_first || p->port > r->port_last)
		return false;
	if (memcmp(r->address, p->destination.bytes, bytes) != 0)
		return false;
	return bits == 0 || (r->address[bytes] ^ p->destination.bytes[bytes]) >> (8 - bits) == 0;
}

bool rule_conflicts(const struct rule *a, const struct rule *b)
{
	return rule_compare_prefix(a, b) == 0 && a->protocol == b->protocol &&
	       width(a) == width(b) && a->port_first <= b->port_last &&
	       b->port_first <= a->port_last;
}

const char *rule_format(const struct rule *r, char buf[static RULE_TEXT_MAX])
{
	char prefix_text[SB_ADDRESS_TEXT_MAX], ports_text[SB_PORTS_TEXT_MAX];
	struct sb_prefix prefix = rule_prefix(r);
	struct sb_ports ports = rule_ports(r);

	snprintf(buf, RULE_TEXT_MAX, "%s %s %s", sb_protocol_name(r->protocol),
		 sb_prefix_format(&prefix, prefix_text), sb_ports_format(&ports, ports_text));
	return buf;
}
