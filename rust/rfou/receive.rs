// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: from a port's UDP socket to the protocol of the inner packet.

use crate::reason::Reason;
use core::num::NonZeroU8;
use gue::{header, Header, RemoteChecksum as RemoteChecksumField, Start};
use kernel::prelude::*;
use net::{
    gro::{GroTunnel, Merged, NoMerge, Packet},
    skb::RemoteChecksum,
    udp,
    udp_tunnel::{EncapReceive, InnerProtocol, Verdict},
    SkBuff,
};

/// What a port takes off the packets that it receives.
#[derive(Clone, Copy)]
pub(crate) struct Decapsulator {
    /// The IP version of the packets: that of the port's socket.
    pub(crate) outer: OuterIp,
    pub(crate) encapsulation: Encapsulation,
    /// What to do about a checksum that the sender has left to us. Means nothing to FOU, but is kept
    /// for any port and shown again.
    pub(crate) remote_checksum: RemoteChecksum,
}

/// What follows the UDP header.
#[derive(Clone, Copy)]
pub(crate) enum Encapsulation {
    /// FOU: a packet of this protocol, at once.
    Direct(InnerProtocol),
    /// GUE: a header that tells the protocol, or an IP packet at once.
    Gue,
}

/// The IP version of an outer header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OuterIp {
    V4,
    V6,
}

