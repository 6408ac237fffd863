// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: from the socket to the device.

use crate::{
    demux::{Entry, Key, Receiver},
    guard,
    reason::Reason,
};
use gue::{protocol, walk, Device, DeviceNotes, Header, Prefix};
use kernel::prelude::*;
use net::{
    icmp::QuotedPacket,
    ip_proto::{ChecksumPlace, InnerProtocol},
    rcu::RcuReader,
    rx_device::RxError,
    skb::{InnerSkb, OuterSource, OwnedSkb, Refused, RemcsumMode, RxSkb},
    udp,
    udp_tunnel::{EncapReceive, Verdict},
};

/// The flags that devices know. [`guard`] refuses those that they do not act on.
pub(crate) const DIALECT: Device = Device::ALL;

/// The EtherIP header: version 3, and bits that are 0 (RFC 3378).
pub(crate) const ETHER_IP: [u8; 2] = [0x30, 0];

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

/// The payload of a quoted packet.
struct QuotedPayload<'a, 'b>(&'a mut QuotedPacket<'b>);

impl Prefix for QuotedPayload<'_, '_> {
    type Error = Error;

    #[inline]
    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8]> {
        self.0.payload(len_bytes)
    }
}

/// Returns the place of the checksum that a header leaves to the receiver. GUE counts both numbers from the
/// inner packet's first byte, as [`ChecksumPlace`] does.
#[inline]
pub(crate) fn checksum_place(fields: &DeviceNotes) -> Option<ChecksumPlace> {
    fields.remote_checksum().map(|remote| ChecksumPlace {
        start: remote.start(),
        field: remote.offset(),
    })
}

/// Returns a place that counts the EtherIP header as one that does not; `None` if it lies in that header.
#[inline]
pub(crate) fn after_ether_ip(place: ChecksumPlace) -> Option<ChecksumPlace> {
    Some(ChecksumPlace {
        start: place.start.checked_sub(ETHER_IP.len() as u16)?,
        field: place.field.checked_sub(ETHER_IP.len() as u16)?,
    })
}

impl EncapReceive for Receiver {
    #[inline]
    fn receive<const IPV6: bool>(&self, mut skb: RxSkb, rcu: RcuReader<'_>) -> Verdict {
        let header = match walk(&mut Payload(&mut skb), DIALECT) {
            Ok(header) => header,
            Err(error) => return Verdict::Drop(skb, Reason::from(error).number()),
        };
        let group = header.fields().group;
        let device = skb
            .outer_source::<IPV6>()
            .and_then(|source| self.find(Key::of_packet(group, source), rcu));
        let Some(device) = device else {
            return Verdict::Drop(skb, Reason::NoDevice.number());
        };
        match device.receive::<IPV6>(skb, header, rcu) {
            Ok(()) => Verdict::Consumed,
            Err(Dropped::Outer(skb, reason)) => {
                device.count(reason);
                Verdict::Drop(skb, reason.number())
            }
            Err(Dropped::Inner(skb, reason)) => {
                device.count(reason);
                skb.free(reason.number());
                Verdict::Consumed
            }
        }
    }

    fn sent<const IPV6: bool>(&self, quoted: &mut QuotedPacket<'_>, rcu: RcuReader<'_>) -> bool {
        let remote = if IPV6 {
            quoted.destination_v6().map(OuterSource::V6)
        } else {
            quoted.destination_v4().map(OuterSource::V4)
        };
        let (Ok(remote), Ok(header)) = (remote, walk(&mut QuotedPayload(quoted), DIALECT)) else {
            return false;
        };
        let key = Key::of_packet(header.fields().group, remote);
        self.find(key, rcu).is_some()
    }
}

/// A packet that a device drops, before or after its outer headers were pulled.
enum Dropped {
    Outer(RxSkb, Reason),
    Inner(OwnedSkb, Reason),
}

