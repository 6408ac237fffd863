// SPDX-License-Identifier: GPL-2.0
/*
 * Kfuncs for BPF programs at tc hooks: set or read the encapsulation of a packet on
 * a tunnel device in external mode. Programs are built for Linux's fou, so names,
 * arguments and numbers are the same as there.
 *
 * Written in C because BPF finds kfuncs by the module's BTF, which pahole does not
 * make for Rust.
 */

#include <linux/bpf.h>
#include <net/dst_metadata.h>
#include <net/ip_tunnels.h>

#include "../helpers/kfunc_set.h"

/* UDP ports, as programs pass them. */
struct bpf_fou_encap {
	__be16 sport;
	__be16 dport;
};

/* Values of @type of bpf_skb_set_fou_encap(). Any other value asks for no encapsulation. */
enum bpf_fou_encap_type {
	FOU_BPF_ENCAP_FOU,
	FOU_BPF_ENCAP_GUE,
};

__bpf_kfunc_start_defs();

/**
 * bpf_skb_set_fou_encap() - choose FOU or GUE for a packet
 * @skb_ctx: the program's context
 * @encap: UDP ports; a source port of 0 asks for one from the inner flow's hash
 * @type: enum bpf_fou_encap_type
 *
 * Adds to the metadata of bpf_skb_set_tunnel_key(), which the program calls first.
 * The outer UDP checksum is set if bpf_skb_set_tunnel_key() asked for one.
 *
 * Return: 0, or -EINVAL if the packet has no metadata for transmission.
 */
__bpf_kfunc int bpf_skb_set_fou_encap(struct __sk_buff *skb_ctx, struct bpf_fou_encap *encap,
				      int type)
{
	struct ip_tunnel_info *info = skb_tunnel_info((struct sk_buff *)skb_ctx);

	if (!encap || !info || !(info->mode & IP_TUNNEL_INFO_TX))
		return -EINVAL;

	if (type == FOU_BPF_ENCAP_FOU)
		info->encap.type = TUNNEL_ENCAP_FOU;
	else if (type == FOU_BPF_ENCAP_GUE)
		info->encap.type = TUNNEL_ENCAP_GUE;
	else
		info->encap.type = TUNNEL_ENCAP_NONE;
	if (test_bit(IP_TUNNEL_CSUM_BIT, info->key.tun_flags))
		info->encap.flags |= TUNNEL_ENCAP_FLAG_CSUM;
	info->encap.sport = encap->sport;
	info->encap.dport = encap->dport;
	return 0;
}

/**
 * bpf_skb_get_fou_encap() - read the UDP ports that a packet was received with
 * @skb_ctx: the program's context
 * @encap: the ports are stored here
 *
 * Return: 0, or -EINVAL if the packet has no metadata.
 */
__bpf_kfunc int bpf_skb_get_fou_encap(struct __sk_buff *skb_ctx, struct bpf_fou_encap *encap)
{
	struct ip_tunnel_info *info = skb_tunnel_info((struct sk_buff *)skb_ctx);

	if (!info)
		return -EINVAL;

	encap->sport = info->encap.sport;
	encap->dport = info->encap.dport;
	return 0;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(encap_kfunc_ids)
BTF_ID_FLAGS(func, bpf_skb_set_fou_encap)
BTF_ID_FLAGS(func, bpf_skb_get_fou_encap)
BTF_KFUNCS_END(encap_kfunc_ids)

RUST_KFUNC_SET(encap, encap_kfunc_ids);
