/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A radix sort from the most significant bits down, in place (American flag sort): a million rules
 * are sorted on every apply. The bits that all rules of a range share are skipped, so that crowded
 * sets (all in one /16, all on one address) cost no more than scattered ones.
 */
#include "broker/model/rule-sort.h"

#include <endian.h>
#include <string.h>

#define RADIX_BITS 8
#define RADIX (1U << RADIX_BITS)
#define SMALL 32 /* shorter ranges are sorted by insertion */

/* The rule as four words that compare like rule_compare. */
#define KEY_WORDS 4

static inline uint64_t key_word(const struct rule *r, unsigned word)
{
	uint64_t w;

	switch (word) {
	case 0:
		return r->family;
	case 1:
		memcpy(&w, r->address, 8);
		return be64toh(w);
	case 2:
		memcpy(&w, r->address + 8, 8);
		return be64toh(w);
	default:
		return (uint64_t)r->prefix_length << 40 | (uint64_t)r->protocol << 32 |
		       (uint64_t)r->port_first << 16 | r->port_last;
	}
}

static inline bool less(const struct rule *a, const struct rule *b, unsigned word)
{
	for (; word < KEY_WORDS; word++) {
		uint64_t x = key_word(a, word), y = key_word(b, word);

		if (x != y)
			return x < y;
	}
	return false;
}

static void insertion_sort(struct rule *rules, size_t n, unsigned word)
{
	for (size_t i = 1; i < n; i++) {
		struct rule r = rules[i];
		size_t j = i;

		for (; j > 0 && less(&r, &rules[j - 1], word); j--)
			rules[j] = rules[j - 1];
		rules[j] = r;
	}
}

/* Bits of WORD in which the rules differ. */
static uint64_t differing_bits(const struct rule *rules, size_t n, unsigned word)
{
	uint64_t first = key_word(&rules[0], word), differ = 0;

	for (size_t i = 1; i < n; i++)
		differ |= key_word(&rules[i], word) ^ first;
	return differ;
}

static inline unsigned digit(const struct rule *r, unsigned word, unsigned shift)
{
	return (key_word(r, word) >> shift) & (RADIX - 1);
}

/* Moves every rule into the bucket of its digit; END[d] is where bucket d ends. */
static void partition(struct rule *rules, size_t n, unsigned word, unsigned shift,
		      size_t end[static RADIX])
{
	size_t next[RADIX], sum = 0;

	memset(end, 0, RADIX * sizeof(end[0]));
	for (size_t i = 0; i < n; i++)
		end[digit(&rules[i], word, shift)]++;
	for (unsigned d = 0; d < RADIX; d++) {
		next[d] = sum;
		sum += end[d];
		end[d] = sum;
	}
	for (unsigned d = 0; d < RADIX; d++) {
		while (next[d] < end[d]) {
			struct rule r = rules[next[d]];

			for (;;) {
				unsigned to = digit(&r, word, shift);
				struct rule displaced;

				if (to == d)
					break;
				displaced = rules[next[to]];
				rules[next[to]++] = r;
				r = displaced;
			}
			rules[next[d]++] = r;
		}
	}
}

/* Sorts rules that agree in all words before WORD. Recursion ends after 8 bits of some word each
 * time, so it is at most 26 deep. */
static void sort_from(struct rule *rules, size_t n, unsigned word)
{
	size_t end[RADIX], start = 0;
	uint64_t differ = 0;
	unsigned top, shift;

	if (n <= SMALL) {
		insertion_sort(rules, n, word);
		return;
	}
	for (; word < KEY_WORDS; word++) {
		differ = differing_bits(rules, n, word);
		if (differ)
			break;
	}
	if (!differ)
		return;
	top = 63 - (unsigned)__builtin_clzll(differ);
	shift = top >= RADIX_BITS ? top - (RADIX_BITS - 1) : 0;
	partition(rules, n, word, shift, end);
	for (unsigned d = 0; d < RADIX; d++) {
		if (end[d] - start > 1)
			sort_from(rules + start, end[d] - start, word);
		start = end[d];
	}
}

void rule_sort(struct rule *rules, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (less(&rules[i], &rules[i - 1], 0)) {
			sort_from(rules, n, 0);
			return;
		}
	}
}
