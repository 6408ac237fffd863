// SPDX-License-Identifier: GPL-2.0

//! Routes to the other end of a tunnel.
//!
//! C headers: [`include/net/route.h`](srctree/include/net/route.h),
//! [`include/net/ip6_route.h`](srctree/include/net/ip6_route.h)

use net_bindings as bindings;

/// Returns `true` if the kernel has IPv6, and was not told to do without (`ipv6.disable=1`).
pub fn ipv6_is_available() -> bool {
    // SAFETY: C reads a variable that does not change after boot.
    unsafe { bindings::ipv6_mod_enabled() }
}
