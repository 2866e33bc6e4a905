/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a destination to a label: the walk over the rules map.
 *
 * sb_first4/6 descend to the longest prefix that has rules, sb_search looks for the port among its
 * intervals, and only when it has none sb_next4/6 descend again to the next shorter prefix. They
 * are global functions, so that the verifier checks each once, for any arguments.
 *
 * The words are not trusted: every offset is compared with rules_words before it is used, and every
 * loop has a bound of its own.
 */
#ifndef SOCKBROKER_WALK_BPF_H
#define SOCKBROKER_WALK_BPF_H

#include "bpf/maps.bpf.h"

/* What a descent found: the offset of the entry's word of counts, and the prefix length. */
#define SB_FOUND(counts, length) ((__u64)(length) << 32 | (__u64)(counts))
#define SB_FOUND_COUNTS(found) ((__u32)(found))
#define SB_FOUND_LENGTH(found) ((__u32)((found) >> 32))

/* Steps of a descent: a trie's nodes stand every SB_STRIDE bits, and an entry follows. */
#define SB_LEVELS4 4
#define SB_LEVELS6 20

#define SB_ANY_LENGTH 1024 /* no prefix is as long: as a constant it costs no comparison */

#define SB_KEY_UDP 0x10000U /* a key is the port, and this */

/* The bits of a node's word 1 that lie on the way to an index: 1, 1 x, 1 x x, ... in heap order. */
#define SB_PATH(i)                                                                                 \
	(1ULL << 1 | 1ULL << (2 + ((i) >> 5)) | 1ULL << (4 + ((i) >> 4)) |                         \
	 1ULL << (8 + ((i) >> 3)) | 1ULL << (16 + ((i) >> 2)) | 1ULL << (32 + ((i) >> 1)))
#define SB_PATH4(i) SB_PATH(i), SB_PATH((i) + 1), SB_PATH((i) + 2), SB_PATH((i) + 3)
#define SB_PATH16(i) SB_PATH4(i), SB_PATH4((i) + 4), SB_PATH4((i) + 8), SB_PATH4((i) + 12)

const volatile __u64 sb_path[64] = { SB_PATH16(0), SB_PATH16(16), SB_PATH16(32), SB_PATH16(48) };

static __always_inline const __u64 *sb_rules(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rules, &zero);
}

/* There is no instruction for it in BPF. */
static __always_inline __u64 sb_popcount(__u64 x)
{
	x -= (x >> 1) & 0x5555555555555555ULL;
	x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (x * 0x0101010101010101ULL) >> 56;
}

/* Reference number N of the node whose references begin at word FIRST. */
static __always_inline __u32 sb_ref(const __u64 *words, __u64 size, __u64 first, __u64 n)
{
	__u64 i = first * 2 + n;

	return i < size * 2 ? ((const __u32 *)words)[i] : 0;
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

/* One of the prefixes in the node at NODE, the one with BIT in its word 1: offset of the entry's
 * counts, or 0. The references begin FIRST words on, an entry's counts COUNTS words. */
static __always_inline __u32 sb_internal(const __u64 *words, __u64 size, __u64 node, __u64 bit,
					 __u32 first, __u32 counts)
{
	__u64 n = sb_popcount(words[node]) + sb_popcount(words[node + 1] & ((1ULL << bit) - 1));
	__u32 ref = sb_ref(words, size, node + first, n);

	return ref ? SB_REF_OFFSET(ref) + counts : 0;
}

/* The longest of the prefixes HOLDING, bits of the node at NODE; they lie on the way to INDEX. */
static __always_inline __u64 sb_longest(const __u64 *words, __u64 size, __u64 node, __u64 holding,
					__u64 index, __u32 position, __u32 first, __u32 counts)
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
	offset = sb_internal(words, size, node, bit, first, counts);
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
	__u64 node, word, index;
	__u32 position;

	SB_UNROLL
	for (int i = 0; i < SB_LEVELS4; i++) {
		node = SB_REF_OFFSET(ref);
		if (!node || node >= size - SB_NODE_REFS4)
			break;
		if (ref & SB_REF_ENTRY) {
			word = words[node];
			position = word & 63;
			if (position < below && sb_same(a ^ word, position))
				end.leaf = SB_FOUND(node + SB_ENTRY_INTERVALS4 - 1, position);
			break;
		}
		word = words[node + 2];
		position = word & 31;
		if (position >= below || !sb_same(a ^ word, position))
			break;
		index = a << position >> 58;
		if (sb_holding(words[node + 1], index, position, below))
			end.node = node;
		word = words[node];
		if (!(word >> index & 1))
			break;
		ref = sb_ref(words, size, node + SB_NODE_REFS4,
			     sb_popcount(word & ((1ULL << index) - 1)));
	}
	return end;
}

