// SPDX-License-Identifier: GPL-2.0

//! Packets on their way in: from the socket to the device, and their GRO.

use crate::header::{check_options, Header, OptionError, BASE_LEN_BYTES};
use kernel::prelude::*;
use net::{
    gro::{GroTunnel, Handlers, NoMerge, Packet},
    icmp::QuotedPacket,
    ip_proto::InnerProtocol,
    rcu::RcuReader,
    rcu_table::{self, RcuTable},
    rx_device::{RxDevice, RxError},
    skb::{InnerSkb, OuterSource, Refused, RxSkb},
    udp,
    udp_tunnel::{EncapReceive, Verdict},
    DropReason,
};

/// The packets of a device: their virtual network, and their outer source address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    vni: u32,
    // A socket has addresses of one IP version.
    remote: u128,
}

impl Key {
    #[inline]
    pub(crate) fn new(vni: u32, source: OuterSource) -> Self {
        let remote = match source {
            OuterSource::V4(address) => u32::from_ne_bytes(address).into(),
            OuterSource::V6(address) => u128::from_ne_bytes(address),
        };
        Self { vni, remote }
    }
}

impl rcu_table::Key for Key {
    #[inline]
    fn hash(&self) -> u64 {
        let (low, high) = (self.remote as u64, (self.remote >> 64) as u64);
        u64::from(self.vni) << 32 ^ low ^ high.rotate_left(16)
    }
}

/// A device that is up.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) rx: RxDevice,
    /// Packets over IPv6 may have a UDP checksum of zero.
    pub(crate) accepts_zero_checksum6: bool,
}

/// The receive side of a socket.
#[pin_data]
pub(crate) struct Receiver {
    /// The devices that are up.
    #[pin]
    pub(crate) devices: RcuTable<Key, Entry>,
}

/// The reason why a device drops a packet, and how it counts the packet.
type Refusal = (DropReason, RxError);

impl Receiver {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            devices <- RcuTable::new(),
        }? Error)
    }
}

impl EncapReceive for Receiver {
    #[inline]
    fn receive<const IPV6: bool>(&self, mut skb: RxSkb, rcu: RcuReader<'_>) -> Verdict {
        let header = match read(&mut skb) {
            Ok(header) => header,
            Err((reason, _)) => return Verdict::Drop(skb, reason),
        };
        let device = skb
            .outer_source::<IPV6>()
            .and_then(|source| self.devices.find(&Key::new(header.vni(), source), rcu));
        let Some(device) = device else {
            return Verdict::Drop(skb, DropReason::NO_SOCKET);
        };
        let len = udp::HEADER_LEN_BYTES + header.len_bytes();
        let checked = device
            .check::<IPV6>(&mut skb, &header)
            .and_then(|()| skb.decapsulate(len).map_err(refusal));
        if let Err((reason, counter)) = checked {
            device.rx.count_error(counter);
            return Verdict::Drop(skb, reason);
        }
        let inner = InnerSkb::new(skb, InnerProtocol::ETHERNET);
        if let Err((skb, refused)) = device.rx.receive_frame::<IPV6>(inner) {
            let (reason, counter) = refused_frame(refused);
            device.rx.count_error(counter);
            skb.free(reason);
        }
        Verdict::Consumed
    }

    fn sent<const IPV6: bool>(&self, quoted: &mut QuotedPacket<'_>, rcu: RcuReader<'_>) -> bool {
        let remote = if IPV6 {
            quoted.destination_v6().map(OuterSource::V6)
        } else {
            quoted.destination_v4().map(OuterSource::V4)
        };
        let header = quoted.payload(BASE_LEN_BYTES).map(Header::read);
        match (remote, header) {
            (Ok(remote), Ok(Some(header))) if header.is_of_known_version() => self
                .devices
                .find(&Key::new(header.vni(), remote), rcu)
                .is_some(),
            _ => false,
        }
    }
}

impl GroTunnel for Receiver {
    const HANDLERS: Handlers = Handlers::OfDevice;

    // GRO merges only packets with equal headers, so all segments of a merged packet belong to one device.
    #[inline]
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        let header = Header::read(packet.header(BASE_LEN_BYTES)?).ok_or(NoMerge)?;
        if !header.is_of_known_version()
            || header.is_control()
            || header.has_critical_option()
            || !header.carries_ethernet()
        {
            return Err(NoMerge);
        }
        packet.pull_header(header.len_bytes())?;
        Ok(InnerProtocol::ETHERNET)
    }
}

impl Entry {
    /// Checks a packet before its headers are pulled.
    #[inline]
    fn check<const IPV6: bool>(&self, skb: &mut RxSkb, header: &Header) -> Result<(), Refusal> {
        if IPV6 && !self.accepts_zero_checksum6 {
            let udp = skb.header(udp::HEADER_LEN_BYTES).map_err(refusal)?;
            if udp.ends_with(&[0, 0]) {
                return Err((DropReason::UDP_CSUM, RxError::Checksum));
            }
        }
        if header.is_control() || !header.carries_ethernet() {
            return Err((DropReason::UNHANDLED_PROTO, RxError::Other));
        }
        if header.has_critical_option() {
            let len = udp::HEADER_LEN_BYTES + header.len_bytes();
            let options = skb.header(len).map_err(refusal)?;
            let options = options.get(udp::HEADER_LEN_BYTES + BASE_LEN_BYTES..);
            return check_options(options.unwrap_or_default()).map_err(|error| match error {
                OptionError::Truncated => (DropReason::INVALID_PROTO, RxError::Length),
                OptionError::Critical => (DropReason::UNHANDLED_PROTO, RxError::Frame),
            });
        }
        Ok(())
    }
}

/// Reads the header of a packet that begins with its UDP header.
#[inline]
fn read(skb: &mut RxSkb) -> Result<Header, Refusal> {
    let bytes = skb
        .header(udp::HEADER_LEN_BYTES + BASE_LEN_BYTES)
        .map_err(refusal)?;
    bytes
        .get(udp::HEADER_LEN_BYTES..)
        .and_then(Header::read)
        .filter(Header::is_of_known_version)
        .ok_or((DropReason::INVALID_PROTO, RxError::Frame))
}

/// Returns the refusal for an error of a pull.
#[cold]
fn refusal(error: Error) -> Refusal {
    match error {
        ENOMEM => (DropReason::NOMEM, RxError::Other),
        _ => (DropReason::PKT_TOO_SMALL, RxError::Length),
    }
}

/// Returns the refusal for a frame that a device does not take.
#[cold]
fn refused_frame(refused: Refused) -> Refusal {
    match refused {
        Refused::TooShort => (DropReason::PKT_TOO_SMALL, RxError::Length),
        Refused::Ecn => (DropReason::IP_TUNNEL_ECN, RxError::Frame),
        Refused::OwnFrame => (DropReason::RECURSION_LIMIT, RxError::Other),
        Refused::NoIp => (DropReason::UNHANDLED_PROTO, RxError::Other),
        Refused::NoMemory => (DropReason::NOMEM, RxError::Other),
    }
}
