// SPDX-License-Identifier: GPL-2.0

//! UDP headers: ports, checksums, lengths (RFC 768).
//!
//! C header: [`include/uapi/linux/udp.h`](srctree/include/uapi/linux/udp.h)

use core::num::NonZeroU16;

/// Length of a UDP header, in bytes.
pub const HEADER_LEN_BYTES: usize = 8;

/// A UDP port number; 0 means "any".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortNumber(u16);

impl PortNumber {
    /// No particular port.
    pub const ANY: Self = Self(0);

    /// Converts the two bytes of a header or a netlink attribute.
    #[inline]
    pub const fn from_be_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes))
    }

    /// Returns the two bytes for a header or a netlink attribute.
    #[inline]
    pub const fn to_be_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    /// Returns the number, or `None` for "any".
    #[inline]
    pub const fn specific(self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.0)
    }

    /// Converts C's `__be16`.
    #[inline]
    pub(crate) const fn from_be(be: u16) -> Self {
        Self(u16::from_be(be))
    }

    /// Returns C's `__be16`.
    #[inline]
    pub(crate) const fn to_be(self) -> u16 {
        self.0.to_be()
    }
}

/// The ports of a UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The port to send from.
    pub source: PortNumber,
    /// The port to send to.
    pub destination: PortNumber,
}

/// The UDP checksum that a tunnel's packets are sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Zero, which means "none".
    Zero,
    /// Over the whole datagram, computed by the device where it can.
    Full,
}
