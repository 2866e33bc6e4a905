/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a destination to a label: the walk over the rules map.
 *
 * sb_match4/6 descend to the longest prefix that has rules and look for the port among its
 * intervals. Only when it has none, sb_slow4/6 go outward to the next shorter prefixes. Global
 * functions, so that the verifier checks each once, for any arguments.
 */
#ifndef SOCKBROKER_WALK_BPF_H
#define SOCKBROKER_WALK_BPF_H

#include "bpf/trie.bpf.h"

#define SB_KEY_UDP 0x10000U   /* a key is the port, and this */
#define SB_KEY_COUNT 0x20000U /* count the hit of the rule */

/*
 * Counts a hit of the rule whose number is at OFFSET, behind its entry's intervals. Processors
 * share a row when there are more of them than rows, so the addition is atomic.
 */
static __always_inline void sb_hit(const __u64 *words, __u64 size, __u64 offset, __u32 key)
{
	const __u64 *at;
	__u64 i, *counter = sb_value(&hits);

	if (!hit_numbers || !(key & SB_KEY_COUNT))
		return;
	at = sb_block(words, size, offset);
	if (!at)
		return;
	i = at[0];
	if (i >= hit_numbers)
		return;
	i += (bpf_get_smp_processor_id() & (hit_rows - 1)) * hit_numbers;
	asm volatile("" : "+r"(i));
	if (i >= hit_numbers * hit_rows)
		return;
	asm volatile("" : "+r"(i));
	__sync_fetch_and_add(counter + i, 1);
}

/* The interval of KEY's protocol that holds KEY's port, below the counts at offset COUNTS: its
 * label, or -1. */
__noinline __s64 sb_search(__u32 counts, __u32 key)
{
	const __u64 *words = sb_rules(), *at = sb_block(words, rules_words, counts);
	const __u64 size = rules_words;
	/* Not above any interval that begins at the port or before. */
	const __u64 limit = (__u64)key << 48 | 0xffffffffffffULL;
	__u64 low = (__u64)counts + 1, n, half, word, total;

	if (!at)
		return -1;
	word = at[0];
	n = (__u32)word;
	total = n + (word >> 32);
	if (key & SB_KEY_UDP) {
		low += n;
		n = word >> 32;
	}
	SB_UNROLL
	for (int i = 0; i < SB_SEARCH_MAX; i++) {
		half = n >> 1;
		if (!half)
			break;
		at = sb_block(words, size, low + half);
		if (!at)
			return -1;
		/* The other half may be one too long: what is beyond is above the limit too. */
		n -= half;
		if (at[0] <= limit)
			low += half;
	}
	at = sb_block(words, size, low);
	if (!n || !at)
		return -1;
	word = at[0];
	if (word > limit || SB_INTERVAL_LAST(word) < (key & 0xffff))
		return -1;
	sb_hit(words, size, low + total, key);
	return SB_INTERVAL_LABEL(word);
}

/* The last node below REF with a prefix of fewer than BELOW bits that holds ADDRESS, or 0. */
__noinline __u32 sb_node4(__u32 address, __u32 ref, __u32 below)
{
	const __u64 *words = sb_rules();

	return sb_descend4(words, rules_words, address, ref, below).node;
}

__noinline __u32 sb_node6(__u64 high, __u64 low, __u32 ref, __u32 below)
{
	const __u64 *words = sb_rules();

	return sb_descend6(words, rules_words, high, low, ref, below).node;
}

/* What a node gave: a label, or SB_LONGER plus the bits that are left to look for shorter ones. */
#define SB_LONGER 0x100000000LL

/* Searches KEY in the prefixes of fewer than BELOW bits of NODE, from the longest outward. INDEX
 * and POSITION are the address's and the node's. */
static __always_inline __s64 sb_node_search(const __u64 *node, __u32 index, __u32 position,
					    __u32 below, __u32 first, __u32 counts, __u32 key)
{
	__u32 bit = 64 | (index & 63), length = position + SB_STRIDE;
	__s64 label;

	SB_UNROLL
	for (int i = 0; i < SB_STRIDE; i++) {
		bit >>= 1;
		length--;
		if (length >= below || !(node[1] >> bit & 1))
			continue;
		label = sb_search(sb_internal(node, bit, first, counts), key);
		if (label >= 0)
			return label;
	}
	return SB_LONGER + position;
}

__noinline __s64 sb_shorter4(__u32 address, __u32 offset, __u32 below, __u32 key)
{
	const __u64 *node = sb_block(sb_rules(), rules_words, offset);
	__u32 position;

	if (!node)
		return SB_LONGER;
	position = node[2] & 31;
	return sb_node_search(node, address << position >> 26, position, below, SB_NODE_REFS4,
			      SB_ENTRY_INTERVALS4 - 1, key);
}

