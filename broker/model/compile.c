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

/* One pass over the rules of all families. */
struct pass {
	struct blocks blocks;
	const struct ruleset *set;
	bool v6;
	struct waiting shorts; /* of one family */
	struct waiting longs;  /* of one slot of the direct table */
};

static int build_root(struct pass *pass, struct waiting *w)
{
	uint32_t ref;
	size_t slot;
	int r;

	if (w->count == 0)
		return 0;
	r = trie_build(&pass->blocks, pass->set, pass->v6, w->items, w->count, &ref);
	if (r < 0)
		return r;
	slot = tables_root_slot(w->items[0].key, pass->v6, w->items[0].length);
	blocks_store(&pass->blocks, slot, ref);
	w->count = 0;
	return 0;
}

static int end_family(struct pass *pass)
{
	int r = build_root(pass, &pass->longs);

	return r < 0 ? r : build_root(pass, &pass->shorts);
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
	const struct waiting *longs = &pass->longs;
	bool v6 = r->family == AF_INET6;
	int res = 0;

	if (v6 != pass->v6) {
		res = end_family(pass);
		pass->v6 = v6;
	}
	if (res == 0 && p.length < SB_DIRECT_BITS)
		return waiting_add(&pass->shorts, &p);
	if (res == 0 && longs->count > 0 && key_common(longs->items[0].key, p.key) < SB_DIRECT_BITS)
		res = build_root(pass, &pass->longs);
	return res < 0 ? res : waiting_add(&pass->longs, &p);
}

static int run_pass(struct pass *pass)
{
	const struct rule *r, *before = NULL;
	struct ruleset_cursor c;
	int res;

	pass->blocks.tables.used = SB_RULES_FIRST_BLOCK;
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
	free(pass.shorts.items);
	free(pass.longs.items);
	return r;
}

static size_t measure(const struct ruleset *s, bool numbers)
{
	struct tables t = { .capacity = SB_REF_ENTRY, .numbers = numbers };
	size_t used;

	return compile_or_measure(s, &t, &used) < 0 ? SIZE_MAX : used;
}

size_t compile_size(const struct ruleset *s)
{
	return measure(s, false);
}

size_t compile_size_numbered(const struct ruleset *s)
{
	return measure(s, true);
}

int compile(const struct ruleset *s, struct tables *t)
{
	struct sb_rules_header h;
	size_t used;
	int r;

	if (t->capacity < SB_RULES_FIRST_BLOCK)
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
	memcpy(t->words, &h, sizeof(h));
	return 0;
}
