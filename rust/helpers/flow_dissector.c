// SPDX-License-Identifier: GPL-2.0

#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <net/flow_dissector.h>
#include <net/net_namespace.h>

/*
 * True if a BPF program dissects the packet: one of the initial network namespace, or one of the
 * network namespace of the packet's device.
 */
__rust_helper bool rust_helper_skb_has_bpf_flow_dissector(const struct sk_buff *skb)
{
	const enum netns_bpf_attach_type type = NETNS_BPF_FLOW_DISSECTOR;

	return rcu_access_pointer(init_net.bpf.run_array[type]) ||
	       rcu_access_pointer(dev_net(skb->dev)->bpf.run_array[type]);
}
