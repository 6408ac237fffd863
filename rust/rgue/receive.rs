// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: from the socket to the device.

use crate::{
    demux::{Entry, Key, Receiver},
    guard::{self, FirstCheck},
    reason::Reason,
};
use gue::{protocol, walk, Device, DeviceNotes, Header, Prefix};
use kernel::prelude::*;
use net::{
    icmp::QuotedPacket,
    ip_proto::{ChecksumPlace, InnerProtocol},
    metadata::RxMetadata,
    rcu::RcuReader,
    rx_device::RxError,
    skb::{AfterUdp, InnerSkb, OuterSource, OwnedSkb, Refused, RemcsumMode, RxSkb},
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

/// Converts a place that is counted from the EtherIP header to one that is counted from the frame after it. Returns
/// `None` if the place lies in the EtherIP header.
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
        let Some(addresses) = skb.outer_addresses::<IPV6>() else {
            return Verdict::Drop(skb, Reason::NoDevice.number());
        };
        let device = source::<IPV6>(addresses)
            .and_then(|source| self.find(Key::of_packet(group, source), rcu));
        let Some(device) = device else {
            return self.receive_external::<IPV6>(skb, &header, rcu);
        };
        if device.refuses_checksum::<IPV6>(&skb) {
            return device.dropped(Dropped::Outer(skb, Reason::ZeroChecksum));
        }
        let glance = device.guard.glance(&skb, &header, addresses, rcu);
        match device.receive::<IPV6, ()>(skb, &header, glance, rcu) {
            Ok(()) => Verdict::Consumed,
            Err(dropped) => device.dropped(dropped),
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
        self.find(key, rcu)
            .or_else(|| self.find_external(rcu))
            .is_some()
    }
}

/// Returns the first of the outer addresses.
#[inline(always)]
fn source<const IPV6: bool>(addresses: &[u8]) -> Option<OuterSource> {
    Some(if IPV6 {
        OuterSource::V6(*addresses.first_chunk()?)
    } else {
        OuterSource::V4(*addresses.first_chunk()?)
    })
}

/// A packet that a device drops, before or after its outer headers were pulled.
pub(crate) enum Dropped {
    Outer(RxSkb, Reason),
    Inner(OwnedSkb, Reason),
    /// The packet was freed.
    Freed(Reason),
}

/// The values of the outer headers that a device passes on with the inner packet.
pub(crate) trait Metadata: Sized {
    /// The device joins fragments. A device that passes on outer headers joins none, because each fragment has outer
    /// headers of its own.
    const JOINS_FRAGMENTS: bool;

    /// Reads the values of a packet that begins with its UDP header.
    fn of<const IPV6: bool>(skb: &RxSkb, header: &Header<DeviceNotes>) -> Result<Self>;

    /// Returns the metadata to attach to the inner packet.
    fn attached(self) -> Option<RxMetadata>;
}

/// No values: the device itself stands for its remote address and its group.
impl Metadata for () {
    const JOINS_FRAGMENTS: bool = true;

    #[inline(always)]
    fn of<const IPV6: bool>(_skb: &RxSkb, _header: &Header<DeviceNotes>) -> Result {
        Ok(())
    }

    #[inline(always)]
    fn attached(self) -> Option<RxMetadata> {
        None
    }
}

impl Metadata for RxMetadata {
    const JOINS_FRAGMENTS: bool = false;

    fn of<const IPV6: bool>(skb: &RxSkb, header: &Header<DeviceNotes>) -> Result<Self> {
        let len_bytes = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
        let bytes = skb.linear_header(len_bytes).unwrap_or_default();
        // Variant 1 has no header.
        let view = header.view(bytes.get(udp::HEADER_LEN_BYTES..).unwrap_or_default());
        let surplus = view.map_or(&[][..], |view| view.surplus());
        Self::new::<IPV6>(skb, header.fields().group, surplus)
    }

    fn attached(self) -> Option<RxMetadata> {
        Some(self)
    }
}

