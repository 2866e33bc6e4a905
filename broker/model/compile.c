/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/compile.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/model/compile-trie.h"

/* Prefixes that wait until all of their root are together. */
struct waiting {
	struct trie_prefix *items;
	size_t count, allocated;
};

static int waiting_add(struct waiting *w, const struct trie_prefix *p)
{
	if (w->count == w->allocated) {
		size_t allocated = w->allocated ? w->allocated * 2 : 64;
		struct trie_prefix *items = realloc(w->items, allocated * sizeof(items[0]));

		if (!items)
			return -ENOMEM;
		w->items = items;
		w->allocated = allocated;
	}
	w->items[w->count++] = *p;
	return 0;
}

/* What leads to a root. */
enum tier {
	TIER_WIDE,
	TIER_DIRECT,
	TIER_SHORT,
	TIER_COUNT,
};

static const unsigned tier_bits[] = { SB_WIDE_BITS, SB_DIRECT_BITS, 0 };

/* One pass over the rules of all families. */
struct pass {
	struct blocks blocks;
	const struct ruleset *set;
	bool v6;
	struct waiting waiting[TIER_COUNT]; /* of one slot of that table; short: of a family */
};

static int build_root(struct pass *pass, enum tier tier)
{
	struct waiting *w = &pass->waiting[tier];
	uint32_t ref;
	size_t slot;
	int r;

	if (w->count == 0)
		return 0;
	r = trie_build(&pass->blocks, pass->set, pass->v6, w->items, w->count, &ref);
	if (r < 0)
		return r;
	slot = tables_root_slot(&pass->blocks.tables, w->items[0].key, pass->v6, tier_bits[tier]);
	blocks_store(&pass->blocks, slot, ref);
	w->count = 0;
	return 0;
}

static int end_family(struct pass *pass)
{
	int r = 0;

	for (enum tier tier = 0; tier < TIER_COUNT && r == 0; tier++)
		r = build_root(pass, tier);
	return r;
}

static enum tier tier_of(const struct pass *pass, const struct trie_prefix *p)
{
	unsigned bits = tables_root_bits(&pass->blocks.tables, pass->v6, p->length);
	enum tier tier = TIER_WIDE;

	while (tier_bits[tier] != bits)
		tier++;
	return tier;
}

/* A prefix that comes up in trie order. */
static int pass_prefix(struct pass *pass, const struct rule *r, const struct ruleset_cursor *behind)
{
	struct trie_prefix p = {
		.key = key_of(r->address, r->family),
		.chunk = (uint32_t)behind->chunk,
		.index = (uint16_t)(behind->index - 1),
		.length = r->prefix_length,
	};
	bool v6 = r->family == AF_INET6;
	const struct waiting *w;
	enum tier tier;
	int res = 0;

	if (v6 != pass->v6) {
		res = end_family(pass);
		pass->v6 = v6;
	}
	tier = tier_of(pass, &p);
	w = &pass->waiting[tier];
	if (res == 0 && w->count > 0 && key_common(w->items[0].key, p.key) < tier_bits[tier])
		res = build_root(pass, tier);
	return res < 0 ? res : waiting_add(&pass->waiting[tier], &p);
}

static int run_pass(struct pass *pass)
{
	const struct rule *r, *before = NULL;
	struct ruleset_cursor c;
	int res;

	pass->blocks.tables.used = tables_first_block(&pass->blocks.tables);
	for (ruleset_begin(pass->set, &c); (r = ruleset_next(&c)); before = r) {
		if (before && rule_compare_prefix(before, r) == 0)
			continue;
		res = pass_prefix(pass, r, &c);
		if (res < 0)
			return res;
	}
	return end_family(pass);
}

static int compile_or_measure(const struct ruleset *s, const struct tables *t, size_t *used)
{
	struct pass pass = { .blocks = blocks_begin(t), .set = s };
	int r = run_pass(&pass);

	*used = pass.blocks.tables.used;
	blocks_end(&pass.blocks);
	for (enum tier tier = 0; tier < TIER_COUNT; tier++)
		free(pass.waiting[tier].items);
	return r;
}

/* Which families get a wide table, and where. */
static void place_wide_tables(struct tables *t, const struct ruleset *s)
{
	static const int families[] = { AF_INET, AF_INET6 };
	size_t word = SB_RULES_FIRST_BLOCK;

	for (int v6 = 0; v6 < 2; v6++) {
		t->wide_word[v6] = 0;
		if (t->wide == WIDE_WHEN_MANY &&
		    ruleset_count_long(s, families[v6], SB_WIDE_BITS) < SB_WIDE_RULES)
			continue;
		t->wide_word[v6] = (uint32_t)word;
		word += SB_WIDE_WORDS;
	}
}

size_t compile_size_for(const struct ruleset *s, const struct tables *t)
{
	struct tables measured = {
		.capacity = SB_REF_ENTRY,
		.numbers = t->numbers,
		.wide = t->wide,
	};
	size_t used;

	place_wide_tables(&measured, s);
	return compile_or_measure(s, &measured, &used) < 0 ? SIZE_MAX : used;
}

size_t compile_size(const struct ruleset *s)
{
	return compile_size_for(s, &(struct tables){});
}

int compile(const struct ruleset *s, struct tables *t)
{
	struct sb_rules_header h;
	size_t used;
	int r;

	place_wide_tables(t, s);
	if (t->capacity < tables_first_block(t))
		return -ENOSPC;
	r = compile_or_measure(s, t, &used);
	if (r < 0)
		return r;
	t->used = used;
	h = tables_header(t); /* with the roots of the short tries */
	h.abi = SB_ABI_VERSION;
	h.words = (uint32_t)t->capacity;
	h.words_used = (uint32_t)used;
	h.n_rules = (uint32_t)ruleset_count(s);
	memcpy(h.wide_word, t->wide_word, sizeof(h.wide_word));
	memcpy(t->words, &h, sizeof(h));
	return 0;
}
