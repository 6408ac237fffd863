// SPDX-License-Identifier: GPL-2.0

#include <linux/netfilter.h>
#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/inet_frag.h>
#include <net/sock.h>

__rust_helper void rust_helper_inet_frag_lock(struct inet_frag_queue *q)
{
	spin_lock_bh(&q->lock);
}

__rust_helper void rust_helper_inet_frag_unlock(struct inet_frag_queue *q)
{
	spin_unlock_bh(&q->lock);
}

__rust_helper void rust_helper_inet_frag_putn(struct inet_frag_queue *q, int refs)
{
	inet_frag_putn(q, refs);
}

__rust_helper void rust_helper_add_frag_mem_limit(struct fqdir *fqdir, long val)
{
	add_frag_mem_limit(fqdir, val);
}

__rust_helper long rust_helper_frag_mem_limit(const struct fqdir *fqdir)
{
	return frag_mem_limit(fqdir);
}

/* The limit is a setting of the namespace, which an administrator may change at any time. */
__rust_helper long rust_helper_fqdir_high_thresh(const struct fqdir *fqdir)
{
	return READ_ONCE(fqdir->high_thresh);
}

/*
 * Gives up a received packet's socket, extensions and connection, but not its route, so that the
 * packet can be kept for any time.
 */
__rust_helper void rust_helper_skb_forget_origin(struct sk_buff *skb)
{
	skb_orphan(skb);
	skb_ext_reset(skb);
	nf_reset_ct(skb);
}

__rust_helper unsigned long rust_helper_skb_dstref_steal(struct sk_buff *skb)
{
	return skb_dstref_steal(skb);
}

__rust_helper void rust_helper_skb_dstref_restore(struct sk_buff *skb, unsigned long refdst)
{
	skb_dstref_restore(skb, refdst);
}

__rust_helper void rust_helper_refdst_drop(unsigned long refdst)
{
	refdst_drop(refdst);
}

__rust_helper void rust_helper_skb_set_dev(struct sk_buff *skb, struct net_device *dev)
{
	skb->dev = dev;
}

/* After reassembly the pieces belong to the packet, and not to the queue. */
__rust_helper void rust_helper_inet_frag_forget_pieces(struct inet_frag_queue *q)
{
	q->rb_fragments = RB_ROOT;
	q->fragments_tail = NULL;
	q->last_run_head = NULL;
}

/*
 * Allocates a packet of @headroom bytes of headroom and @len bytes of data, which the caller must
 * write. Copies the fields that decide the packet's way from @skb. Charges the packet to the
 * socket that @skb is charged to, if any.
 */
__rust_helper struct sk_buff *rust_helper_skb_alloc_piece(const struct sk_buff *skb,
							  unsigned int headroom, unsigned int len)
{
	struct sk_buff *piece = alloc_skb(headroom + len, GFP_ATOMIC);

	if (!piece)
		return NULL;
	skb_reserve(piece, headroom);
	skb_put(piece, len);
	piece->dev = skb->dev;
	piece->protocol = skb->protocol;
	piece->priority = skb->priority;
	piece->mark = skb->mark;
	skb_copy_hash(piece, skb);
	skb_copy_queue_mapping(piece, skb);
	skb_copy_secmark(piece, skb);
	if (is_skb_wmem(skb))
		skb_set_owner_w(piece, skb->sk);
	return piece;
}
