// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What the broker's program is compared with: nothing at all, a fixed slot, and two lookups in
 * longest prefix match tries, one with the packet's port and one for rules of any port; the longer
 * prefix wins, and of two equally long ones the one with the port.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tests/bench/bench.bpf.h"

#define BENCH_IPPROTO_TCP 6
#define BENCH_IPPROTO_UDP 17
#define KEY_UDP 0x10000U

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sockmap SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm_key4);
	__type(value, struct lpm_value);
} lpm4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct lpm_key6);
	__type(value, struct lpm_value);
} lpm6 SEC(".maps");

struct lpm_counters {
	__u64 lookups, misses, errors;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LPM_SLOTS);
	__type(key, __u32);
	__type(value, struct lpm_counters);
} lpm_counters SEC(".maps");

static __always_inline int assign(struct bpf_sk_lookup *ctx, __u32 slot)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockmap, &slot);
	long error;

	if (!sk)
		return SK_DROP;
	error = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return error ? SK_DROP : SK_PASS;
}

static __always_inline const struct lpm_value *better(const struct lpm_value *exact,
						      const struct lpm_value *any)
{
	if (!exact)
		return any;
	return any && any->length > exact->length ? any : exact;
}

static __always_inline const struct lpm_value *find4(__u32 address, __u32 key)
{
	struct lpm_key4 k = {
		.length = LPM_FIXED_BITS + 32,
		.port = key,
		.protocol = key & KEY_UDP ? BENCH_IPPROTO_UDP : BENCH_IPPROTO_TCP,
	};
	const struct lpm_value *exact;

	__builtin_memcpy(k.address, &address, sizeof(k.address));
	exact = bpf_map_lookup_elem(&lpm4, &k);
	k.port = 0;
	return better(exact, bpf_map_lookup_elem(&lpm4, &k));
}

static __always_inline const struct lpm_value *find6(__u64 high, __u64 low, __u32 key)
{
	struct lpm_key6 k = {
		.length = LPM_FIXED_BITS + 128,
		.port = key,
		.protocol = key & KEY_UDP ? BENCH_IPPROTO_UDP : BENCH_IPPROTO_TCP,
	};
	const struct lpm_value *exact;

	__builtin_memcpy(k.address, &high, sizeof(high));
	__builtin_memcpy(k.address + 8, &low, sizeof(low));
	exact = bpf_map_lookup_elem(&lpm6, &k);
	k.port = 0;
	return better(exact, bpf_map_lookup_elem(&lpm6, &k));
}

static __always_inline const struct lpm_value *find_context(struct bpf_sk_lookup *ctx)
{
	__u32 key = (ctx->protocol == BENCH_IPPROTO_UDP ? KEY_UDP : 0) | (__u16)ctx->local_port;

	if (ctx->family == BENCH_AF_INET)
		return find4(ctx->local_ip4, key);
	return find6((__u64)ctx->local_ip6[1] << 32 | ctx->local_ip6[0],
		     (__u64)ctx->local_ip6[3] << 32 | ctx->local_ip6[2], key);
}

static __always_inline const struct lpm_value *find_packet(struct bpf_sk_lookup *ctx,
							   const struct bench_packet *p)
{
	if (ctx->family == BENCH_AF_INET)
		return find4(bpf_htonl(p->address), p->key);
	return find6(bpf_cpu_to_be64(p->high), bpf_cpu_to_be64(p->low), p->key);
}

static __always_inline int steer(struct bpf_sk_lookup *ctx, const struct lpm_value *value)
{
	struct lpm_counters *count;
	__u32 slot;
	int verdict;

	if (!value)
		return SK_PASS;
	slot = value->slot;
	count = bpf_map_lookup_elem(&lpm_counters, &slot);
	if (!count)
		return SK_PASS;
	count->lookups++;
	verdict = assign(ctx, slot);
	if (verdict == SK_DROP)
		count->misses++;
	return verdict;
}

SEC("sk_lookup")
int empty_hot(struct bpf_sk_lookup *ctx)
{
	return SK_PASS;
}

SEC("sk_lookup")
int fixed_hot(struct bpf_sk_lookup *ctx)
{
	return assign(ctx, ctx->family == BENCH_AF_INET ? 0 : LPM_SLOTS / 2);
}

SEC("sk_lookup")
int lpm_lookup_hot(struct bpf_sk_lookup *ctx)
{
	const struct lpm_value *value = find_context(ctx);
	__u32 slot = value ? value->slot : 0;

	asm volatile("" ::"r"(slot));
	return SK_PASS;
}

SEC("sk_lookup")
int lpm_hot(struct bpf_sk_lookup *ctx)
{
	return steer(ctx, find_context(ctx));
}

/* The same on packets from the list. */

SEC("sk_lookup")
int empty_cold(struct bpf_sk_lookup *ctx)
{
	const struct bench_packet *p = bench_pick();

	if (p)
		bench_next(p->address + p->low + p->key);
	return SK_PASS;
}

SEC("sk_lookup")
int fixed_cold(struct bpf_sk_lookup *ctx)
{
	const struct bench_packet *p = bench_pick();
	int verdict;

	if (!p)
		return SK_PASS;
	verdict = assign(ctx, ctx->family == BENCH_AF_INET ? 0 : LPM_SLOTS / 2);
	bench_next(bench_assigned(ctx) + p->address + p->low + p->key);
	return verdict;
}

SEC("sk_lookup")
int lpm_lookup_cold(struct bpf_sk_lookup *ctx)
{
	const struct bench_packet *p = bench_pick();
	const struct lpm_value *value;

	if (!p)
		return SK_PASS;
	value = find_packet(ctx, p);
	bench_next(value ? value->slot : 0);
	return SK_PASS;
}

SEC("sk_lookup")
int lpm_cold(struct bpf_sk_lookup *ctx)
{
	const struct bench_packet *p = bench_pick();
	int verdict;

	if (!p)
		return SK_PASS;
	verdict = steer(ctx, find_packet(ctx, p));
	bench_next(bench_assigned(ctx));
	return verdict;
}

char LICENSE[] SEC("license") = "GPL";
