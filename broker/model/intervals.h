/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nested and overlapping port ranges -> disjoint intervals, each with the narrowest range's label.
 */
#pragma once

#include <stddef.h>

#include "broker/model/rule.h"

struct interval {
	uint16_t first, last; /* both included */
	uint32_t label;
	uint32_t number; /* of the rule behind it */
};

/* Result and working memory, kept from one call to the next. All zero at first. */
struct intervals {
	struct interval *items;
	size_t count, allocated;
	bool by_rule; /* neighbours of one label, but of different rules, stay apart */
	const struct rule **heap;
	size_t n_heap, heap_allocated;
};

/*
 * Appends the intervals of N rules of one prefix and protocol, sorted (rule_compare) and without
 * conflicts; they come out sorted. n log n. -ENOMEM.
 */
int intervals_add(struct intervals *v, const struct rule *rules, size_t n);

void intervals_clear(struct intervals *v);
