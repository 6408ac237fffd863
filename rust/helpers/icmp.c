// SPDX-License-Identifier: GPL-2.0

#include <linux/icmpv6.h>
#include <net/icmp.h>

/*
 * The helpers have names of their own, because it depends on the kernel's configuration whether
 * icmp_ndo_send() and icmpv6_ndo_send() are inline.
 */

__rust_helper void rust_helper_icmp_ndo_send_frag_needed(struct sk_buff *skb, u32 mtu)
{
	icmp_ndo_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(mtu));
}

__rust_helper void rust_helper_icmpv6_ndo_send_too_big(struct sk_buff *skb, u32 mtu)
{
	icmpv6_ndo_send(skb, ICMPV6_PKT_TOOBIG, 0, mtu);
}