impl Receiver {
    /// Gives a packet for which [`Self::find`] found no device to the external device, if there is one.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    fn receive_external<const IPV6: bool>(
        &self,
        skb: RxSkb,
        header: &Header<DeviceNotes>,
        rcu: RcuReader<'_>,
    ) -> Verdict {
        let Some(device) = self.find_external(rcu) else {
            return Verdict::Drop(skb, Reason::NoDevice.number());
        };
        if device.refuses_checksum::<IPV6>(&skb) {
            return device.dropped(Dropped::Outer(skb, Reason::ZeroChecksum));
        }
        let glance = skb
            .outer_addresses::<IPV6>()
            .map_or(FirstCheck::Unknown, |addresses| {
                device.guard.glance(&skb, header, addresses, rcu)
            });
        match device.receive::<IPV6, RxMetadata>(skb, header, glance, rcu) {
            Ok(()) => Verdict::Consumed,
            Err(dropped) => device.dropped(dropped),
        }
    }
}

impl Entry {
    /// Counts a packet that the device drops. Frees the packet, or returns a verdict that makes UDP free it.
    #[inline(always)]
    fn dropped(&self, dropped: Dropped) -> Verdict {
        match dropped {
            Dropped::Outer(skb, reason) => {
                self.count(reason);
                Verdict::Drop(skb, reason.number())
            }
            Dropped::Inner(skb, reason) => {
                self.count(reason);
                skb.free(reason.number());
                Verdict::Consumed
            }
            Dropped::Freed(reason) => {
                self.count(reason);
                Verdict::Consumed
            }
        }
    }

    /// Returns `true` if the device refuses the packet for a UDP checksum of zero over IPv6. The packet begins with its
    /// UDP header, which is linear because the GUE header was walked.
    #[inline(always)]
    fn refuses_checksum<const IPV6: bool>(&self, skb: &RxSkb) -> bool {
        IPV6 && !self.accepts_zero_checksum6
            && skb
                .linear_array::<{ udp::HEADER_LEN_BYTES }>(0)
                .is_some_and(|udp| udp.ends_with(&[0, 0]))
    }

    /// Receives a packet for the device. If `glance` decides nothing, the device's [`Guard`](guard::Guard) checks the
    /// packet here. All of the guard's checks come before the first change to the packet.
    #[inline(always)]
    fn receive<const IPV6: bool, M: Metadata>(
        &self,
        skb: RxSkb,
        header: &Header<DeviceNotes>,
        glance: FirstCheck,
        rcu: RcuReader<'_>,
    ) -> Result<(), Dropped> {
        let mut after_udp = AfterUdp::Unknown;
        if let FirstCheck::Passes(known) = glance {
            after_udp = known;
        } else if let FirstCheck::Hashed(Some(checked)) = glance {
            if let Err(reason) = checked {
                return Err(Dropped::Outer(skb, reason));
            }
            after_udp = AfterUdp::Long;
        } else {
            // Neither control messages nor fragments pass at a glance.
            if header.is_control() {
                return self
                    .receive_control::<IPV6>(skb, header, rcu)
                    .map_err(|(skb, reason)| Dropped::Outer(skb, reason));
            }
            if let Err(reason) = guard::check::<IPV6>(&self.guard, &skb, header, rcu) {
                return Err(Dropped::Outer(skb, reason));
            }
            // After the check, so that only authentic fragments take memory.
            if guard::is_fragment(&header.fields()) {
                if !M::JOINS_FRAGMENTS {
                    return Err(Dropped::Outer(skb, Reason::FragmentExternal));
                }
                return self.receive_fragment::<IPV6>(skb, header, rcu);
            }
        }
        let metadata = match M::of::<IPV6>(&skb, header) {
            Ok(metadata) => metadata,
            Err(error) => return Err(Dropped::Outer(skb, Reason::of(error, Reason::Truncated))),
        };
        let at = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
        let place = checksum_place(&header.fields());
        self.deliver::<IPV6, M>(skb, at, after_udp, header.proto_ctype(), place, metadata)
    }

    /// Gives a packet that has passed its checks to the device. The payload begins after `at` bytes, and is a packet of
    /// `proto`. The sender leaves the checksum at `place` to the receiver. `after_udp` tells what is known about the
    /// GUE header.
    #[inline(always)]
    pub(crate) fn deliver<const IPV6: bool, M: Metadata>(
        &self,
        skb: RxSkb,
        at: usize,
        after_udp: AfterUdp,
        proto: u8,
        place: Option<ChecksumPlace>,
        metadata: M,
    ) -> Result<(), Dropped> {
        if self.carries_frames {
            return self.receive_frame::<IPV6, M>(skb, at, proto, place, metadata);
        }
        let Some(protocol) = ip(proto) else {
            return Err(Dropped::Outer(skb, Reason::NotIp));
        };
        let inner = match place {
            None => decapsulate(skb, at, after_udp, protocol)?,
            Some(place) => decapsulate_remcsum(skb, at, protocol, place)?,
        };
        self.rx
            .receive_with::<IPV6>(inner, metadata.attached())
            .map_err(|(skb, refused)| Dropped::Inner(skb, refused.into()))
    }

