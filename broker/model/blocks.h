/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes the blocks of the tables, one behind the other. Or only measures them. */
#pragma once

#include "broker/model/intervals.h"
#include "broker/model/tables-layout.h"

struct blocks {
	struct tables tables; /* the words are borrowed; USED grows */
	struct intervals intervals;
	struct rule *rules; /* those of one prefix */
	size_t rules_allocated;
};

/* Tables without words are only measured. */
static inline bool blocks_measuring(const struct blocks *b)
{
	return !b->tables.words;
}

struct blocks blocks_begin(const struct tables *t);
void blocks_end(struct blocks *b);

/*
 * The entry of the prefix of the rule that C stands before, all of whose rules are taken from C.
 * *REF: 0 if C is at the end. -ENOSPC, -ENOMEM.
 */
int blocks_add_entry(struct blocks *b, struct ruleset_cursor *c, uint32_t *ref);

/* A node whose references (n->slots is set) are for the caller to store. -ENOSPC. */
int blocks_add_node(struct blocks *b, bool v6, struct node *n, uint32_t *ref);

static inline void blocks_store(struct blocks *b, size_t slot, uint32_t ref)
{
	if (!blocks_measuring(b))
		tables_refs(&b->tables)[slot] = ref;
}
