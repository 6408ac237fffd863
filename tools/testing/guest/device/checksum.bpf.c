// SPDX-License-Identifier: GPL-2.0
/*
 * A tc program that compares the sum that the stack keeps of a received packet
 * (CHECKSUM_COMPLETE) with the packet's bytes.
 */

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

/* Numbers of packets by their sums. A sum of zero is no proof, and counts as none. */
struct {
	__u32 none, right, wrong;
} seen;

static __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	/* Both are zero in this arithmetic. */
	return sum == 0xffff ? 0 : sum;
}

SEC("tc/compare")
int compare(struct __sk_buff *skb)
{
	/* As long as the packets of the test. */
	__be32 bytes[7];
	__s64 sum = bpf_csum_update(skb, 0);

	if (sum < 0 || !folded(sum)) {
		seen.none++;
		return TC_ACT_OK;
	}
	if (skb->len != sizeof(bytes) || bpf_skb_load_bytes(skb, 0, bytes, sizeof(bytes)))
		return TC_ACT_SHOT;
	if (folded(sum) == folded(bpf_csum_diff(NULL, 0, bytes, sizeof(bytes), 0)))
		seen.right++;
	else
		seen.wrong++;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
