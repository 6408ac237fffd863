// SPDX-License-Identifier: GPL-2.0

//! GSO types (`SKB_GSO_*`).

use core::ops;
use net_bindings as bindings;

/// The headers that segmentation offload must handle in a packet, one bit each (`SKB_GSO_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GsoType(i32);

impl GsoType {
    /// TCP in IPv4.
    pub(crate) const TCPV4: Self = Self(bindings::SKB_GSO_TCPV4);
    /// TCP in IPv6.
    pub(crate) const TCPV6: Self = Self(bindings::SKB_GSO_TCPV6);
    /// GRE without a checksum.
    pub(crate) const GRE: Self = Self(bindings::SKB_GSO_GRE);
    /// GRE with a checksum.
    pub(crate) const GRE_CSUM: Self = Self(bindings::SKB_GSO_GRE_CSUM);
    /// Any IP packet in IPv4.
    pub(crate) const IPXIP4: Self = Self(bindings::SKB_GSO_IPXIP4);
    /// Any IP packet in IPv6.
    pub(crate) const IPXIP6: Self = Self(bindings::SKB_GSO_IPXIP6);
    /// A UDP tunnel whose outer checksum is zero.
    pub const UDP_TUNNEL: Self = Self(bindings::SKB_GSO_UDP_TUNNEL);
    /// A UDP tunnel whose outer checksum is set in each segment.
    pub const UDP_TUNNEL_CSUM: Self = Self(bindings::SKB_GSO_UDP_TUNNEL_CSUM);
    /// A tunnel that leaves the inner checksum of each segment to the receiver.
    pub const TUNNEL_REMCSUM: Self = Self(bindings::SKB_GSO_TUNNEL_REMCSUM);

    /// Converts C's bits.
    #[inline]
    pub(crate) const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// Returns C's bits.
    #[inline]
    pub(crate) const fn as_raw(self) -> i32 {
        self.0
    }

    /// Returns `true` if all bits of `other` are set.
    #[inline]
    pub(crate) const fn contains(self, other: Self) -> bool {
        !self.0 & other.0 == 0
    }
}

impl ops::BitOr for GsoType {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
