/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sweep over the ports from low to high. A heap holds the ranges that have begun, the narrowest
 * on top; one that has ended is thrown away when it comes to the top, so that every range goes in
 * and out once.
 */
#include "broker/model/intervals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned width(const struct rule *r)
{
	return (unsigned)r->port_last - r->port_first;
}

static void heap_push(struct intervals *v, const struct rule *r)
{
	size_t i = v->n_heap++;

	while (i > 0 && width(r) < width(v->heap[(i - 1) / 2])) {
		v->heap[i] = v->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	v->heap[i] = r;
}

static void heap_pop(struct intervals *v)
{
	const struct rule *r = v->heap[--v->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < v->n_heap) {
		if (child + 1 < v->n_heap && width(v->heap[child + 1]) < width(v->heap[child]))
			child++;
		if (width(r) <= width(v->heap[child]))
			break;
		v->heap[i] = v->heap[child];
		i = child;
	}
	v->heap[i] = r;
}

/* Room for a heap of all N rules, and for what they can become: each edge of a range begins at most
 * one interval. */
static int reserve(struct intervals *v, size_t n)
{
	size_t need = v->count + 2 * n;

	if (need > v->allocated) {
		struct interval *items = realloc(v->items, need * sizeof(items[0]));

		if (!items)
			return -ENOMEM;
		v->items = items;
		v->allocated = need;
	}
	if (n > v->heap_allocated) {
		const struct rule **heap = realloc(v->heap, n * sizeof(heap[0]));

		if (!heap)
			return -ENOMEM;
		v->heap = heap;
		v->heap_allocated = n;
	}
	return 0;
}

/* Adds FIRST-LAST of rule R, joined with the interval before it where nobody could tell. */
static void emit(struct intervals *v, size_t start, unsigned first, unsigned last,
		 const struct rule *r)
{
	struct interval *before = v->count > start ? &v->items[v->count - 1] : NULL;

	if (before && before->last + 1U == first && before->label == r->label &&
	    (!v->by_rule || before->number == r->number)) {
		before->last = (uint16_t)last;
		return;
	}
	v->items[v->count++] = (struct interval){
		.first = (uint16_t)first,
		.last = (uint16_t)last,
		.label = r->label,
		.number = r->number,
	};
}

int intervals_add(struct intervals *v, const struct rule *rules, size_t n)
{
	size_t start = v->count, next = 0;
	unsigned at = 0; /* all ports below are done */

	if (reserve(v, n) < 0)
		return -ENOMEM;
	v->n_heap = 0;
	for (;;) {
		unsigned last;

		while (v->n_heap > 0 && v->heap[0]->port_last < at)
			heap_pop(v);
		if (v->n_heap == 0) {
			if (next == n)
				return 0;
			at = rules[next].port_first;
		}
		while (next < n && rules[next].port_first == at)
			heap_push(v, &rules[next++]);
		last = v->heap[0]->port_last;
		if (next < n && rules[next].port_first <= last)
			last = rules[next].port_first - 1U;
		emit(v, start, at, last, v->heap[0]);
		at = last + 1;
	}
}

void intervals_clear(struct intervals *v)
{
	free(v->items);
	free(v->heap);
	memset(v, 0, sizeof(*v));
}
