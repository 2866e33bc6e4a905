/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the sk_lookup program and the broker share: the layout of every map, and what it means.
 *
 * The sockmap is for ever: the same in every version, so that any one can take the sockets over.
 * groups, slot_lists, slot_owners and counters last as long as the ABI number stays the same; a
 * version with a higher one makes them anew. The rules map belongs to one generation: a program is
 * loaded together with it and both are replaced in one BPF_LINK_UPDATE. All but the sockmap and the
 * counters are BPF arrays of one large value, mappable, which the program addresses directly: its
 * loader turns what names such a map into BPF_PSEUDO_MAP_VALUE.
 *
 * All words are in host byte order unless said otherwise.
 */
#ifndef SOCKBROKER_ABI_H
#define SOCKBROKER_ABI_H

#include <linux/types.h>

/*
 * Raised when the layout or the meaning of a map other than the rules changes, never lowered; see
 * docs/DATAPLANE.md. With SB_ABI_NEXT, for tests only, this is a made-up later version, in which all
 * that may have another shape has one.
 */
#ifndef SB_ABI_NEXT
#define SB_ABI_VERSION 2

#define SB_LABELS_MAX 4096
#define SB_GROUP_SLOTS_MAX 256	/* sockets of one group */
#define SB_SLOT_LIST_MAX 262144 /* room for the slot lists of all groups, 4 bytes each */
typedef __u32 sb_slot_owner;	/* a word of slot_owners */
#else
#define SB_ABI_VERSION 3

#define SB_LABELS_MAX 8192
#define SB_GROUP_SLOTS_MAX 512
#define SB_SLOT_LIST_MAX 524288
typedef __u64 sb_slot_owner;
#endif
#define SB_SLOTS_MAX 65536 /* slots of the sockmap, 8 bytes each; for ever */

/*
 * A group is the sockets of one label for packets of one protocol and one packet family. Its id:
 *     label * SB_GROUPS_PER_LABEL + (UDP ? SB_GROUP_UDP : 0) + kind
 * IPv4 packets try SB_GROUP_V4 (AF_INET sockets) first and, if no socket of it is alive,
 * SB_GROUP_DUAL (AF_INET6 sockets that take IPv4 too). IPv6 packets try SB_GROUP_V6, which also
 * holds the dual-stack ones. Example: label 3, UDP over IPv4: 3 * 8 + 4 + 0 = 28, then 30.
 *
 * SB_GROUP_HOLD holds the broker's own sockets, at most one of AF_INET and one of AF_INET6, where
 * packets wait under SB_EMPTY_HOLD: each takes packets of its own family only.
 */
#define SB_GROUPS_PER_LABEL 8
#define SB_GROUP_V4 0
#define SB_GROUP_V6 1
#define SB_GROUP_DUAL 2
#define SB_GROUP_HOLD 3
#define SB_GROUP_UDP 4
#define SB_GROUPS_MAX (SB_LABELS_MAX * SB_GROUPS_PER_LABEL)

/*
 * groups: one 64-bit word a group, so that one store publishes all of it:
 *     bits  0-23  index of the group's slot list in slot_lists
 *     bits 24-35  number of slots in it, at most SB_GROUP_SLOTS_MAX
 *     bits 36-37  verdict when no socket is alive (SB_EMPTY_*); read from the group of the packet's
 *                 own family (V4 or V6), not from DUAL
 *     bits 40-63  sequence number, raised by every store
 * A reader that found no living socket reads the word again and, if it changed, tries again: slots
 * are emptied only after the store that takes them out of the group. When sockets go from one of
 * the groups that a packet tries to another, the one that gains them is stored first.
 *
 * Under SB_EMPTY_HOLD exactly the sockets of the list are chosen (BPF_SK_LOOKUP_F_NO_REUSEPORT):
 * a SO_REUSEPORT group would also choose members that are kept for their queue alone.
 */
#define SB_GROUP_LIST(word) ((__u32)((word) & 0xffffff))
#define SB_GROUP_COUNT(word) ((__u32)(((word) >> 24) & 0xfff))
#define SB_GROUP_EMPTY(word) ((__u32)(((word) >> 36) & 0x3))
#define SB_GROUP_SEQUENCE(word) ((__u32)((word) >> 40))
#define SB_GROUP_WORD(list, count, empty, sequence)                                                \
	((__u64)(list) | (__u64)(count) << 24 | (__u64)(empty) << 36 |                             \
	 (__u64)((sequence) & 0xffffff) << 40)

