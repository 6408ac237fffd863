// SPDX-License-Identifier: GPL-2.0

//! Explicit congestion notification in the IPv4 TOS and the IPv6 traffic class (RFC 3168).
//!
//! C header: [`include/net/inet_ecn.h`](srctree/include/net/inet_ecn.h)

/// The two bits of ECN. The others are DSCP.
pub const MASK: u8 = 0x03;
