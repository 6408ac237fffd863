// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: from a port's UDP socket to the protocol of the inner packet.

use crate::reason::Reason;
use gue::{header, Header, RemoteChecksum as RemoteChecksumField, Start};
use kernel::prelude::*;
use net::{
    gro::{GroTunnel, Merged, NoMerge, Packet},
    ip_proto::{ChecksumPlace, InnerProtocol},
    skb::{InnerSkb, RemcsumMode, RxSkb},
    udp,
    udp_tunnel::{EncapReceive, Verdict},
};

/// What follows the UDP header.
#[derive(Clone, Copy)]
pub(crate) enum Encapsulation {
    /// FOU: a packet of this protocol, at once.
    Direct(InnerProtocol),
    /// GUE: a header that tells the protocol, or an IP packet at once.
    Gue,
}

/// Takes FOU off packets.
pub(crate) struct FouDecapsulator {
    pub(crate) protocol: InnerProtocol,
}

/// Takes GUE off packets.
pub(crate) struct GueDecapsulator {
    /// What to do about a checksum that the sender has left to us.
    pub(crate) remote_checksum: RemcsumMode,
}

/// The reason for an error of which only a lack of memory is known not to be the packet's fault.
fn memory_or(otherwise: Reason) -> impl FnOnce(Error) -> Reason {
    move |error| match error {
        ENOMEM => Reason::NoMemory,
        _ => otherwise,
    }
}

/// Outer headers that are taken off one packet at most: UDP may carry UDP, and so on, in one packet.
///
/// Each header may ask for a checksum over all that is behind it, and a packet of 64 KiB has room for
/// thousands. Seven of the longest headers fit, fifty of those that there are reasons for.
const MOST_OUTER_HEADERS_LEN_BYTES: usize = 1024;

/// What is in front of a packet in GUE, the UDP header first.
struct OuterHeaders {
    len_bytes: usize,
    protocol: InnerProtocol,
    remote_checksum: Option<RemoteChecksumField>,
}

impl OuterHeaders {
    /// Reads them.
    #[inline(always)]
    fn read_gue(skb: &mut RxSkb) -> Result<Self, Reason> {
        match Start::parse(payload(skb, header::BASE_LEN_BYTES, Reason::Truncated)?)? {
            Start::Direct { protocol } => Ok(Self {
                len_bytes: udp::HEADER_LEN_BYTES,
                protocol: InnerProtocol::new(protocol).ok_or(Reason::GueProtocolZero)?,
                remote_checksum: None,
            }),
            Start::Header { len_bytes } => {
                let header = Header::parse(payload(skb, len_bytes, Reason::GueBadHlen)?)?;
                // The protocol is the last to be looked at, as in Linux, but nothing is changed in
                // a packet that will be dropped.
                if header.is_control() {
                    return Err(Reason::GueControl);
                }
                Ok(Self {
                    len_bytes: udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes()),
                    protocol: InnerProtocol::new(header.proto_ctype())
                        .ok_or(Reason::GueProtocolZero)?,
                    remote_checksum: header.remote_checksum(),
                })
            }
        }
    }
}

impl EncapReceive for FouDecapsulator {
    #[inline]
    fn receive<const IPV6: bool>(&self, mut skb: RxSkb) -> Verdict {
        match decapsulate(&mut skb, udp::HEADER_LEN_BYTES) {
            Ok(()) => deliver::<IPV6>(InnerSkb::new(skb, self.protocol), udp::HEADER_LEN_BYTES),
            Err(reason) => Verdict::Drop(skb, reason.number()),
        }
    }
}

impl EncapReceive for GueDecapsulator {
    #[inline]
    fn receive<const IPV6: bool>(&self, mut skb: RxSkb) -> Verdict {
        let OuterHeaders {
            len_bytes,
            protocol,
            remote_checksum,
        } = match OuterHeaders::read_gue(&mut skb) {
            Ok(headers) => headers,
            Err(reason) => return Verdict::Drop(skb, reason.number()),
        };
        let inner = match remote_checksum {
            None => match decapsulate(&mut skb, len_bytes) {
                Ok(()) => InnerSkb::new(skb, protocol),
                Err(reason) => return Verdict::Drop(skb, reason.number()),
            },
            Some(remote) => {
                match self.decapsulate_with_remote_checksum(skb, len_bytes, protocol, remote) {
                    Some(inner) => inner,
                    None => return Verdict::Consumed,
                }
            }
        };
        deliver::<IPV6>(inner, len_bytes)
    }
}

