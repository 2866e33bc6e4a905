/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/sets.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/model/rule-sort.h"
#include "protocol/cleanup.h"

#define PORTS_80 ((struct sb_ports){ 80, 80 })
#define PORTS_443 ((struct sb_ports){ 443, 443 })

static void random_bytes(struct random *r, uint8_t *bytes, size_t from, size_t end)
{
	for (size_t i = from; i < end; i++)
		bytes[i] = (uint8_t)random_next(r);
}

static void clear_bits(uint8_t *bytes, unsigned from)
{
	for (unsigned i = 0; i < 16; i++) {
		if (i * 8 >= from)
			bytes[i] = 0;
		else if (i * 8 + 8 > from)
			bytes[i] &= (uint8_t)(0xff00 >> (from - i * 8));
	}
}

static struct rule make(struct random *r, int family, const uint8_t *address, unsigned length,
			struct sb_ports ports)
{
	struct sb_prefix p = { .address.family = (uint8_t)family, .length = (uint8_t)length };

	memcpy(p.address.bytes, address, family == AF_INET ? 4 : 16);
	clear_bits(p.address.bytes, length);
	return rule_make(IPPROTO_TCP, &p, ports, random_below(r, SET_LABELS), RULE_RUNTIME);
}

/* Port 80, 443 or any. */
static struct sb_ports web_ports(struct random *r)
{
	const struct sb_ports ports[] = { PORTS_80, PORTS_443, SB_PORTS_ANY };

	return ports[random_below(r, 3)];
}

/* Hosts, and as many networks of any size. */
static unsigned some_length(struct random *r, int family)
{
	if (random_below(r, 2))
		return family == AF_INET ? 32 : 128;
	return family == AF_INET ? 16 + random_below(r, 16) : 32 + random_below(r, 33);
}

static void unicast(struct random *r, int family, uint8_t address[static 16])
{
	random_bytes(r, address, 0, 16);
	address[0] = family == AF_INET ? (uint8_t)(1 + random_below(r, 223))
				       : 0x20 | (address[0] & 0x1f);
}

/* Random prefixes. */
static struct rule scattered(struct random *r, size_t i, int family)
{
	uint8_t address[16];

	unicast(r, family, address);
	return make(r, family, address, some_length(r, family), web_ports(r));
}

static struct rule one_port(struct random *r, size_t i, int family)
{
	uint8_t address[16];

	unicast(r, family, address);
	return make(r, family, address, some_length(r, family), PORTS_443);
}

/* All in one /16 on 25 ports, or in one /48. */
static struct rule crowded(struct random *r, size_t i, int family)
{
	uint8_t address[16] = { 10, 1 };
	unsigned port = random_below(r, 24), length;

	if (family == AF_INET6) {
		memcpy(address, "\x20\x01\x0d\xb8\x00\x01", 6);
		random_bytes(r, address, 6, 16);
		length = random_below(r, 8) ? 128 : 49 + random_below(r, 79);
		return make(r, family, address, length, web_ports(r));
	}
	random_bytes(r, address, 2, 4);
	length = random_below(r, 8) ? 32 : 17 + random_below(r, 15);
	if (port < 2)
		return make(r, family, address, length, web_ports(r));
	port += 8000;
	return make(r, family, address, length,
		    (struct sb_ports){ (uint16_t)port, (uint16_t)port });
}

/* Prefixes around one address, each within the one before: every second bit, or eighth. */
static struct rule chain(struct random *r, size_t i, int family, unsigned *depth)
{
	const unsigned n = family == AF_INET ? 9 : 13;
	struct random own = { i / n * 0x9e3779b97f4a7c15 + 1 };
	uint8_t address[16];

	*depth = (unsigned)(i % n);
	unicast(&own, family, address);
	return make(r, family, address, family == AF_INET ? 16 + *depth * 2 : 32 + *depth * 8,
		    web_ports(r));
}

static struct rule nested(struct random *r, size_t i, int family)
{
	unsigned depth;

	return chain(r, i, family, &depth);
}

/* Only the shortest prefix takes the packets' port, which is the worst for our walk. */
static struct rule outward(struct random *r, size_t i, int family)
{
	unsigned depth;
	struct rule rule = chain(r, i, family, &depth);
	struct sb_prefix prefix = rule_prefix(&rule);

