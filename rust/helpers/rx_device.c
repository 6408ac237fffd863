// SPDX-License-Identifier: GPL-2.0

#include <linux/netdevice.h>

__rust_helper void rust_helper_dev_dstats_rx_add(struct net_device *dev, unsigned int len)
{
	dev_dstats_rx_add(dev, len);
}

__rust_helper void rust_helper_dev_inc_rx_length_errors(struct net_device *dev)
{
	DEV_STATS_INC(dev, rx_length_errors);
}

__rust_helper void rust_helper_dev_inc_rx_frame_errors(struct net_device *dev)
{
	DEV_STATS_INC(dev, rx_frame_errors);
}

__rust_helper void rust_helper_dev_inc_rx_crc_errors(struct net_device *dev)
{
	DEV_STATS_INC(dev, rx_crc_errors);
}

__rust_helper void rust_helper_dev_inc_rx_errors(struct net_device *dev)
{
	DEV_STATS_INC(dev, rx_errors);
}
