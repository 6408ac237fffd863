// SPDX-License-Identifier: GPL-2.0

#include <net/genetlink.h>

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

__rust_helper int rust_helper_genl_has_listeners(const struct genl_family *family, struct net *net,
						 unsigned int group)
{
	return genl_has_listeners(family, net, group);
}

__rust_helper int rust_helper_genlmsg_multicast_netns(const struct genl_family *family,
						      struct net *net, struct sk_buff *skb,
						      u32 portid, unsigned int group, gfp_t flags)
{
	return genlmsg_multicast_netns(family, net, skb, portid, group, flags);
}

__rust_helper int rust_helper_genlmsg_unicast(struct net *net, struct sk_buff *skb, u32 portid)
{
	return genlmsg_unicast(net, skb, portid);
}

__rust_helper int rust_helper_genl_set_err(const struct genl_family *family, struct net *net,
					   u32 portid, u32 group, int code)
{
	return genl_set_err(family, net, portid, group, code);
}

__rust_helper struct nlattr *rust_helper_nla_nest_start(struct sk_buff *skb, int attrtype)
{
	return nla_nest_start(skb, attrtype);
}

__rust_helper int rust_helper_nla_nest_end_safe(struct sk_buff *skb, struct nlattr *start)
{
	return nla_nest_end_safe(skb, start);
}

__rust_helper void rust_helper_nla_nest_cancel(struct sk_buff *skb, struct nlattr *start)
{
	nla_nest_cancel(skb, start);
}

__rust_helper struct sk_buff *rust_fallback_genlmsg_new(size_t payload, gfp_t flags)
{
	return genlmsg_new(payload, flags);
}

__rust_helper void rust_fallback_genlmsg_end(struct sk_buff *skb, void *hdr)
{
	genlmsg_end(skb, hdr);
}

__rust_helper void rust_fallback_genlmsg_cancel(struct sk_buff *skb, void *hdr)
{
	genlmsg_cancel(skb, hdr);
}

__rust_helper void rust_fallback_nlmsg_free(struct sk_buff *skb)
{
	nlmsg_free(skb);
}
