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
const volatile __u64 rules_words = SB_RULES_FIRST_BLOCK; /* size of the rules map's value */
const volatile __u32 has_ifindex = 0;                    /* ctx->ingress_ifindex exists (5.17) */

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, SB_SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} sockmap SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SB_GROUPS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SB_SLOT_LIST_MAX);
	__type(key, __u32);
	__type(value, __u32);
} slot_lists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SB_SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} slot_owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SB_GROUPS_MAX);
	__type(key, __u32);
	__type(value, struct sb_group_counters);
} counters SEC(".maps");

/* One value of the size that the loader sets; every generation brings its own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, SB_RULES_BYTES(SB_RULES_FIRST_BLOCK));
} rules SEC(".maps");

#endif
