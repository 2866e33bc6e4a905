/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rule sets and packets made to be difficult, for the tests of the model and of the BPF program. */
#pragma once

#include "broker/model/ruleset.h"

struct random {
	uint64_t state;
};

/* The seed: $SOCKBROKER_TEST_SEED, or another each time; printed. */
struct random random_start(const char *test);
uint64_t random_next(struct random *r);
/* 0 to BELOW - 1 */
unsigned random_below(struct random *r, unsigned below);

struct shape {
	const char *name;
	/* Rule number I of many; those in conflict are for the caller to leave out. */
	struct rule (*rule)(struct random *r, unsigned i);
	unsigned most; /* rules that make sense */
};

extern const struct shape shapes[];
extern const unsigned n_shapes;

/* Up to N rules of a shape into a new set, and into RULES (room for N), *COUNT of them. */
struct ruleset *shape_set(const struct shape *s, struct random *r, unsigned n, struct rule *rules,
			  unsigned *count);

/* A packet for the edges of one of the rules, mostly; N may be 0. */
struct packet shape_packet(struct random *r, const struct rule *rules, unsigned n);

/* A prefix with address text, for tests that name one. */
struct sb_prefix prefix_of(const char *address, unsigned length);
struct rule rule_of(int protocol, const char *address, unsigned length, unsigned first,
		    unsigned last, uint32_t label);
struct packet packet_of(int protocol, const char *address, unsigned port);
