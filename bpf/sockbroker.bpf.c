// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The sk_lookup program: the rule for the packet's destination, then a living socket of its label.
 * Without a rule the packet goes on untouched. A socket that an earlier program chose stays.
 */
#include "bpf/group.bpf.h"
#include "bpf/maps.bpf.h"
#include "bpf/walk.bpf.h"

SEC("sk_lookup/direct") /* the loader knows: see maps.bpf.h */
int sockbroker(struct bpf_sk_lookup *ctx)
{
	__u32 key = (ctx->protocol & 1) * SB_KEY_UDP | (__u16)ctx->local_port; /* UDP is 17 */
	__s64 label;

	if (hit_numbers && sb_is_packet(ctx))
		key |= SB_KEY_COUNT;
	if (ctx->family == SB_AF_INET) {
		label = sb_match4(bpf_ntohl(ctx->local_ip4), key);
	} else {
		__u64 high = (__u64)ctx->local_ip6[1] << 32 | ctx->local_ip6[0];
		__u64 low = (__u64)ctx->local_ip6[3] << 32 | ctx->local_ip6[2];

		label = sb_match6(bpf_be64_to_cpu(high), bpf_be64_to_cpu(low), key);
	}
	if (label < 0 || label >= SB_LABELS_MAX)
		return SK_PASS;
	return sb_steer(ctx, label);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
