// SPDX-License-Identifier: GPL-2.0

//! UDP packets that a tunnel makes itself, such as messages to the tunnel's other end.
//!
//! C header: [`include/net/udp_tunnel.h`](srctree/include/net/udp_tunnel.h)

use crate::{
    rcu::RcuReader,
    route::{version::private::Fields, IpVersion, Route},
    skb::OwnedSkb,
    softirq::SoftirqsOff,
    udp::{Checksum, Ports, HEADER_LEN_BYTES},
    udp_send::OuterIp,
};
use core::ptr::{self, NonNull};
use kernel::prelude::*;
use net_bindings as bindings;

/// The longest payload, in bytes. Every IPv4 host accepts a packet with such a payload (up to 576 bytes, RFC 791),
/// and every IPv6 path passes it (up to 1280 bytes, RFC 8200).
pub const MOST_PAYLOAD_BYTES: usize = 512;

/// Sends a UDP packet with a payload, by a route. Any context but hard interrupts.
///
/// No device counts the packet. Fails with `ENOMEM`; with `EINVAL` if the payload is longer than
/// [`MOST_PAYLOAD_BYTES`]. A packet that is lost on its way out is no error.
pub fn send<V: IpVersion>(
    route: Route<V>,
    destination: &V::Address,
    ip: &OuterIp,
    ports: Ports,
    checksum: Checksum,
    payload: &[u8],
) -> Result {
    if payload.len() > MOST_PAYLOAD_BYTES {
        return Err(EINVAL);
    }
    let len = HEADER_LEN_BYTES.saturating_add(payload.len());
    let source = *route.source();
    let room = RcuReader::with(|rcu| route.headroom(rcu) as usize);
    let skb = allocate(room.saturating_add(V::HEADER_LEN_BYTES), len)?;
    let raw = skb.as_raw();
    let mut header = [0; HEADER_LEN_BYTES];
    header[0..2].copy_from_slice(&ports.source.to_be_bytes());
    header[2..4].copy_from_slice(&ports.destination.to_be_bytes());
    header[4..6].copy_from_slice(&u16::try_from(len)?.to_be_bytes());
    // SAFETY: `allocate` has returned a packet with room for `len` bytes after its data, which C adds. The bytes
    // are written at once, so all bytes of the linear part that may be read are initialized. Nothing else has the
    // packet. Its transport header becomes the UDP header, `len` bytes before its end, and it has no partial
    // checksum.
    unsafe {
        let to: *mut u8 = bindings::skb_put(raw, len as u32).cast();
        ptr::copy_nonoverlapping(header.as_ptr(), to, HEADER_LEN_BYTES);
        ptr::copy_nonoverlapping(payload.as_ptr(), to.add(HEADER_LEN_BYTES), payload.len());
        bindings::skb_reset_transport_header(raw);
        bindings::skb_set_protocol(raw, V::ETHER_TYPE.to_be());
        if checksum == Checksum::Full {
            V::set_checksum(raw, &source, destination, i32::try_from(len)?);
        }
    }
    let fields = Fields {
        tos: ip.tos,
        hop_limit: ip.hop_limit,
        dont_fragment: ip.dont_fragment,
        flow_label: ip.flow_label,
        crosses_netns: false,
    };
    let _softirqs_off = SoftirqsOff::new();
    // SAFETY: The packet and the route are ours, and are given up. The packet begins with its UDP header, and has
    // a head of its own with room for an IP header before. It has no device. Softirqs are off.
    unsafe {
        V::send(
            skb.into_raw(),
            route.into_raw(),
            ptr::null_mut(),
            (&source, destination),
            &fields,
        );
    }
    Ok(())
}

/// Allocates an empty packet with `headroom` bytes before its data, and room for `len` bytes after. Any context.
fn allocate(headroom: usize, len: usize) -> Result<OwnedSkb> {
    let size = u32::try_from(headroom.checked_add(len).ok_or(EINVAL)?)?;
    let reserved = i32::try_from(headroom)?;
    // SAFETY: C has no requirement.
    let skb = NonNull::new(unsafe { bindings::alloc_skb(size, bindings::GFP_ATOMIC) });
    let skb = skb.ok_or(ENOMEM)?;
    // SAFETY: The packet is new and ours, and its buffer has `size` bytes, of which the headroom is the first part.
    // With the headroom written, all bytes of the linear part are initialized, as `SkBuff` asks: the packet is
    // empty.
    unsafe {
        (*skb.as_ptr()).head.write_bytes(0, headroom);
        bindings::skb_reserve(skb.as_ptr(), reserved);
        Ok(OwnedSkb::from_raw(skb))
    }
}
