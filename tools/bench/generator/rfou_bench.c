// SPDX-License-Identifier: GPL-2.0
/*
 * The generator of `make bench`: a network device that makes packets and swallows packets. It takes
 * few instructions of its own, and the same number for every measured module.
 *
 * In debugfs, folder rfou_bench:
 *
 *   frames  written: packets, each a struct record and its bytes
 *   run     written: "receive N", "gro N" or "transmit N DEVICE": send N of them, round and round
 *           read: the result, "NANOSECONDS TRANSMITTED SEGMENTS BYTES"; the last three count
 *           what the device swallowed since the start of the run
 *   ports   read: the number of swallowed packets with each outer UDP source port
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/uaccess.h>
#include <linux/virtio_net.h>

/* Precedes each packet's bytes, little-endian. */
struct record {
	__le32 len;
	/* Number of linear bytes, as a driver that splits headers would make them. */
	__le16 linear;
	/* As virtio has it; VIRTIO_NET_HDR_F_DATA_VALID: CHECKSUM_UNNECESSARY. */
	struct virtio_net_hdr offload;
} __packed;

/* CHECKSUM_COMPLETE, which virtio does not know. */
#define OFFLOAD_COMPLETE 0x80

#define MOST_BYTES (64U << 20)
/*
 * So few bytes that the heads of all packets are of one size class of the kernel's allocator,
 * whatever their headers; enough for the headers of every device.
 */
#define HEADROOM 176
/* Number of packets until softirqs have a chance. */
#define BATCH 64
#define PORTS 65536

static DEFINE_MUTEX(lock);

static struct {
	struct net_device *dev;
	struct napi_struct napi;
	struct dentry *folder;

	u8 *bytes;
	size_t len;

	struct sk_buff **packets;
	unsigned int number;
	unsigned int next;
	/* Packets that the NAPI has yet to make. */
	unsigned int left;

	u64 ns;
	u64 swallowed;
	u64 segments;
	u64 swallowed_bytes;
	u32 *ports;
} bench;

/* Marks for a profiler: a nop of eight bytes whose displacement says "rfou" or "RFOU". */
#define profile_start() asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 0x72, 0x66, 0x6f, 0x75")
#define profile_stop() asm volatile(".byte 0x0f, 0x1f, 0x84, 0x00, 0x52, 0x46, 0x4f, 0x55")

static netdev_tx_t swallow(struct sk_buff *skb, struct net_device *dev)
{
	unsigned int udp = skb_network_offset(skb);
	const u8 *ip = skb_network_header(skb);
	bool has_udp = false;

	if (skb->protocol == htons(ETH_P_IP)) {
		has_udp = ip[9] == IPPROTO_UDP;
		udp += (ip[0] & 15) * 4;
	} else if (skb->protocol == htons(ETH_P_IPV6)) {
		has_udp = ip[6] == IPPROTO_UDP;
		udp += 40;
	}
	if (has_udp && udp + 2 <= skb_headlen(skb))
		bench.ports[get_unaligned_be16(skb->data + udp)]++;
	bench.swallowed++;
	bench.segments += skb_is_gso(skb) ? skb_shinfo(skb)->gso_segs : 1;
	bench.swallowed_bytes += skb->len;
	consume_skb(skb);
	return NETDEV_TX_OK;
}

static int open(struct net_device *dev)
{
	napi_enable(&bench.napi);
	return 0;
}

static int stop(struct net_device *dev)
{
	napi_disable(&bench.napi);
	return 0;
}

static const struct net_device_ops device_ops = {
	.ndo_open = open,
	.ndo_stop = stop,
	.ndo_start_xmit = swallow,
	.ndo_set_mac_address = eth_mac_addr,
};

static struct sk_buff *next_packet(void)
{
	struct sk_buff *master = bench.packets[bench.next];

	if (++bench.next == bench.number)
		bench.next = 0;
	return pskb_copy(master, GFP_ATOMIC);
}

static int poll(struct napi_struct *napi, int budget)
{
	int done = 0;

	while (done < budget && bench.left) {
		struct sk_buff *skb = next_packet();

		if (!skb)
			break;
		napi_gro_receive(napi, skb);
		bench.left--;
		done++;
	}
	if (done < budget)
		napi_complete_done(napi, done);
	return done;
}