impl GueDecapsulator {
    /// Pulls `len` bytes of headers and handles the checksum that the sender left to the receiver of
    /// GUE. Frees a packet for which that fails.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    fn decapsulate_with_remote_checksum(
        &self,
        mut skb: RxSkb,
        len: usize,
        protocol: InnerProtocol,
        remote: RemoteChecksumField,
    ) -> Option<InnerSkb> {
        let place = place(remote);
        if self.remote_checksum == RemcsumMode::Partial {
            // Most often: of TCP or UDP over IP, whose headers are there.
            skb = match skb.decapsulate_leaving_checksum(len, protocol, place) {
                Ok(inner) => return Some(inner),
                Err(skb) => skb,
            };
        }
        decapsulate_with_any_remote_checksum(skb, len, protocol, place, self.remote_checksum)
    }
}

/// As [`GueDecapsulator::decapsulate_with_remote_checksum`].
#[inline(never)]
fn decapsulate_with_any_remote_checksum(
    skb: RxSkb,
    len: usize,
    protocol: InnerProtocol,
    place: ChecksumPlace,
    how: RemcsumMode,
) -> Option<InnerSkb> {
    skb.decapsulate_with_remote_checksum(len, protocol, place, how)
        .map_err(|(skb, error)| {
            let reason = match error {
                EBADMSG => Reason::BadCsumStart,
                ENOMEM => Reason::NoMemory,
                _ => Reason::GueBadRemcsum,
            };
            skb.free(reason.number());
        })
        .ok()
}

/// Returns where a remote checksum is, as counted from the inner packet's first byte.
#[inline]
fn place(remote: RemoteChecksumField) -> ChecksumPlace {
    ChecksumPlace {
        start: remote.start(),
        field: remote.offset(),
    }
}

/// Delivers a packet from which `len` bytes of headers were pulled.
#[inline(always)]
fn deliver<const IPV6: bool>(mut inner: InnerSkb, len: usize) -> Verdict {
    // This comes last: others who share the packet could see it.
    match inner.shorten_outer::<IPV6>(len, MOST_OUTER_HEADERS_LEN_BYTES) {
        Ok(()) => Verdict::Deliver(inner),
        Err(error) => {
            let reason = match error {
                E2BIG => Reason::NestedTooDeep,
                ENOMEM => Reason::NoMemory,
                _ => Reason::BadOuterLength,
            };
            inner.free(reason.number());
            Verdict::Consumed
        }
    }
}

/// Takes `len` bytes of headers off a packet, which begins with UDP's.
#[inline(always)]
fn decapsulate(skb: &mut RxSkb, len: usize) -> Result<(), Reason> {
    skb.decapsulate(len).map_err(|error| match error {
        EBADMSG => Reason::BadCsumStart,
        ENOMEM => Reason::NoMemory,
        _ => Reason::Truncated,
    })
}

/// The first `len` bytes behind the UDP header, which the packet begins with; `otherwise` if there
/// are fewer.
#[inline]
fn payload(skb: &mut RxSkb, len: usize, otherwise: Reason) -> Result<&[u8], Reason> {
    skb.header(udp::HEADER_LEN_BYTES.saturating_add(len))
        .map_err(memory_or(otherwise))?
        .get(udp::HEADER_LEN_BYTES..)
        .ok_or(otherwise)
}

impl GroTunnel for FouDecapsulator {
    #[inline]
    fn gro_receive(&self, _packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        Ok(self.protocol)
    }
}

// Inlined into the hooks.
impl GroTunnel for GueDecapsulator {
    #[inline(always)]
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        let start = packet.header(header::BASE_LEN_BYTES)?;
        match Start::parse(start).map_err(|_| NoMerge)? {
            Start::Direct { protocol } => {
                // The first byte tells a header from an IP packet.
                packet.compare_held(1)?;
                InnerProtocol::new(protocol).ok_or(NoMerge)
            }
            Start::Header { len_bytes } => {
                let header = Header::parse(packet.header(len_bytes)?).map_err(|_| NoMerge)?;
                if header.is_control() {
                    return Err(NoMerge);
                }
                packet.take_header(len_bytes)?;
                if let Some(remote) = header.remote_checksum() {
                    packet.process_remote_checksum(place(remote), self.remote_checksum)?;
                }
                InnerProtocol::new(header.proto_ctype()).ok_or(NoMerge)
            }
        }
    }

    #[inline(always)]
    fn gro_remote_checksum(&self, merged: &Merged<'_>) -> Option<ChecksumPlace> {
        let start = merged.header(header::BASE_LEN_BYTES).ok()?;
        let Ok(Start::Header { len_bytes }) = Start::parse(start) else {
            return None;
        };
        let header = Header::parse(merged.header(len_bytes).ok()?).ok()?;
        header.remote_checksum().map(place)
    }
}