#define SB_EMPTY_DROP 0
#define SB_EMPTY_PASS 1
#define SB_EMPTY_HOLD 2 /* SB_GROUP_HOLD is tried; without a socket in it: drop */
#define SB_GROUP_EXACT(word) (SB_GROUP_EMPTY(word) == SB_EMPTY_HOLD)

/*
 * slot_lists: sockmap slots (__u32) of all groups, each group's list contiguous.
 * slot_owners: for each sockmap slot the label and protocol that own it (sb_slot_owner),
 *     SB_SLOT_OWNER(label, udp) = label * 2 + udp + 1, 0: nobody.
 * SB_SLOT_OWNER_UNKNOWN stands, in a map that was made anew, at slots that had an owner or a socket
 * before, until it is known whose: no packet is given to it.
 * SB_SLOT_RESERVED: a process that handles a client's files may put one of its sockets there, at any
 * time; it has no label yet.
 * The owner is stored before a socket goes into the slot. A reader that took a socket from a slot
 * whose owner is not its own label puts it back: slots may so be reused at once without ever
 * giving one label's packet to another label's socket.
 */
#define SB_SLOT_OWNER(label, udp) ((__u32)(label) * 2 + ((udp) ? 1 : 0) + 1)
#define SB_SLOT_OWNER_UNKNOWN 0xffffffffU
#define SB_SLOT_RESERVED 0xfffffffeU

/*
 * counters: per CPU, one row a group; packets are counted in the row of their own family. In every
 * version the row of the one before is its beginning: fields are added at the end, and stay.
 *
 * The rows of the other kinds, SB_COUNTERS_FORMER further, hold what maps of earlier versions had
 * counted: they can be written while the program counts in the others.
 */
#define SB_COUNTERS_FORMER 2 /* V4 -> DUAL, V6 -> HOLD */
struct sb_group_counters {
	__u64 lookups;	      /* a rule matched */
	__u64 misses;	      /* ... and no socket took it */
	__u64 respected;      /* an earlier program had chosen a socket already */
	__u64 dead_slots;     /* slots found empty, or in a state that takes no packets */
	__u64 err_family;     /* bpf_sk_assign: EAFNOSUPPORT */
	__u64 err_protocol;   /* EPROTOTYPE */
	__u64 err_state;      /* ESOCKTNOSUPPORT: not listening, or connected */
	__u64 err_other;      /* anything else */
	__u64 held;	      /* no socket was alive, and one of SB_GROUP_HOLD took it (since ABI 2) */
#ifdef SB_ABI_NEXT
	__u64 next[3];
#endif
};

/*
 * rules: one value of SB_RULES_BYTES(words) bytes: this header, two direct tables, a wide table for
 * each family that has many rules (IPv4 first), then blocks. An offset is counted in 64-bit words
 * from the start of the value.
 *
 * A reference (__u32) names a block: 0 none; bit 31 set: an entry; otherwise a node; the other bits
 * are its offset. Changing one reference is one aligned store, and blocks that a reference reaches
 * are never written again: so a reader sees a change whole or not at all.
 *
 * Prefixes of 16 bits and more hang under direct[first 16 bits of the address]; shorter ones form a
 * trie of their own under short_root, consulted when nothing under direct matched. A family with a
 * wide table has those of 22 bits and more under wide[first 22 bits] instead, consulted first: that
 * spares most walks among many rules two nodes. Whether there is one stays the same as long as the
 * generation.
 *
 * node: a 64-way step of the trie at bit position POS (0, 6, 12 in the short trie; 16, 22, ... 124
 * below direct; 22, 28, ... below wide). INDEX is the six bits of the address from POS (bits past
 * the end count as 0).
 *     word 0  children: bit i set: there is something longer below INDEX i
 *     word 1  internal: bit (1 << l) + (INDEX >> (6 - l)), l = 0..5: a prefix of length POS + l
 *             ends here (heap order, bit 0 unused)
 *     word 2  v4: the first POS bits of the address, left-aligned in the upper half (as an address
 *                 in host order); the lower half holds POS
 *             v6: the first 64 bits;  word 3: the other 64 bits;  word 4: POS
 *     then    __u32 references: one for each bit in children, in order, then one for each bit in
 *             internal, in order
 * All POS bits are compared, so levels with a single child may be left out (path compression). A
 * child reference, or a root, is an entry directly when just one prefix lies below it.
 *
 * entry: the port intervals of one prefix.
 *     v4: word 0  address (host order) << 32 | prefix length;  word 1: counts
 *     v6: words 0 and 1 the address, word 2 the prefix length, word 3 counts
 *     counts: number of TCP intervals | number of UDP intervals << 32
 *     then the intervals, TCP first, each sorted, disjoint, one word (SB_INTERVAL). Nested ranges
 *     are resolved by the compiler: the narrowest one's label stands in each interval.
 * With rule counters on, as many words again follow, the number of the rule behind each interval.
 */
