/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules -> the flat words that the sk_lookup program walks (bpf/sockbroker-abi.h has the layout).
 * Pure and deterministic: the same set gives the same bytes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "broker/model/ruleset.h"

/* When a family gets a wide table. */
enum tables_wide {
	WIDE_WHEN_MANY, /* with SB_WIDE_RULES */
	WIDE_ALWAYS,    /* for tests: a few rules do */
};

/* The words of one generation. WORDS is owned by whoever set it (malloc, or a mapped map). */
struct tables {
	uint64_t *words;
	size_t capacity; /* words there is room for */
	size_t used;
	bool numbers; /* entries name the rule behind each interval too (rule counters) */
	enum tables_wide wide;
	uint32_t wide_word[2]; /* as in the header; compile decides, and edits keep to it */
};

/* Words that S needs when compiled, exactly; SIZE_MAX when memory runs out. The second: with the
 * NUMBERS and WIDE of T. */
size_t compile_size(const struct ruleset *s);
size_t compile_size_for(const struct ruleset *s, const struct tables *t);

/* Compiles S into T (words, capacity, numbers and wide set by the caller; the words are zero). 0,
 * or -ENOSPC when the capacity does not do, or -ENOMEM. */
int compile(const struct ruleset *s, struct tables *t);

/* Walks the tables as the BPF program does, bounds-checked: the label, or -1. */
int64_t tables_match(const struct tables *t, const struct packet *p);

/*
 * Edits live tables after ONE prefix of S changed (rules added or removed under PREFIX, any number,
 * both protocols): new blocks are written behind USED, then one reference is stored. A reader sees
 * the old prefix or the new. -ENOSPC: no room left, nothing changed; build a new generation.
 * -ENOMEM, and -EIO when the tables are damaged: nothing changed either.
 */
int tables_update_prefix(struct tables *t, const struct ruleset *s, const struct sb_prefix *prefix);
