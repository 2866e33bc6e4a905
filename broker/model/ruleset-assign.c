/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole rule set taken over at once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/model/rule-sort.h"
#include "broker/model/ruleset-internal.h"

/* Rules by which an array that is consumed shrinks: one mebibyte. */
#define GIVE_BACK (((size_t)1 << 20) / sizeof(struct rule))

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

static int fill_chunk(struct ruleset *s, struct chunk *c, const struct rule *rules, uint32_t n)
{
	int r = chunk_resize(c, n);

	if (r < 0)
		return r;
	memcpy(c->rules, rules, n * sizeof(rules[0]));
	for (uint32_t i = 0; i < n; i++) {
		chunk_tags(c)[i] = label_tag(rules[i].label);
		++*ruleset_length_count(s, &rules[i]);
	}
	c->count = n;
	s->count += n;
	return 0;
}

/* That it may fail does no harm. */
static void give_back(struct rule **rules, size_t n)
{
	struct rule *fewer = n > 0 ? realloc(*rules, n * sizeof(fewer[0])) : NULL;

	if (fewer)
		*rules = fewer;
}

/* Fills the empty set S, from the back: the end of an array that is consumed can be given back
 * while its beginning is still to be read. */
static int fill(struct ruleset *s, struct rule **rules, size_t n, bool consume)
{
	size_t at = (n + CHUNK_FILL - 1) / CHUNK_FILL, held = n;

	if (n == 0)
		return 0;
	s->chunks = calloc(at, sizeof(s->chunks[0]));
	if (!s->chunks)
		return -ENOMEM;
	s->allocated_chunks = s->n_chunks = at;
	while (at-- > 0) {
		size_t start = at * CHUNK_FILL;
		int r = fill_chunk(s, &s->chunks[at], *rules + start, (uint32_t)(n - start));

		if (r < 0)
			return r;
		n = start;
		if (consume && held - n >= GIVE_BACK) {
			give_back(rules, n);
			held = n;
		}
	}
	return 0;
}

static int assign(struct ruleset *s, struct rule **rules, size_t n, bool consume, struct rule *a,
		  struct rule *b)
{
	struct ruleset new = {};
	int r;

	rule_sort(*rules, n);
	r = check_conflicts(*rules, n, a, b);
	if (r == 0)
		r = fill(&new, rules, n, consume);
	if (r < 0) {
		ruleset_clear(&new);
		return r;
	}
	ruleset_clear(s);
	*s = new;
	return 0;
}

int ruleset_assign(struct ruleset *s, struct rule *rules, size_t n, struct rule *a, struct rule *b)
{
	return assign(s, &rules, n, false, a, b);
}

int ruleset_take(struct ruleset *s, struct rule **rules, size_t n, struct rule *a, struct rule *b)
{
	int r = assign(s, rules, n, true, a, b);

	if (r != -EEXIST) {
		free(*rules);
		*rules = NULL;
	}
	return r;
}
