// SPDX-License-Identifier: GPL-2.0

#include <linux/unaligned.h>
#include <net/gro.h>

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

static __always_inline u64 gro_word_differs(const u8 *a, const u8 *b)
{
	return get_unaligned((const u64 *)a) ^ get_unaligned((const u64 *)b);
}

/* True if two headers of a word or a few differ. */
static __always_inline bool gro_differ(const u8 *a, const u8 *b, unsigned int len)
{
	/* A digest, or a long cookie. */
	for (; unlikely(len >= 32); len -= 32, a += 32, b += 32)
		if (gro_word_differs(a, b) | gro_word_differs(a + 8, b + 8) |
		    gro_word_differs(a + 16, b + 16) | gro_word_differs(a + 24, b + 24))
			return true;
	for (; len >= sizeof(u32); len -= sizeof(u32), a += sizeof(u32), b += sizeof(u32))
		if (get_unaligned((const u32 *)a) != get_unaligned((const u32 *)b))
			return true;
	while (len) {
		/* As after EtherIP. */
		if (len >= sizeof(u16)) {
			if (get_unaligned((const u16 *)a) != get_unaligned((const u16 *)b))
				return true;
			len -= sizeof(u16);
			a += sizeof(u16);
			b += sizeof(u16);
		} else {
			if (*a++ != *b++)
				return true;
			len--;
		}
	}
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
 * Clears encap_mark because the inner packet is no second tunnel to GRO: UDP counts as
 * part of the outer IP or GRE header. Clears remcsum_offload because segmentation on
 * this machine may have set it. Leaves a note of two bytes for completion in pad, which
 * the core does not use. The note is valid while is_fou is set.
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
 * Does what gro_enter_tunnel() does for a packet whose rest GRO knows by EtherType. Leaves
 * encap_mark set: there is no IP header before the rest that GRO would take for the outer
 * one, and IP's handlers note the inner header's offset by encap_mark.
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

/* Takes the note of gro_enter_tunnel(). Returns its protocol, or 0 if there is no note. */
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
