/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/range.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int range_init(struct range *r, uint32_t size)
{
	*r = (struct range){ .size = size };
	r->bits = calloc((size + 63) / 64, sizeof(uint64_t));
	return r->bits ? 0 : -ENOMEM;
}

void range_clear(struct range *r)
{
	free(r->bits);
	memset(r, 0, sizeof(*r));
}

static bool in_use(const struct range *r, uint32_t i)
{
	return r->bits[i / 64] >> (i % 64) & 1;
}

static void mark(struct range *r, uint32_t first, uint32_t n, bool used)
{
	for (uint32_t i = first; i < first + n; i++) {
		assert(in_use(r, i) != used);
		r->bits[i / 64] ^= 1ULL << (i % 64);
	}
	if (used)
		r->used += n;
	else
		r->used -= n;
}

/* First free stretch of N that starts in [FROM, TO), or -1. Whole used words are skipped. */
static int64_t search(const struct range *r, uint32_t from, uint32_t to, uint32_t n)
{
	uint32_t run = 0;

	for (uint32_t i = from; i < r->size; i++) {
		if (run == 0 && i >= to)
			break;
		if (run == 0 && i % 64 == 0 && r->bits[i / 64] == UINT64_MAX) {
			i += 63;
			continue;
		}
		run = in_use(r, i) ? 0 : run + 1;
		if (run == n)
			return (int64_t)i - n + 1;
	}
	return -1;
}

int64_t range_take(struct range *r, uint32_t n)
{
	int64_t first;

	if (n == 0 || n > r->size - r->used)
		return -ENOSPC;
	first = search(r, r->next, r->size, n);
	if (first < 0)
		first = search(r, 0, r->next, n);
	if (first < 0)
		return -ENOSPC;
	mark(r, (uint32_t)first, n, true);
	r->next = ((uint32_t)first + n) % r->size;
	return first;
}

int range_take_at(struct range *r, uint32_t first, uint32_t n)
{
	if (n > r->size || first > r->size - n)
		return -EINVAL;
	for (uint32_t i = first; i < first + n; i++)
		if (in_use(r, i))
			return -EBUSY;
	mark(r, first, n, true);
	return 0;
}

bool range_has(const struct range *r, uint32_t number)
{
	return number < r->size && in_use(r, number);
}

void range_give(struct range *r, uint32_t first, uint32_t n)
{
	assert(n <= r->size && first <= r->size - n);
	mark(r, first, n, false);
}
