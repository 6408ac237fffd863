// SPDX-License-Identifier: GPL-2.0

#include <linux/netdevice.h>
#include <net/ip6_tunnel.h>
#include <net/ip_tunnels.h>
#include <net/route.h>

/*
 * Returns the SKB_GSO_* types that a device segments inside tunnels. Other bits may be set above
 * them.
 */
static __always_inline int device_gso_types(const struct net_device *dev)
{
	return (dev->features & dev->hw_enc_features) >> NETIF_F_GSO_SHIFT;
}

__rust_helper int rust_helper_iptunnel_pull_offloads(struct sk_buff *skb)
{
	int err = iptunnel_pull_offloads(skb);

	/*
	 * iptunnel_pull_offloads() does not clear this flag. It has uncloned the packet, so the
	 * flags are private.
	 */
	if (!err && skb_is_gso(skb))
		skb_shinfo(skb)->gso_type &= ~SKB_GSO_TUNNEL_REMCSUM;
	return err;
}

/*
 * Returns a reference to the route that an ip_tunnel device's packet will take, or an
 * error, and fills in the source address. A device that has one destination and does not
 * inherit the DSCP caches its route.
 */
static struct rtable *ip_tunnel_route(const struct sk_buff *skb, struct flowi4 *fl4)
{
	struct ip_tunnel *tunnel = netdev_priv(skb->dev);
	struct rtable *rt = NULL;

	if (tunnel->parms.iph.daddr && !(tunnel->parms.iph.tos & 1))
		rt = dst_cache_get_ip4(&tunnel->dst_cache, &fl4->saddr);
	return rt ?: ip_route_output_key(ip_tunnel_get_link_net(skb->dev), fl4);
}

/* Returns the source address that routing will choose for an ip_tunnel device's packet, or 0. */
__rust_helper __be32 rust_helper_ip_tunnel_source(const struct sk_buff *skb,
						  const struct flowi4 *flow)
{
	struct flowi4 fl4 = *flow;
	struct rtable *rt = ip_tunnel_route(skb, &fl4);

	if (IS_ERR(rt))
		return 0;
	ip_rt_put(rt);
	return fl4.saddr;
}

/*
 * Returns device_gso_types() of the device that routing will choose for an ip_tunnel
 * device's packet, or a negative errno. With several next hops, takes the same next hop
 * for all inner flows.
 */
__rust_helper int rust_helper_ip_tunnel_gso_types(const struct sk_buff *skb,
						  const struct flowi4 *flow)
{
	struct flowi4 fl4 = *flow;
	struct rtable *rt;
	int types;

	fl4.flowi4_multipath_hash = 0;
	rt = ip_route_output_key(ip_tunnel_get_link_net(skb->dev), &fl4);
	if (IS_ERR(rt))
		return PTR_ERR(rt);
	types = device_gso_types(dst_dev(&rt->dst)) & S32_MAX;
	ip_rt_put(rt);
	return types;
}

/* Returns device_gso_types() of the device that an ip6_tunnel device's packet will leave by. */
__rust_helper int rust_helper_ip6_tunnel_gso_types(const struct sk_buff *skb)
{
	return device_gso_types(dst_dev(skb_dst(skb)));
}

/* Returns device_gso_types() of a route's device. */
__rust_helper int rust_helper_dst_gso_types(const struct dst_entry *dst)
{
	return device_gso_types(dst_dev(dst)) & S32_MAX;
}

__rust_helper void rust_helper_ip_tunnel_adj_headroom(struct net_device *dev, unsigned int headroom)
{
	ip_tunnel_adj_headroom(dev, headroom);
}

#if IS_ENABLED(CONFIG_IPV6)
__rust_helper void rust_helper_ip6tunnel_xmit(struct sk_buff *skb, struct net_device *dev)
{
	ip6tunnel_xmit(NULL, skb, dev, 0);
}
#else
__rust_helper void rust_helper_ip6tunnel_xmit(struct sk_buff *skb, struct net_device *dev)
{
	kfree_skb(skb);
}
#endif