/* The same for IPv6, whose address is HIGH and LOW. */
static __always_inline struct sb_end sb_descend6(const __u64 *words, __u64 size, __u64 high,
						 __u64 low, __u32 ref, __u32 below)
{
	struct sb_end end = {};
	__u64 node, word, index;
	__u32 position;

	SB_UNROLL
	for (int i = 0; i < SB_LEVELS6; i++) {
		node = SB_REF_OFFSET(ref);
		if (!node || node >= size - SB_NODE_REFS6)
			break;
		if (ref & SB_REF_ENTRY) {
			position = words[node + 2] & 255;
			if (position < below &&
			    sb_same6(high ^ words[node], low ^ words[node + 1], position))
				end.leaf = SB_FOUND(node + SB_ENTRY_INTERVALS6 - 1, position);
			break;
		}
		position = words[node + 4] & 127;
		if (position >= below ||
		    !sb_same6(high ^ words[node + 2], low ^ words[node + 3], position))
			break;
		index = sb_index6(high, low, position);
		if (sb_holding(words[node + 1], index, position, below))
			end.node = node;
		word = words[node];
		if (!(word >> index & 1))
			break;
		ref = sb_ref(words, size, node + SB_NODE_REFS6,
			     sb_popcount(word & ((1ULL << index) - 1)));
	}
	return end;
}

/* The longest prefix that holds ADDRESS in the trie at REF: SB_FOUND, or 0. */
__noinline __u64 sb_first4(__u32 address, __u32 ref)
{
	const __u64 *words = sb_rules(), a = (__u64)address << 32, size = rules_words;
	struct sb_end end;
	__u64 index, holding;
	__u32 position;

	if (!words)
		return 0;
	end = sb_descend4(words, size, address, ref, SB_ANY_LENGTH);
	if (end.leaf || !end.node || end.node >= size - SB_NODE_REFS4)
		return end.leaf;
	position = words[end.node + 2] & 31;
	index = a << position >> 58;
	holding = sb_holding(words[end.node + 1], index, position, SB_ANY_LENGTH);
	return sb_longest(words, size, end.node, holding, index, position, SB_NODE_REFS4,
			  SB_ENTRY_INTERVALS4 - 1);
}

__noinline __u64 sb_first6(__u64 high, __u64 low, __u32 ref)
{
	const __u64 *words = sb_rules(), size = rules_words;
	struct sb_end end;
	__u64 index, holding;
	__u32 position;

	if (!words)
		return 0;
	end = sb_descend6(words, size, high, low, ref, SB_ANY_LENGTH);
	if (end.leaf || !end.node || end.node >= size - SB_NODE_REFS6)
		return end.leaf;
	position = words[end.node + 4] & 127;
	index = sb_index6(high, low, position);
	holding = sb_holding(words[end.node + 1], index, position, SB_ANY_LENGTH);
	return sb_longest(words, size, end.node, holding, index, position, SB_NODE_REFS6,
			  SB_ENTRY_INTERVALS6 - 1);
}

/* The interval of KEY's protocol that holds KEY's port, below the counts at offset COUNTS: its
 * label, or -1. */
__noinline __s64 sb_search(__u32 counts, __u32 key)
{
	const __u64 *words = sb_rules();
	const __u64 size = rules_words;
	/* Not above any interval that begins at the port or before. */
	const __u64 limit = (__u64)key << 48 | 0xffffffffffffULL;
	__u64 low = (__u64)counts + 1, n, half, word, middle;

	if (!words || counts >= size)
		return -1;
	word = words[counts];
	n = (__u32)word;
	if (key & SB_KEY_UDP) {
		low += n;
		n = word >> 32;
	}
	SB_UNROLL
	for (int i = 0; i < SB_SEARCH_MAX; i++) {
		half = n >> 1;
		if (!half)
			break;
		middle = low + half;
		if (middle >= size)
			return -1;
		/* The other half may be one too long: what is beyond is above the limit too. */
		n -= half;
		if (words[middle] <= limit)
			low = middle;
	}
	if (!n || low >= size)
		return -1;
	word = words[low];
	if (word > limit || SB_INTERVAL_LAST(word) < (key & 0xffff))
		return -1;
	return SB_INTERVAL_LABEL(word);
}

/* The last node below REF with a prefix of fewer than BELOW bits that holds ADDRESS, or 0. */
__noinline __u32 sb_node4(__u32 address, __u32 ref, __u32 below)
{
	const __u64 *words = sb_rules();

	return words ? sb_descend4(words, rules_words, address, ref, below).node : 0;
}

__noinline __u32 sb_node6(__u64 high, __u64 low, __u32 ref, __u32 below)
{
	const __u64 *words = sb_rules();

	return words ? sb_descend6(words, rules_words, high, low, ref, below).node : 0;
}

/* What a node gave: a label, or SB_LONGER plus the bits that are left to look for shorter ones. */
#define SB_LONGER 0x100000000LL

