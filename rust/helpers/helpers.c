// SPDX-License-Identifier: GPL-2.0
/*
 * C wrappers of what rust/net cannot reach from Rust: inline functions, macros, bit
 * fields and RCU pointers. Each C header that they wrap has a file, as in the kernel's
 * own rust/helpers. All are compiled as one file, so that rustc's LLVM gets one module
 * of bitcode to inline from (rust/Makefile.bitcode).
 *
 * Sorted alphabetically.
 */

#include <linux/compiler_types.h>

#ifdef __BINDGEN__
/* bindgen ignores inline functions. */
#define __rust_helper
#elif defined(RFOU_INLINE_HELPERS)
#define __rust_helper __always_inline
#else
#define __rust_helper __used
#endif

#include "bottom_half.c"
#include "btf.c"
#include "checksum.c"
#include "dropreason.c"
#include "dst.c"
#include "dst_metadata.c"
#include "flow_dissector.c"
#include "genetlink.c"
#include "gro.c"
#include "icmp.c"
#include "if_vlan.c"
#include "inet_ecn.c"
#include "inet_frag.c"
#include "ip_tunnels.c"
#include "ipv6.c"
#include "jhash.c"
#include "jiffies.c"
#include "l3mdev.c"
#include "module.c"
#include "netdevice.c"
#include "netns.c"
#include "percpu.c"
#include "protocol.c"
#include "rtnetlink.c"
#include "rx_device.c"
#include "sha2.c"
#include "siphash.c"
#include "skbuff.c"
#include "sock.c"
#include "string.c"
#include "timekeeping.c"
#include "udp.c"
#include "workqueue.c"
