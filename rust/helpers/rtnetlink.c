// SPDX-License-Identifier: GPL-2.0

#include <net/netlink.h>
#include <net/rtnetlink.h>

__rust_helper struct net *rust_helper_rtnl_newlink_link_net(struct rtnl_newlink_params *params)
{
	return rtnl_newlink_link_net(params);
}

/*
 * Checks the attributes of a link's kind strictly: __rtnl_newlink() ignores attributes that the
 * kind does not know.
 */
__rust_helper int rust_helper_rtnl_validate_info_data(const struct nlattr *linkinfo, int maxtype,
						      const struct nla_policy *policy,
						      struct netlink_ext_ack *extack)
{
	const struct nlattr *data = nla_find_nested(linkinfo, IFLA_INFO_DATA);

	if (!data)
		return 0;
	return __nla_validate(nla_data(data), nla_len(data), maxtype, policy, NL_VALIDATE_STRICT,
			      extack);
}
