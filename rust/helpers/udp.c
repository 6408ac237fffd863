// SPDX-License-Identifier: GPL-2.0

#include <linux/udp.h>
#include <linux/unaligned.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>

__rust_helper udp_tunnel_gro_receive_t rust_helper_udp_sk_gro_receive(const struct sock *sk)
{
	return READ_ONCE(udp_sk(sk)->gro_receive);
}

/*
 * Clears the hook, because a packet in a queue may hold the socket for longer than the hook
 * exists.
 */
__rust_helper void rust_helper_udp_sk_clear_encap_rcv(struct sock *sk)
{
	WRITE_ONCE(udp_sk(sk)->encap_rcv, NULL);
}

/*
 * Accepts inner UDP GSO packets unsegmented: the receiving device, or its next hop, segments them.
 */
__rust_helper void rust_helper_udp_allow_gso(struct sock *sk)
{
	udp_allow_gso(sk);
}

__rust_helper int rust_helper_udp_sock_create(struct net *net, struct udp_port_cfg *cfg,
					      struct socket **sockp)
{
	return udp_sock_create(net, cfg, sockp);
}

__rust_helper __be16 rust_helper_udp_flow_src_port(struct net *net, struct sk_buff *skb, int min,
						   int max, bool use_eth)
{
	return udp_flow_src_port(net, skb, min, max, use_eth);
}

/*
 * Does what udp_set_csum() does for a packet without GSO whose partial checksum starts at
 * an even offset, with lco_csum() inline.
 */
__rust_helper void rust_helper_udp_set_lco_csum(struct sk_buff *skb, __be32 saddr, __be32 daddr,
						int len)
{
	const u8 *end = skb_checksum_start(skb), *at = skb_transport_header(skb);
	struct udphdr *uh = udp_hdr(skb);
	u64 sum = (u16)(~*(const u16 *)(end + skb->csum_offset));

	for (; end - at >= sizeof(u64); at += sizeof(u64)) {
		u64 word = get_unaligned((const u64 *)at);

		sum += word;
		sum += sum < word;
	}
	sum = (u32)sum + (sum >> 32);
	if (end - at >= sizeof(u32)) {
		sum += get_unaligned((const u32 *)at);
		at += sizeof(u32);
	}
	if (end != at)
		sum += get_unaligned((const u16 *)at);
	sum = (u32)sum + (sum >> 32);
	sum = (u32)sum + (sum >> 32);
	uh->check = udp_v4_check(len, saddr, daddr, (__force __wsum)sum) ?: CSUM_MANGLED_0;
}
