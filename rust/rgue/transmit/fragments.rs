// SPDX-License-Identifier: GPL-2.0

//! Long packets on their way out: the device splits them into fragments, each in a packet of its own.

use super::{
    drop_unready,
    headers::proto_ctype,
    outer::{drop_unreadable, drop_unroutable, outer_ip, ports, route},
    protect::{Payload, Protector, Wanted},
    transmit_whole, Outer, Path, Sender,
};
use crate::{config::Config, device::Gue, keys::KeyRing, reason::Reason, receive::ETHER_IP};
use core::sync::atomic::{AtomicU64, Ordering};
use gue::Fragment;
use kernel::{prelude::*, sync::Arc};
use net::{
    crypto::random_u64,
    frags::{MAX_LEN_BYTES, MAX_PIECES},
    netdev::{DeviceSkb, LinkType, Sent, Spent, TxError, Xmit},
    route::{IpVersion, Route},
    udp,
    udp_send::{self, InnerIp, OuterUdp, Unsent},
};

/// Splits packets into fragments.
pub(super) struct Fragmenter {
    /// The length of the longest outer IP packet, in bytes. The path MTU may be less.
    size: u32,
    /// Makes the headers of fragments.
    protector: Protector,
    /// The length of all headers of a packet that is not fragmented, without those of the link, in bytes.
    overhead: u32,
    /// The same for a fragment.
    fragment_overhead: u32,
    /// The length of the headers of the link in inner packets, in bytes.
    link_len: u32,
    /// The bytes to prepend to the inner packet before it is split: an EtherIP header, or none.
    before: &'static [u8],
    /// The identifier of the next fragmented packet. The fragment field has its low 40 bits.
    next: AtomicU64,
}

impl Fragmenter {
    /// Prepares for packets of at most `size` bytes, or of the path's MTU if `size` is 0.
    pub(super) fn new(config: &Config, size: u16, keys: Option<Arc<KeyRing>>) -> Result<Self> {
        let (before, link_len): (&[u8], _) = match config.mode {
            LinkType::Ip => (&[], 0),
            LinkType::Ethernet => (&ETHER_IP, 14),
        };
        Ok(Self {
            size: match size {
                0 => u32::MAX,
                size => size.into(),
            },
            protector: Protector::for_fragments(config, keys)?,
            overhead: u32::try_from(config.overhead_bytes())?,
            fragment_overhead: u32::try_from(config.fragment_overhead_bytes())?,
            link_len,
            before,
            next: AtomicU64::new(random_u64()),
        })
    }

    /// Returns an identifier for a packet. The identifiers repeat after 2⁴⁰ packets.
    fn name(&self) -> [u8; 5] {
        let [_, _, _, name @ ..] = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        name
    }

    /// Returns the length of each fragment's payload but the last's, a multiple of 8, for a packet of `len` bytes
    /// and outer IP packets of at most `limit` bytes. Returns `None` if the packet cannot be fragmented.
    fn payload_len(&self, len: usize, limit: u32) -> Option<usize> {
        let most = limit.checked_sub(self.fragment_overhead)? as usize & !7;
        if most == 0 || len > MAX_LEN_BYTES {
            return None;
        }
        let count = len.div_ceil(most).max(1);
        (count <= MAX_PIECES.into()).then(|| len.div_ceil(count).next_multiple_of(8))
    }
}

/// Sends a packet, in fragments if it is too long.
// Not inlined: other packets should not save registers for it.
#[inline(never)]
pub(super) fn transmit(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    fragmenter: &Fragmenter,
    skb: DeviceSkb,
) -> Sent {
    match &sender.outer {
        Outer::V4(path) => transmit_over(xmit, sender, fragmenter, path, skb),
        Outer::V6(path) => transmit_over(xmit, sender, fragmenter, path, skb),
        // Excluded by the configuration.
        Outer::External(_) => transmit_whole(xmit, sender, skb),
        Outer::None => xmit.drop(skb, Reason::NoRemote.number(), TxError::Carrier),
    }
}

fn transmit_over<V: IpVersion>(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    fragmenter: &Fragmenter,
    path: &Path<V>,
    mut skb: DeviceSkb,
) -> Sent {
    let inner = match sender.config.mode {
        LinkType::Ip => skb.inner_ip(),
        LinkType::Ethernet => skb.inner_frame(),
    };
    let inner = match inner {
        Ok(inner) => inner,
        Err(error) => return drop_unreadable(xmit, sender, skb, error),
    };
    let ports = ports(xmit, sender, &mut skb);
    let route = match route(xmit, &sender.config, path, ports, inner, skb.mark()) {
        Ok(route) => route,
        Err(error) => return drop_unroutable(xmit, skb, error),
    };
    let limit = route.path_mtu().min(fragmenter.size);
    drop(route);
    let cut = Cut {
        xmit,
        sender,
        fragmenter,
        path,
        ports,
        limit,
    };
    if !cut.is_too_long(&skb) {
        return transmit_whole(xmit, sender, skb);
    }
    if !skb.is_gso() {
        return cut.send(skb, inner);
    }
    match skb.segment() {
        Ok(segments) => xmit.send_each(segments, |segment| {
            if cut.is_too_long(&segment) {
                cut.send(segment, inner)
            } else {
                transmit_whole(xmit, sender, segment)
            }
        }),
        Err((skb, error)) => drop_unready(xmit, skb, error),
    }
}

