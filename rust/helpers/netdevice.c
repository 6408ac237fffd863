// SPDX-License-Identifier: GPL-2.0

#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/netdevice.h>
#include <linux/string.h>
#include <linux/version.h>
#include <net/ip_tunnels.h>

__rust_helper struct net *rust_helper_dev_net(const struct net_device *dev)
{
	return dev_net(dev);
}

__rust_helper void *rust_helper_netdev_priv(const struct net_device *dev)
{
	return netdev_priv(dev);
}

__rust_helper bool rust_helper_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}

__rust_helper void rust_helper_dev_hold(struct net_device *dev)
{
	dev_hold(dev);
}

__rust_helper void rust_helper_dev_put(struct net_device *dev)
{
	dev_put(dev);
}

__rust_helper int rust_helper_netdev_ifindex(const struct net_device *dev)
{
	return READ_ONCE(dev->ifindex);
}

__rust_helper unsigned int rust_helper_netdev_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->mtu);
}

__rust_helper void rust_helper_netdev_set_mtu(struct net_device *dev, unsigned int mtu)
{
	WRITE_ONCE(dev->mtu, mtu);
}

__rust_helper void rust_helper_netdev_set_mtu_range(struct net_device *dev, unsigned int min,
						    unsigned int max)
{
	WRITE_ONCE(dev->min_mtu, min);
	WRITE_ONCE(dev->max_mtu, max);
}

__rust_helper unsigned int rust_helper_netdev_max_mtu(const struct net_device *dev)
{
	return READ_ONCE(dev->max_mtu);
}

/* Returns the headroom that the device's packets need, rounded as the stack does. */
__rust_helper unsigned int rust_helper_netdev_headroom(const struct net_device *dev)
{
	return LL_RESERVED_SPACE(dev);
}

__rust_helper void rust_helper_netdev_set_needed_headroom(struct net_device *dev, u16 headroom)
{
	WRITE_ONCE(dev->needed_headroom, headroom);
}

__rust_helper void rust_helper_netdev_set_ops(struct net_device *dev,
					      const struct net_device_ops *ops,
					      const struct ethtool_ops *ethtool_ops)
{
	dev->netdev_ops = ops;
	dev->ethtool_ops = ethtool_ops;
}

__rust_helper void rust_helper_netdev_set_devtype(struct net_device *dev,
						  const struct device_type *type)
{
	SET_NETDEV_DEVTYPE(dev, type);
}

__rust_helper void rust_helper_netdev_set_type(struct net_device *dev, unsigned short type,
					       unsigned int flags)
{
	dev->type = type;
	dev->flags = flags;
}

/* For a packet socket that names no protocol, the stack reads the protocol from the IP header. */
__rust_helper void rust_helper_netdev_set_ip_headers(struct net_device *dev)
{
	dev->header_ops = &ip_tunnel_header_ops;
}

/*
 * Announces scattered packets, checksums and segmentation. Software does later what hardware
 * cannot.
 */
__rust_helper void rust_helper_netdev_set_software_features(struct net_device *dev)
{
	const netdev_features_t features = NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM |
					   NETIF_F_RXCSUM | NETIF_F_GSO_SOFTWARE;

	dev->features |= features;
	dev->hw_features |= features;
}

/*
 * Allows GSO packets of 64 KiB or more (BIG TCP), if the user raises the device's limits. Before
 * Linux 7.3, UDP does not receive such packets.
 */
__rust_helper void rust_helper_netdev_allow_big_tcp(struct net_device *dev)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
	netif_set_tso_max_size(dev, GSO_MAX_SIZE);
#endif
}

/* The core frees the device when it is unregistered and no reference is left. */
__rust_helper void rust_helper_netdev_set_freed_by_core(struct net_device *dev)
{
	dev->needs_free_netdev = true;
}

/* The core counts in struct pcpu_dstats. */
__rust_helper void rust_helper_netdev_set_dstats(struct net_device *dev)
{
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_DSTATS;
}

/* Gives the device no queue, and no lock on transmit, and lets packets keep their route. */
__rust_helper void rust_helper_netdev_set_virtual(struct net_device *dev)
{
	dev->priv_flags |= IFF_NO_QUEUE;
	dev->lltx = true;
	netif_keep_dst(dev);
}

__rust_helper struct rtnl_link_ops *rust_helper_netdev_rtnl_link_ops(const struct net_device *dev)
{
	return (struct rtnl_link_ops *)dev->rtnl_link_ops;
}

__rust_helper void rust_helper_dev_dstats_tx_dropped(struct net_device *dev)
{
	dev_dstats_tx_dropped(dev);
}

__rust_helper void rust_helper_dev_inc_tx_errors(struct net_device *dev)
{
	DEV_STATS_INC(dev, tx_errors);
}

__rust_helper void rust_helper_dev_inc_tx_carrier_errors(struct net_device *dev)
{
	DEV_STATS_INC(dev, tx_carrier_errors);
}

__rust_helper void rust_helper_dev_inc_collisions(struct net_device *dev)
{
	DEV_STATS_INC(dev, collisions);
}

__rust_helper void rust_helper_ethtool_set_driver(struct ethtool_drvinfo *info, const char *name)
{
	strscpy(info->driver, name);
}

/*
 * Returns the device with the lowest index that is at least @ifindex, or null. The caller holds
 * RTNL.
 */
__rust_helper struct net_device *rust_helper_netdev_from_index(struct net *net,
							       unsigned long ifindex)
{
	return xa_find(&net->dev_by_index, &ifindex, INT_MAX, XA_PRESENT);
}

/* The caller holds RTNL, under which names change. @to has IFNAMSIZ bytes. */
__rust_helper void rust_helper_netdev_name_to(const struct net_device *dev, char *to)
{
	strscpy(to, dev->name, IFNAMSIZ);
}

/*
 * Turns a new device into an Ethernet device. Keeps the address and the length of the queue that
 * the user has given.
 */
__rust_helper int rust_helper_netdev_make_ethernet(struct net_device *dev,
						   const struct net_device_ops *ops)
{
	unsigned int tx_queue_len = dev->tx_queue_len;

	ether_setup(dev);
	dev->tx_queue_len = tx_queue_len;
	dev->netdev_ops = ops;
	/* The device writes to the packets that it sends. Its address may change while it is up. */
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	if (dev->addr_assign_type != NET_ADDR_SET)
		eth_hw_addr_random(dev);
	return is_valid_ether_addr(dev->dev_addr) ? 0 : -EADDRNOTAVAIL;
}

__rust_helper bool rust_helper_netif_is_any_bridge_port(const struct net_device *dev)
{
	return netif_is_any_bridge_port(dev);
}

/* Gives @dev a packet that begins with an Ethernet header. Softirqs are off. */
__rust_helper void rust_helper_skb_receive_frame(struct sk_buff *skb, struct net_device *dev)
{
	skb->protocol = eth_type_trans(skb, dev);
	__netif_rx(skb);
}

__rust_helper unsigned short rust_helper_netdev_type(const struct net_device *dev)
{
	return dev->type;
}
