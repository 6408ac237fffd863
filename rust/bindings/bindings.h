/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The networking headers whose declarations the kernel's own Rust bindings lack.
 * What of them is taken is named in bindgen_parameters.
 */

#include <linux/skbuff.h>
#include <linux/udp.h>
#include <net/ip_tunnels.h>
#include <net/udp_tunnel.h>