static struct sk_buff *packet(const struct record *record, const u8 *bytes, struct net_device *dev)
{
	unsigned int len = le32_to_cpu(record->len);
	unsigned int linear = min_t(unsigned int, le16_to_cpu(record->linear), len);
	const struct virtio_net_hdr *offload = &record->offload;
	bool receive = dev == bench.dev;
	struct sk_buff *skb;
	int error;

	if (linear < (receive ? ETH_HLEN : 1))
		return ERR_PTR(-EINVAL);
	skb = alloc_skb_with_frags(HEADROOM + linear, len - linear, PAGE_ALLOC_COSTLY_ORDER, &error,
				   GFP_KERNEL);
	if (!skb)
		return ERR_PTR(error);
	skb_reserve(skb, HEADROOM);
	skb_put(skb, linear);
	skb->data_len = len - linear;
	skb->len = len;
	error = skb_store_bits(skb, 0, bytes, len);
	if (error)
		goto fail;
	if (receive) {
		skb->protocol = eth_type_trans(skb, dev);
	} else {
		skb->dev = dev;
		skb->protocol = skb->data[0] >> 4 == 6 ? htons(ETH_P_IPV6) : htons(ETH_P_IP);
		skb_reset_mac_header(skb);
	}
	skb_reset_network_header(skb);
	if (dev->type == ARPHRD_ETHER && !receive) {
		error = -EINVAL;
		if (linear < ETH_HLEN)
			goto fail;
		skb->protocol = eth_hdr(skb)->h_proto;
		skb_set_network_header(skb, ETH_HLEN);
	}
	error = virtio_net_hdr_to_skb(skb, offload, true);
	if (error)
		goto fail;
	if (offload->flags & VIRTIO_NET_HDR_F_DATA_VALID) {
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	} else if (offload->flags & OFFLOAD_COMPLETE) {
		skb->csum = skb_checksum(skb, 0, skb->len, 0);
		skb->ip_summed = CHECKSUM_COMPLETE;
	}
	return skb;
fail:
	kfree_skb(skb);
	return ERR_PTR(error);
}

static void forget_packets(void)
{
	while (bench.number)
		kfree_skb(bench.packets[--bench.number]);
	kvfree(bench.packets);
	bench.packets = NULL;
}

static int make_packets(struct net_device *dev)
{
	const u8 *at = bench.bytes, *end = at + bench.len;
	unsigned int number = 0;

	while (end - at >= sizeof(struct record)) {
		const struct record *record = (const void *)at;

		at += sizeof(*record);
		if (le32_to_cpu(record->len) > end - at)
			return -EINVAL;
		at += le32_to_cpu(record->len);
		number++;
	}
	if (!number || at != end)
		return -EINVAL;
	bench.packets = kvcalloc(number, sizeof(*bench.packets), GFP_KERNEL);
	if (!bench.packets)
		return -ENOMEM;
	for (at = bench.bytes; bench.number < number; bench.number++) {
		const struct record *record = (const void *)at;
		struct sk_buff *skb = packet(record, at + sizeof(*record), dev);

		if (IS_ERR(skb)) {
			forget_packets();
			return PTR_ERR(skb);
		}
		bench.packets[bench.number] = skb;
		at += sizeof(*record) + le32_to_cpu(record->len);
	}
	return 0;
}

enum kind { RECEIVE, GRO, TRANSMIT };