/* Searches KEY in the prefixes of fewer than BELOW bits in a node, from the longest outward. INDEX
 * and POSITION are the address's and the node's. */
static __always_inline __s64 sb_node_search(__u32 node, __u32 index, __u32 position, __u32 below,
					    __u32 first, __u32 counts, __u32 key)
{
	const __u64 *words = sb_rules();
	const __u64 size = rules_words;
	__u32 bit = 64 | (index & 63), length = position + SB_STRIDE;
	__s64 label;

	SB_UNROLL
	for (int i = 0; i < SB_STRIDE; i++) {
		bit >>= 1;
		length--;
		if (!words || node >= size - first)
			break;
		if (length >= below || !(words[node + 1] >> bit & 1))
			continue;
		label = sb_search(sb_internal(words, size, node, bit, first, counts), key);
		if (label >= 0)
			return label;
	}
	return SB_LONGER + position;
}

__noinline __s64 sb_shorter4(__u32 address, __u32 node, __u32 below, __u32 key)
{
	const __u64 *words = sb_rules();
	__u32 position;

	if (!words || node >= rules_words - SB_NODE_REFS4)
		return SB_LONGER;
	position = words[node + 2] & 31;
	return sb_node_search(node, address << position >> 26, position, below, SB_NODE_REFS4,
			      SB_ENTRY_INTERVALS4 - 1, key);
}

__noinline __s64 sb_shorter6(__u64 high, __u64 low, __u32 node, __u32 below, __u32 key)
{
	const __u64 *words = sb_rules();
	__u32 position;

	if (!words || node >= rules_words - SB_NODE_REFS6)
		return SB_LONGER;
	position = words[node + 4] & 127;
	return sb_node_search(node, sb_index6(high, low, position), position, below, SB_NODE_REFS6,
			      SB_ENTRY_INTERVALS6 - 1, key);
}

/* When the longest prefix has no such port: the shorter ones of fewer than BELOW bits, node after
 * node outward. The tables hold no way back, so each node is a descent. */
__noinline __s64 sb_outward4(__u32 address, __u32 ref, __u32 key, __u32 below)
{
	SB_UNROLL
	for (int i = 0; i < SB_LEVELS4; i++) {
		__u32 node = sb_node4(address, ref, below);
		__s64 label;

		if (!node)
			break;
		label = sb_shorter4(address, node, below, key);
		if (label < SB_LONGER)
			return label;
		below = label;
	}
	return -1;
}

__noinline __s64 sb_outward6(__u64 high, __u64 low, __u32 ref, __u32 key, __u32 below)
{
	SB_UNROLL
	for (int i = 0; i < SB_LEVELS6; i++) {
		__u32 node = sb_node6(high, low, ref, below);
		__s64 label;

		if (!node)
			break;
		label = sb_shorter6(high, low, node, below, key);
		if (label < SB_LONGER)
			return label;
		below = label;
	}
	return -1;
}

/* One of the two tries: REF is its root. */
static __always_inline __s64 sb_trie4(__u32 address, __u32 ref, __u32 key)
{
	__u64 found = ref ? sb_first4(address, ref) : 0;
	__s64 label;

	if (!found)
		return -1;
	label = sb_search(SB_FOUND_COUNTS(found), key);
	return label >= 0 ? label : sb_outward4(address, ref, key, SB_FOUND_LENGTH(found));
}

static __always_inline __s64 sb_trie6(__u64 high, __u64 low, __u32 ref, __u32 key)
{
	__u64 found = ref ? sb_first6(high, low, ref) : 0;
	__s64 label;

	if (!found)
		return -1;
	label = sb_search(SB_FOUND_COUNTS(found), key);
	return label >= 0 ? label : sb_outward6(high, low, ref, key, SB_FOUND_LENGTH(found));
}

/* The label of the rule for a destination, or -1. */
static __always_inline __s64 sb_match4(__u32 address, __u32 key)
{
	const __u64 *words = sb_rules();
	const struct sb_rules_header *header = (const void *)words;
	const __u32 *direct = (const __u32 *)(words + SB_DIRECT_WORD(0));
	__u32 root;
	__s64 label;

	if (!words)
		return -1;
	root = header->short_root[0];
	label = sb_trie4(address, direct[address >> (32 - SB_DIRECT_BITS)], key);
	return label >= 0 ? label : sb_trie4(address, root, key);
}

static __always_inline __s64 sb_match6(__u64 high, __u64 low, __u32 key)
{
	const __u64 *words = sb_rules();
	const struct sb_rules_header *header = (const void *)words;
	const __u32 *direct = (const __u32 *)(words + SB_DIRECT_WORD(1));
	__u32 root;
	__s64 label;

	if (!words)
		return -1;
	root = header->short_root[1];
	label = sb_trie6(high, low, direct[high >> (64 - SB_DIRECT_BITS)], key);
	return label >= 0 ? label : sb_trie6(high, low, root, key);
}

#endif
