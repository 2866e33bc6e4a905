/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One descent through a trie of the rules map, to the longest prefix that holds an address.
 *
 * The words are not trusted: every offset is compared with rules_words before it is used, behind
 * which the map goes on for SB_RULES_MARGIN words, and there are no loops.
 */
#ifndef SOCKBROKER_TRIE_BPF_H
#define SOCKBROKER_TRIE_BPF_H

#include "bpf/maps.bpf.h"

/* What a descent found: the offset of the entry's word of counts, and the prefix length. */
#define SB_FOUND(counts, length) ((__u64)(length) << 32 | (__u64)(counts))
#define SB_FOUND_COUNTS(found) ((__u32)(found))
#define SB_FOUND_LENGTH(found) ((__u32)((found) >> 32))

/* Steps of a descent: a trie's nodes stand every SB_STRIDE bits, and an entry follows. */
#define SB_LEVELS4 4
#define SB_LEVELS6 20

#define SB_ANY_LENGTH 1024 /* no prefix is as long: as a constant it costs no comparison */

/* The bits of a node's word 1 that lie on the way to an index: 1, 1 x, 1 x x, ... in heap order. */
#define SB_PATH(i)                                                                                 \
	(1ULL << 1 | 1ULL << (2 + ((i) >> 5)) | 1ULL << (4 + ((i) >> 4)) |                         \
	 1ULL << (8 + ((i) >> 3)) | 1ULL << (16 + ((i) >> 2)) | 1ULL << (32 + ((i) >> 1)))
#define SB_PATH4(i) SB_PATH(i), SB_PATH((i) + 1), SB_PATH((i) + 2), SB_PATH((i) + 3)
#define SB_PATH16(i) SB_PATH4(i), SB_PATH4((i) + 4), SB_PATH4((i) + 8), SB_PATH4((i) + 12)

const volatile __u64 sb_path[64] = { SB_PATH16(0), SB_PATH16(16), SB_PATH16(32), SB_PATH16(48) };

static __always_inline const __u64 *sb_rules(void)
{
	return sb_value(&rules);
}

/* The block at OFFSET, with SB_RULES_MARGIN words behind it, or NULL when there is none. */
static __always_inline const __u64 *sb_block(const __u64 *words, __u64 size, __u64 offset)
{
	/* The comparison and the sum in this order and in one register: the verifier must see that
	 * they belong together. */
	asm volatile("" : "+r"(offset));
	if (offset >= size)
		return 0;
	asm volatile("" : "+r"(offset));
	return words + offset;
}

/* There is no instruction for it in BPF. */
static __always_inline __u64 sb_popcount(__u64 x)
{
	x -= (x >> 1) & 0x5555555555555555ULL;
	x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (x * 0x0101010101010101ULL) >> 56;
}

/* Whether the first BITS (0-63) bits of a difference are all 0; without a branch. */
static __always_inline int sb_same(__u64 difference, __u64 bits)
{
	return !((difference >> 1) >> (63 - bits));
}

/* The same for 0-128 bits of a difference in two words. */
static __always_inline int sb_same6(__u64 high, __u64 low, __u32 bits)
{
	if (bits < 64)
		return sb_same(high, bits);
	return !high && (bits == 128 ? !low : sb_same(low, bits & 63));
}

/* Six bits from POSITION on; no step of the trie lies across the two words. */
static __always_inline __u64 sb_index6(__u64 high, __u64 low, __u32 position)
{
	return (position < 64 ? high : low) << (position & 63) >> 58;
}

/* The prefixes of a node that hold the address and have fewer than BELOW bits, as bits of INTERNAL,
 * its word 1. BELOW is more than POSITION. */
static __always_inline __u64 sb_holding(__u64 internal, __u64 index, __u32 position, __u32 below)
{
	__u64 bits = internal & sb_path[index];

	if (below - position < SB_STRIDE)
		bits &= (1ULL << (1U << (below - position))) - 1;
	return bits;
}

/* Children up to and with INDEX, that one on top: it is there if the result is negative, and as
 * reference number sb_popcount - 1. */
static __always_inline __s64 sb_children(__u64 children, __u64 index)
{
	return (__s64)(children << (63 ^ index));
}

/* One of the prefixes of NODE, the one with BIT in its word 1: the offset of the entry's counts, or
 * 0. The references begin FIRST words on, an entry's counts COUNTS words. */
static __always_inline __u32 sb_internal(const __u64 *node, __u64 bit, __u32 first, __u32 counts)
{
	__u64 n = sb_popcount(node[0]) + sb_popcount(node[1] & ((1ULL << bit) - 1));
	__u32 ref = ((const __u32 *)(node + first))[n & 127];

	return ref ? SB_REF_OFFSET(ref) + counts : 0;
}