impl OuterIp {
    /// Where the header's length field ends: bytes 2 and 3 are IPv4's total length (RFC 791), bytes
    /// 4 and 5 IPv6's payload length (RFC 8200).
    const fn length_field_end(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// Makes the outer header's length shorter, so that it fits what is left behind it.
    ///
    /// A length of 0 is that of a super-packet of 64 KiB or more, and stays.
    #[inline]
    fn shorten(self, skb: &mut SkBuff, by: usize) -> Result<(), Reason> {
        let header = skb
            .outer_header_mut(self.length_field_end())
            .map_err(memory_or(Reason::BadOuterLength))?;
        let [.., high, low] = header else {
            return Err(Reason::BadOuterLength);
        };
        let length = u16::from_be_bytes([*high, *low]);
        if length != 0 {
            [*high, *low] = u16::try_from(by)
                .ok()
                .and_then(|by| length.checked_sub(by))
                .ok_or(Reason::BadOuterLength)?
                .to_be_bytes();
        }
        Ok(())
    }
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

/// What is in front of a tunnelled packet, the UDP header first.
struct OuterHeaders {
    len_bytes: usize,
    protocol: InnerProtocol,
    remote_checksum: Option<RemoteChecksumField>,
}

impl OuterHeaders {
    /// A UDP header and nothing else.
    #[inline]
    fn udp(protocol: InnerProtocol) -> Self {
        Self {
            len_bytes: udp::HEADER_LEN_BYTES,
            protocol,
            remote_checksum: None,
        }
    }

    /// Reads those of a GUE packet.
    #[inline]
    fn read_gue(skb: &mut SkBuff) -> Result<Self, Reason> {
        match Start::parse(payload(skb, header::BASE_LEN_BYTES, Reason::Truncated)?)? {
            Start::Direct { protocol } => InnerProtocol::new(protocol)
                .map(Self::udp)
                .ok_or(Reason::GueProtocolZero),
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

impl EncapReceive for Decapsulator {
    #[inline]
    fn receive(&self, mut skb: SkBuff) -> Verdict {
        match self.decapsulate(&mut skb) {
            Ok(OuterHeaders {
                protocol,
                remote_checksum: None,
                ..
            }) => Verdict::Deliver(skb, protocol),
            Ok(OuterHeaders {
                protocol,
                remote_checksum: Some(remote),
                ..
            }) => self.deliver_with_remote_checksum(skb, protocol, remote),
            Err(reason) => Verdict::Drop(skb, reason.number()),
        }
    }
}

impl Decapsulator {
    /// Takes the outer headers after IP off a packet.
    ///
    /// What others see who share the packet, its bytes, is changed last.
    #[inline]
    fn decapsulate(&self, skb: &mut SkBuff) -> Result<OuterHeaders, Reason> {
        let headers = match self.encapsulation {
            Encapsulation::Direct(protocol) => OuterHeaders::udp(protocol),
            Encapsulation::Gue => OuterHeaders::read_gue(skb)?,
        };
        skb.decapsulate(headers.len_bytes)
            .map_err(|error| match error {
                EBADMSG => Reason::StrayChecksum,
                ENOMEM => Reason::NoMemory,
                _ => Reason::Truncated,
            })?;
        if skb.outer_headers_len() > MOST_OUTER_HEADERS_LEN_BYTES {
            return Err(Reason::NestedTooDeep);
        }
        self.outer.shorten(skb, headers.len_bytes)?;
        Ok(headers)
    }

    /// Sees to the checksum that the sender of a packet, which begins with a header of `protocol`,
    /// has left to us.
    // Not inlined: most packets have none, and should not save registers for it.
    #[inline(never)]
    fn deliver_with_remote_checksum(
        &self,
        mut skb: SkBuff,
        protocol: InnerProtocol,
        remote: RemoteChecksumField,
    ) -> Verdict {
        match self.process_remote_checksum(&mut skb, protocol, remote) {
            Ok(()) => Verdict::Deliver(skb, protocol),
            Err(error) => {
                let reason = memory_or(Reason::GueBadRemcsum)(error);
                Verdict::Drop(skb, reason.number())
            }
        }
    }

    #[inline]
    fn process_remote_checksum(
        &self,
        skb: &mut SkBuff,
        protocol: InnerProtocol,
        remote: RemoteChecksumField,
    ) -> Result {
        let payload = skb.header(remote.payload_needed())?;
        let how = if remote.is_of_transport_header(protocol.number(), payload) {
            self.remote_checksum
        } else {
            RemoteChecksum::Compute
        };
        skb.process_remote_checksum(remote.start(), remote.offset(), how)
    }
}

/// The first `len` bytes behind the UDP header, which the packet begins with; `otherwise` if there
/// are fewer.
#[inline]
fn payload(skb: &mut SkBuff, len: usize, otherwise: Reason) -> Result<&[u8], Reason> {
    skb.header(udp::HEADER_LEN_BYTES.saturating_add(len))
        .map_err(memory_or(otherwise))?
        .get(udp::HEADER_LEN_BYTES..)
        .ok_or(otherwise)
}

impl GroTunnel for Decapsulator {
    #[inline]
    fn gro_kind(&self) -> NonZeroU8 {
        match self.encapsulation {
            Encapsulation::Direct(protocol) => protocol.non_zero(),
            // The number that IANA keeps in reserve: no packet of it is merged by anybody.
            Encapsulation::Gue => NonZeroU8::MAX,
        }
    }

    #[inline]
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        match self.encapsulation {
            Encapsulation::Direct(protocol) => Ok(protocol),
            Encapsulation::Gue => {
                let start = packet.header(header::BASE_LEN_BYTES)?;
                match Start::parse(start).map_err(|_| NoMerge)? {
                    Start::Direct { protocol } => {
                        // The first byte tells a header from an IP packet.
                        packet.compare_held(1)?;
                        InnerProtocol::new(protocol).ok_or(NoMerge)
                    }
                    Start::Header { len_bytes } => {
                        let header =
                            Header::parse(packet.header(len_bytes)?).map_err(|_| NoMerge)?;
                        if header.is_control() {
                            return Err(NoMerge);
                        }
                        packet.take_header(len_bytes)?;
                        if let Some(remote) = header.remote_checksum() {
                            packet.process_remote_checksum(
                                remote.start(),
                                remote.offset(),
                                self.remote_checksum,
                            )?;
                        }
                        InnerProtocol::new(header.proto_ctype()).ok_or(NoMerge)
                    }
                }
            }
        }
    }

    #[inline]
    fn gro_complete(&self, merged: &Merged<'_>) -> Result<(InnerProtocol, usize)> {
        match self.encapsulation {
            Encapsulation::Direct(protocol) => Ok((protocol, 0)),
            Encapsulation::Gue => {
                let start = merged.header(header::BASE_LEN_BYTES)?;
                let (number, len_bytes) = match Start::parse(start).map_err(|_| EINVAL)? {
                    Start::Direct { protocol } => (protocol, 0),
                    Start::Header { len_bytes } => {
                        let header =
                            Header::parse(merged.header(len_bytes)?).map_err(|_| EINVAL)?;
                        (header.proto_ctype(), len_bytes)
                    }
                };
                let protocol = InnerProtocol::new(number).ok_or(EINVAL)?;
                Ok((protocol, len_bytes))
            }
        }
    }
}