impl Entry {
    /// Receives a packet that is the device's. All checks come before the first change.
    #[inline(always)]
    fn receive<const IPV6: bool>(
        &self,
        mut skb: RxSkb,
        header: Header<DeviceNotes>,
        rcu: RcuReader<'_>,
    ) -> Result<(), Dropped> {
        if IPV6 && !self.accepts_zero_checksum6 && has_zero_checksum(&mut skb) {
            return Err(Dropped::Outer(skb, Reason::ZeroChecksum));
        }
        if self.guard.is_some() || !guard::is_plain(&header.fields()) {
            if let Err(reason) = guard::check::<IPV6>(self.guard.as_ref(), &skb, &header, rcu) {
                return Err(Dropped::Outer(skb, reason));
            }
        }
        if header.is_control() {
            return Err(Dropped::Outer(skb, Reason::Control));
        }
        if self.carries_frames {
            return self.receive_frame::<IPV6>(skb, header);
        }
        let protocol = InnerProtocol::new(header.proto_ctype()).filter(|protocol| protocol.is_ip());
        let Some(protocol) = protocol else {
            return Err(Dropped::Outer(skb, Reason::NotIp));
        };
        let len_bytes = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
        let inner = match checksum_place(&header.fields()) {
            None => decapsulate(skb, len_bytes, protocol)?,
            Some(place) => decapsulate_remcsum(skb, len_bytes, protocol, place)?,
        };
        self.rx
            .receive::<IPV6>(inner)
            .map_err(|(skb, refused)| Dropped::Inner(skb, refused.into()))
    }

    /// Receives a packet whose checks have passed, and that has an EtherIP header (RFC 3378) before its frame.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    fn receive_frame<const IPV6: bool>(
        &self,
        mut skb: RxSkb,
        header: Header<DeviceNotes>,
    ) -> Result<(), Dropped> {
        let protocol = InnerProtocol::new(header.proto_ctype())
            .filter(|protocol| protocol.number() == protocol::ETHER_IP);
        let Some(protocol) = protocol else {
            return Err(Dropped::Outer(skb, Reason::NotEthernet));
        };
        let at = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
        let len_bytes = at.saturating_add(ETHER_IP.len());
        match skb
            .header(len_bytes)
            .map(|bytes| bytes.ends_with(&ETHER_IP))
        {
            Ok(true) => {}
            Ok(false) => return Err(Dropped::Outer(skb, Reason::BadEtherIp)),
            Err(error) => return Err(Dropped::Outer(skb, Reason::of(error, Reason::Truncated))),
        }
        let inner = match checksum_place(&header.fields()) {
            None => decapsulate(skb, len_bytes, protocol)?,
            Some(place) => match after_ether_ip(place) {
                Some(place) => decapsulate_remcsum(skb, len_bytes, protocol, place)?,
                None => return Err(Dropped::Outer(skb, Reason::BadRemcsum)),
            },
        };
        self.rx
            .receive_frame::<IPV6>(inner)
            .map_err(|(skb, refused)| Dropped::Inner(skb, refused.into()))
    }

    /// Counts a packet that the device drops.
    #[cold]
    fn count(&self, reason: Reason) {
        self.rx.count_error(match reason {
            Reason::Truncated => RxError::Length,
            Reason::Ecn => RxError::Frame,
            Reason::ZeroChecksum | Reason::BadRemcsum | Reason::BadChecksum | Reason::BadCrc => {
                RxError::Checksum
            }
            _ => RxError::Other,
        });
    }
}

/// Returns `true` if a packet that begins with its UDP header has a UDP checksum of zero.
#[inline]
fn has_zero_checksum(skb: &mut RxSkb) -> bool {
    skb.header(udp::HEADER_LEN_BYTES)
        .is_ok_and(|header| header.ends_with(&[0, 0]))
}

/// Pulls `len_bytes` bytes of headers.
#[inline(always)]
fn decapsulate(
    mut skb: RxSkb,
    len_bytes: usize,
    protocol: InnerProtocol,
) -> Result<InnerSkb, Dropped> {
    match skb.decapsulate(len_bytes) {
        Ok(()) => Ok(InnerSkb::new(skb, protocol)),
        Err(error) => Err(Dropped::Outer(skb, Reason::of(error, Reason::Truncated))),
    }
}

/// Pulls `len_bytes` bytes of headers, and leaves the checksum at `place` to the packet's receiver.
// Not inlined: other packets should not save registers for it.
#[inline(never)]
fn decapsulate_remcsum(
    skb: RxSkb,
    len_bytes: usize,
    protocol: InnerProtocol,
    place: ChecksumPlace,
) -> Result<InnerSkb, Dropped> {
    skb.decapsulate_with_remote_checksum(len_bytes, protocol, place, RemcsumMode::Partial)
        .map_err(|(skb, error)| Dropped::Outer(skb, Reason::of(error, Reason::BadRemcsum)))
}

impl From<Refused> for Reason {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoIp => Self::NotIp,
            Refused::TooShort => Self::Truncated,
            Refused::Ecn => Self::Ecn,
            Refused::OwnFrame => Self::OwnFrame,
            Refused::NoMemory => Self::NoMemory,
        }
    }
}
