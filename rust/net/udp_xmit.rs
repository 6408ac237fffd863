// SPDX-License-Identifier: GPL-2.0

//! UDP headers before the packets that a tunnel device sends.
//!
//! C header: [`include/net/udp.h`](srctree/include/net/udp.h)

use crate::{
    flow_hash,
    ip_tunnel::Flow,
    skb::TxSkb,
    udp::{Checksum, PortNumber, Ports, HEADER_LEN_BYTES},
};
use kernel::prelude::*;
use net_bindings as bindings;

/// Returns the source port of the packet's inner flow: the same for all packets of the flow, chosen from
/// the namespace's local port range by the hash of the inner headers.
///
/// Call this before an outer header is pushed. Fails with `ENODEV` if the packet has no device.
#[inline]
pub fn flow_source_port(mut skb: Pin<&mut TxSkb>) -> Result<PortNumber> {
    let dev = skb.device();
    if dev.is_null() {
        return Err(ENODEV);
    }
    flow_hash::provide(skb.as_mut().as_skb());
    // SAFETY: The packet is valid. It is on its way out of `dev`, so it keeps `dev` alive, and the device
    // its namespace. Minimum and maximum of zero stand for the namespace's own range.
    let be =
        unsafe { bindings::udp_flow_src_port(bindings::dev_net(dev), skb.as_raw(), 0, 0, false) };
    Ok(PortNumber::from_be(be))
}

/// Returns the ports of the UDP header that a packet begins with, or "any" if the header is not linear.
pub fn ports(skb: &TxSkb) -> Ports {
    let port = |at| {
        let header = skb.linear_header(HEADER_LEN_BYTES)?;
        let bytes = header.get(at..)?.first_chunk()?;
        Some(PortNumber::from_be_bytes(*bytes))
    };
    Ports {
        source: port(0).unwrap_or(PortNumber::ANY),
        destination: port(2).unwrap_or(PortNumber::ANY),
    }
}

/// Pushes a tunnel's headers before a packet that is sent in a flow: the UDP header, and after it
/// `tunnel_len` bytes, which `fill` writes.
///
/// Before the call `skb` begins with the inner packet. After the call it begins with the UDP header, which
/// is then its transport header. The UDP length is the length of the whole packet, or 0 for a GSO packet of
/// 64 KiB or more; segmentation sets the lengths of the segments. Fails with `ENOMEM`; with the error of
/// `fill`; with `EINVAL` if the packet's partial checksum does not lie in the packet or, under
/// [`Checksum::Full`], not at an even offset ([`partial_checksum`](crate::SkBuff::partial_checksum)).
#[inline(always)]
pub fn push_headers<F: Flow>(
    mut skb: Pin<&mut TxSkb>,
    ports: Ports,
    checksum: Checksum,
    flow: &F,
    tunnel_len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result,
) -> Result {
    let len = HEADER_LEN_BYTES.checked_add(tunnel_len).ok_or(EINVAL)?;
    // Checked first, so that the compiler knows that nothing overflows below.
    let total = skb.len().checked_add(len).ok_or(EINVAL)?;
    let total_c = i32::try_from(total).map_err(|_| EINVAL)?;
    // The outer checksum is computed from the place of the inner one, by whole words.
    if let Some(partial) = skb.partial_checksum()? {
        if checksum == Checksum::Full && (partial.start | partial.field) & 1 != 0 {
            return Err(EINVAL);
        }
    }
    let (header, tunnel) = skb
        .as_mut()
        .push(len)?
        .split_first_chunk_mut::<HEADER_LEN_BYTES>()
        .ok_or(EINVAL)?;
    // Field by field: the compiler would store an array of bytes byte by byte.
    header[0..2].copy_from_slice(&ports.source.to_be_bytes());
    header[2..4].copy_from_slice(&ports.destination.to_be_bytes());
    header[4..6].copy_from_slice(&u16::try_from(total).unwrap_or(0).to_be_bytes());
    header[6..8].fill(0);
    fill(tunnel)?;
    skb.as_mut().reset_transport_header();

    if checksum == Checksum::Full {
        // SAFETY: The packet's transport header is the UDP header that was just pushed, so the checksum
        // field is linear, and `total` is its length. A partial checksum lies in what the header was pushed
        // to, as was checked above.
        unsafe { flow.set_udp_checksum(skb.as_skb(), total_c) };
    }
    Ok(())
}
