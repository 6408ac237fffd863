// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: from a port's UDP socket to the protocol of the inner packet.

use crate::{reason::Reason, records::Records};
use gue::{walk, Linux, Prefix, RemoteChecksum as RemoteChecksumField};
use kernel::prelude::*;
use net::{
    ip_proto::{ChecksumPlace, InnerProtocol},
    rcu::RcuReader,
    skb::{InnerSkb, Pulled, RemcsumMode, RxSkb},
    udp,
    udp_tunnel::{EncapReceive, Verdict},
};

/// The encapsulation that a port receives: what follows the UDP header.
#[derive(Clone, Copy)]
pub(crate) enum Encapsulation {
    /// FOU: a packet of this protocol.
    Direct(InnerProtocol),
    /// GUE: a header that names the protocol, or an IP packet.
    Gue,
}

/// Decapsulates FOU.
pub(crate) struct FouDecapsulator {
    pub(crate) records: Records,
    pub(crate) protocol: InnerProtocol,
}

/// Decapsulates GUE.
pub(crate) struct GueDecapsulator {
    pub(crate) records: Records,
    /// The way to complete a checksum that the sender leaves to the receiver.
    pub(crate) remote_checksum: RemcsumMode,
}

/// The most outer headers of one packet, in bytes. UDP may carry UDP, and so on.
///
/// Each header may ask for a checksum over all bytes after it, and a packet of 64 KiB has room for
/// thousands of headers. The limit has room for seven of the longest headers, or for fifty of the
/// headers that senders have a use for.
const MOST_OUTER_HEADERS_LEN_BYTES: usize = 1024;

/// The headers that the tunnel pulls from a received packet: UDP's, and GUE's if there is one.
struct OuterHeaders {
    len_bytes: usize,
    /// The protocol of the inner packet.
    protocol: InnerProtocol,
    remcsum: Option<ChecksumPlace>,
}

impl OuterHeaders {
    /// Reads UDP's and GUE's headers.
    #[inline(always)]
    fn read_gue(skb: &mut RxSkb) -> Result<Self, Reason> {
        let header = walk(&mut Payload(skb), Linux)?;
        // The protocol is checked last, as in Linux. Unlike in Linux, the packet is unchanged until then.
        if header.is_control() {
            return Err(Reason::GueControl);
        }
        Ok(Self {
            len_bytes: udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes()),
            protocol: InnerProtocol::new(header.proto_ctype()).ok_or(Reason::GueProtocolZero)?,
            remcsum: header.fields().remote_checksum().map(checksum_place),
        })
    }
}

/// The payload of a packet that begins with its UDP header.
struct Payload<'a>(&'a mut RxSkb);

impl Prefix for Payload<'_> {
    type Error = Error;

    #[inline(always)]
    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8]> {
        self.0
            .header(udp::HEADER_LEN_BYTES.saturating_add(len_bytes))?
            .get(udp::HEADER_LEN_BYTES..)
            .ok_or(EINVAL)
    }
}

/// Returns the place of a remote checksum. GUE counts both numbers from the inner packet's first byte,
/// as [`ChecksumPlace`] does.
#[inline]
pub(crate) fn checksum_place(remote: RemoteChecksumField) -> ChecksumPlace {
    ChecksumPlace {
        start: remote.start(),
        field: remote.offset(),
    }
}

/// A packet to drop, and the reason.
struct Dropped(RxSkb, Reason);

impl Dropped {
    /// Records the packet, and returns the verdict.
    #[inline(always)]
    fn record<const IPV6: bool>(self, records: &Records) -> Verdict {
        let Self(skb, reason) = self;
        Verdict::Drop(skb, records.dropped(reason, IPV6))
    }
}

impl EncapReceive for FouDecapsulator {
    #[inline]
    fn receive<const IPV6: bool>(&self, skb: RxSkb, _rcu: RcuReader<'_>) -> Verdict {
        let len_bytes = udp::HEADER_LEN_BYTES;
        let inner = decapsulate(skb, len_bytes, self.protocol);
        deliver::<IPV6>(&self.records, inner, len_bytes)
    }
}

