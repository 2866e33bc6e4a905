/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/ruleset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/model/ruleset-internal.h"

struct ruleset *ruleset_new(void)
{
	return calloc(1, sizeof(struct ruleset));
}

void ruleset_clear(struct ruleset *s)
{
	for (size_t i = 0; i < s->n_chunks; i++)
		free(s->chunks[i].rules);
	free(s->chunks);
	memset(s, 0, sizeof(*s));
}

void ruleset_free(struct ruleset *s)
{
	if (!s)
		return;
	ruleset_clear(s);
	free(s);
}

size_t ruleset_count(const struct ruleset *s)
{
	return s->count;
}

size_t ruleset_count_long(const struct ruleset *s, int family, unsigned length)
{
	size_t n = 0;

	while (length < PREFIX_LENGTHS)
		n += s->lengths[family == AF_INET6][length++];
	return n;
}

/* The chunk that R belongs into: the last one that does not begin after R, or the first. */
static size_t find_chunk(const struct ruleset *s, const struct rule *r)
{
	size_t low = 0, high = s->n_chunks;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (rule_compare(&s->chunks[middle].rules[0], r) <= 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The first rule of the chunk that is not less than R; its count if there is none. */
static uint32_t find_in_chunk(const struct chunk *c, const struct rule *r)
{
	uint32_t low = 0, high = c->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (rule_compare(&c->rules[middle], r) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void ruleset_begin(const struct ruleset *s, struct ruleset_cursor *c)
{
	*c = (struct ruleset_cursor){ .set = s };
}

void ruleset_seek(const struct ruleset *s, const struct rule *r, struct ruleset_cursor *c)
{
	ruleset_begin(s, c);
	if (s->n_chunks == 0)
		return;
	c->chunk = find_chunk(s, r);
	c->index = find_in_chunk(&s->chunks[c->chunk], r);
}

const struct rule *ruleset_next(struct ruleset_cursor *c)
{
	const struct ruleset *s = c->set;

	if (c->chunk < s->n_chunks && c->index >= s->chunks[c->chunk].count) {
		c->chunk++;
		c->index = 0;
	}
	if (c->chunk >= s->n_chunks)
		return NULL;
	return &s->chunks[c->chunk].rules[c->index++];
}

struct chunk *ruleset_place(const struct ruleset *s, const struct rule *r, uint32_t *index)
{
	struct chunk *c;
	uint32_t i;

	if (s->n_chunks == 0)
		return NULL;
	c = &s->chunks[find_chunk(s, r)];
	i = find_in_chunk(c, r);
	if (i == c->count || rule_compare(&c->rules[i], r) != 0)
		return NULL;
	*index = i;
	return c;
}

const struct rule *ruleset_find(const struct ruleset *s, const struct rule *r)
{
	uint32_t i;
	const struct chunk *c = ruleset_place(s, r, &i);

	return c ? &c->rules[i] : NULL;
}

/* A rule in conflict with R begins less than R's width before R's first port, and not after R's
 * last one. */
static const struct rule *find_conflict(const struct ruleset *s, const struct rule *r)
{
	unsigned reach = (unsigned)r->port_last - r->port_first;
	struct ruleset_cursor c;
	const struct rule *other;
	struct rule from = *r;

	from.port_first = (uint16_t)(r->port_first > reach ? r->port_first - reach : 0);
	from.port_last = 0;
	ruleset_seek(s, &from, &c);
	while ((other = ruleset_next(&c))) {
		if (rule_compare_prefix(other, r) != 0 || other->protocol != r->protocol ||
		    other->port_first > r->port_last)
			break;
		if (rule_conflicts(other, r))
			return other;
	}
	return NULL;
}

int chunk_resize(struct chunk *c, uint32_t allocated)
{
	bool grow = allocated > c->allocated;
	struct rule *rules;

	if (!grow)
		memmove(c->rules + allocated, chunk_tags(c), c->count);
	rules = realloc(c->rules, allocated * CHUNK_RULE_BYTES);
	if (!rules && grow)
		return -ENOMEM;
	if (rules)
		c->rules = rules;
	if (grow)
		memmove(c->rules + allocated, chunk_tags(c), c->count);
	c->allocated = allocated;
	return 0;
}

/* Copies N rules and their tags, from index FROM of SOURCE to index TO of another chunk. */
static void chunk_copy(struct chunk *c, uint32_t to, const struct chunk *source, uint32_t from,
		       uint32_t n)
{
	memcpy(c->rules + to, source->rules + from, n * sizeof(c->rules[0]));
	memcpy(chunk_tags(c) + to, chunk_tags(source) + from, n);
}

/* Moves all from index FROM on to index TO of the same chunk. */
static void chunk_shift(struct chunk *c, uint32_t to, uint32_t from)
{
	uint32_t n = c->count - from;

	memmove(c->rules + to, c->rules + from, n * sizeof(c->rules[0]));
	memmove(chunk_tags(c) + to, chunk_tags(c) + from, n);
}

static void chunk_set(struct chunk *c, uint32_t index, const struct rule *r)
{
	c->rules[index] = *r;
	chunk_tags(c)[index] = label_tag(r->label);
}

/* Moves the rules of chunk AT from index FROM on into a new chunk behind it, with room for more. */
static int split_chunk(struct ruleset *s, size_t at, uint32_t from)
{
	uint32_t moved = s->chunks[at].count - from;
	struct chunk new = {};

	if (s->n_chunks == s->allocated_chunks) {
		size_t n = s->allocated_chunks ? s->allocated_chunks * 2 : 4;
		struct chunk *chunks = realloc(s->chunks, n * sizeof(chunks[0]));

		if (!chunks)
			return -ENOMEM;
		s->chunks = chunks;
		s->allocated_chunks = n;
	}
	if (chunk_resize(&new, moved + CHUNK_STEP) < 0)
		return -ENOMEM;
	chunk_copy(&new, 0, &s->chunks[at], from, moved);
	new.count = moved;
	s->chunks[at].count = from;
	memmove(&s->chunks[at + 2], &s->chunks[at + 1],
		(s->n_chunks - at - 1) * sizeof(s->chunks[0]));
	s->chunks[at + 1] = new;
	s->n_chunks++;
	return 0;
}

/* The first rule of an empty set. */
static int add_first(struct ruleset *s, const struct rule *r)
{
	struct chunk *chunks = s->chunks;
	struct chunk new = {};

	if (!chunks) {
		chunks = calloc(4, sizeof(chunks[0]));
		if (!chunks)
			return -ENOMEM;
		s->chunks = chunks;
		s->allocated_chunks = 4;
	}
	if (chunk_resize(&new, CHUNK_STEP) < 0)
		return -ENOMEM;
	chunk_set(&new, 0, r);
	new.count = 1;
	chunks[0] = new;
	s->n_chunks = 1;
	return 0;
}

static int insert(struct ruleset *s, const struct rule *r)
{
	size_t at = find_chunk(s, r);
	struct chunk *c = &s->chunks[at];
	uint32_t i = find_in_chunk(c, r);

	if (c->count == CHUNK_RULES) {
		/* Rules that come in order leave full chunks behind. */
		uint32_t from = i == c->count ? c->count : c->count / 2;

		if (split_chunk(s, at, from) < 0)
			return -ENOMEM;
		if (i > from || from == CHUNK_RULES) {
			at++;
			i -= from;
		}
		c = &s->chunks[at];
	}
	if (c->count == c->allocated && chunk_resize(c, c->allocated + CHUNK_STEP) < 0)
		return -ENOMEM;
	chunk_shift(c, i + 1, i);
	chunk_set(c, i, r);
	c->count++;
	return 0;
}

int ruleset_add(struct ruleset *s, const struct rule *r, struct rule *conflict)
{
	const struct rule *other = find_conflict(s, r);
	int res;

	if (other) {
		*conflict = *other;
		return -EEXIST;
	}
	res = s->n_chunks == 0 ? add_first(s, r) : insert(s, r);
	if (res < 0)
		return res;
	s->count++;
	++*ruleset_length_count(s, r);
	return 0;
}

static void drop_chunk(struct ruleset *s, size_t at)
{
	free(s->chunks[at].rules);
	memmove(&s->chunks[at], &s->chunks[at + 1], (s->n_chunks - at - 1) * sizeof(s->chunks[0]));
	s->n_chunks--;
}

/* Gives memory back after a removal from chunk AT; that it may fail does no harm. */
static void shrink(struct ruleset *s, size_t at)
{
	struct chunk *c = &s->chunks[at], *next = c + 1;

	if (c->count == 0) {
		drop_chunk(s, at);
		return;
	}
	if (at + 1 < s->n_chunks && c->count + next->count <= CHUNK_RULES / 2 &&
	    chunk_resize(c, c->count + next->count) == 0) {
		chunk_copy(c, c->count, next, 0, next->count);
		c->count += next->count;
		drop_chunk(s, at + 1);
	} else if (c->allocated - c->count >= 2 * CHUNK_STEP) {
		(void)chunk_resize(c, c->count + CHUNK_STEP);
	}
}

int ruleset_remove(struct ruleset *s, const struct rule *r, struct rule *removed)
{
	uint32_t i;
	struct chunk *c = ruleset_place(s, r, &i);

	if (!c)
		return -ENOENT;
	if (removed)
		*removed = c->rules[i];
	--*ruleset_length_count(s, &c->rules[i]);
	chunk_shift(c, i, i + 1);
	c->count--;
	s->count--;
	shrink(s, (size_t)(c - s->chunks));
	return 0;
}
