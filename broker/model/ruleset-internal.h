/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a rule set is kept: a sorted directory of sorted chunks, as a B+-tree of two levels. A chunk
 * is split when full and joined with its neighbour when both have become small; its memory follows
 * its rules in small steps.
 *
 * The rules of one label are found by their tags: one byte a rule, together behind the rules of a
 * chunk, so that memchr looks at a million rules in a fraction of a millisecond.
 */
#pragma once

#include "broker/model/ruleset.h"

#define CHUNK_RULES 512 /* rules of one chunk at most */
#define CHUNK_STEP 32   /* memory of a chunk grows by so many rules */
#define CHUNK_FILL 448  /* rules of one chunk after assign: room to add without splitting */
#define PREFIX_LENGTHS 129

struct chunk {
	struct rule *rules; /* room for ALLOCATED, then their tags: see chunk_tags */
	uint32_t count, allocated;
};

#define CHUNK_RULE_BYTES (sizeof(struct rule) + 1)

struct ruleset {
	struct chunk *chunks; /* none is empty */
	size_t n_chunks, allocated_chunks;
	size_t count;
	size_t lengths[2][PREFIX_LENGTHS]; /* rules of each prefix length; [0] IPv4, [1] IPv6 */
};

static inline size_t *ruleset_length_count(struct ruleset *s, const struct rule *r)
{
	return &s->lengths[r->family == AF_INET6][r->prefix_length];
}

static inline uint8_t *chunk_tags(const struct chunk *c)
{
	return (uint8_t *)(c->rules + c->allocated);
}

/* Label ids are dense: the low byte tells 256 labels apart, and misleads evenly beyond. */
static inline uint8_t label_tag(uint32_t label)
{
	return (uint8_t)label;
}

/* Makes room for ALLOCATED rules, at least as many as there are. -ENOMEM, never to make it less. */
int chunk_resize(struct chunk *c, uint32_t allocated);

/* Where the rule that compares equal to R is: its chunk, and *INDEX there; NULL if nowhere. */
struct chunk *ruleset_place(const struct ruleset *s, const struct rule *r, uint32_t *index);

/* Frees all rules; the set is empty then. */
void ruleset_clear(struct ruleset *s);