__noinline __s64 sb_shorter6(__u64 high, __u64 low, __u32 offset, __u32 below, __u32 key)
{
	const __u64 *node = sb_block(sb_rules(), rules_words, offset);
	__u32 position;

	if (!node)
		return SB_LONGER;
	position = node[4] & 127;
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

/* A trie from its root on, exactly: the longest prefix, and from there outward. */
__noinline __s64 sb_trie4(__u32 address, __u32 ref, __u32 key)
{
	__u64 found = sb_longest4(sb_rules(), rules_words, address, ref);
	__s64 label;

	if (!found)
		return -1;
	label = sb_search(SB_FOUND_COUNTS(found), key);
	return label >= 0 ? label : sb_outward4(address, ref, key, SB_FOUND_LENGTH(found));
}

__noinline __s64 sb_trie6(__u64 high, __u64 low, __u32 ref, __u32 key)
{
	__u64 found = sb_longest6(sb_rules(), rules_words, high, low, ref);
	__s64 label;

	if (!found)
		return -1;
	label = sb_search(SB_FOUND_COUNTS(found), key);
	return label >= 0 ? label : sb_outward6(high, low, ref, key, SB_FOUND_LENGTH(found));
}

static __always_inline __u32 sb_direct4(const __u64 *words, __u32 address)
{
	return ((const __u32 *)(words + SB_DIRECT_WORD(0)))[address >> (32 - SB_DIRECT_BITS)];
}

static __always_inline __u32 sb_direct6(const __u64 *words, __u64 high)
{
	return ((const __u32 *)(words + SB_DIRECT_WORD(1)))[high >> (64 - SB_DIRECT_BITS)];
}

/* Where the longest prefixes hang: in the wide table, if there is one, else in the direct one. */
static __always_inline __u32 sb_root4(const __u64 *words, __u32 address)
{
	if (!wide_word4)
		return sb_direct4(words, address);
	return ((const __u32 *)(words + wide_word4))[address >> (32 - SB_WIDE_BITS)];
}

static __always_inline __u32 sb_root6(const __u64 *words, __u64 high)
{
	if (!wide_word6)
		return sb_direct6(words, high);
	return ((const __u32 *)(words + wide_word6))[high >> (64 - SB_WIDE_BITS)];
}

/* What did not come to an end at once: below ROOT the prefixes outward of one with LENGTH bits (0:
 * none was found there), then those that are too short for the wide table, if ROOT came from there,
 * then the trie of those that are too short for the direct one. */
__noinline __s64 sb_slow4(__u32 address, __u32 key, __u32 root, __u32 length)
{
	const __u64 *words = sb_rules();
	const struct sb_rules_header *header = (const void *)words;
	__s64 label = -1;
	__u32 ref;

	if (length)
		label = sb_outward4(address, root, key, length);
	if (wide_word4 && label < 0) {
		ref = sb_direct4(words, address);
		if (ref)
			label = sb_trie4(address, ref, key);
	}
	ref = header->short_root[0];
	if (label < 0 && ref)
		label = sb_trie4(address, ref, key);
	return label;
}

__noinline __s64 sb_slow6(__u64 high, __u64 low, __u32 key, __u32 root, __u32 length)
{
	const __u64 *words = sb_rules();
	const struct sb_rules_header *header = (const void *)words;
	__s64 label = -1;
	__u32 ref;

	if (length)
		label = sb_outward6(high, low, root, key, length);
	if (wide_word6 && label < 0) {
		ref = sb_direct6(words, high);
		if (ref)
			label = sb_trie6(high, low, ref, key);
	}
	ref = header->short_root[1];
	if (label < 0 && ref)
		label = sb_trie6(high, low, ref, key);
	return label;
}

/* Most prefixes have one interval of a protocol: the same as sb_search, without a call. */
static __always_inline __s64 sb_search_one(const __u64 *words, __u64 size, __u64 found, __u32 key)
{
	const __u64 *at = sb_block(words, size, SB_FOUND_COUNTS(found));
	const __u64 udp = key >> 16 & 1, port = key & 0xffff;
	__u64 counts, word;

	if (!at)
		return -1;
	counts = at[0];
	if (counts & ~0x100000001ULL)
		return sb_search(SB_FOUND_COUNTS(found), key);
	/* UDP's comes after TCP's, if that has one. */
	word = at[1 + (counts & udp & 1)];
	if (!(counts >> udp * 32 & 1) || SB_INTERVAL_FIRST(word) > port ||
	    SB_INTERVAL_LAST(word) < port)
		return -1;
	sb_hit(words, size,
	       SB_FOUND_COUNTS(found) + 1 + (counts & udp & 1) + (counts & 1) + (counts >> 32),
	       key);
	return SB_INTERVAL_LABEL(word);
}

/* The label of the rule for a destination, or -1. */
__noinline __s64 sb_match4(__u32 address, __u32 key)
{
	const __u64 *words = sb_rules();
	const __u64 size = rules_words;
	const __u32 ref = sb_root4(words, address);
	__u64 found = 0;
	__s64 label = -1;

	if (ref)
		found = sb_longest4(words, size, address, ref);
	if (found)
		label = sb_search_one(words, size, found, key);
	return label >= 0 ? label : sb_slow4(address, key, ref, SB_FOUND_LENGTH(found));
}

__noinline __s64 sb_match6(__u64 high, __u64 low, __u32 key)
{
	const __u64 *words = sb_rules();
	const __u64 size = rules_words;
	const __u32 ref = sb_root6(words, high);
	__u64 found = 0;
	__s64 label = -1;

	if (ref)
		found = sb_longest6(words, size, high, low, ref);
	if (found)
		label = sb_search_one(words, size, found, key);
	return label >= 0 ? label : sb_slow6(high, low, key, ref, SB_FOUND_LENGTH(found));
}

#endif
