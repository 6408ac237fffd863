// SPDX-License-Identifier: GPL-2.0
/*
 * Kfuncs for BPF programs at tc hooks: set or read the private data of a packet of a gue
 * device in external mode, that is, the bytes of the GUE header after its last field.
 *
 * The bytes are the options of the packet's tunnel metadata. A flag in the metadata says
 * which kind of tunnel other options belong to; these have no flag, so that no other reader
 * takes them for its own.
 *
 * Written in C because BPF finds kfuncs by the module's BTF, which pahole does not
 * make for Rust.
 */

#include <linux/bpf.h>
#include <net/dst_metadata.h>
#include <net/ip_tunnels.h>

#include "../helpers/kfunc_set.h"

/* Hlen counts at most 31 words. */
#define GUE_PRIVATE_MAX 124

__bpf_kfunc_start_defs();

/**
 * bpf_skb_set_gue_private() - set the private data of a packet
 * @skb_ctx: the program's context
 * @data: the bytes
 * @data__sz: their number: a multiple of 4, at most 124
 *
 * Adds to the metadata of bpf_skb_set_tunnel_key(), which the program calls first. The
 * device drops the packet if its header has no room for the bytes beside its fields.
 *
 * Return: 0, -EINVAL if the packet has no metadata for transmission, or has the options
 * of another kind of tunnel, or for a wrong length, or -ENOMEM.
 */
__bpf_kfunc int bpf_skb_set_gue_private(struct __sk_buff *skb_ctx, const void *data, u32 data__sz)
{
	struct sk_buff *skb = (struct sk_buff *)skb_ctx;
	struct ip_tunnel_info *info = skb_tunnel_info(skb);
	struct metadata_dst *md;

	if (!info || !(info->mode & IP_TUNNEL_INFO_TX) ||
	    ip_tunnel_is_options_present(info->key.tun_flags))
		return -EINVAL;
	if (data__sz > GUE_PRIVATE_MAX || data__sz % 4)
		return -EINVAL;

	/* The metadata that the packet has may be others', and without room. */
	md = metadata_dst_alloc(data__sz, METADATA_IP_TUNNEL, GFP_ATOMIC);
	if (!md)
		return -ENOMEM;
	md->u.tun_info.key = info->key;
	md->u.tun_info.encap = info->encap;
	md->u.tun_info.mode = info->mode;
	md->u.tun_info.options_len = data__sz;
	memcpy(ip_tunnel_info_opts(&md->u.tun_info), data, data__sz);
	skb_dst_drop(skb);
	skb_dst_set(skb, &md->dst);
	return 0;
}

/**
 * bpf_skb_get_gue_private() - read the private data of a packet
 * @skb_ctx: the program's context
 * @to: the bytes are stored here
 * @to__sz: the room for them, in bytes
 *
 * Return: the number of bytes, 0 if the packet has none, -EINVAL if the packet has no
 * metadata, or has the options of another kind of tunnel, or -ENOSPC.
 */
__bpf_kfunc int bpf_skb_get_gue_private(struct __sk_buff *skb_ctx, void *to, u32 to__sz)
{
	struct ip_tunnel_info *info = skb_tunnel_info((struct sk_buff *)skb_ctx);

	if (!info || ip_tunnel_is_options_present(info->key.tun_flags))
		return -EINVAL;
	if (info->options_len > to__sz)
		return -ENOSPC;

	memcpy(to, ip_tunnel_info_opts(info), info->options_len);
	return info->options_len;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(private_data_kfunc_ids)
BTF_ID_FLAGS(func, bpf_skb_set_gue_private)
BTF_ID_FLAGS(func, bpf_skb_get_gue_private)
BTF_KFUNCS_END(private_data_kfunc_ids)

RUST_KFUNC_SET(private_data, private_data_kfunc_ids);
