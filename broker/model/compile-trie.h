/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The trie of all prefixes below one root. */
#pragma once

#include "broker/model/blocks.h"

/* A prefix of the rule set and where its rules begin there. */
struct trie_prefix {
	struct key key;
	uint32_t chunk;
	uint16_t index;
	uint8_t length;
};

/* Where the node stands that parts prefixes (two at least) whose first COMMON bits agree and which
 * are that long: the last position of the series that is not behind. */
static inline unsigned trie_position(unsigned common)
{
	if (common < SB_DIRECT_BITS)
		return common - common % SB_STRIDE;
	return common - (common - SB_DIRECT_BITS) % SB_STRIDE;
}

/*
 * Builds the N prefixes at P, in trie order, all of which hang under one root: either all in one
 * slot of the direct table, or all short ones of a family. -ENOSPC, -ENOMEM.
 */
int trie_build(struct blocks *b, const struct ruleset *s, bool v6, const struct trie_prefix *p,
	       size_t n, uint32_t *ref);
