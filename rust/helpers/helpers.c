// SPDX-License-Identifier: GPL-2.0
/*
 * C wrappers of inline functions and macros that rust/net calls: one call each,
 * no logic. Sorted by header, then by name.
 */

#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/genetlink.h>
#include <net/ip_tunnels.h>
#include <net/netns/generic.h>
#include <net/sock.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>

#ifdef __BINDGEN__
/* bindgen ignores inline functions. */
#define __rust_helper
#else
#define __rust_helper __used
#endif

/* linux/skbuff.h */

__rust_helper bool rust_helper_pskb_may_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len);
}

__rust_helper int rust_helper_skb_cow_head(struct sk_buff *skb, unsigned int headroom)
{
	return skb_cow_head(skb, headroom);
}

__rust_helper unsigned char *rust_helper_skb_network_header(const struct sk_buff *skb)
{
	return skb_network_header(skb);
}

__rust_helper void rust_helper_skb_reset_transport_header(struct sk_buff *skb)
{
	skb_reset_transport_header(skb);
}

__rust_helper unsigned char *rust_helper_skb_tail_pointer(const struct sk_buff *skb)
{
	return skb_tail_pointer(skb);
}

__rust_helper void rust_helper_skb_postpull_rcsum(struct sk_buff *skb, const void *start,
						  unsigned int len)
{
	skb_postpull_rcsum(skb, start, len);
}

__rust_helper int rust_helper_skb_unclone(struct sk_buff *skb, gfp_t pri)
{
	return skb_unclone(skb, pri);
}

__rust_helper void rust_helper_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason)
{
	kfree_skb_reason(skb, reason);
}

#ifdef CONFIG_KUNIT
__rust_helper struct sk_buff *rust_helper_alloc_skb(unsigned int size, gfp_t priority)
{
	return alloc_skb(size, priority);
}

__rust_helper void rust_helper_skb_reserve(struct sk_buff *skb, int len)
{
	skb_reserve(skb, len);
}

__rust_helper void rust_helper_skb_reset_network_header(struct sk_buff *skb)
{
	skb_reset_network_header(skb);
}
#endif

/* linux/netdevice.h */

__rust_helper struct net *rust_helper_dev_net(const struct net_device *dev)
{
	return dev_net(dev);
}

/* net/genetlink.h, net/netlink.h */

__rust_helper struct net *rust_helper_genl_info_net(const struct genl_info *info)
{
	return genl_info_net(info);
}

__rust_helper const struct genl_info *rust_helper_genl_info_dump(struct netlink_callback *cb)
{
	return genl_info_dump(cb);
}

__rust_helper int rust_helper_genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

/* net/ip_tunnels.h */

__rust_helper int rust_helper_iptunnel_pull_offloads(struct sk_buff *skb)
{
	return iptunnel_pull_offloads(skb);
}

/* net/netns/generic.h */

__rust_helper void *rust_helper_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

/* net/sock.h */

__rust_helper void *rust_helper_rcu_dereference_sk_user_data(const struct sock *sk)
{
	return rcu_dereference_sk_user_data(sk);
}

__rust_helper __be32 rust_helper_sk_daddr(const struct sock *sk)
{
	return sk->sk_daddr;
}

__rust_helper __be32 rust_helper_sk_rcv_saddr(const struct sock *sk)
{
	return sk->sk_rcv_saddr;
}

#if IS_ENABLED(CONFIG_IPV6)
__rust_helper const struct in6_addr *rust_helper_sk_v6_daddr(const struct sock *sk)
{
	return &sk->sk_v6_daddr;
}

__rust_helper const struct in6_addr *rust_helper_sk_v6_rcv_saddr(const struct sock *sk)
{
	return &sk->sk_v6_rcv_saddr;
}
#endif

__rust_helper __be16 rust_helper_sk_dport(const struct sock *sk)
{
	return sk->sk_dport;
}

__rust_helper unsigned short rust_helper_sk_family(const struct sock *sk)
{
	return sk->sk_family;
}

__rust_helper void rust_helper_sk_set_allocation(struct sock *sk, gfp_t allocation)
{
	sk->sk_allocation = allocation;
}

__rust_helper int rust_helper_sk_bound_dev_if(const struct sock *sk)
{
	return sk->sk_bound_dev_if;
}

/* net/udp.h, net/udp_tunnel.h */

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