static int fire(enum kind kind, unsigned int count, struct net_device *dev)
{
	unsigned int i;
	u64 start;

	bench.next = 0;
	bench.swallowed = 0;
	bench.segments = 0;
	bench.swallowed_bytes = 0;
	memset(bench.ports, 0, PORTS * sizeof(*bench.ports));
	start = ktime_get_raw_ns();
	profile_start();
	while (count) {
		unsigned int batch = min(count, BATCH);

		local_bh_disable();
		if (kind == GRO) {
			bench.left = batch;
			napi_schedule(&bench.napi);
		}
		for (i = 0; kind != GRO && i < batch; i++) {
			struct sk_buff *skb = next_packet();

			if (!skb)
				continue;
			if (kind == RECEIVE)
				netif_receive_skb(skb);
			else
				dev_queue_xmit(skb);
		}
		/* Runs this NAPI, and the NAPIs of the tunnels. */
		local_bh_enable();
		count -= batch;
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	profile_stop();
	bench.ns = ktime_get_raw_ns() - start;
	return 0;
}

static ssize_t run_write(struct file *file, const char __user *from, size_t len, loff_t *offset)
{
	char text[64], word[16], name[IFNAMSIZ] = "";
	struct net_device *dev;
	unsigned int count;
	enum kind kind;
	int error;

	if (len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, len))
		return -EFAULT;
	text[len] = '\0';
	if (sscanf(text, "%15s %u %15s", word, &count, name) < 2)
		return -EINVAL;
	if (!strcmp(word, "receive"))
		kind = RECEIVE;
	else if (!strcmp(word, "gro"))
		kind = GRO;
	else if (!strcmp(word, "transmit"))
		kind = TRANSMIT;
	else
		return -EINVAL;

	dev = dev_get_by_name(&init_net, kind == TRANSMIT ? name : bench.dev->name);
	if (!dev)
		return -ENODEV;
	mutex_lock(&lock);
	error = netif_running(bench.dev) ? make_packets(dev) : -ENETDOWN;
	if (!error) {
		error = fire(kind, count, dev);
		forget_packets();
	}
	mutex_unlock(&lock);
	dev_put(dev);
	return error ?: len;
}

static ssize_t run_read(struct file *file, char __user *to, size_t len, loff_t *offset)
{
	char text[96];
	int written;

	mutex_lock(&lock);
	written = scnprintf(text, sizeof(text), "%llu %llu %llu %llu\n", bench.ns, bench.swallowed,
			    bench.segments, bench.swallowed_bytes);
	mutex_unlock(&lock);
	return simple_read_from_buffer(to, len, offset, text, written);
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.read = run_read,
	.write = run_write,
};

static int frames_open(struct inode *inode, struct file *file)
{
	mutex_lock(&lock);
	bench.len = 0;
	mutex_unlock(&lock);
	return 0;
}

static ssize_t frames_write(struct file *file, const char __user *from, size_t len, loff_t *offset)
{
	ssize_t done = -ENOSPC;

	mutex_lock(&lock);
	if (len <= MOST_BYTES - bench.len) {
		done = -EFAULT;
		if (!copy_from_user(bench.bytes + bench.len, from, len)) {
			bench.len += len;
			done = len;
		}
	}
	mutex_unlock(&lock);
	return done;
}

static const struct file_operations frames_fops = {
	.owner = THIS_MODULE,
	.open = frames_open,
	.write = frames_write,
};

static void setup(struct net_device *dev)
{
	const netdev_features_t all = NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM |
				      NETIF_F_HIGHDMA | NETIF_F_GSO_SOFTWARE | NETIF_F_GSO_ENCAP_ALL;

	ether_setup(dev);
	dev->netdev_ops = &device_ops;
	dev->flags |= IFF_NOARP;
	dev->priv_flags |= IFF_NO_QUEUE;
	dev->lltx = true;
	dev->max_mtu = ETH_MAX_MTU;
	dev->features |= all;
	dev->hw_features |= all;
	dev->hw_enc_features |= all;
	eth_hw_addr_random(dev);
}

static int __init bench_init(void)
{
	static struct debugfs_u32_array ports = { .n_elements = PORTS };
	int error = -ENOMEM;

	bench.bytes = vmalloc(MOST_BYTES);
	bench.ports = vcalloc(PORTS, sizeof(*bench.ports));
	bench.dev = alloc_netdev(0, "bench0", NET_NAME_USER, setup);
	if (!bench.bytes || !bench.ports || !bench.dev)
		goto fail;
	netif_napi_add(bench.dev, &bench.napi, poll);
	error = register_netdev(bench.dev);
	if (error) {
		pr_err("no device: %d\n", error);
		goto fail;
	}
	ports.array = bench.ports;
	bench.folder = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("frames", 0200, bench.folder, NULL, &frames_fops);
	debugfs_create_file("run", 0600, bench.folder, NULL, &run_fops);
	debugfs_create_u32_array("ports", 0400, bench.folder, &ports);
	return 0;
fail:
	if (bench.dev)
		free_netdev(bench.dev);
	vfree(bench.ports);
	vfree(bench.bytes);
	return error;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	debugfs_remove(bench.folder);
	unregister_netdev(bench.dev);
	free_netdev(bench.dev);
	vfree(bench.ports);
	vfree(bench.bytes);
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Makes and swallows packets, to measure tunnels by");
MODULE_LICENSE("GPL");
