// SPDX-License-Identifier: GPL-2.0

#include <net/net_namespace.h>
#include <net/netns/generic.h>

__rust_helper unsigned int rust_helper_net_inum(const struct net *net)
{
	return net->ns.inum;
}

__rust_helper u64 rust_helper_net_cookie(const struct net *net)
{
	return net->net_cookie;
}

__rust_helper void *rust_helper_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}