/// The parameters for sending a flow's packets in fragments.
struct Cut<'a, V: IpVersion> {
    xmit: &'a Xmit<'a, Gue>,
    sender: &'a Sender,
    fragmenter: &'a Fragmenter,
    path: &'a Path<V>,
    ports: udp::Ports,
    /// The length of the longest outer IP packet, in bytes.
    limit: u32,
}

/// A packet that is sent in fragments.
struct Packet {
    skb: DeviceSkb,
    inner: InnerIp,
    len: usize,
    name: [u8; 5],
}

impl<V: IpVersion> Cut<'_, V> {
    /// Returns `true` if a packet, or a segment of a GSO packet, does not fit as a whole.
    fn is_too_long(&self, skb: &DeviceSkb) -> bool {
        let mtu = self.limit.saturating_sub(self.fragmenter.overhead);
        skb.is_longer_than(mtu, self.fragmenter.link_len)
    }

    /// Sends a packet in fragments of similar size.
    fn send(&self, mut skb: DeviceSkb, inner: InnerIp) -> Sent {
        // The receiver joins the bytes as they go over the wire.
        if let Err(error) = skb.finalize() {
            return drop_unready(self.xmit, skb, error);
        }
        let len = skb.len().saturating_add(self.fragmenter.before.len());
        let Some(payload_len) = self.fragmenter.payload_len(len, self.limit) else {
            return self
                .xmit
                .drop(skb, Reason::TooLong.number(), TxError::Error);
        };
        let packet = Packet {
            skb,
            inner,
            len,
            name: self.fragmenter.name(),
        };
        let mut offset = 0;
        while offset < len {
            let end = offset.saturating_add(payload_len).min(len);
            if let Err((reason, error)) = self.send_fragment(&packet, offset, end) {
                return self.xmit.drop(packet.skb, reason.number(), error);
            }
            offset = end;
        }
        self.xmit.consume(packet.skb)
    }

    /// Sends the bytes of a packet from `offset` to `end`.
    fn send_fragment(
        &self,
        packet: &Packet,
        offset: usize,
        end: usize,
    ) -> Result<Sent, (Reason, TxError)> {
        let (xmit, inner, config) = (self.xmit, packet.inner, &self.sender.config);
        let mark = packet.skb.mark();
        let route = route(xmit, config, self.path, self.ports, inner, mark)
            .map_err(|_| (Reason::NoRoute, TxError::Carrier))?;
        let protocol = proto_ctype(config, inner.is_ipv6);
        let fragment = u16::try_from(offset)
            .ok()
            .and_then(|offset| Fragment::new(offset, end < packet.len, protocol, packet.name))
            .ok_or((Reason::TooLong, TxError::Error))?;
        let to = &self.path.destination;
        let skb = self
            .copy(packet, &route, offset, end)
            .map_err(|_| (Reason::NoMemory, TxError::Dropped))?;
        let payload = Payload {
            skb: &skb,
            wanted: Wanted {
                is_ipv6: inner.is_ipv6,
                remote: None,
                source: route.source().as_ref(),
            },
            group: None,
            surplus: &[],
            destination: to.as_ref(),
            ports: self.ports,
            fragment: Some(fragment),
        };
        let header = match self.fragmenter.protector.make(&payload, xmit.reader()) {
            Ok(header) => header,
            Err(reason) => {
                Spent::from(skb).consume();
                return Err((reason, TxError::Error));
            }
        };
        let ip = outer_ip(config, inner, &route, true);
        let udp = OuterUdp {
            ports: self.ports,
            checksum: self.path.checksum,
            header_len: header.as_bytes().len(),
            leaves_checksum: false,
            is_frame: false,
        };
        udp_send::send(xmit, skb, route, to, &ip, &udp, |to: &mut [u8]| {
            to.copy_from_slice(header.as_bytes());
        })
        .map_err(|Unsent(copy, error)| {
            // A drop monitor must see the drop of the packet, not the drop of a copy.
            copy.consume();
            match error {
                ENOMEM => (Reason::NoMemory, TxError::Dropped),
                _ => (Reason::TooLong, TxError::Error),
            }
        })
    }

    /// Copies the bytes of a packet from `offset` to `end`.
    fn copy(
        &self,
        packet: &Packet,
        route: &Route<V>,
        offset: usize,
        end: usize,
    ) -> Result<DeviceSkb> {
        let headroom = route
            .headroom(self.xmit.reader())
            .saturating_add(self.fragmenter.fragment_overhead);
        let before = self.fragmenter.before;
        if offset == 0 {
            let end = end.saturating_sub(before.len());
            return packet.skb.piece(before, 0..end, headroom);
        }
        let shift = |at: usize| at.saturating_sub(before.len());
        packet.skb.piece(&[], shift(offset)..shift(end), headroom)
    }
}
