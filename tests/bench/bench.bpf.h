/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cold runs: every run of a program takes another packet out of a long list, since one test run
 * gives the same context to all its repetitions. Shared with the loader.
 */
#pragma once

#include <linux/types.h>

#define BENCH_PACKETS (1U << 20)

/* What a packet is looked up by. */
struct bench_packet {
	__u64 high, low; /* IPv6 address, host order */
	__u32 address;   /* IPv4 address, host order */
	__u32 key;       /* as in bpf/walk.bpf.h: port, and SB_KEY_UDP */
};

struct bench_state {
	__u64 next; /* packet of the next run */
};

#define BENCH_AF_INET 2

/* Baseline: two longest prefix match tries, one a family. Protocol and port come before the address
 * in the key, so a lookup without the port is a lookup with port 0. */
struct lpm_key4 {
	__u32 length;
	__u16 port;
	__u8 protocol, zero;
	__u8 address[4];
};

struct lpm_key6 {
	__u32 length;
	__u16 port;
	__u8 protocol, zero;
	__u8 address[16];
};

struct lpm_value {
	__u32 slot;   /* of the sockmap, and row of the counters */
	__u32 length; /* of the prefix */
};

#define LPM_FIXED_BITS 32 /* port, protocol, zero */
#define LPM_SLOTS 4096

#ifdef __bpf__

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BENCH_PACKETS);
	__type(key, __u32);
	__type(value, struct bench_packet);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2); /* with one, the loader would give the value's address */
	__type(key, __u32);
	__type(value, struct bench_state);
} state SEC(".maps");

/* The packet of this run. */
static __always_inline const struct bench_packet *bench_pick(void)
{
	struct bench_state *s;
	__u32 i = 0;

	s = bpf_map_lookup_elem(&state, &i);
	if (!s)
		return 0;
	i = s->next & (BENCH_PACKETS - 1);
	return bpf_map_lookup_elem(&packets, &i);
}

/*
 * On to the next packet. Which one that is depends, for the processor, on RESULT, though in truth
 * it does not: otherwise it would begin the next run while this one still waits for memory, as it
 * cannot with packets that come from a network.
 */
static __always_inline void bench_next(__u64 result)
{
	struct bench_state *s;
	__u32 zero = 0;

	asm volatile("%0 &= 0" : "+r"(result));
	s = bpf_map_lookup_elem(&state, &zero);
	if (s)
		s->next += 1 + result;
}

/* What depends on the socket that was assigned. */
static __always_inline __u64 bench_assigned(struct bpf_sk_lookup *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	return sk ? sk->family : 0;
}

#endif
