// SPDX-License-Identifier: GPL-2.0

//! UDP headers of outgoing tunnel packets.
//!
//! C header: [`include/net/udp.h`](srctree/include/net/udp.h)

use crate::{flow_hash, ip_tunnel::Flow, Outgoing};
use core::num::NonZeroU16;
use kernel::prelude::*;
use net_bindings as extra;

/// Length of a UDP header, in bytes (RFC 768).
pub const HEADER_LEN_BYTES: usize = 8;

/// A UDP port number, in host order; zero means "any".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortNumber(u16);

impl PortNumber {
    /// No particular port.
    pub const ANY: Self = Self(0);

    /// From the two bytes that stand in a header or a netlink attribute.
    #[inline]
    pub const fn from_be_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes))
    }

    /// The two bytes as they stand in a header or a netlink attribute.
    #[inline]
    pub const fn to_be_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    /// The number, unless it is "any".
    #[inline]
    pub const fn specific(self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.0)
    }

    /// From C's `__be16`.
    #[inline]
    pub(crate) const fn from_be(be: u16) -> Self {
        Self(u16::from_be(be))
    }

    /// To C's `__be16`.
    #[inline]
    pub(crate) const fn to_be(self) -> u16 {
        self.0.to_be()
    }
}

/// The source port that stands for the inner flow: the same for all packets of a flow, spread over
/// the namespace's local port range by the hash of the inner headers.
///
/// To be asked for before an outer header is pushed. The packet must be on its way out of a device;
/// fails with `ENODEV` if it has none.
#[inline]
pub fn flow_source_port(skb: &mut Outgoing<'_>) -> Result<PortNumber> {
    let raw = skb.as_raw();
    let dev = skb.device();
    if dev.is_null() {
        return Err(ENODEV);
    }
    flow_hash::provide(skb.as_skb_mut());
    // SAFETY: A packet on its way out of a device keeps it alive, and the device its namespace.
    // Minimum and maximum of zero stand for the namespace's own range.
    let be = unsafe { extra::udp_flow_src_port(extra::dev_net(dev), raw, 0, 0, false) };
    Ok(PortNumber::from_be(be))
}

/// What the UDP checksum of an outgoing packet is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Zero: "none".
    Zero,
    /// Over the whole datagram, left to the device where it can.
    Full,
}

/// The ports of an outgoing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The port to send from.
    pub source: PortNumber,
    /// The port to send to.
    pub destination: PortNumber,
}

/// Pushes a tunnel's headers in front of a packet that will leave in a flow: UDP's, and `behind_len`
/// bytes behind it, which `fill` writes.
///
/// `skb` starts with what is tunnelled; afterwards with the UDP header, which is its transport header.
/// The length is that of the whole packet, or 0 for a super-packet of 64 KiB or more, whose segments
/// get theirs from the segmentation offload. Fails with `ENOMEM`; with `EINVAL` if the packet's
/// partial checksum is not in it, or not at an even place ([`partial_checksum`](crate::Skb::partial_checksum)).
#[inline(always)]
pub fn push_headers<F: Flow>(
    skb: &mut Outgoing<'_>,
    ports: Ports,
    checksum: Checksum,
    flow: &F,
    behind_len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result,
) -> Result {
    let len = HEADER_LEN_BYTES.checked_add(behind_len).ok_or(EINVAL)?;
    // Before all else, so that what follows is known not to overflow.
    let total = skb.len().checked_add(len).ok_or(EINVAL)?;
    let total_c = i32::try_from(total).map_err(|_| EINVAL)?;
    // The outer checksum is made from the inner one, where that is said to be; that goes by whole words.
    if let Some(partial) = skb.partial_checksum()? {
        if checksum == Checksum::Full && (partial.start | partial.field) & 1 != 0 {
            return Err(EINVAL);
        }
    }
    let (header, behind) = skb
        .push(len)?
        .split_first_chunk_mut::<HEADER_LEN_BYTES>()
        .ok_or(EINVAL)?;
    // Field by field: one array of bytes would be stored byte by byte.
    header[0..2].copy_from_slice(&ports.source.to_be_bytes());
    header[2..4].copy_from_slice(&ports.destination.to_be_bytes());
    header[4..6].copy_from_slice(&u16::try_from(total).unwrap_or(0).to_be_bytes());
    header[6..8].fill(0);
    fill(behind)?;
    skb.reset_transport_header();

    if checksum == Checksum::Full {
        // SAFETY: The packet's transport header is the UDP header that was just pushed, so that the
        // checksum field lies in its linear part, and `total` is its length. A partial checksum lies
        // in what it was pushed to, as was seen above.
        unsafe { flow.set_udp_checksum(skb.as_skb_mut(), total_c) };
    }
    Ok(())
}
