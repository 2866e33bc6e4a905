/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a label to a living socket of its group, and what to do when there is none.
 */
#ifndef SOCKBROKER_GROUP_BPF_H
#define SOCKBROKER_GROUP_BPF_H

#include "bpf/maps.bpf.h"

#define SB_AF_INET 2

/* Errors of bpf_sk_assign. */
#define SB_EPROTOTYPE (-91)
#define SB_ESOCKTNOSUPPORT (-94)
#define SB_EAFNOSUPPORT (-97)
#define SB_EEXIST (-17)

#define SB_RUN 16     /* slots tried by one function, which the verifier checks apart */
#define SB_ATTEMPTS 4 /* at a group whose word changes meanwhile */

/* What became of a packet in a list of slots. */
enum sb_outcome {
	SB_NONE,
	SB_ASSIGNED,
	SB_RESPECTED,
};

/* A test run, which has no interface, is none, and is not counted. */
static __always_inline int sb_is_packet(struct bpf_sk_lookup *ctx)
{
	return !has_ifindex || ctx->ingress_ifindex;
}

/* The row that counts this packet, or NULL. */
static __always_inline struct sb_group_counters *sb_counters(struct bpf_sk_lookup *ctx, __u32 group)
{
	if (!sb_is_packet(ctx))
		return 0;
	return bpf_map_lookup_elem(&counters, &group);
}

/* In assembly, since the compiler would like to add a variable offset to the pointer, and without
 * CAP_PERFMON the verifier does not. */
#define SB_COUNT(count, field)                                                                     \
	do {                                                                                       \
		if (count)                                                                         \
			asm volatile(                                                              \
				"r1 = *(u64 *)(%0 + %1); r1 += 1; *(u64 *)(%0 + %1) = r1" ::"r"(   \
					count),                                                    \
				"i"(__builtin_offsetof(struct sb_group_counters, field))           \
				: "r1", "memory");                                                 \
	} while (0)

static __always_inline __u64 sb_group(__u32 group)
{
	const volatile __u64 *words = sb_value(&groups);

	return words[group & (SB_GROUPS_MAX - 1)];
}

static __always_inline __u32 sb_slot(__u32 at)
{
	const volatile __u32 *slots = sb_value(&slot_lists);

	return slots[at & (SB_SLOT_LIST_MAX - 1)];
}

static __always_inline __u32 sb_owner(__u32 slot)
{
	const volatile sb_slot_owner *owners = sb_value(&slot_owners);

	return owners[slot & (SB_SLOTS_MAX - 1)];
}

static __always_inline __u64 sb_mix(__u64 x, __u64 y)
{
	x = (x ^ y) * 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 32;
}

/*
 * The same for all packets of a connection, whatever generation of the program runs: with SYN
 * cookies the choice is made twice.
 */
static __always_inline __u32 sb_hash(struct bpf_sk_lookup *ctx)
{
	__u64 ports = (__u64)ctx->remote_port << 16 | (__u16)ctx->local_port;
	__u64 h;

	if (ctx->family == SB_AF_INET) {
		h = sb_mix(ports, (__u64)ctx->remote_ip4 << 32 | ctx->local_ip4);
	} else {
		h = sb_mix(ports, (__u64)ctx->remote_ip6[1] << 32 | ctx->remote_ip6[0]);
		h = sb_mix(h, (__u64)ctx->remote_ip6[3] << 32 | ctx->remote_ip6[2]);
		h = sb_mix(h, (__u64)ctx->local_ip6[1] << 32 | ctx->local_ip6[0]);
		h = sb_mix(h, (__u64)ctx->local_ip6[3] << 32 | ctx->local_ip6[2]);
	}
	return sb_mix(h, 0) >> 32;
}

static __always_inline void sb_count_error(struct sb_group_counters *count, long error)
{
	if (error == SB_ESOCKTNOSUPPORT)
		SB_COUNT(count, err_state);
	else if (error == SB_EAFNOSUPPORT)
		SB_COUNT(count, err_family);
	else if (error == SB_EPROTOTYPE)
		SB_COUNT(count, err_protocol);
	else
		SB_COUNT(count, err_other);
}

/* A socket is selected, by us or before: the verdict. */
static __always_inline int sb_selected(struct bpf_sk_lookup *ctx, int outcome, __u32 row)
{
	struct sb_group_counters *count;

	if (outcome == SB_RESPECTED) {
		count = sb_counters(ctx, row);
		SB_COUNT(count, respected);
	}
	return SK_PASS;
}

