// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: from a port's UDP socket to the protocol of the inner packet.

use crate::reason::Reason;
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
            .network_header_mut(self.length_field_end())
            .map_err(memory_or(Reason::BadOuterLength))?;
        let field: &mut [u8; 2] = header.last_chunk_mut().ok_or(Reason::BadOuterLength)?;
        let length = u16::from_be_bytes(*field);
        if length != 0 {
            *field = u16::try_from(by)
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

impl EncapReceive for Decapsulator {
    #[inline]
    fn receive(&self, mut skb: SkBuff) -> Verdict {
        let result = match self.encapsulation {
            Encapsulation::Direct(protocol) => self
                .decapsulate(&mut skb, udp::HEADER_LEN_BYTES)
                .map(|()| protocol),
            Encapsulation::Gue => self.receive_gue(&mut skb),
        };
        match result {
            Ok(protocol) => Verdict::Deliver(skb, protocol),
            Err(reason) => Verdict::Drop(skb, reason.number()),
        }
    }
}

impl Decapsulator {
    /// Takes the headers off a GUE packet.
    #[inline]
    fn receive_gue(&self, skb: &mut SkBuff) -> Result<InnerProtocol, Reason> {
        match Start::parse(payload(skb, header::BASE_LEN_BYTES, Reason::Truncated)?)? {
            Start::Direct { protocol } => {
                self.decapsulate(skb, udp::HEADER_LEN_BYTES)?;
                InnerProtocol::new(protocol).ok_or(Reason::GueProtocolZero)
            }
            Start::Header { len_bytes } => {
                let header = Header::parse(payload(skb, len_bytes, Reason::GueBadHlen)?)?;
                // The protocol is the last to be looked at, as in Linux, but nothing is changed in
                // a packet that will be dropped.
                if header.is_control() {
                    return Err(Reason::GueControl);
                }
                let protocol =
                    InnerProtocol::new(header.proto_ctype()).ok_or(Reason::GueProtocolZero)?;
                let outer_len = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
                self.decapsulate(skb, outer_len)?;
                if let Some(remote) = header.remote_checksum() {
                    self.process_remote_checksum(skb, header.proto_ctype(), remote)
                        .map_err(memory_or(Reason::GueBadRemcsum))?;
                }
                Ok(protocol)
            }
        }
    }

    /// Sees to the checksum that the sender of a packet, which begins with a header of `protocol`,
    /// has left to us.
    #[inline]
    fn process_remote_checksum(
        &self,
        skb: &mut SkBuff,
        protocol: u8,
        remote: RemoteChecksumField,
    ) -> Result {
        let payload = skb.header(remote.payload_needed())?;
        let how = if remote.is_of_transport_header(protocol, payload) {
            self.remote_checksum
        } else {
            RemoteChecksum::Compute
        };
        skb.process_remote_checksum(remote.start(), remote.offset(), how)
    }

    /// Takes the first `len` bytes, the outer headers after IP, off the packet.
    ///
    /// What others see who share the packet, its bytes, is changed last.
    #[inline]
    fn decapsulate(&self, skb: &mut SkBuff, len: usize) -> Result<(), Reason> {
        skb.decapsulate(len).map_err(|error| match error {
            EBADMSG => Reason::StrayChecksum,
            ENOMEM => Reason::NoMemory,
            _ => Reason::Truncated,
        })?;
        self.outer.shorten(skb, len)
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
                        packet.compare_held(len_bytes)?;
                        packet.pull(len_bytes)?;
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
