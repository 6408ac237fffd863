// SPDX-License-Identifier: GPL-2.0

#include <net/inet_ecn.h>

/* Does what IP_ECN_decapsulate() does, for an outer header of either version. */
__rust_helper int rust_helper_skb_ecn_decapsulate(struct sk_buff *skb, u8 outer)
{
	u8 inner = skb->protocol == htons(ETH_P_IP) ? ip_hdr(skb)->tos
						    : ipv6_get_dsfield(ipv6_hdr(skb));

	return INET_ECN_decapsulate(skb, outer, inner);
}
