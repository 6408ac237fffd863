// SPDX-License-Identifier: GPL-2.0

#include <net/dst_metadata.h>

/* Returns the tunnel information in a packet's metadata or in its route, or null. */
__rust_helper struct ip_tunnel_info *rust_helper_skb_tunnel_info(const struct sk_buff *skb)
{
	return skb_tunnel_info(skb);
}

/* The kernel's own bindings lack dst_entry, so Rust does not know the offset of the information. */
__rust_helper struct ip_tunnel_info *
rust_helper_metadata_dst_tunnel_info(struct metadata_dst *metadata)
{
	return &metadata->u.tun_info;
}

/* Returns the option bytes after the tunnel information. */
__rust_helper void *rust_helper_ip_tunnel_info_opts(struct ip_tunnel_info *info)
{
	return ip_tunnel_info_opts(info);
}

/* True if the flags assign the option bytes to a kind of tunnel, such as Geneve. */
__rust_helper bool rust_helper_ip_tunnel_is_options_present(const unsigned long *flags)
{
	return ip_tunnel_is_options_present(flags);
}

/* True if the packet's dst is metadata and not a route. */
__rust_helper bool rust_helper_skb_has_metadata(const struct sk_buff *skb)
{
	return skb_metadata_dst(skb);
}

/*
 * Gives the packet a copy of its tunnel's metadata. Returns null if the packet has no metadata of
 * a tunnel, or without memory.
 */
__rust_helper struct ip_tunnel_info *rust_helper_skb_tunnel_info_unclone(struct sk_buff *skb)
{
	return skb_tunnel_info_unclone(skb);
}

/* Replaces the packet's route with metadata. The packet takes over the caller's reference. */
__rust_helper void rust_helper_skb_set_metadata(struct sk_buff *skb, struct metadata_dst *metadata)
{
	skb_dst_drop(skb);
	skb_dst_set(skb, &metadata->dst);
}
