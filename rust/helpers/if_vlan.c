// SPDX-License-Identifier: GPL-2.0

#include <linux/if_vlan.h>

__rust_helper bool rust_helper_skb_vlan_tag_present(const struct sk_buff *skb)
{
	return skb_vlan_tag_present(skb);
}
