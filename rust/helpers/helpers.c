// SPDX-License-Identifier: GPL-2.0
/*
 * C wrappers of what rust/net cannot reach: inline functions, macros, bit fields
 * and RCU pointers; no policy. Sorted by header.
 */

#include <linux/if_vlan.h>
#include <linux/jiffies.h>
#include <linux/netdevice.h>
#include <linux/siphash.h>
#include <linux/skbuff.h>
#include <linux/unaligned.h>
#include <net/dropreason.h>
#include <net/genetlink.h>
#include <net/gro.h>
#include <net/ip_tunnels.h>
#include <net/netns/generic.h>
#include <net/protocol.h>
#include <net/route.h>
#include <net/sock.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>

#ifdef __BINDGEN__
/* bindgen ignores inline functions. */
#define __rust_helper
#elif defined(RFOU_INLINE_HELPERS)
/* Bitcode: rust/Makefile.inline_helpers. */
#define __rust_helper __always_inline
#else
#define __rust_helper __used
#endif

/* linux/jiffies.h */

/* Counts periods of half a second to a second. */
__rust_helper u64 rust_helper_coarse_time(void)
{
	return jiffies >> ilog2(HZ);
}

/* linux/siphash.h */

__rust_helper u64 rust_helper_siphash(const void *data, size_t len, const siphash_key_t *key)
{
	return siphash(data, len, key);
}

/* linux/skbuff.h */

__rust_helper bool rust_helper_pskb_may_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len);
}

__rust_helper unsigned int rust_helper_skb_headroom(const struct sk_buff *skb)
{
	return skb_headroom(skb);
}

__rust_helper bool rust_helper_skb_header_cloned(const struct sk_buff *skb)
{
	return skb_header_cloned(skb);
}

/*
 * Whether making headers of up to @len bytes linear moves the head. Those of a packet
 * that GRO has merged, or that was sent on this machine, are linear.
 */
__rust_helper bool rust_helper_skb_pull_moves_head(const struct sk_buff *skb, unsigned int len)
{
	/* IPv6 and UDP; what TCP has sent here is at least that, or has no options. */
	if (!skb_is_nonlinear(skb) || skb_headlen(skb) >= 48)
		return false;
	if (skb_is_gso(skb) && !(skb_shinfo(skb)->gso_type & SKB_GSO_DODGY))
		return false;
	return skb_cloned(skb) || skb_end_pointer(skb) - skb_tail_pointer(skb) < len;
}

__rust_helper void rust_helper_consume_skb(struct sk_buff *skb)
{
	consume_skb(skb);
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

__rust_helper int rust_helper_skb_network_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb);
}

__rust_helper void rust_helper_skb_set_network_header(struct sk_buff *skb, int offset)
{
	skb_set_network_header(skb, offset);
}

__rust_helper int rust_helper_skb_transport_offset(const struct sk_buff *skb)
{
	return skb_transport_offset(skb);
}

__rust_helper void rust_helper_skb_set_transport_header(struct sk_buff *skb, int offset)
{
	skb_set_transport_header(skb, offset);
}

__rust_helper void rust_helper_skb_set_inner_mac_header(struct sk_buff *skb, int offset)
{
	skb_set_inner_mac_header(skb, offset);
}

__rust_helper bool rust_helper_skb_is_gso(const struct sk_buff *skb)
{
	return skb_is_gso(skb);
}

/* True if iptunnel_handle_offloads() has nothing to do, as after a tunnel device has called it. */
__rust_helper bool rust_helper_skb_offloads_are_handled(const struct sk_buff *skb)
{
	return skb->encapsulation && skb->ip_summed == CHECKSUM_PARTIAL && !skb_is_gso(skb);
}

__rust_helper bool rust_helper_skb_cloned(const struct sk_buff *skb)
{
	return skb_cloned(skb);
}

__rust_helper int rust_helper_skb_gso_type(const struct sk_buff *skb)
{
	return skb_shinfo(skb)->gso_type;
}

__rust_helper void rust_helper_skb_add_gso_type(struct sk_buff *skb, int gso_type)
{
	skb_shinfo(skb)->gso_type |= gso_type;
}

__rust_helper bool rust_helper_skb_is_checksum_partial(const struct sk_buff *skb)
{
	return skb->ip_summed == CHECKSUM_PARTIAL;
}

/* Of all of the packet or of a part: what is taken off the packet matters to it. */
__rust_helper bool rust_helper_skb_has_checksum(const struct sk_buff *skb)
{
	BUILD_BUG_ON(CHECKSUM_PARTIAL < CHECKSUM_COMPLETE);
	return skb->ip_summed >= CHECKSUM_COMPLETE;
}

__rust_helper int rust_helper_skb_checksum_start_offset(const struct sk_buff *skb)
{
	return skb_checksum_start_offset(skb);
}

