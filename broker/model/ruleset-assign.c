/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole rule set taken over at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/model/rule-sort.h"
#include "broker/model/ruleset-internal.h"

/* The other rules of RULES[0]'s prefix and protocol. */
static size_t group_size(const struct rule *rules, size_t n)
{
	size_t i = 1;

	while (i < n && rules[i].protocol == rules[0].protocol &&
	       rule_compare_prefix(&rules[i], &rules[0]) == 0)
		i++;
	return i;
}

/*
 * Looks for two equally wide ranges that overlap in one group, sorted by first port. Ranges of one
 * width are so sorted too, and only neighbours among them can overlap: LATEST holds, for each
 * width, where the latest one was (counted from 1 over all groups).
 */
static int check_group(const struct rule *rules, size_t start, size_t n, size_t *latest,
		       struct rule *a, struct rule *b)
{
	for (size_t i = start; i < start + n; i++) {
		size_t width = (size_t)rules[i].port_last - rules[i].port_first;
		size_t before = latest[width];

		if (before > start && rules[before - 1].port_last >= rules[i].port_first) {
			*a = rules[before - 1];
			*b = rules[i];
			return -EEXIST;
		}
		latest[width] = i + 1;
	}
	return 0;
}

static int check_conflicts(const struct rule *rules, size_t n, struct rule *a, struct rule *b)
{
	_cleanup_free_ size_t *latest = NULL;

	for (size_t i = 0; i < n;) {
		size_t size = group_size(rules + i, n - i);

		if (size > 1) {
			int r;

			if (!latest)
				latest = calloc(UINT16_MAX + 1, sizeof(latest[0]));
			if (!latest)
				return -ENOMEM;
			r = check_group(rules, i, size, latest, a, b);
			if (r < 0)
				return r;
		}
		i += size;
	}
	return 0;
}

/* Fills the empty set S. */
static int fill(struct ruleset *s, const struct rule *rules, size_t n)
{
	size_t n_chunks = (n + CHUNK_FILL - 1) / CHUNK_FILL;

	if (n == 0)
		return 0;
	s->chunks = calloc(n_chunks, sizeof(s->chunks[0]));
	if (!s->chunks)
		return -ENOMEM;
	s->allocated_chunks = n_chunks;
	for (size_t i = 0; i < n; i += CHUNK_FILL) {
		uint32_t count = (uint32_t)(n - i < CHUNK_FILL ? n - i : CHUNK_FILL);
		struct chunk *c = &s->chunks[s->n_chunks];

		c->rules = malloc(count * sizeof(c->rules[0]));
		if (!c->rules)
			return -ENOMEM;
		memcpy(c->rules, rules + i, count * sizeof(c->rules[0]));
		c->count = c->allocated = count;
		s->n_chunks++;
		for (uint32_t k = 0; k < count; k++)
			++*ruleset_length_count(s, &c->rules[k]);
	}
	s->count = n;
	return 0;
}

int ruleset_assign(struct ruleset *s, struct rule *rules, size_t n, struct rule *a, struct rule *b)
{
	struct ruleset new = {};
	int r;

	rule_sort(rules, n);
	r = check_conflicts(rules, n, a, b);
	if (r < 0)
		return r;
	r = fill(&new, rules, n);
	if (r < 0) {
		ruleset_clear(&new);
		return r;
	}
	ruleset_clear(s);
	*s = new;
	return 0;
}
