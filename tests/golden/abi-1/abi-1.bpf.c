// SPDX-License-Identifier: LGPL-2.1-or-later
/* See README.md. */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 65536);
	__uint(key_size, 4);
	__uint(value_size, 8);
} sockmap SEC(".maps");

/* One word a group, of 4096 labels with 8 groups each: bits 0-23 where its list begins in
 * slot_lists, 24-35 how long that is, 36-37 what to do without a living socket (0: drop), 40-63 a
 * sequence number. Group: label * 8 + (UDP: 4) + (IPv4: 0). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, 0x400); /* BPF_F_MMAPABLE */
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 262144);
} groups SEC(".maps");

/* 262144 slots of 4 bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, 0x400);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 1048576);
} slot_lists SEC(".maps");

/* 4 bytes a slot: label * 2 + (UDP: 1) + 1. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, 0x400);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 262144);
} slot_owners SEC(".maps");

/* Eight words a group: lookups, misses, respected, dead_slots, err_family, err_protocol, err_state,
 * err_other. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 32768);
	__uint(key_size, 4);
	__uint(value_size, 64);
} counters SEC(".maps");

/* The ABI number is the first word, 4 bytes long, the generation is 8 bytes at 24. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, 0x400);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 1183744);
} rules SEC(".maps");

#define WEB 3
#define DNS 7

#define LOOKUPS 0
#define MISSES 1
#define DEAD_SLOTS 3

static const __u32 zero = 0;

static __always_inline int label_of(struct bpf_sk_lookup *ctx)
{
	if (ctx->family != 2 || bpf_ntohl(ctx->local_ip4) >> 8 != 0xc00002) /* 192.0.2.0/24 */
		return -1;
	if (ctx->protocol == 17)
		return ctx->local_port == 53 ? DNS : -1;
	return ctx->local_port == 80 || (ctx->local_port >= 8000 && ctx->local_port <= 8999) ? WEB
											     : -1;
}

static __always_inline void count(struct bpf_sk_lookup *ctx, __u32 group, int what)
{
	__u64 *row = ctx->ingress_ifindex ? bpf_map_lookup_elem(&counters, &group) : 0;

	if (row)
		row[what]++;
}

static __always_inline int assign(struct bpf_sk_lookup *ctx, __u32 slot, __u32 owner)
{
	__u32 *owners = bpf_map_lookup_elem(&slot_owners, &zero);
	struct bpf_sock *sk = bpf_map_lookup_elem(&sockmap, &slot);
	int done = 0;

	if (!sk)
		return 0;
	if (owners && owners[slot & 65535] == owner)
		done = bpf_sk_assign(ctx, sk, 0) == 0;
	bpf_sk_release(sk);
	return done;
}

SEC("sk_lookup")
int sockbroker(struct bpf_sk_lookup *ctx)
{
	const __u32 *header = bpf_map_lookup_elem(&rules, &zero);
	const __u64 *words = bpf_map_lookup_elem(&groups, &zero);
	const __u32 *lists = bpf_map_lookup_elem(&slot_lists, &zero);
	const int label = label_of(ctx), udp = ctx->protocol == 17;
	__u32 group, n, at;
	__u64 word;

	if (!header || !words || !lists || label < 0)
		return SK_PASS;
	group = label * 8 + udp * 4;
	count(ctx, group, LOOKUPS);
	word = words[group & 32767];
	n = word >> 24 & 0xfff;
	at = n ? bpf_ntohs((__u16)ctx->remote_port) % n : 0;
	for (__u32 i = 0; i < 16; i++) {
		if (i >= n)
			break;
		if (assign(ctx, lists[((word & 0xffffff) + (at + i) % n) & 262143],
			   label * 2 + udp + 1))
			return SK_PASS;
		count(ctx, group, DEAD_SLOTS);
	}
	count(ctx, group, MISSES);
	return (word >> 36 & 3) == 1 ? SK_PASS : SK_DROP;
}

char LICENSE[] SEC("license") = "GPL";