__rust_helper u16 rust_helper_skb_csum_offset(const struct sk_buff *skb)
{
	return skb->csum_offset;
}

/* Nothing to compute, so nothing inside to tell a device of either. */
__rust_helper void rust_helper_skb_clear_checksum(struct sk_buff *skb)
{
	skb->ip_summed = CHECKSUM_NONE;
	skb->encapsulation = 0;
}

__rust_helper void rust_helper_skb_forget_complete_checksum(struct sk_buff *skb)
{
	if (skb->ip_summed == CHECKSUM_COMPLETE)
		skb->ip_summed = CHECKSUM_NONE;
}

__rust_helper void rust_helper_skb_clear_encapsulation(struct sk_buff *skb)
{
	skb->encapsulation = 0;
}

__rust_helper void rust_helper_skb_set_partial_checksum(struct sk_buff *skb, unsigned int start,
							u16 offset)
{
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb->data + start - skb->head;
	skb->csum_offset = offset;
}

/* The sum from skb->data on, computed if the device did not. */
__rust_helper __wsum rust_helper_skb_complete_checksum(struct sk_buff *skb)
{
	if (skb->ip_summed != CHECKSUM_COMPLETE)
		__skb_checksum_complete(skb);
	return skb->csum;
}

__rust_helper void rust_helper_skb_set_csum(struct sk_buff *skb, __wsum csum)
{
	skb->csum = csum;
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

/* A sum without that of a header of a few words, or of any other length. */
static __always_inline __wsum csum_without(__wsum csum, const u8 *start, unsigned int len)
{
	u64 sum = (__force u32)wsum_negate(csum);

	if (len % sizeof(u32))
		return wsum_negate(csum_partial(start, len, wsum_negate(csum)));
#ifdef __clang__
	/* Two to five words, most often. */
#pragma nounroll
#endif
	for (; len; len -= sizeof(u32), start += sizeof(u32))
		sum += get_unaligned((const u32 *)start);
	sum = (u32)sum + (sum >> 32);
	return wsum_negate((__force __wsum)((u32)sum + (u32)(sum >> 32)));
}

/* As skb_postpull_rcsum(), for CHECKSUM_COMPLETE. */
__rust_helper void rust_helper_skb_sub_csum(struct sk_buff *skb, const void *start,
					    unsigned int len)
{
	skb->csum = csum_without(skb->csum, start, len);
}

__rust_helper int rust_helper_skb_unclone(struct sk_buff *skb, gfp_t pri)
{
	return skb_unclone(skb, pri);
}

__rust_helper int rust_helper_skb_header_unclone(struct sk_buff *skb, gfp_t pri)
{
	return skb_header_unclone(skb, pri);
}

__rust_helper void rust_helper_kfree_skb_reason(struct sk_buff *skb, enum skb_drop_reason reason)
{
	kfree_skb_reason(skb, reason);
}

__rust_helper bool rust_helper_skb_has_hash(const struct sk_buff *skb)
{
	return skb->l4_hash || skb->sw_hash;
}

__rust_helper void rust_helper___skb_set_sw_hash(struct sk_buff *skb, u32 hash, bool is_l4)
{
	__skb_set_sw_hash(skb, hash, is_l4);
}

__rust_helper __be16 rust_helper_skb_protocol(const struct sk_buff *skb)
{
	return skb->protocol;
}

#ifdef CONFIG_KUNIT
__rust_helper void rust_helper_skb_set_complete_checksum(struct sk_buff *skb, __wsum csum)
{
	skb->ip_summed = CHECKSUM_COMPLETE;
	skb->csum = csum;
}

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

/* linux/if_vlan.h */

__rust_helper bool rust_helper_skb_vlan_tag_present(const struct sk_buff *skb)
{
	return skb_vlan_tag_present(skb);
}

/* linux/netdevice.h */

__rust_helper struct net *rust_helper_dev_net(const struct net_device *dev)
{
	return dev_net(dev);
}

/* The SKB_GSO_* that a device segments inside tunnels, and other bits above them. */
static __always_inline int device_gso_types(const struct net_device *dev)
{
	return (dev->features & dev->hw_enc_features) >> NETIF_F_GSO_SHIFT;
}

/* net/flow_dissector.h, net/netns/bpf.h */

/* Whether a BPF program dissects this packet, one of the initial namespace's or of its own. */
__rust_helper bool rust_helper_skb_has_bpf_flow_dissector(const struct sk_buff *skb)
{
	const enum netns_bpf_attach_type type = NETNS_BPF_FLOW_DISSECTOR;

	return rcu_access_pointer(init_net.bpf.run_array[type]) ||
	       rcu_access_pointer(dev_net(skb->dev)->bpf.run_array[type]);
}

/* net/dropreason.h */

/* To be compared only. */
__rust_helper const struct drop_reason_list *
rust_helper_drop_reasons_of_subsys(enum skb_drop_reason_subsys subsys)
{
	return rcu_access_pointer(drop_reasons_by_subsys[subsys]);
}

/*
 * Writes an entry that is @old. A number's owner writes its entry without comparing, so it
 * wins whether it comes before or after.
 */
__rust_helper bool rust_helper_drop_reasons_cmpxchg(enum skb_drop_reason_subsys subsys,
						    const struct drop_reason_list *old,
						    const struct drop_reason_list *new)
{
	return unrcu_pointer(cmpxchg(&drop_reasons_by_subsys[subsys], RCU_INITIALIZER(old),
				     RCU_INITIALIZER(new))) == old;
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

/* net/gro.h */

__rust_helper unsigned int rust_helper_skb_gro_offset(const struct sk_buff *skb)
{
	return skb_gro_offset(skb);
}

__rust_helper bool rust_helper_skb_gro_may_pull(const struct sk_buff *skb, unsigned int hlen)
{
	return skb_gro_may_pull(skb, hlen);
}

__rust_helper void *rust_helper_skb_gro_header_fast(const struct sk_buff *skb, unsigned int offset)
{
	return skb_gro_header_fast(skb, offset);
}

/* May move the head, and takes from fragments: what GRO noted of the first bytes' place is void. */
__rust_helper void *rust_helper_skb_gro_header_slow(struct sk_buff *skb, unsigned int hlen,
						    unsigned int offset)
{
	NAPI_GRO_CB(skb)->frag0_len = 0;
	return skb_gro_header_slow(skb, hlen, offset);
}

__rust_helper void rust_helper_skb_gro_pull(struct sk_buff *skb, unsigned int len)
{
	skb_gro_pull(skb, len);
}

__rust_helper void rust_helper_skb_gro_postpull_rcsum(struct sk_buff *skb, const void *start,
						      unsigned int len)
{
	if (NAPI_GRO_CB(skb)->csum_valid)
		NAPI_GRO_CB(skb)->csum = csum_without(NAPI_GRO_CB(skb)->csum, start, len);
}

/* As memcmp(), for a header of a word or a few. */
static __always_inline bool gro_differ(const u8 *a, const u8 *b, unsigned int len)
{
	for (; len >= sizeof(u32); len -= sizeof(u32), a += sizeof(u32), b += sizeof(u32))
		if (get_unaligned((const u32 *)a) != get_unaligned((const u32 *)b))
			return true;
	for (; len; len--)
		if (*a++ != *b++)
			return true;
	return false;
}

__rust_helper void rust_helper_gro_compare_held(struct list_head *head, const void *start,
						unsigned int offset, unsigned int len)
{
	struct sk_buff *p;

	list_for_each_entry(p, head, list) {
		if (!NAPI_GRO_CB(p)->same_flow)
			continue;
		if (skb_headlen(p) < offset + len || gro_differ(p->data + offset, start, len))
			NAPI_GRO_CB(p)->same_flow = 0;
	}
}

__rust_helper struct sk_buff *rust_helper_call_gro_receive(gro_receive_t cb, struct list_head *head,
							   struct sk_buff *skb)
{
	return call_gro_receive(cb, head, skb);
}

__rust_helper void rust_helper_gro_set_flush(struct sk_buff *skb)
{
	NAPI_GRO_CB(skb)->flush = 1;
}

__rust_helper bool rust_helper_gro_in_tunnel(const struct sk_buff *skb)
{
	return NAPI_GRO_CB(skb)->is_fou;
}

/*
 * The inner packet is no second tunnel to GRO, as UDP counts as part of the outer IP's
 * or GRE's header. Segmentation on this machine may have left remcsum_offload set. The
 * core does not use pad, so a note of two bytes reaches completion, as long as is_fou
 * is set.
 */
__rust_helper void rust_helper_gro_enter_tunnel(struct sk_buff *skb, u8 protocol, u8 len)
{
	struct napi_gro_cb *cb = NAPI_GRO_CB(skb);
	u8 *note = (u8 *)&cb->pad;

	note[0] = protocol;
	note[1] = len;
	skb->remcsum_offload = 0;
	cb->encap_mark = 0;
	cb->is_fou = 1;
}

/* The note of gro_enter_tunnel(), which is taken: the protocol, or 0 if there is none. */
__rust_helper u8 rust_helper_gro_leave_tunnel(struct sk_buff *skb, u8 *len)
{
	struct napi_gro_cb *cb = NAPI_GRO_CB(skb);
	u8 *note = (u8 *)&cb->pad;
	u8 protocol = cb->is_fou ? note[0] : 0;

	*len = note[1];
	cb->pad = 0;
	return protocol;
}

__rust_helper bool rust_helper_gro_checksum_valid(const struct sk_buff *skb)
{
	return NAPI_GRO_CB(skb)->csum_valid;
}

__rust_helper __wsum rust_helper_gro_checksum(const struct sk_buff *skb)
{
	return NAPI_GRO_CB(skb)->csum;
}

__rust_helper void rust_helper_gro_set_checksum(struct sk_buff *skb, __wsum csum)
{
	NAPI_GRO_CB(skb)->csum = csum;
}

__rust_helper void rust_helper_gro_set_remcsum_start(struct sk_buff *skb, u16 start)
{
	NAPI_GRO_CB(skb)->gro_remcsum_start = start;
}

/* net/ip_tunnels.h */

__rust_helper int rust_helper_iptunnel_pull_offloads(struct sk_buff *skb)
{
	int err = iptunnel_pull_offloads(skb);

	/* It leaves that to others; private by now. */
	if (!err && skb_is_gso(skb))
		skb_shinfo(skb)->gso_type &= ~SKB_GSO_TUNNEL_REMCSUM;
	return err;
}

/*
 * The route that an ip_tunnel device's packet will take, to be put, or an error; the
 * source address is filled in. A device with one destination, which does not inherit the
 * DSCP, keeps its route.
 */
static struct rtable *ip_tunnel_route(const struct sk_buff *skb, struct flowi4 *fl4)
{
	struct ip_tunnel *tunnel = netdev_priv(skb->dev);
	struct rtable *rt = NULL;

	if (tunnel->parms.iph.daddr && !(tunnel->parms.iph.tos & 1))
		rt = dst_cache_get_ip4(&tunnel->dst_cache, &fl4->saddr);
	return rt ?: ip_route_output_key(ip_tunnel_get_link_net(skb->dev), fl4);
}

/* The source address that routing will choose for an ip_tunnel device's packet, or 0. */
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
 * device_gso_types() of the device that routing will choose for an ip_tunnel device's
 * packet, or a negative errno. With several next hops, chooses the same one for each
 * inner flow.
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

/* device_gso_types() of the device that routing has chosen for an ip6_tunnel device's packet. */
__rust_helper int rust_helper_ip6_tunnel_gso_types(const struct sk_buff *skb)
{
	return device_gso_types(dst_dev(skb_dst(skb)));
}

/* linux/module.h */

/* References to a module beside the one that loading holds; none while it is unloaded. */
__rust_helper bool rust_helper_module_is_used(struct module *module)
{
#ifdef CONFIG_MODULE_UNLOAD
	return module && module_refcount(module) > 1;
#else
	return false;
#endif
}

/* net/netns/generic.h */

__rust_helper void *rust_helper_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

/* net/protocol.h */

__rust_helper const struct net_offload *rust_helper_inet_offload(bool ipv6, u8 protocol)
{
	const struct net_offload __rcu **offloads = ipv6 ? inet6_offloads : inet_offloads;

	return rcu_dereference(offloads[protocol]);
}

__rust_helper int rust_helper_inet_handle_error(u8 protocol, struct sk_buff *skb, u32 info)
{
	const struct net_protocol *handlers = rcu_dereference(inet_protos[protocol]);

	if (!handlers || !handlers->err_handler || handlers->err_handler(skb, info))
		return -ENOENT;
	return 0;
}

__rust_helper int rust_helper_inet6_handle_error(u8 protocol, struct sk_buff *skb,
						 struct inet6_skb_parm *opt, u8 type, u8 code,
						 int offset, __be32 info)
{
	const struct inet6_protocol *handlers = rcu_dereference(inet6_protos[protocol]);

	if (!handlers || !handlers->err_handler ||
	    handlers->err_handler(skb, opt, type, code, offset, info))
		return -ENOENT;
	return 0;
}

/* net/sock.h */

__rust_helper struct net *rust_helper_sock_net(const struct sock *sk)
{
	return sock_net(sk);
}

__rust_helper void *rust_helper_rcu_dereference_sk_user_data(const struct sock *sk)
{
	return rcu_dereference_sk_user_data(sk);
}

__rust_helper udp_tunnel_gro_receive_t rust_helper_udp_sk_gro_receive(const struct sock *sk)
{
	return READ_ONCE(udp_sk(sk)->gro_receive);
}

/* A packet may hold the socket for longer than the hook exists, as one in a queue does. */
__rust_helper void rust_helper_udp_sk_clear_encap_rcv(struct sock *sk)
{
	WRITE_ONCE(udp_sk(sk)->encap_rcv, NULL);
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

/*
 * udp_set_csum() of a packet without GSO whose partial checksum starts at an even offset:
 * lco_csum(), inline.
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