impl EncapReceive for GueDecapsulator {
    #[inline]
    fn receive<const IPV6: bool>(&self, mut skb: RxSkb, _rcu: RcuReader<'_>) -> Verdict {
        match OuterHeaders::read_gue(&mut skb) {
            Err(reason) => Dropped(skb, reason).record::<IPV6>(&self.records),
            Ok(OuterHeaders {
                len_bytes,
                protocol,
                remcsum: None,
            }) => {
                let inner = decapsulate(skb, len_bytes, protocol);
                deliver::<IPV6>(&self.records, inner, len_bytes)
            }
            Ok(OuterHeaders {
                len_bytes,
                protocol,
                remcsum: Some(place),
            }) => self.receive_remcsum::<IPV6>(skb, len_bytes, protocol, place),
        }
    }
}

impl GueDecapsulator {
    /// Receives a packet whose sender leaves the checksum at `place` to the receiver.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    fn receive_remcsum<const IPV6: bool>(
        &self,
        skb: RxSkb,
        len_bytes: usize,
        protocol: InnerProtocol,
        place: ChecksumPlace,
    ) -> Verdict {
        let inner = skb
            .decapsulate_with_remote_checksum(len_bytes, protocol, place, self.remote_checksum)
            .map_err(|(skb, error)| Dropped(skb, Reason::of(error, Reason::GueBadRemcsum)));
        deliver::<IPV6>(&self.records, inner, len_bytes)
    }
}

/// A packet whose outer headers were pulled, and its kind; or a packet to drop.
type Decapsulated = Result<(InnerSkb, Pulled), Dropped>;

/// Pulls `len_bytes` bytes of headers.
#[inline(always)]
fn decapsulate(mut skb: RxSkb, len_bytes: usize, protocol: InnerProtocol) -> Decapsulated {
    match skb.decapsulate(len_bytes) {
        Ok(pulled) => Ok((InnerSkb::new(skb, protocol), pulled)),
        Err(error) => Err(Dropped(skb, Reason::of(error, Reason::Truncated))),
    }
}

/// Delivers and records a packet from which `len_bytes` bytes of headers were pulled.
#[inline(always)]
fn deliver<const IPV6: bool>(records: &Records, inner: Decapsulated, len_bytes: usize) -> Verdict {
    let inner = match inner {
        Ok((mut inner, Pulled::Packet)) => {
            let left = inner.shorten_outer::<IPV6>(len_bytes, MOST_OUTER_HEADERS_LEN_BYTES);
            record(records, inner, len_bytes, left, IPV6, Records::received)
        }
        Ok((inner, Pulled::GsoPacket)) => shorten_gso(records, inner, len_bytes, IPV6),
        Err(dropped) => return dropped.record::<IPV6>(records),
    };
    inner.map_or(Verdict::Consumed, Verdict::Deliver)
}

// Not inlined: other packets should not save registers for it.
#[inline(never)]
fn shorten_gso(
    records: &Records,
    mut inner: InnerSkb,
    len_bytes: usize,
    ipv6: bool,
) -> Option<InnerSkb> {
    let left = if ipv6 {
        inner.shorten_outer::<true>(len_bytes, MOST_OUTER_HEADERS_LEN_BYTES)
    } else {
        inner.shorten_outer::<false>(len_bytes, MOST_OUTER_HEADERS_LEN_BYTES)
    };
    record(
        records,
        inner,
        len_bytes,
        left,
        ipv6,
        Records::received_segments,
    )
}

/// Records a packet. `left` is the length that is left after its outer length was shortened. If that has failed, frees
/// the packet.
// The outer length is shortened last: sockets that share the packet may see the change, and a dropped packet must stay
// unchanged.
#[inline(always)]
fn record(
    records: &Records,
    inner: InnerSkb,
    len_bytes: usize,
    left: Result<usize>,
    ipv6: bool,
    received: impl FnOnce(&Records, &InnerSkb, usize, usize, bool),
) -> Option<InnerSkb> {
    match left {
        Ok(left) => {
            let gue_len_bytes = len_bytes.wrapping_sub(udp::HEADER_LEN_BYTES);
            let payload_len = left.wrapping_add(gue_len_bytes);
            received(records, &inner, len_bytes, payload_len, ipv6);
            Some(inner)
        }
        Err(error) => {
            let reason = Reason::of(error, Reason::BadOuterLength);
            inner.free(records.dropped(reason, ipv6));
            None
        }
    }
}
