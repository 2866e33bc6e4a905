/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "broker/model/compile-trie.h"

/*
 * Trie order is that of strings of bits, where a string comes before those it begins: so what the
 * first and the last have in common, all have, and the last is no shorter than that.
 */
static unsigned common_bits(const struct trie_prefix *p, size_t n)
{
	unsigned common = key_common(p->key, p[n - 1].key);

	return p->length < common ? p->length : common;
}

static bool ends_in_node(const struct trie_prefix *p, const struct node *n)
{
	return p->length < n->pos + SB_STRIDE;
}

static unsigned prefix_bit(const struct trie_prefix *p, const struct node *n)
{
	return internal_bit(key_index(p->key, n->pos), p->length - n->pos);
}

/* How many of the prefixes, the first of which is longer than the node reaches, lie below the same
 * child: they follow one another, and what ends in the node came before. */
static size_t child_span(const struct trie_prefix *p, size_t n, const struct node *node)
{
	unsigned index = key_index(p->key, node->pos);
	size_t i = 1;

	while (i < n && key_index(p[i].key, node->pos) == index)
		i++;
	return i;
}

static int build_entry(struct blocks *b, const struct ruleset *s, const struct trie_prefix *p,
		       uint32_t *ref)
{
	struct ruleset_cursor c = { .set = s, .chunk = p->chunk, .index = p->index };

	return blocks_add_entry(b, &c, ref);
}

static struct node plan_node(const struct trie_prefix *p, size_t n)
{
	struct node node = { .pos = trie_position(common_bits(p, n)) };

	node.key = key_first(p->key, node.pos);
	for (size_t i = 0; i < n;) {
		if (ends_in_node(&p[i], &node)) {
			node.internal |= 1ULL << prefix_bit(&p[i], &node);
			i++;
		} else {
			node.children |= 1ULL << key_index(p[i].key, node.pos);
			i += child_span(p + i, n - i, &node);
		}
	}
	return node;
}

/* Calls itself once for each level: 19 deep at most. */
int trie_build(struct blocks *b, const struct ruleset *s, bool v6, const struct trie_prefix *p,
	       size_t n, uint32_t *ref)
{
	struct node node;
	int r;

	if (n == 1)
		return build_entry(b, s, p, ref);
	node = plan_node(p, n);
	r = blocks_add_node(b, v6, &node, ref);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n;) {
		uint32_t below;
		size_t slot, span = 1;

		if (ends_in_node(&p[i], &node)) {
			slot = node_internal_slot(&node, prefix_bit(&p[i], &node));
			r = build_entry(b, s, &p[i], &below);
		} else {
			slot = node_child_slot(&node, key_index(p[i].key, node.pos));
			span = child_span(p + i, n - i, &node);
			r = trie_build(b, s, v6, p + i, span, &below);
		}
		if (r < 0)
			return r;
		blocks_store(b, slot, below);
		i += span;
	}
	return 0;
}
