// SPDX-License-Identifier: GPL-2.0

#include <net/l3mdev.h>

__rust_helper int rust_helper_l3mdev_master_upper_ifindex_by_index(struct net *net, int ifindex)
{
	return l3mdev_master_upper_ifindex_by_index(net, ifindex);
}
