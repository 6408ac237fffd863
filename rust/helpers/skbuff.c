// SPDX-License-Identifier: GPL-2.0

#include <linux/etherdevice.h>
#include <linux/skbuff.h>

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
 * True if fewer than @linear bytes are linear, and pulling headers of up to @len bytes moves the
 * head. The headers of a packet that GRO has merged, or that this machine has sent, are linear.
 */
__rust_helper bool rust_helper_skb_pull_moves_head(const struct sk_buff *skb, unsigned int linear,
						   unsigned int len)
{
	if (!skb_is_nonlinear(skb) || skb_headlen(skb) >= linear)
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

__rust_helper void rust_helper_skb_reset_network_header(struct sk_buff *skb)
{
	skb_reset_network_header(skb);
}

__rust_helper void rust_helper_skb_reset_mac_header(struct sk_buff *skb)
{
	skb_reset_mac_header(skb);
}

__rust_helper bool rust_helper_skb_encapsulation(const struct sk_buff *skb)
{
	return skb->encapsulation;
}

__rust_helper void rust_helper_skb_set_inner_protocol(struct sk_buff *skb, __be16 protocol)
{
	skb_set_inner_protocol(skb, protocol);
}

__rust_helper u32 rust_helper_skb_mark(const struct sk_buff *skb)
{
	return skb->mark;
}

__rust_helper void rust_helper_skb_dst_set(struct sk_buff *skb, struct dst_entry *dst)
{
	skb_dst_set(skb, dst);
}

__rust_helper bool rust_helper_skb_is_gso(const struct sk_buff *skb)
{
	return skb_is_gso(skb);
}

/* Returns 0 if the sender did not count the segments. */
__rust_helper u16 rust_helper_skb_gso_segs(const struct sk_buff *skb)
{
	return skb_shinfo(skb)->gso_segs;
}

/* True if iptunnel_handle_offloads() has nothing to do, such as after a tunnel device's call. */
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

/* True for CHECKSUM_COMPLETE and CHECKSUM_PARTIAL, which pulling bytes affects. */
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

/* Without a checksum to compute, a device needs no inner headers. */
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

/* Copies the fragments if others may write to them, as after sendfile(). */
__rust_helper int rust_helper_skb_linearize_shared(struct sk_buff *skb)
{
	return skb_has_shared_frag(skb) ? __skb_linearize(skb) : 0;
}

/* Takes the first packet out of a list, and returns the rest. */
__rust_helper struct sk_buff *rust_helper_skb_unlink_first(struct sk_buff *first)
{
	struct sk_buff *next = first->next;

	skb_mark_not_on_list(first);
	return next;
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

/* Returns the sum from skb->data on, and computes it if the device did not. */
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

/* Does what skb_postpull_rcsum() does for CHECKSUM_COMPLETE. */
__rust_helper void rust_helper_skb_sub_csum(struct sk_buff *skb, const void *start,
					    unsigned int len)
{
	skb->csum = csum_without(skb->csum, start, len);
}

/* Does what skb_sub_csum() does for 52 bytes, without a loop. */
__rust_helper void rust_helper_skb_sub_csum_52(struct sk_buff *skb, const void *start)
{
	skb->csum = csum_without_52(skb->csum, start);
}

/* Does what skb_sub_csum() does for 56 bytes, without a loop. */
__rust_helper void rust_helper_skb_sub_csum_56(struct sk_buff *skb, const void *start)
{
	skb->csum = csum_without_56(skb->csum, start);
}

/* Does what skb_sub_csum() does for a UDP header and the bytes after it, whose sum is @rest. */
__rust_helper void rust_helper_skb_sub_known_csum(struct sk_buff *skb, const void *udp, __wsum rest)
{
	skb->csum = csum_without_udp(skb->csum, udp, rest);
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

__rust_helper int rust_helper_skb_iif(const struct sk_buff *skb)
{
	return skb->skb_iif;
}

/* Returns the packet's device, or null: the device that received it or will send it. */
__rust_helper struct net_device *rust_helper_skb_dev(const struct sk_buff *skb)
{
	return skb->dev;
}

__rust_helper void rust_helper_skb_set_protocol(struct sk_buff *skb, __be16 protocol)
{
	skb->protocol = protocol;
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

#endif

__rust_helper struct sk_buff *rust_helper_alloc_skb(unsigned int size, gfp_t priority)
{
	return alloc_skb(size, priority);
}

__rust_helper void rust_helper_skb_reserve(struct sk_buff *skb, int len)
{
	skb_reserve(skb, len);
}

/*
 * Turns a decapsulated packet into one that @dev received. Does what __iptunnel_pull_header() does
 * after the pull, and then what drivers of tunnel devices do.
 */
__rust_helper void rust_helper_skb_enter_device(struct sk_buff *skb, struct net_device *dev,
						__be16 protocol)
{
	skb->protocol = protocol;
	skb_clear_hash_if_not_l4(skb);
	__vlan_hwaccel_clear_tag(skb);
	skb_set_queue_mapping(skb, 0);
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	skb_scrub_packet(skb, !net_eq(dev_net(skb->dev), dev_net(dev)));
	skb->dev = dev;
}

/* Does what skb_postpull_rcsum() does. Fast for a header of a few words. */
static __always_inline void skb_postpull_header_rcsum(struct sk_buff *skb, const void *start,
						      unsigned int len)
{
	if (skb->ip_summed == CHECKSUM_COMPLETE)
		skb->csum = csum_without(skb->csum, start, len);
	else
		skb_postpull_rcsum(skb, start, len);
}

/*
 * Does what skb_enter_device() does for a packet that begins with an Ethernet header, which is
 * linear. Returns false if the frame's source address is that of @dev: @dev has sent the frame
 * itself.
 */
__rust_helper bool rust_helper_skb_enter_ethernet_device(struct sk_buff *skb,
							 struct net_device *dev)
{
	skb_clear_hash_if_not_l4(skb);
	__vlan_hwaccel_clear_tag(skb);
	skb_set_queue_mapping(skb, 0);
	skb_scrub_packet(skb, !net_eq(dev_net(skb->dev), dev_net(dev)));
	skb->protocol = eth_type_trans(skb, dev);
	skb_postpull_header_rcsum(skb, eth_hdr(skb), ETH_HLEN);
	skb_reset_network_header(skb);
	return !ether_addr_equal(eth_hdr(skb)->h_source, dev->dev_addr);
}
