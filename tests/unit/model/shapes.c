/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/model/shapes.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocol/cleanup.h"

struct random random_start(const char *test)
{
	const char *text = getenv("SOCKBROKER_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) << 16 ^ getpid();

	printf("%s: SOCKBROKER_TEST_SEED=%llu\n", test, (unsigned long long)seed);
	fflush(stdout);
	return (struct random){ seed };
}

uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

unsigned random_below(struct random *r, unsigned below)
{
	return (unsigned)((random_next(r) >> 32) * below >> 32);
}

static void flip_bit(uint8_t *address, unsigned bit)
{
	address[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
}

/* The bits from FROM on become those of FILL. */
static void fill_bits(uint8_t *address, unsigned from, unsigned end,
		      uint64_t (*fill)(struct random *), struct random *r)
{
	for (unsigned bit = from; bit < end; bit++) {
		bool set = address[bit / 8] & 0x80 >> bit % 8;

		if (set != (fill(r) & 1))
			flip_bit(address, bit);
	}
}

static uint64_t zero(struct random *r)
{
	return 0;
}

static uint64_t one(struct random *r)
{
	return 1;
}

static struct sb_ports random_ports(struct random *r)
{
	static const uint16_t widths[] = { 0, 0, 0, 1, 2, 9, 99, 999, 9999, 65535 };
	unsigned width = widths[random_below(r, ARRAY_SIZE(widths))];
	unsigned first = random_below(r, 4) ? random_below(r, 65536 - width)
					    : random_below(r, 4) * 10 % (65536 - width);

	return (struct sb_ports){ (uint16_t)first, (uint16_t)(first + width) };
}

static struct rule make(struct random *r, int family, const uint8_t *address, unsigned length,
			struct sb_ports ports)
{
	struct sb_prefix p = { .address.family = (uint8_t)family, .length = (uint8_t)length };
	int protocol = random_below(r, 3) ? IPPROTO_TCP : IPPROTO_UDP;

	memcpy(p.address.bytes, address, family == AF_INET ? 4 : 16);
	fill_bits(p.address.bytes, length, 128, zero, r);
	return rule_make(protocol, &p, ports, random_below(r, 4096), RULE_RUNTIME);
}

static struct rule scattered(struct random *r, unsigned i)
{
	int family = i % 2 ? AF_INET6 : AF_INET;
	unsigned bits = family == AF_INET ? 32 : 128;
	uint8_t address[16] = {};

	fill_bits(address, 0, bits, random_next, r);
	return make(r, family, address, random_below(r, bits + 1), random_ports(r));
}

/* One address and all its prefixes, which now and then part from it at the last bit. */
static struct rule nested(struct random *r, unsigned i, int family)
{
	uint8_t address[16] = { 0x2a, 0x05, 0xa5, 0x5a, 0x0f, 0xf0, 0x12, 0x34,
				0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x13, 0x37 };
	unsigned bits = family == AF_INET ? 32 : 128, length = i % (bits + 1);

	if (length > 0 && random_below(r, 8) == 0)
		flip_bit(address, length - 1);
	return make(r, family, address, length, random_ports(r));
}

static struct rule nested4(struct random *r, unsigned i)
{
	return nested(r, i, AF_INET);
}

static struct rule nested6(struct random *r, unsigned i)
{
	return nested(r, i, AF_INET6);
}

static struct rule crowded(struct random *r, unsigned i)
{
	int family = i % 2 ? AF_INET6 : AF_INET;
	unsigned bits = family == AF_INET ? 32 : 128;
	uint8_t address[16] = { 10, 1 };

	/* Few random bits, at the end: crowds of neighbours. */
	fill_bits(address, bits - 9, bits, random_next, r);
	return make(r, family, address, random_below(r, 4) ? bits : bits - random_below(r, 12),
		    random_ports(r));
}

/* Lengths around the positions of the nodes, few address bits that differ, all next to them. */
static struct rule boundaries(struct random *r, unsigned i)
{
	static const uint8_t edges[] = { 0, 6, 12, 16, 22, 28, 32, 34, 58, 64, 70, 118, 124, 128 };
	int family = i % 2 ? AF_INET6 : AF_INET;
	unsigned n_edges = family == AF_INET ? 7 : ARRAY_SIZE(edges), bits, length;
	uint8_t address[16] = { 0xc0, 0, 2, 0x80 };

	bits = family == AF_INET ? 32 : 128;
	length = edges[random_below(r, n_edges)] + random_below(r, 3);
	length = length > 0 ? length - 1 : 0;
	if (length > bits)
		length = bits;
	for (unsigned k = 0; k < 2; k++) {
		unsigned bit = edges[random_below(r, n_edges)] + random_below(r, 3);

		if (bit > 0 && bit <= bits)
			flip_bit(address, bit - 1);
	}
	return make(r, family, address, length, random_ports(r));
}

/* Many ranges of one prefix, of all widths, across one another. */
static struct rule overlapping(struct random *r, unsigned i)
{
	uint8_t address[16] = { 198, 51, 100, (uint8_t)random_below(r, 2) };
	unsigned width = random_below(r, 2) ? random_below(r, 40) : random_below(r, 65536);
	unsigned first = random_below(r, 2) ? random_below(r, 100) : random_below(r, 65536);
	unsigned last = first + width > 65535 ? 65535 : first + width;

	return make(r, i % 4 ? AF_INET : AF_INET6, address, 32,
		    (struct sb_ports){ (uint16_t)first, (uint16_t)last });
}

static struct rule own_ports(struct random *r, unsigned i)
{
	uint8_t address[16] = { 203, 0, 113, (uint8_t)random_below(r, 256) };
	uint16_t port = (uint16_t)(i + 1);

	return make(r, AF_INET, address, 24 + random_below(r, 9), (struct sb_ports){ port, port });
}

static struct rule defaults(struct random *r, unsigned i)
{
	uint8_t address[16] = {};

	fill_bits(address, 0, 128, random_next, r);
	return make(r, i % 2 ? AF_INET6 : AF_INET, address, random_below(r, 3), random_ports(r));
}

static struct rule hosts6(struct random *r, unsigned i)
{
	uint8_t address[16] = { 0x20, 0x01, 0x0d, 0xb8 };

	fill_bits(address, random_below(r, 2) ? 32 : 112, 128, random_next, r);
	return make(r, AF_INET6, address, 128, random_ports(r));
}

const struct shape shapes[] = {
	{ "scattered", scattered, 100000 }, { "nested4", nested4, 200 },
	{ "nested6", nested6, 600 },        { "crowded", crowded, 2000 },
	{ "boundaries", boundaries, 1000 }, { "overlapping", overlapping, 5000 },
	{ "own ports", own_ports, 65535 },  { "defaults", defaults, 100 },
	{ "hosts6", hosts6, 100000 },
};
const unsigned n_shapes = ARRAY_SIZE(shapes);

struct ruleset *shape_set(const struct shape *s, struct random *r, unsigned n, struct rule *rules,
			  unsigned *count)
{
	struct ruleset *set = ruleset_new();
	struct rule conflict;

	*count = 0;
	for (unsigned i = 0; set && i < n; i++) {
		rules[*count] = s->rule(r, i);
		if (ruleset_add(set, &rules[*count], &conflict) == 0)
			(*count)++;
	}
	return set;
}

struct packet shape_packet(struct random *r, const struct rule *rules, unsigned n)
{
	struct packet p = { .destination.family = AF_INET, .protocol = IPPROTO_TCP };
	const struct rule *of = n ? &rules[random_below(r, n)] : NULL;
	uint8_t *address = p.destination.bytes;
	unsigned length = of ? of->prefix_length : 0, bits;

	if (of) {
		p.destination.family = of->family;
		p.protocol = random_below(r, 16) ? of->protocol : IPPROTO_UDP;
		memcpy(address, of->address, sizeof(of->address));
	}
	bits = p.destination.family == AF_INET ? 32 : 128;
	switch (random_below(r, 4)) {
	case 0:
		fill_bits(address, length, bits, one, r);
		break;
	case 1:
		fill_bits(address, length, bits, random_next, r);
		break;
	case 2: /* just outside, or inside of one that begins alike */
		fill_bits(address, length, bits, random_next, r);
		flip_bit(address, length > 0 ? length - 1 - random_below(r, length) / 4 : 0);
		break;
	default:
		break;
	}
	p.port = (uint16_t)random_next(r);
	if (of && random_below(r, 4)) {
		unsigned width = (unsigned)of->port_last - of->port_first;
		/* From one before the first to one behind the last. */
		unsigned at[] = { 0, 1, 1 + random_below(r, width + 1), width + 1, width + 2 };

		p.port = (uint16_t)(of->port_first + at[random_below(r, 5)] - 1);
	}
	return p;
}

struct sb_prefix prefix_of(const char *address, unsigned length)
{
	bool v6 = strchr(address, ':');
	struct sb_prefix p = { .address.family = v6 ? AF_INET6 : AF_INET };

	p.length = (uint8_t)length;
	if (inet_pton(p.address.family, address, p.address.bytes) != 1)
		abort();
	return p;
}

struct rule rule_of(int protocol, const char *address, unsigned length, unsigned first,
		    unsigned last, uint32_t label)
{
	struct sb_prefix p = prefix_of(address, length);

	return rule_make(protocol, &p, (struct sb_ports){ (uint16_t)first, (uint16_t)last }, label,
			 RULE_RUNTIME);
}

struct packet packet_of(int protocol, const char *address, unsigned port)
{
	return (struct packet){
		.destination = prefix_of(address, 0).address,
		.port = (uint16_t)port,
		.protocol = (uint8_t)protocol,
	};
}
