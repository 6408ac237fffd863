/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The headers that declare what rust/net uses, and the helpers. rust/bindings/generate
 * finds the names, and leaves out what the kernel's own bindings have.
 */

#include <crypto/sha2.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/crc32.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/netdevice.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/sysctl.h>
#include <linux/udp.h>
#include <net/dropreason.h>
#include <net/dst_cache.h>
#include <net/dst_metadata.h>
#include <net/flow.h>
#include <net/genetlink.h>
#include <net/gro.h>
#include <net/gso.h>
#include <net/gro_cells.h>
#include <net/inet_frag.h>
#include <net/ip6_checksum.h>
#include <net/ip6_route.h>
#include <net/ip6_tunnel.h>
#include <net/ip_tunnels.h>
#include <net/protocol.h>
#include <net/route.h>
#include <net/rtnetlink.h>
#include <net/udp_tunnel.h>

#include "../helpers/helpers.c"

const size_t RUST_CONST_HELPER_GENLMSG_DEFAULT_SIZE = GENLMSG_DEFAULT_SIZE;
