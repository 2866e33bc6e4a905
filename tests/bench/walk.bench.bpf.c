// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The broker's own program, and parts of it: the walk alone, and both on packets from the list. The
 * maps are those of a live dataplane, whose loader has a hand in the section sk_lookup/direct.
 *
 * has_ifindex stays 0, so runs are counted in the map of counters like packets; the live program
 * would know a test run by its lack of an interface.
 */
#include "bpf/sockbroker.bpf.c"

#include "tests/bench/bench.bpf.h"

#define BENCH_IPPROTO_UDP 17

/* As in bpf/sockbroker.bpf.c. */
static __always_inline __s64 match_context(struct bpf_sk_lookup *ctx)
{
	__u32 key = (ctx->protocol == BENCH_IPPROTO_UDP ? SB_KEY_UDP : 0) | (__u16)ctx->local_port;
	__u64 high, low;

	if (hit_numbers)
		key |= SB_KEY_COUNT;
	if (ctx->family == SB_AF_INET)
		return sb_match4(bpf_ntohl(ctx->local_ip4), key);
	high = (__u64)ctx->local_ip6[1] << 32 | ctx->local_ip6[0];
	low = (__u64)ctx->local_ip6[3] << 32 | ctx->local_ip6[2];
	return sb_match6(bpf_be64_to_cpu(high), bpf_be64_to_cpu(low), key);
}

static __always_inline __s64 match_packet(struct bpf_sk_lookup *ctx, const struct bench_packet *p)
{
	__u32 key = p->key | (hit_numbers ? SB_KEY_COUNT : 0);

	if (ctx->family == SB_AF_INET)
		return sb_match4(p->address, key);
	return sb_match6(p->high, p->low, key);
}

SEC("sk_lookup/direct")
int lookup_hot(struct bpf_sk_lookup *ctx)
{
	__s64 label = match_context(ctx);

	asm volatile("" ::"r"(label));
	return SK_PASS;
}

SEC("sk_lookup/direct")
int lookup_cold(struct bpf_sk_lookup *ctx)
{
	const struct bench_packet *p = bench_pick();

	if (p)
		bench_next(match_packet(ctx, p));
	return SK_PASS;
}

SEC("sk_lookup/direct")
int whole_cold(struct bpf_sk_lookup *ctx)
{
	const struct bench_packet *p = bench_pick();
	int verdict = SK_PASS;
	__s64 label;

	if (!p)
		return SK_PASS;
	label = match_packet(ctx, p);
	if (label >= 0 && label < SB_LABELS_MAX)
		verdict = sb_steer(ctx, label);
	bench_next(bench_assigned(ctx));
	return verdict;
}