/* No socket takes the packet, and the group's word is WORD: the verdict. */
static __always_inline int sb_empty(struct bpf_sk_lookup *ctx, __u64 word, __u32 row)
{
	struct sb_group_counters *count = sb_counters(ctx, row);

	SB_COUNT(count, misses);
	return SB_GROUP_EMPTY(word) == SB_EMPTY_PASS ? SK_PASS : SK_DROP;
}

/* In the index of a place in slot_lists: choose exactly that socket. */
#define SB_AT_EXACT 0x80000000U

/* Place INDEX in the list of WORD, with what the word says of choosing. */
static __always_inline __u32 sb_at(__u64 word, __u32 index)
{
	/* SB_EMPTY_HOLD, and neither of the others, has bit 37. */
	return (SB_GROUP_LIST(word) + index) | ((__u32)(word >> 6) & SB_AT_EXACT);
}

/*
 * Assigns the socket in the slot at AT of slot_lists, if it lives, takes the packet and belongs to
 * the label and protocol of group ROW, whose counters say what stands in the way.
 */
static __always_inline int sb_try_slot(struct bpf_sk_lookup *ctx, __u32 at, __u32 row)
{
	const __u32 owner = SB_SLOT_OWNER(row / SB_GROUPS_PER_LABEL, row & SB_GROUP_UDP);
	struct sb_group_counters *count;
	__u32 slot = sb_slot(at), family;
	struct bpf_sock *sk;
	long error = 0;

	sk = bpf_map_lookup_elem(&sockmap, &slot);
	if (sk) {
		/* The owner is loaded after the socket, at an index that depends on it, so that no
		 * processor turns the two around. */
		family = sk->family;
		asm volatile("%0 &= 0" : "+r"(family));
		if (sb_owner(slot + family) == owner) {
			/* Flags 0: a SO_REUSEPORT group goes on choosing among its members. */
			error = bpf_sk_assign(ctx, sk,
					      at & SB_AT_EXACT ? BPF_SK_LOOKUP_F_NO_REUSEPORT : 0);
			if (!error) {
				bpf_sk_release(sk);
				return SB_ASSIGNED;
			}
		}
		bpf_sk_release(sk);
	}
	if (error == SB_EEXIST)
		return SB_RESPECTED;
	count = sb_counters(ctx, row);
	if (error)
		sb_count_error(count, error);
	else
		SB_COUNT(count, dead_slots);
	return SB_NONE;
}

__noinline int sb_try(struct bpf_sk_lookup *ctx, __u32 at, __u32 row)
{
	return sb_try_slot(ctx, at, row);
}

/* Tries the slots of a group's WORD from the one at AT on, around its end, SB_RUN and LEFT at
 * most. */
__noinline int sb_try_run(struct bpf_sk_lookup *ctx, __u64 word, __u32 at, __u32 left, __u32 row)
{
	const __u32 n = SB_GROUP_COUNT(word);
	int outcome = SB_NONE;
	__u32 index;

	SB_UNROLL
	for (__u32 i = 0; i < SB_RUN; i++) {
		if (i >= left || outcome != SB_NONE)
			break;
		index = at + i < n ? at + i : at + i - n;
		outcome = sb_try(ctx, sb_at(word, index), row);
	}
	return outcome;
}

/* Tries all slots of a group's WORD but the one at AT. */
__noinline int sb_try_others(struct bpf_sk_lookup *ctx, __u64 word, __u32 at, __u32 row)
{
	const __u32 n = SB_GROUP_COUNT(word);
	int outcome = SB_NONE;

	SB_UNROLL
	for (__u32 i = 1; i < SB_GROUP_SLOTS_MAX; i += SB_RUN) {
		if (i >= n || outcome != SB_NONE)
			break;
		outcome = sb_try_run(ctx, word, at + i, n - i, row);
	}
	return outcome;
}

/* Where the packet begins in a list of N slots. */
__noinline __u32 sb_start(struct bpf_sk_lookup *ctx, __u32 n)
{
	return (__u64)sb_hash(ctx) * n >> 32;
}

/* Tries the sockets of a group's WORD, from where the packet's hash says. */
__noinline int sb_try_group(struct bpf_sk_lookup *ctx, __u64 word, __u32 row)
{
	__u32 n = SB_GROUP_COUNT(word), at = 0;
	int outcome;

	if (!n)
		return SB_NONE;
	if (n > 1)
		at = sb_start(ctx, n);
	outcome = sb_try(ctx, sb_at(word, at), row);
	if (outcome != SB_NONE || n == 1)
		return outcome;
	return sb_try_others(ctx, word, at, row);
}

/* The word of the dual-stack group beside group ROW; 0 for IPv6 packets, which have none. */
__noinline __u64 sb_dual(struct bpf_sk_lookup *ctx, __u32 row)
{
	return ctx->family == SB_AF_INET ? sb_group(row - SB_GROUP_V4 + SB_GROUP_DUAL) : 0;
}