struct sb_rules_header {
	__u32 abi;	     /* SB_ABI_VERSION; here, and generation there, in every version */
	__u32 words;	     /* size of the value */
	__u32 words_used;    /* allocated from the start */
	__u32 short_root[2]; /* [0] IPv4, [1] IPv6 */
	__u32 n_rules;
	__u64 generation;
	__u32 wide_word[2]; /* [0] IPv4, [1] IPv6: offset of the wide table, 0: none */
};

#define SB_DIRECT_BITS 16
#define SB_DIRECT_SIZE (1U << SB_DIRECT_BITS)
#define SB_RULES_HEADER_WORDS 16
/* [0] IPv4, [1] IPv6; two references a word */
#define SB_DIRECT_WORD(v6) (SB_RULES_HEADER_WORDS + ((v6) ? SB_DIRECT_SIZE / 2 : 0))
#define SB_RULES_FIRST_BLOCK (SB_RULES_HEADER_WORDS + SB_DIRECT_SIZE)
/* 22: from there on steps of six bits do not straddle the two words of an IPv6 address either. */
#define SB_WIDE_BITS 22
#define SB_WIDE_SIZE (1U << SB_WIDE_BITS)
#define SB_WIDE_WORDS (SB_WIDE_SIZE / 2)
/* A family gets a wide table when it has so many rules of SB_WIDE_BITS bits and more: then it takes
 * at most 32 bytes a rule. */
#define SB_WIDE_RULES (1U << 19)
#define SB_RULES_BYTES(words) ((__u64)(words)*8)
/* The map's value is this many words longer than the tables, so that the program may read a node
 * or the head of an entry with all of it after one comparison of its offset. */
#define SB_RULES_MARGIN 256
/* The verifier's limit of a variable offset (BPF_MAX_VAR_OFF). */
#define SB_RULES_BYTES_MAX ((__u64)1 << 29)

#define SB_REF_ENTRY 0x80000000U
#define SB_REF_OFFSET(ref) ((ref) & 0x7fffffffU)

#define SB_STRIDE 6
#define SB_NODE_REFS4 3 /* words before a node's references */
#define SB_NODE_REFS6 5
#define SB_ENTRY_INTERVALS4 2 /* words before an entry's intervals */
#define SB_ENTRY_INTERVALS6 4

#define SB_INTERVAL(first, last, label)                                                            \
	((__u64)(first) << 48 | (__u64)(last) << 32 | (__u64)(label))
#define SB_INTERVAL_FIRST(i) ((__u32)((i) >> 48))
#define SB_INTERVAL_LAST(i) ((__u32)((i) >> 32) & 0xffff)
#define SB_INTERVAL_LABEL(i) ((__u32)(i))

/* Bounds of the walk, for the verifier and for hostile tables alike. */
#define SB_LEVELS_MAX 24    /* nodes on one descent */
#define SB_OUTWARD_MAX 130  /* prefixes tried, longest first */
#define SB_SEARCH_MAX 18    /* steps of the binary search over intervals */

#ifndef __bpf__
_Static_assert(sizeof(struct sb_rules_header) == 40, "layout");
_Static_assert(__builtin_offsetof(struct sb_rules_header, abi) == 0, "for ever");
_Static_assert(__builtin_offsetof(struct sb_rules_header, generation) == 24, "for ever");
_Static_assert(sizeof(struct sb_rules_header) <= SB_RULES_HEADER_WORDS * 8, "layout");
#ifndef SB_ABI_NEXT
_Static_assert(sizeof(struct sb_group_counters) == 72, "layout");
#endif
_Static_assert(SB_SLOT_LIST_MAX <= 1 << 24, "groups word");
#endif

#endif
