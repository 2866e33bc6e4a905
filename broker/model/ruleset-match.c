/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which rules hold a packet: for explain, and as the reference for the compiled tables. */
#include <string.h>

#include "broker/model/ruleset-internal.h"

/* Clears the bits after LENGTH. */
static void mask_address(uint8_t address[static 16], unsigned length)
{
	unsigned bytes = length / 8, bits = length % 8;

	if (bytes == 16)
		return;
	if (bits)
		address[bytes] &= (uint8_t)(0xff00 >> bits);
	memset(address + bytes + !!bits, 0, 16 - bytes - !!bits);
}

struct found {
	const struct rule **rules;
	size_t count; /* all that were found; those behind MAX are not kept */
	size_t max;
};

/* Adds R among the rules from START on, the narrowest first. */
static void found_add(struct found *f, size_t start, const struct rule *r)
{
	size_t i = f->count < f->max ? f->count : f->max;
	bool full = i == f->max;

	f->count++;
	if (full) {
		if (i <= start || rule_compare_specific(f->rules[i - 1], r) < 0)
			return;
		i--;
	}
	for (; i > start && rule_compare_specific(r, f->rules[i - 1]) < 0; i--)
		f->rules[i] = f->rules[i - 1];
	f->rules[i] = r;
}

/* Those of one prefix and protocol, which FROM names. */
static void match_prefix(const struct ruleset *s, const struct rule *from, uint16_t port,
			 struct found *f)
{
	size_t start = f->count < f->max ? f->count : f->max;
	struct ruleset_cursor c;
	const struct rule *r;

	ruleset_seek(s, from, &c);
	while ((r = ruleset_next(&c))) {
		if (rule_compare_prefix(r, from) != 0 || r->protocol != from->protocol ||
		    r->port_first > port)
			return;
		if (r->port_last >= port)
			found_add(f, start, r);
	}
}

size_t ruleset_match(const struct ruleset *s, const struct packet *p, const struct rule **ret,
		     size_t max)
{
	bool v6 = p->destination.family == AF_INET6;
	struct found f = { .rules = ret, .max = max };
	struct rule from = { .family = p->destination.family, .protocol = p->protocol };

	memcpy(from.address, p->destination.bytes, v6 ? 16 : 4);
	for (int length = v6 ? 128 : 32; length >= 0; length--) {
		if (s->lengths[v6][length] == 0)
			continue;
		mask_address(from.address, (unsigned)length);
		from.prefix_length = (uint8_t)length;
		match_prefix(s, &from, p->port, &f);
	}
	return f.count;
}

const struct rule *ruleset_match_naive(const struct ruleset *s, const struct packet *p)
{
	const struct rule *r, *best = NULL;
	struct ruleset_cursor c;

	for (ruleset_begin(s, &c); (r = ruleset_next(&c));) {
		if (rule_matches(r, p) && (!best || rule_compare_specific(r, best) < 0))
			best = r;
	}
	return best;
}
