/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One prefix of live tables replaced: from the root down to where the prefix hangs or would hang,
 * then new blocks, then one store. The result has the very shape that compile would give, only its
 * blocks lie elsewhere: every node keeps two references or more.
 */
#include <errno.h>

#include "broker/model/compile-trie.h"

struct update {
	struct blocks blocks;
	bool v6;
	struct key key;
	unsigned length;
	uint32_t entry; /* the new one; 0: the prefix goes away */
	/* What is to be published: */
	bool changed;
	size_t slot;
	uint32_t ref;
};

static uint32_t load(const struct update *u, size_t slot)
{
	return tables_refs(&u->blocks.tables)[slot];
}

static int publish_later(struct update *u, size_t slot, uint32_t ref)
{
	u->changed = true;
	u->slot = slot;
	u->ref = ref;
	return 0;
}

/* Where something hangs in a node: a prefix that ends there, or what is below a child. */
struct place {
	bool child;
	unsigned bit;
};

static struct place place_of(const struct node *n, struct key key, unsigned length)
{
	unsigned index = key_index(key, n->pos);

	if (length >= n->pos + SB_STRIDE)
		return (struct place){ true, index };
	return (struct place){ false, internal_bit(index, length - n->pos) };
}

static uint64_t *place_bits(struct node *n, struct place p)
{
	return p.child ? &n->children : &n->internal;
}

static bool place_taken(const struct node *n, struct place p)
{
	return (p.child ? n->children : n->internal) >> p.bit & 1;
}

static size_t place_slot(const struct node *n, struct place p)
{
	return p.child ? node_child_slot(n, p.bit) : node_internal_slot(n, p.bit);
}

/* Copies the references of OLD that NEW has too. */
static void copy_refs(struct update *u, const struct node *old, const struct node *new)
{
	for (unsigned i = 0; i < 128; i++) {
		struct place p = { i < 64, i % 64 };

		if (place_taken(old, p) && place_taken(new, p))
			blocks_store(&u->blocks, place_slot(new, p), load(u, place_slot(old, p)));
	}
}

/* Node N, which hangs at SLOT, with the new entry at P. */
static int insert_ref(struct update *u, const struct node *n, size_t slot, struct place p)
{
	struct node new = *n;
	uint32_t ref;
	int r;

	*place_bits(&new, p) |= 1ULL << p.bit;
	r = blocks_add_node(&u->blocks, u->v6, &new, &ref);
	if (r < 0)
		return r;
	copy_refs(u, n, &new);
	blocks_store(&u->blocks, place_slot(&new, p), u->entry);
	return publish_later(u, slot, ref);
}

/* Node N, which hangs at SLOT, without P; when one reference is left, that one stands for the node:
 * whatever it names is compared in full. */
static int remove_ref(struct update *u, const struct node *n, size_t slot, struct place p)
{
	struct node new = *n;
	uint32_t ref;
	int r;

	*place_bits(&new, p) &= ~(1ULL << p.bit);
	if (node_refs(&new) == 0)
		return -EIO;
	if (node_refs(&new) == 1)
		return publish_later(u, slot,
				     load(u, n->slots + (place_slot(n, p) == n->slots ? 1 : 0)));
	r = blocks_add_node(&u->blocks, u->v6, &new, &ref);
	if (r < 0)
		return r;
	copy_refs(u, n, &new);
	return publish_later(u, slot, ref);
}

/* A new node at SLOT that parts the new entry from OTHER, which hung there: an entry or node that
 * begins with the LENGTH first bits of KEY. */
static int join(struct update *u, size_t slot, uint32_t other, struct key key, unsigned length)
{
	unsigned common = key_common(u->key, key);
	struct place ours, others;
	struct node n = {};
	uint32_t ref;
	int r;

	if (common > length)
		common = length;
	if (common > u->length)
		common = u->length;
	n.pos = trie_position(common);
	n.key = key_first(u->key, n.pos);
	ours = place_of(&n, u->key, u->length);
	others = place_of(&n, key, length);
	*place_bits(&n, ours) |= 1ULL << ours.bit;
	*place_bits(&n, others) |= 1ULL << others.bit;
	if (node_refs(&n) != 2)
		return -EIO;
	r = blocks_add_node(&u->blocks, u->v6, &n, &ref);
	if (r < 0)
		return r;
	blocks_store(&u->blocks, place_slot(&n, ours), u->entry);
	blocks_store(&u->blocks, place_slot(&n, others), other);
	return publish_later(u, slot, ref);
}