    /// Receives a packet that has passed its checks, and has an EtherIP header (RFC 3378) before its frame.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    fn receive_frame<const IPV6: bool, M: Metadata>(
        &self,
        mut skb: RxSkb,
        at: usize,
        proto: u8,
        place: Option<ChecksumPlace>,
        metadata: M,
    ) -> Result<(), Dropped> {
        let Some(protocol) = ether_ip(proto) else {
            return Err(Dropped::Outer(skb, Reason::NotEthernet));
        };
        let len_bytes = match ether_ip_end(&mut skb, at) {
            Ok(len_bytes) => len_bytes,
            Err(reason) => return Err(Dropped::Outer(skb, reason)),
        };
        let inner = match place {
            None => decapsulate(skb, len_bytes, AfterUdp::Unknown, protocol)?,
            Some(place) => match after_ether_ip(place) {
                Some(place) => decapsulate_remcsum(skb, len_bytes, protocol, place)?,
                None => return Err(Dropped::Outer(skb, Reason::BadRemcsum)),
            },
        };
        self.rx
            .receive_frame_with::<IPV6>(inner, metadata.attached())
            .map_err(|(skb, refused)| Dropped::Inner(skb, refused.into()))
    }

    /// Gives a decapsulated packet, which is of a protocol that the device carries, to the device.
    pub(crate) fn receive_inner<const IPV6: bool>(&self, inner: InnerSkb) -> Result<(), Dropped> {
        let received = if self.carries_frames {
            self.rx.receive_frame::<IPV6>(inner)
        } else {
            self.rx.receive::<IPV6>(inner)
        };
        received.map_err(|(skb, refused)| Dropped::Inner(skb, refused.into()))
    }

    /// Counts a packet that the device drops.
    #[cold]
    fn count(&self, reason: Reason) {
        self.rx.count_error(match reason {
            Reason::Truncated
            | Reason::FragmentEmpty
            | Reason::FragmentUnaligned
            | Reason::FragmentTooLong => RxError::Length,
            Reason::Ecn | Reason::FragmentEcn => RxError::Frame,
            Reason::ZeroChecksum | Reason::BadRemcsum | Reason::BadChecksum | Reason::BadCrc => {
                RxError::Checksum
            }
            _ => RxError::Other,
        });
    }
}

/// Returns a protocol that a device with `mode ip` carries; `None` for others.
#[inline(always)]
pub(crate) fn ip(proto: u8) -> Option<InnerProtocol> {
    InnerProtocol::new(proto).filter(|protocol| protocol.is_ip())
}

/// Returns the protocol that a device with `mode ethernet` carries; `None` for others.
pub(crate) fn ether_ip(proto: u8) -> Option<InnerProtocol> {
    (proto == protocol::ETHER_IP).then_some(InnerProtocol::ETHERNET)
}

/// Returns the end of the EtherIP header that begins after `at` bytes.
pub(crate) fn ether_ip_end(skb: &mut RxSkb, at: usize) -> Result<usize, Reason> {
    let end = at.saturating_add(ETHER_IP.len());
    match skb.header(end).map(|bytes| bytes.ends_with(&ETHER_IP)) {
        Ok(true) => Ok(end),
        Ok(false) => Err(Reason::BadEtherIp),
        Err(error) => Err(Reason::of(error, Reason::Truncated)),
    }
}

/// Pulls `len_bytes` bytes of headers. `after_udp` tells what is known about the headers after UDP's.
#[inline(always)]
fn decapsulate(
    mut skb: RxSkb,
    len_bytes: usize,
    after_udp: AfterUdp,
    protocol: InnerProtocol,
) -> Result<InnerSkb, Dropped> {
    match skb.decapsulate_knowing(len_bytes, after_udp) {
        Ok(_) => Ok(InnerSkb::new(skb, protocol)),
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
        .map(|(inner, _)| inner)
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
