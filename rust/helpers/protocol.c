// SPDX-License-Identifier: GPL-2.0

#include <net/protocol.h>

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
