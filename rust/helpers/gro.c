// SPDX-License-Identifier: GPL-2.0

#include <linux/unaligned.h>
#include <net/gro.h>
#include <net/hotdata.h>

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

/* May move the head, and pulls from fragments, so frag0 becomes stale. */
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

static __always_inline u64 gro_word_differs(const u8 *a, const u8 *b, unsigned int at)
{
	return get_unaligned((const u64 *)(a + at)) ^ get_unaligned((const u64 *)(b + at));
}

/* True if two headers of 4 to 16 bytes differ. The words may overlap. */
static __always_inline bool gro_few_differ(const u8 *a, const u8 *b, unsigned int len)
{
	const unsigned int end = len - sizeof(u32);

	if (len >= sizeof(u64))
		return gro_word_differs(a, b, 0) || gro_word_differs(a, b, len - sizeof(u64));
	return get_unaligned((const u32 *)a) != get_unaligned((const u32 *)b) ||
	       get_unaligned((const u32 *)(a + end)) != get_unaligned((const u32 *)(b + end));
}

/* True if two headers differ. */
static __always_inline bool gro_differ(const u8 *a, const u8 *b, unsigned int len)
{
	unsigned int at = 0;

	if (len < sizeof(u32)) {
		for (; at < len; at++)
			if (a[at] != b[at])
				return true;
		return false;
	}
#ifdef __clang__
	/* A few rounds for a long cookie or a digest. Unrolled if the length is a constant. */
#pragma clang loop unroll(full)
#endif
	for (; at + 2 * sizeof(u64) < len; at += sizeof(u64))
		if (gro_word_differs(a, b, at))
			return true;
	return gro_few_differ(a + at, b + at, len - at);
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
 * Clears encap_mark because GRO must not take the inner packet for a second tunnel: UDP counts as
 * part of the outer IP or GRE header. Clears remcsum_offload because segmentation on this machine
 * may have set it. Leaves a note of two bytes for completion in pad, which the core does not use.
 * The note is valid while is_fou is set.
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

/*
 * Does what gro_enter_tunnel() does, for a packet whose payload GRO handles by EtherType. Leaves
 * encap_mark set: IP's handlers do not refuse a packet because of it, and then store the inner
 * header's offset apart from the outer header's.
 */
__rust_helper void rust_helper_gro_enter_device(struct sk_buff *skb, u8 kind, u8 len)
{
	struct napi_gro_cb *cb = NAPI_GRO_CB(skb);
	u8 *note = (u8 *)&cb->pad;

	note[0] = kind;
	note[1] = len;
	skb->remcsum_offload = 0;
	cb->is_fou = 1;
}

/*
 * Returns the receive handler of IPv6 or IPv4. Both are set during boot and never removed, so no
 * packet needs a search by gro_find_receive_by_type(). NULL if there is none.
 */
__rust_helper gro_receive_t rust_helper_gro_receive_of_ip(bool ipv6)
{
	struct packet_offload *offload =
		ipv6 ? &net_hotdata.ipv6_packet_offload : &net_hotdata.ip_packet_offload;

	return offload->callbacks.gro_receive;
}

/*
 * Takes the note of gro_enter_tunnel() or gro_enter_device(). Returns its first byte, the protocol
 * or the kind, or 0 if there is no note.
 */
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