/* Assigns the socket at AT of slot_lists if it is one of the packet's family where the packets of
 * group ROW wait. */
static __always_inline int sb_hold_in(struct bpf_sk_lookup *ctx, __u32 at, __u32 row)
{
	const __u32 owner = SB_SLOT_OWNER(row / SB_GROUPS_PER_LABEL, row & SB_GROUP_UDP);
	__u32 slot = sb_slot(at), family;
	struct bpf_sock *sk;
	int outcome = SB_NONE;

	sk = bpf_map_lookup_elem(&sockmap, &slot);
	if (!sk)
		return SB_NONE;
	family = sk->family;
	if (family == ctx->family) {
		asm volatile("%0 &= 0" : "+r"(family)); /* as in sb_try_slot */
		if (sb_owner(slot + family) == owner && !bpf_sk_assign(ctx, sk, 0))
			outcome = SB_ASSIGNED;
	}
	bpf_sk_release(sk);
	return outcome;
}

/* Lets the packet wait in the broker's own socket, if there is one for it. */
__noinline int sb_hold(struct bpf_sk_lookup *ctx, __u32 row)
{
	__u64 word = sb_group(row | SB_GROUP_HOLD);
	struct sb_group_counters *count;
	int outcome = SB_NONE;

	if (SB_GROUP_COUNT(word) > 0)
		outcome = sb_hold_in(ctx, SB_GROUP_LIST(word), row);
	if (outcome == SB_NONE && SB_GROUP_COUNT(word) > 1)
		outcome = sb_hold_in(ctx, SB_GROUP_LIST(word) + 1, row);
	if (outcome == SB_ASSIGNED) {
		count = sb_counters(ctx, row);
		SB_COUNT(count, held);
	}
	return outcome;
}

/* The sockets of WORD, read from group ROW, are dead: IPv4 packets may go to those of the group
 * DUAL, packets may wait, and sockets may have moved while we looked. The verdict. */
__noinline int sb_persist(struct bpf_sk_lookup *ctx, __u64 word, __u32 row)
{
	__u64 before, dual;
	int outcome;

	SB_UNROLL
	for (int i = 0; i < SB_ATTEMPTS; i++) {
		dual = sb_dual(ctx, row);
		outcome = sb_try_group(ctx, dual, row);
		if (outcome != SB_NONE)
			return sb_selected(ctx, outcome, row);
		if (SB_GROUP_EMPTY(word) == SB_EMPTY_HOLD && sb_hold(ctx, row) != SB_NONE)
			return SK_PASS;
		before = word;
		word = sb_group(row);
		if (word == before && sb_dual(ctx, row) == dual)
			break;
		outcome = sb_try_group(ctx, word, row);
		if (outcome != SB_NONE)
			return sb_selected(ctx, outcome, row);
	}
	return sb_empty(ctx, word, row);
}

/* Shows the verifier that a global function returned 0 or 1, which the compiler knows already. */
static __always_inline int sb_verdict(int verdict)
{
	asm volatile("%0 &= 1" : "+r"(verdict));
	return verdict;
}

/* A rule with LABEL holds the packet: the verdict. */
static __always_inline int sb_steer(struct bpf_sk_lookup *ctx, __u32 label)
{
	/* TCP is 6 and UDP 17, AF_INET 2 and AF_INET6 10. Without branches, since the verifier
	 * wants the same knowledge of an index on all ways to it when it has to guard it. */
	const __u32 row = label * SB_GROUPS_PER_LABEL + (ctx->protocol & 1) * SB_GROUP_UDP +
			  (ctx->family >> 3 & 1) * SB_GROUP_V6;
	struct sb_group_counters *count = sb_counters(ctx, row);
	__u32 n, at = 0;
	__u64 word;
	int outcome;

	SB_COUNT(count, lookups);
	if (ctx->sk) {
		SB_COUNT(count, respected);
		return SK_PASS;
	}
	word = sb_group(row);
	n = SB_GROUP_COUNT(word);
	if (!n)
		return sb_verdict(sb_persist(ctx, word, row));
	/* The first slot without a call: it is alive nearly always. */
	if (n > 1)
		at = sb_start(ctx, n);
	outcome = sb_try(ctx, sb_at(word, at), row);
	if (outcome == SB_NONE && n > 1)
		outcome = sb_try_others(ctx, word, at, row);
	if (outcome == SB_NONE)
		return sb_verdict(sb_persist(ctx, word, row));
	return sb_selected(ctx, outcome, row);
}

#endif
