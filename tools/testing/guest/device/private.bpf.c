// SPDX-License-Identifier: GPL-2.0
/*
 * tc programs that set and read the private data of GUE headers.
 *
 * A load balancer's director sends each packet to a server, and names in the private data the
 * servers that may have the packet's connection instead. A server without the connection sends
 * the packet on. The format is that of GitHub's load balancer (glb-director).
 */

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

int bpf_skb_set_gue_private(struct __sk_buff *skb, const void *data, __u32 data__sz) __ksym;
int bpf_skb_get_gue_private(struct __sk_buff *skb, void *to, __u32 to__sz) __ksym;

struct glb {
	__be16 type;
	__u8 next_hop;
	__u8 hop_count;
	__be32 hops[2];
};

/* The private data of the last received packet, and results of the kfuncs. */
struct {
	__u8 data[124];
	__s32 get, too_short, without_metadata, odd, too_long;
} seen;

static const char words[8] __attribute__((aligned(4))) = "private!";

static int tunnel(struct __sk_buff *skb, __u32 remote, __u32 id, __u64 flags)
{
	struct bpf_tunnel_key key = { .tunnel_id = id, .remote_ipv4 = remote };

	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags);
}

/* The servers are h2, and then h1. */
SEC("tc/direct")
int direct(struct __sk_buff *skb)
{
	struct glb glb = { .hop_count = 2, .hops = { bpf_htonl(0xc0000201), 0 } };

	if (tunnel(skb, 0xc0000202, 0, BPF_F_NO_TUNNEL_KEY) ||
	    bpf_skb_set_gue_private(skb, &glb, sizeof(glb)))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

/* A server that never has the connection. */
SEC("tc/forward")
int forward(struct __sk_buff *skb)
{
	struct glb glb = {};

	if (bpf_skb_get_gue_private(skb, &glb, sizeof(glb)) != sizeof(glb) || glb.type)
		return TC_ACT_OK;
	if (glb.next_hop >= 2 || glb.next_hop >= glb.hop_count)
		return TC_ACT_OK;
	if (tunnel(skb, bpf_ntohl(glb.hops[glb.next_hop++ & 1]), 0, BPF_F_NO_TUNNEL_KEY) ||
	    bpf_skb_set_gue_private(skb, &glb, sizeof(glb)))
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, 0);
}

static int send(struct __sk_buff *skb, __u32 remote)
{
	__u8 data[128] = {};

	seen.without_metadata = bpf_skb_set_gue_private(skb, data, 8);
	if (tunnel(skb, remote, 7, 0))
		return TC_ACT_SHOT;
	seen.odd = bpf_skb_set_gue_private(skb, data, 6);
	seen.too_long = bpf_skb_set_gue_private(skb, data, 128);
	__builtin_memcpy(data, words, sizeof(words));
	return bpf_skb_set_gue_private(skb, data, sizeof(words)) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc/send_to_1")
int send_to_1(struct __sk_buff *skb)
{
	return send(skb, 0xc0000201);
}

SEC("tc/send_to_2")
int send_to_2(struct __sk_buff *skb)
{
	return send(skb, 0xc0000202);
}

/* Sets 124 bytes, which fill a header without an id, and are too many for one with an id. */
SEC("tc/send_too_much")
int send_too_much(struct __sk_buff *skb)
{
	__u8 data[124] = {};

	if (tunnel(skb, 0xc0000202, 7, 0) || bpf_skb_set_gue_private(skb, data, sizeof(data)))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

SEC("tc/get")
int get(struct __sk_buff *skb)
{
	seen.too_short = bpf_skb_get_gue_private(skb, seen.data, 4);
	seen.get = bpf_skb_get_gue_private(skb, seen.data, sizeof(seen.data));
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