	return rule_make(IPPROTO_TCP, &prefix, depth ? PORTS_80 : SB_PORTS_ANY, rule.label,
			 RULE_RUNTIME);
}

static const struct set_shape set_shapes[] = {
	{ "scattered", scattered },
	{ "crowded", crowded },
	{ "nested", nested },
	{ "one port", one_port },
	{ "outward", outward, .port = 443 },
};

const struct set_shape *set_shape(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(set_shapes); i++)
		if (strcmp(set_shapes[i].name, name) == 0)
			return &set_shapes[i];
	return NULL;
}

static void *need(void *p)
{
	if (!p)
		errx(1, "out of memory");
	return p;
}

/* Sorts, and leaves one of each. */
static void unique(struct set *s)
{
	size_t n = 0;

	rule_sort(s->rules, s->n);
	for (size_t i = 0; i < s->n; i++)
		if (n == 0 || rule_compare(&s->rules[n - 1], &s->rules[i]) != 0)
			s->rules[n++] = s->rules[i];
	s->n = n;
}

struct set set_make(const struct set_shape *shape, struct random *r, size_t n, int family)
{
	struct set s = { need(calloc(n, sizeof(*s.rules))) };
	size_t made = 0;

	for (unsigned attempt = 0; s.n < n && attempt < 50; attempt++) {
		while (s.n < n)
			s.rules[s.n++] = shape->rule(r, made++, family);
		unique(&s);
	}
	return s;
}

static void add_prefix(struct set *s, const struct sb_prefix *p, struct random *r)
{
	const struct sb_ports ports[] = { PORTS_80, PORTS_443, SB_PORTS_ANY };

	s->rules = need(reallocarray(s->rules, s->n + 3, sizeof(*s->rules)));
	for (unsigned i = 0; i < 3; i++)
		s->rules[s->n++] = rule_make(IPPROTO_TCP, p, ports[i], random_below(r, SET_LABELS),
					     RULE_RUNTIME);
}

struct set set_load(const char *path, struct random *r, int family)
{
	struct sb_prefix prefix;
	struct set s = {};
	char text[64];
	FILE *f = fopen(path, "re");

	if (!f)
		err(1, "%s", path);
	while (fscanf(f, "%*[^\"]\"%63[^\"]\"", text) == 1) {
		if (sb_prefix_parse(text, &prefix, NULL) < 0)
			errx(1, "%s: %s is not a prefix", path, text);
		if (prefix.address.family == family)
			add_prefix(&s, &prefix, r);
	}
	fclose(f);
	unique(&s);
	return s;
}

void set_clear(struct set *s)
{
	free(s->rules);
	*s = (struct set){};
}

struct ruleset *set_ruleset(const struct set *s)
{
	struct rule *copy = need(calloc(s->n, sizeof(*copy))), a, b;
	struct ruleset *ret = need(ruleset_new());

	memcpy(copy, s->rules, s->n * sizeof(*copy));
	for (size_t i = 0; i < s->n; i++)
		copy[i].number = (uint32_t)i;
	if (ruleset_assign(ret, copy, s->n, &a, &b) < 0)
		errx(1, "the rules are in conflict");
	free(copy);
	return ret;
}

struct packet set_packet(const struct set *s, struct random *r, uint16_t port)
{
	static const uint16_t any[] = { 80, 443, 8443 };
	const struct rule *rule = &s->rules[(random_next(r) >> 32) * s->n >> 32];
	struct packet p = { .destination.family = rule->family, .protocol = IPPROTO_TCP };
	unsigned bits = rule->family == AF_INET ? 32 : 128, whole = rule->prefix_length / 8;
	uint8_t *bytes = p.destination.bytes, mask;

	memcpy(bytes, rule->address, sizeof(rule->address));
	if (rule->prefix_length < bits) {
		mask = (uint8_t)(0xff >> rule->prefix_length % 8);
		bytes[whole] |= (uint8_t)random_next(r) & mask;
		random_bytes(r, bytes, whole + 1, bits / 8);
	}
	p.port = rule->port_first == rule->port_last ? rule->port_first : any[random_below(r, 3)];
	if (port)
		p.port = port;
	return p;
}
