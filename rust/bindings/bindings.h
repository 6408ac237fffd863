/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The networking headers whose declarations the kernel's own Rust bindings lack.
 * bindgen_parameters names the declarations that rfou uses.
 */

#include <linux/skbuff.h>
#include <linux/udp.h>
#include <net/dropreason.h>
#include <net/gro.h>
#include <net/ip6_checksum.h>
#include <net/ip6_tunnel.h>
#include <net/ip_tunnels.h>
#include <net/protocol.h>
#include <net/udp_tunnel.h>
