// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: from a port's UDP socket to the protocol of the inner packet.

use kernel::prelude::*;
use net::{
    udp,
    udp_tunnel::{EncapReceive, InnerProtocol, Verdict},
    DropReason, SkBuff,
};

/// What a port takes off the packets that it receives.
#[derive(Clone, Copy)]
pub(crate) struct Decapsulator {
    /// The IP version of the packets: that of the port's socket.
    pub(crate) outer: OuterIp,
    pub(crate) encapsulation: Encapsulation,
    /// A remotely offloaded checksum is to be computed here, not left to the inner protocol. Means
    /// nothing to FOU, but is kept for any port and shown again.
    pub(crate) remcsum_nopartial: bool,
}

/// What follows the UDP header.
#[derive(Clone, Copy)]
pub(crate) enum Encapsulation {
    /// FOU: a packet of this protocol, at once.
    Direct(InnerProtocol),
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
    fn shorten(self, skb: &mut SkBuff, by: usize) -> Result {
        let header = skb.network_header_mut(self.length_field_end())?;
        let field: &mut [u8; 2] = header.last_chunk_mut().ok_or(EINVAL)?;
        let length = u16::from_be_bytes(*field);
        if length != 0 {
            let by = u16::try_from(by).map_err(|_| EINVAL)?;
            *field = length.checked_sub(by).ok_or(EINVAL)?.to_be_bytes();
        }
        Ok(())
    }
}

impl EncapReceive for Decapsulator {
    fn receive(&self, mut skb: SkBuff) -> Verdict {
        match self.encapsulation {
            Encapsulation::Direct(protocol) => {
                match self.decapsulate(&mut skb, udp::HEADER_LEN_BYTES) {
                    Ok(()) => Verdict::Deliver(skb, protocol),
                    Err(reason) => Verdict::Drop(skb, reason),
                }
            }
        }
    }
}

impl Decapsulator {
    /// Takes the first `len` bytes, the outer headers after IP, off the packet.
    fn decapsulate(&self, skb: &mut SkBuff, len: usize) -> Result<(), DropReason> {
        let reason = |error: Error| match error {
            ENOMEM => DropReason::NO_MEMORY,
            _ => DropReason::PACKET_TOO_SMALL,
        };
        skb.header(len).map_err(reason)?;
        self.outer.shorten(skb, len).map_err(reason)?;
        skb.decapsulate(len).map_err(reason)
    }
}
