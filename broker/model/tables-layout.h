/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layout of bpf/sockbroker-abi.h as the model reads and writes it: addresses as numbers, and
 * blocks read with every bound checked, since tables may come from a map that anyone could have
 * written.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bpf/sockbroker-abi.h"
#include "broker/model/compile.h"

/* An address as a number, first bit on top; IPv4 in the upper half of HI, as the ABI has it. */
struct key {
	uint64_t hi, lo;
};

static inline struct key key_of(const uint8_t address[static 16], int family)
{
	uint64_t w[2];

	memcpy(w, address, sizeof(w));
	if (family == AF_INET)
		return (struct key){ be64toh(w[0]) & 0xffffffff00000000, 0 };
	return (struct key){ be64toh(w[0]), be64toh(w[1]) };
}

/* The six bits from POS (0-127) on. */
static inline unsigned key_index(struct key k, unsigned pos)
{
	if (pos >= 64)
		return (unsigned)(k.lo << (pos - 64) >> 58);
	if (pos > 58)
		return (unsigned)((k.hi << pos | k.lo >> (64 - pos)) >> 58);
	return (unsigned)(k.hi << pos >> 58);
}

/* How many of the first bits agree. */
static inline unsigned key_common(struct key a, struct key b)
{
	if (a.hi != b.hi)
		return (unsigned)__builtin_clzll(a.hi ^ b.hi);
	if (a.lo != b.lo)
		return 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo);
	return 128;
}

/* The first LENGTH bits; the others are zero. */
static inline struct key key_first(struct key k, unsigned length)
{
	if (length < 64)
		return (struct key){ length ? k.hi & ~0ULL << (64 - length) : 0, 0 };
	if (length < 128)
		return (struct key){ k.hi, length > 64 ? k.lo & ~0ULL << (128 - length) : 0 };
	return k;
}

/* Bit of node word 1 for a prefix of POS + L bits that holds INDEX. */
static inline unsigned internal_bit(unsigned index, unsigned l)
{
	return (1U << l) + (index >> (SB_STRIDE - l));
}

/* Bits set below BIT. */
static inline unsigned rank_of(uint64_t bits, unsigned bit)
{
	return (unsigned)__builtin_popcountll(bits & ((1ULL << bit) - 1));
}

/* References lie among 64-bit words. */
typedef uint32_t __attribute__((may_alias)) table_ref;

static inline table_ref *tables_refs(const struct tables *t)
{
	return (table_ref *)t->words;
}

static inline struct sb_rules_header tables_header(const struct tables *t)
{
	struct sb_rules_header h;

	memcpy(&h, t->words, sizeof(h));
	return h;
}

/* Where tables end and blocks begin. */
static inline size_t tables_first_block(const struct tables *t)
{
	return SB_RULES_FIRST_BLOCK +
	       ((size_t) !!t->wide_word[0] + !!t->wide_word[1]) * SB_WIDE_WORDS;
}

/* How many bits lead to the trie of a prefix of LENGTH bits: those of a table, or none. */
static inline unsigned tables_root_bits(const struct tables *t, bool v6, unsigned length)
{
	if (t->wide_word[v6] && length >= SB_WIDE_BITS)
		return SB_WIDE_BITS;
	return length >= SB_DIRECT_BITS ? SB_DIRECT_BITS : 0;
}

/* Places of references are counted in references from the start. Where the trie hangs to which BITS
 * bits of K lead: */
static inline size_t tables_root_slot(const struct tables *t, struct key k, bool v6, unsigned bits)
{
	if (bits == SB_WIDE_BITS)
		return (size_t)t->wide_word[v6] * 2 + (k.hi >> (64 - SB_WIDE_BITS));
	if (bits == SB_DIRECT_BITS)
		return (size_t)SB_DIRECT_WORD(v6) * 2 + (k.hi >> (64 - SB_DIRECT_BITS));
	return offsetof(struct sb_rules_header, short_root) / sizeof(uint32_t) + v6;
}

/* A node or entry without its references or intervals. */
static inline size_t node_words(bool v6)
{
	return v6 ? SB_NODE_REFS6 : SB_NODE_REFS4;
}

static inline size_t entry_words(bool v6)
{
	return v6 ? SB_ENTRY_INTERVALS6 : SB_ENTRY_INTERVALS4;
}

struct node {
	uint64_t children, internal;
	struct key key;
	unsigned pos;
	size_t slots; /* place of its first reference */
};

static inline unsigned node_children(const struct node *n)
{
	return (unsigned)__builtin_popcountll(n->children);
}

static inline unsigned node_refs(const struct node *n)
{
	return node_children(n) + (unsigned)__builtin_popcountll(n->internal);
}

static inline size_t node_child_slot(const struct node *n, unsigned index)
{
	return n->slots + rank_of(n->children, index);
}

static inline size_t node_internal_slot(const struct node *n, unsigned bit)
{
	return n->slots + node_children(n) + rank_of(n->internal, bit);
}

/* False: not within the tables, or not a node. */
static inline bool node_read(const struct tables *t, bool v6, uint32_t ref, struct node *ret)
{
	size_t offset = SB_REF_OFFSET(ref);
	const uint64_t *w = t->words + offset;

	if (ref & SB_REF_ENTRY || offset < tables_first_block(t) ||
	    offset + node_words(v6) > t->capacity)
		return false;
	ret->children = w[0];
	ret->internal = w[1];
	if (v6) {
		ret->key = (struct key){ w[2], w[3] };
		ret->pos = w[4] < 128 ? (unsigned)w[4] : 128;
	} else {
		ret->key = (struct key){ w[2] & 0xffffffff00000000, 0 };
		ret->pos = (uint32_t)w[2] < 32 ? (uint32_t)w[2] : 128;
	}
	ret->slots = (offset + node_words(v6)) * 2;
	return ret->pos < 128 && ret->slots + node_refs(ret) <= t->capacity * 2;
}

struct entry {
	struct key key;
	unsigned length;
	const uint64_t *intervals;
	uint32_t n_tcp, n_udp;
};

static inline bool entry_read(const struct tables *t, bool v6, uint32_t ref, struct entry *ret)
{
	size_t offset = SB_REF_OFFSET(ref), room;
	const uint64_t *w = t->words + offset;
	uint64_t length;

	if (!(ref & SB_REF_ENTRY) || offset < tables_first_block(t) ||
	    offset + entry_words(v6) > t->capacity)
		return false;
	room = t->capacity - offset - entry_words(v6);
	if (v6) {
		ret->key = (struct key){ w[0], w[1] };
		length = w[2];
	} else {
		ret->key = (struct key){ w[0] & 0xffffffff00000000, 0 };
		length = (uint32_t)w[0];
	}
	ret->intervals = w + entry_words(v6);
	ret->n_tcp = (uint32_t)w[entry_words(v6) - 1];
	ret->n_udp = (uint32_t)(w[entry_words(v6) - 1] >> 32);
	if (length > (v6 ? 128 : 32) || ret->n_tcp > room || ret->n_udp > room - ret->n_tcp)
		return false;
	ret->length = (unsigned)length;
	return true;
}