/* An entry hangs at SLOT, the root or child P of PARENT, which hangs at PARENT_SLOT. */
static int update_entry(struct update *u, size_t slot, const struct node *parent,
			size_t parent_slot, struct place p)
{
	struct entry e;

	if (!entry_read(&u->blocks.tables, u->v6, load(u, slot), &e))
		return -EIO;
	if (e.length != u->length || key_common(e.key, u->key) < e.length)
		return u->entry ? join(u, slot, load(u, slot), e.key, e.length) : 0;
	if (u->entry || !parent)
		return publish_later(u, slot, u->entry);
	return remove_ref(u, parent, parent_slot, p);
}

static int update_trie(struct update *u)
{
	const struct tables *t = &u->blocks.tables;
	const unsigned bits = tables_root_bits(t, u->v6, u->length);
	size_t slot = tables_root_slot(t, u->key, u->v6, bits), parent_slot = 0;
	struct node nodes[2], *n = &nodes[0], *parent = NULL;
	struct place p = {};

	for (int level = 0; level < SB_LEVELS_MAX; level++) {
		uint32_t ref = load(u, slot);

		if (ref == 0)
			return u->entry ? publish_later(u, slot, u->entry) : 0;
		if (ref & SB_REF_ENTRY)
			return update_entry(u, slot, parent, parent_slot, p);
		if (!node_read(t, u->v6, ref, n))
			return -EIO;
		if (u->length < n->pos || key_common(u->key, n->key) < n->pos)
			return u->entry ? join(u, slot, ref, n->key, n->pos) : 0;
		p = place_of(n, u->key, u->length);
		if (!place_taken(n, p))
			return u->entry ? insert_ref(u, n, slot, p) : 0;
		if (!p.child && u->entry)
			return publish_later(u, place_slot(n, p), u->entry);
		if (!p.child)
			return remove_ref(u, n, slot, p);
		parent_slot = slot;
		slot = place_slot(n, p);
		parent = n;
		n = &nodes[n == &nodes[0]];
	}
	return -EIO;
}

/* The new entry, if S has rules of the prefix. */
static int build_entry(struct update *u, const struct ruleset *s, const struct sb_prefix *prefix)
{
	struct rule from = rule_make(0, prefix, (struct sb_ports){}, 0, RULE_RUNTIME);
	struct ruleset_cursor c, ahead;
	const struct rule *r;

	ruleset_seek(s, &from, &c);
	ahead = c;
	r = ruleset_next(&ahead);
	if (!r || rule_compare_prefix(r, &from) != 0)
		return 0;
	return blocks_add_entry(&u->blocks, &c, &u->entry);
}

static void store(struct tables *t, size_t slot, uint32_t value)
{
	__atomic_store_n(&tables_refs(t)[slot], value, __ATOMIC_RELEASE);
}

/* WORDS_USED goes first: whoever finds these tables later must not write over blocks in use. */
static void publish(struct tables *t, const struct update *u, size_t n_rules)
{
	if (u->changed) {
		t->used = u->blocks.tables.used;
		store(t, offsetof(struct sb_rules_header, words_used) / sizeof(uint32_t),
		      (uint32_t)t->used);
		store(t, u->slot, u->ref);
	}
	store(t, offsetof(struct sb_rules_header, n_rules) / sizeof(uint32_t), (uint32_t)n_rules);
}

int tables_update_prefix(struct tables *t, const struct ruleset *s, const struct sb_prefix *prefix)
{
	struct update u = {
		.blocks = blocks_begin(t),
		.v6 = prefix->address.family == AF_INET6,
		.key = key_of(prefix->address.bytes, prefix->address.family),
		.length = prefix->length,
	};
	int r;

	if (t->capacity < tables_first_block(t))
		return -ENOSPC;
	r = build_entry(&u, s, prefix);
	if (r == 0)
		r = update_trie(&u);
	if (r == 0)
		publish(t, &u, ruleset_count(s));
	blocks_end(&u.blocks);
	return r;
}
