/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables that anyone could have written: compiled ones whose words were overwritten, or that end
 * too early. Walking and editing them touches nothing outside of them, and comes to an end.
 */
#include <errno.h>

#include "tests/fuzz/rules-input.h"
#include "tests/unit/model/tables-util.h"

#define RULES_MAX 16

static struct ruleset *take_set(struct bytes *b, struct rule *rules, unsigned *n,
				enum tables_wide *wide)
{
	struct ruleset *set = ruleset_new();
	unsigned head = take_8(b);
	struct rule conflict;

	require(set);
	*wide = head & 0x80 ? WIDE_ALWAYS : WIDE_WHEN_MANY;
	*n = head % 0x80 % (RULES_MAX + 1);
	for (unsigned i = 0; i < *n; i++) {
		rules[i] = take_rule(b);
		ruleset_add(set, &rules[i], &conflict);
	}
	return set;
}

/* As compiled, but in memory that ends elsewhere: behind it reading crashes. */
static struct tables take_tables(struct bytes *b, const struct ruleset *set, enum tables_wide wide)
{
	struct tables whole = tables_compiled_as(set, 64, wide), t;
	size_t first = tables_first_block(&whole), end = take_16(b);

	if (end == 0)
		return whole;
	t = tables_new(end & 0x8000 ? end & 0x7fff : first + end % (64 + 64));
	memcpy(t.words, whole.words,
	       8 * (t.capacity < whole.capacity ? t.capacity : whole.capacity));
	t.used = whole.used;
	memcpy(t.wide_word, whole.wide_word, sizeof(t.wide_word));
	tables_free(&whole);
	return t;
}

/* Which half word to overwrite: one of a block, the root of a rule, or any. */
static size_t take_slot(struct bytes *b, unsigned kind, const struct tables *t,
			const struct rule *r)
{
	const struct key key = key_of(r->address, r->family);
	const bool v6 = r->family == AF_INET6;
	size_t slot;

	switch (kind & 3) {
	case 0:
		return tables_root_slot(t, key, v6, tables_root_bits(t, v6, r->prefix_length));
	case 1:
		slot = take_32(b);
		break;
	default:
		slot = tables_first_block(t) * 2 + take_8(b);
	}
	return slot;
}

static uint32_t take_value(struct bytes *b, unsigned kind, const struct tables *t)
{
	const uint32_t first = (uint32_t)tables_first_block(t);

	switch (kind >> 2 & 3) {
	case 0: /* a node */
		return first + take_8(b);
	case 1:
		return SB_REF_ENTRY | (first + take_8(b));
	case 2:
		return take_8(b);
	default:
		return take_32(b);
	}
}

static void overwrite(struct bytes *b, struct tables *t, const struct rule *rules, unsigned n)
{
	static const struct rule none = { .family = AF_INET };

	for (unsigned i = take_8(b) % 64; i > 0 && t->capacity > 0; i--) {
		unsigned kind = take_8(b);
		size_t slot = take_slot(b, kind, t, n ? &rules[(kind >> 4) % n] : &none);

		tables_refs(t)[slot % (t->capacity * 2)] = take_value(b, kind, t);
	}
}

static void walk(void *data, const struct packet *p)
{
	int64_t label = tables_match(data, p);

	require(label >= -1 && label <= UINT32_MAX);
}

/* Puts R in or takes it out. */
static void update(struct tables *t, struct ruleset *set, const struct rule *r)
{
	struct sb_prefix prefix = rule_prefix(r);
	struct rule conflict;
	size_t used = t->used;
	int k;

	if (ruleset_remove(set, r, NULL) == -ENOENT)
		ruleset_add(set, r, &conflict);
	k = tables_update_prefix(t, set, &prefix);
	require(k == 0 || k == -ENOSPC || k == -EIO);
	require(k == 0 ? t->used >= used : t->used == used);
	packets_around(r, walk, t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	struct rule rules[RULES_MAX], r;
	enum tables_wide wide;
	unsigned n;
	struct ruleset *set = take_set(&b, rules, &n, &wide);
	struct tables t = take_tables(&b, set, wide);
	struct packet p;

	overwrite(&b, &t, rules, n);
	for (unsigned i = 0; i < n; i++)
		packets_around(&rules[i], walk, &t);
	for (unsigned i = 0; i < 16 && b.left > 0; i++) {
		p = take_packet(&b);
		walk(&t, &p);
	}
	for (unsigned i = 0; i < n; i++)
		update(&t, set, &rules[i]);
	for (unsigned i = 0; i < 4; i++) {
		r = take_rule(&b);
		update(&t, set, &r);
	}
	tables_free(&t);
	ruleset_free(set);
	return 0;
}