/* The longest of the prefixes HOLDING of NODE, which lie on the way to INDEX. */
static __always_inline __u64 sb_longest(const __u64 *node, __u64 holding, __u64 index,
					__u32 position, __u32 first, __u32 counts)
{
	__u64 bit = 64 | index;
	__u32 length = position + SB_STRIDE, offset;

	SB_UNROLL
	for (int i = 0; i < SB_STRIDE; i++) {
		bit >>= 1;
		length--;
		if (holding >> bit & 1)
			break;
	}
	offset = sb_internal(node, bit, first, counts);
	return offset ? SB_FOUND(offset, length) : 0;
}

/* Where a descent ended. */
struct sb_end {
	__u64 node; /* the last node with a prefix that holds the address; 0: none */
	__u64 leaf; /* or, below it, an entry that does: SB_FOUND, and 0: none */
};

/* Descends from REF by ADDRESS, accepting prefixes of fewer than BELOW bits. */
static __always_inline struct sb_end sb_descend4(const __u64 *words, __u64 size, __u32 address,
						 __u32 ref, __u32 below)
{
	const __u64 a = (__u64)address << 32;
	struct sb_end end = {};
	const __u64 *node;
	__u64 word, index;
	__u32 position;
	__s64 children;

	SB_UNROLL
	for (int i = 0; i < SB_LEVELS4; i++) {
		if (ref & SB_REF_ENTRY) {
			ref = SB_REF_OFFSET(ref);
			node = sb_block(words, size, ref);
			if (!node)
				break;
			word = node[0];
			position = word & 63;
			if (position < below && sb_same(a ^ word, position))
				end.leaf = SB_FOUND(ref + SB_ENTRY_INTERVALS4 - 1, position);
			break;
		}
		node = sb_block(words, size, ref);
		if (!node)
			break;
		word = node[2];
		position = word & 31;
		if (position >= below || !sb_same(a ^ word, position))
			break;
		index = a << position >> 58;
		if (sb_holding(node[1], index, position, below))
			end.node = ref;
		children = sb_children(node[0], index);
		if (children >= 0)
			break;
		ref = ((const __u32 *)(node + SB_NODE_REFS4))[sb_popcount(children) - 1];
	}
	return end;
}

/* The same for IPv6, whose address is HIGH and LOW. */
static __always_inline struct sb_end sb_descend6(const __u64 *words, __u64 size, __u64 high,
						 __u64 low, __u32 ref, __u32 below)
{
	struct sb_end end = {};
	const __u64 *node;
	__u64 index;
	__u32 position;
	__s64 children;

	SB_UNROLL
	for (int i = 0; i < SB_LEVELS6; i++) {
		if (ref & SB_REF_ENTRY) {
			ref = SB_REF_OFFSET(ref);
			node = sb_block(words, size, ref);
			if (!node)
				break;
			position = node[2] & 255;
			if (position < below && sb_same6(high ^ node[0], low ^ node[1], position))
				end.leaf = SB_FOUND(ref + SB_ENTRY_INTERVALS6 - 1, position);
			break;
		}
		node = sb_block(words, size, ref);
		if (!node)
			break;
		position = node[4] & 127;
		if (position >= below || !sb_same6(high ^ node[2], low ^ node[3], position))
			break;
		index = sb_index6(high, low, position);
		if (sb_holding(node[1], index, position, below))
			end.node = ref;
		children = sb_children(node[0], index);
		if (children >= 0)
			break;
		ref = ((const __u32 *)(node + SB_NODE_REFS6))[sb_popcount(children) - 1];
	}
	return end;
}

/* The longest prefix that holds ADDRESS in the trie at REF, which is not 0: SB_FOUND, or 0. */
static __always_inline __u64 sb_longest4(const __u64 *words, __u64 size, __u32 address, __u32 ref)
{
	struct sb_end end = sb_descend4(words, size, address, ref, SB_ANY_LENGTH);
	__u64 index, holding;
	const __u64 *node;
	__u32 position;

	if (end.leaf || !end.node)
		return end.leaf;
	node = sb_block(words, size, end.node);
	if (!node)
		return 0;
	position = node[2] & 31;
	index = (__u64)address << 32 << position >> 58;
	holding = sb_holding(node[1], index, position, SB_ANY_LENGTH);
	return sb_longest(node, holding, index, position, SB_NODE_REFS4, SB_ENTRY_INTERVALS4 - 1);
}

static __always_inline __u64 sb_longest6(const __u64 *words, __u64 size, __u64 high, __u64 low,
					 __u32 ref)
{
	struct sb_end end = sb_descend6(words, size, high, low, ref, SB_ANY_LENGTH);
	__u64 index, holding;
	const __u64 *node;
	__u32 position;

	if (end.leaf || !end.node)
		return end.leaf;
	node = sb_block(words, size, end.node);
	if (!node)
		return 0;
	position = node[4] & 127;
	index = sb_index6(high, low, position);
	holding = sb_holding(node[1], index, position, SB_ANY_LENGTH);
	return sb_longest(node, holding, index, position, SB_NODE_REFS6, SB_ENTRY_INTERVALS6 - 1);
}

#endif
