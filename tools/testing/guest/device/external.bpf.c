// SPDX-License-Identifier: GPL-2.0
/* tc programs that set and read the tunnel of packets of a gue device in external mode. */

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* The tunnel of the last received packet, and the result of the helper. */
struct {
	struct bpf_tunnel_key key;
	__s32 get;
} seen;

/* The tunnel to 10.1.1.N ends at 192.0.2.N or 2001:db8::N, in the group 7. */
static int set(struct __sk_buff *skb, __u64 flags)
{
	struct bpf_tunnel_key key = { .tunnel_id = 7, .tunnel_tos = 0xb8, .tunnel_ttl = 33 };
	__u8 host;

	if (bpf_skb_load_bytes(skb, 19, &host, 1))
		return TC_ACT_SHOT;
	if (flags & BPF_F_TUNINFO_IPV6) {
		key.remote_ipv6[0] = bpf_htonl(0x20010db8);
		key.remote_ipv6[3] = bpf_htonl(host);
		key.tunnel_label = 0xabcde;
	} else {
		key.remote_ipv4 = 0xc0000200 | host;
	}
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags) ? TC_ACT_SHOT : TC_ACT_OK;
}

static int get(struct __sk_buff *skb, __u64 flags)
{
	seen.get = bpf_skb_get_tunnel_key(skb, &seen.key, sizeof(seen.key),
					  flags | BPF_F_TUNINFO_FLAGS);
	return TC_ACT_OK;
}

SEC("tc/set4")
int set4(struct __sk_buff *skb)
{
	return set(skb, BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT);
}

SEC("tc/set6")
int set6(struct __sk_buff *skb)
{
	return set(skb, BPF_F_TUNINFO_IPV6);
}

SEC("tc/unkeyed")
int unkeyed(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = { .remote_ipv4 = 0xc0000202 };

	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_NO_TUNNEL_KEY) ? TC_ACT_SHOT
										   : TC_ACT_OK;
}

SEC("tc/get4")
int get4(struct __sk_buff *skb)
{
	return get(skb, 0);
}

SEC("tc/get6")
int get6(struct __sk_buff *skb)
{
	return get(skb, BPF_F_TUNINFO_IPV6);
}

char _license[] SEC("license") = "GPL";
