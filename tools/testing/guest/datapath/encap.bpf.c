// SPDX-License-Identifier: GPL-2.0
/* tc programs that set and read the encapsulation of ipip packets. */

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct bpf_fou_encap {
	__be16 sport;
	__be16 dport;
};

int bpf_skb_set_fou_encap(struct __sk_buff *skb, struct bpf_fou_encap *encap, int type) __ksym;
int bpf_skb_get_fou_encap(struct __sk_buff *skb, struct bpf_fou_encap *encap) __ksym;

/* Source and destination port of the last received packet; results of the kfuncs. */
struct {
	__u32 sport, dport;
	__s32 set, get, without_metadata;
} seen;

static int set(struct __sk_buff *skb, int type, __u16 sport, __u64 flags)
{
	struct bpf_fou_encap encap = { .sport = bpf_htons(sport), .dport = bpf_htons(5555) };
	struct bpf_tunnel_key key = {};
	__u8 host;

	/* The tunnel to 10.1.1.N ends at 192.0.2.N. */
	if (bpf_skb_load_bytes(skb, 19, &host, 1))
		return TC_ACT_SHOT;
	seen.without_metadata = bpf_skb_set_fou_encap(skb, &encap, type);
	key.remote_ipv4 = 0xc0000200 | host;
	key.tunnel_ttl = 64;
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags))
		return TC_ACT_SHOT;
	seen.set = bpf_skb_set_fou_encap(skb, &encap, type);
	return seen.set ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc/set_fou")
int set_fou(struct __sk_buff *skb)
{
	return set(skb, 0, 7777, BPF_F_ZERO_CSUM_TX);
}

SEC("tc/set_gue")
int set_gue(struct __sk_buff *skb)
{
	return set(skb, 1, 0, 0);
}

SEC("tc/get")
int get(struct __sk_buff *skb)
{
	struct bpf_fou_encap encap = {};

	seen.get = bpf_skb_get_fou_encap(skb, &encap);
	seen.sport = bpf_ntohs(encap.sport);
	seen.dport = bpf_ntohs(encap.dport);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
