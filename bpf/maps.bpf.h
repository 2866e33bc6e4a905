/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps of the program, and what the loader tells it. Layout and meaning: sockbroker-abi.h.
 */
#ifndef SOCKBROKER_MAPS_BPF_H
#define SOCKBROKER_MAPS_BPF_H

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/sockbroker-abi.h"

/* Without CAP_PERFMON the verifier also follows each loop past its end, as a processor might: for
 * ever. So there are no loops. */
#define SB_UNROLL _Pragma("clang loop unroll(full)")

/* Set by the loader before loading, constants for the verifier. */
const volatile __u64 rules_words = SB_RULES_FIRST_BLOCK; /* of the rules map's value */
const volatile __u64 wide_word4 = 0; /* as wide_word in the header; 0 leaves nothing of it */
const volatile __u64 wide_word6 = 0;
const volatile __u32 has_ifindex = 0; /* ctx->ingress_ifindex exists (5.17) */
/* RuleCounters=: hit_numbers counters in each of hit_rows rows (a power of two); 0: off, and then
 * nothing of it is left in the program. */
const volatile __u64 hit_numbers = 0;
const volatile __u32 hit_rows = 1;

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, SB_SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} sockmap SEC(".maps");

/*
 * Maps of one large value each. The loader turns each mention of their names into the address of
 * the value (BPF_PSEUDO_MAP_VALUE), which saves a lookup and a key on the stack.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, SB_GROUPS_MAX * sizeof(__u64));
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, SB_SLOT_LIST_MAX * sizeof(__u32));
} slot_lists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, SB_SLOTS_MAX * sizeof(sb_slot_owner));
} slot_owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SB_GROUPS_MAX);
	__type(key, __u32);
	__type(value, struct sb_group_counters);
} counters SEC(".maps");

/* Of the size that the loader sets; every generation brings its own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, SB_RULES_BYTES(SB_RULES_FIRST_BLOCK + SB_RULES_MARGIN));
} rules SEC(".maps");

/* hit_rows * hit_numbers words, as long as one broker runs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, sizeof(__u64));
} hits SEC(".maps");

static __always_inline void *sb_value(void *map)
{
	/* The compiler must not think that it knows how large that is. */
	asm("" : "+r"(map));
	if (!map)
		__builtin_unreachable();
	return map;
}

#endif
