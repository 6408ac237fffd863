// SPDX-License-Identifier: GPL-2.0

#include <linux/netdevice.h>
#include <net/dst.h>
#include <net/ip6_route.h>
#include <net/route.h>

__rust_helper struct net_device *rust_helper_dst_dev(const struct dst_entry *dst)
{
	return dst_dev(dst);
}

__rust_helper u32 rust_helper_dst_mtu(const struct dst_entry *dst)
{
	return dst_mtu(dst);
}

/* Returns the MTU that a route was configured with, or 0. */
__rust_helper u32 rust_helper_dst_configured_mtu(const struct dst_entry *dst)
{
	return dst_metric_raw(dst, RTAX_MTU);
}

/* Returns the bytes that a packet needs before its IP header. */
__rust_helper unsigned int rust_helper_dst_headroom(const struct dst_entry *dst)
{
	return LL_RESERVED_SPACE(dst_dev(dst)) + dst->header_len;
}

__rust_helper int rust_helper_ip4_dst_hoplimit(const struct dst_entry *dst)
{
	return ip4_dst_hoplimit(dst);
}

__rust_helper struct dst_entry *rust_helper_rtable_dst(struct rtable *rt)
{
	return &rt->dst;
}

__rust_helper struct rtable *rust_helper_dst_rtable(struct dst_entry *dst)
{
	return dst_rtable(dst);
}
