/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a rule set is kept: a sorted directory of sorted chunks, as a B+-tree of two levels. A chunk
 * is split when full and joined with its neighbour when both have become small; its memory follows
 * its rules in small steps.
 */
#pragma once

#include "broker/model/ruleset.h"

#define CHUNK_RULES 512 /* rules of one chunk at most */
#define CHUNK_STEP 32   /* memory of a chunk grows by so many rules */
#define CHUNK_FILL 448  /* rules of one chunk after assign: room to add without splitting */
#define PREFIX_LENGTHS 129

struct chunk {
	struct rule *rules;
	uint32_t count, allocated;
};

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

/* Frees all rules; the set is empty then. */
void ruleset_clear(struct ruleset *s);
