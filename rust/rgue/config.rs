// SPDX-License-Identifier: GPL-2.0

//! The configuration of a device: read from a request, checked, and shown.

pub(crate) mod attr;

use gue::header;
use kernel::prelude::*;
use net::errno::{EOPNOTSUPP, EPFNOSUPPORT};
use net::{
    ecn,
    netdev::{Dimensions, NetDevice},
    netlink::NlAttr,
    rcu::RcuReader,
    route::{self, Flow, IpVersion, Ipv4, Ipv6, Route},
    rtnl_link::{LinkInfo, LinkRequest, NewLink},
    udp::{self, Checksum, PortNumber, Ports},
    udp_tunnel::{Addresses, Binding},
    Netns,
};

/// The configuration of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// The group that the device's packets belong to.
    pub(crate) group: Option<u32>,
    /// The outer addresses. A local address that is zero is chosen by routing; a peer that is zero is any.
    pub(crate) addresses: Addresses,
    /// The index of the device that the outer packets leave by, or 0.
    pub(crate) link: u32,
    /// The UDP port that the device receives from.
    pub(crate) port: PortNumber,
    /// The UDP port that the device sends to.
    pub(crate) destination_port: PortNumber,
    pub(crate) source_port: SourcePort,
    pub(crate) variant: Variant,
    pub(crate) ttl: Inherit,
    /// DSCP; the two bits of ECN are 0.
    pub(crate) tos: Inherit,
    pub(crate) df: Df,
    /// The flow label of IPv6, in host order.
    pub(crate) flow_label: u32,
    /// The UDP checksum of packets over IPv4.
    pub(crate) checksum4: Checksum,
    /// The UDP checksum of packets over IPv6.
    pub(crate) checksum6: Checksum,
    /// Packets with a UDP checksum of zero over IPv6 are accepted.
    pub(crate) accepts_zero_checksum6: bool,
    pub(crate) remcsum: Remcsum,
}

/// The UDP port that the device sends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourcePort {
    /// This one.
    Fixed(PortNumber),
    /// From the hash of the inner flow: one of the namespace's local ports, or of this range.
    Flow(Option<(PortNumber, PortNumber)>),
}

/// The form of the packets that the device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// With a header.
    Zero,
    /// IP directly in UDP.
    One,
}

/// A field of the outer IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inherit {
    /// From the inner IP header.
    Inner,
    /// This value.
    Value(u8),
}

/// The "don't fragment" bit of the outer IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Df {
    Unset,
    Set,
    /// Set if it is set in an inner IPv4 header; set for inner IPv6, whose packets routers do not fragment.
    Inherit,
}

/// The form in which the device leaves inner checksums to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remcsum {
    Off,
    /// Flag R (gue-extensions-06 §5.5).
    Draft,
    /// Linux's private flag.
    Linux,
}

/// The MTU of links whose MTU is unknown, in bytes.
const DEFAULT_MTU: u32 = 1500;

impl Config {
    /// Reads a request for a new device.
    pub(crate) fn read(request: &NewLink<'_>) -> Result<Self> {
        refuse_unsupported(request)?;
        let mut config = Self {
            group: None,
            addresses: read_remote(request)?,
            link: 0,
            port: PortNumber::from_be_bytes(gue::UDP_PORT.to_be_bytes()),
            destination_port: PortNumber::from_be_bytes(gue::UDP_PORT.to_be_bytes()),
            source_port: SourcePort::Flow(None),
            variant: Variant::Zero,
            ttl: Inherit::Value(0),
            tos: Inherit::Value(0),
            df: Df::Unset,
            flow_label: 0,
            checksum4: Checksum::Zero,
            checksum6: Checksum::Full,
            accepts_zero_checksum6: false,
            remcsum: Remcsum::Off,
        };
        config.apply(request)?;
        if request.attr(attr::PORT).is_none() {
            config.port = config.destination_port;
        }
        if config.link != 0 && NetDevice::by_index(request.link_net(), config.link).is_none() {
            return Err(request.refuse(
                ENODEV,
                c"the device of dev does not exist",
                request.attr(attr::LINK),
            ));
        }
        Ok(config)
    }

    /// Returns this configuration with the changes that a request asks for.
    pub(crate) fn changed(&self, request: &LinkRequest<'_>) -> Result<Self> {
        refuse_unsupported(request)?;
        let mut new = *self;
        if request.attr(attr::REMOTE).is_some() || request.attr(attr::REMOTE6).is_some() {
            new.addresses = read_remote(request)?;
            if request.attr(attr::LOCAL).is_none() && request.attr(attr::LOCAL6).is_none() {
                new.addresses = with_local_of(new.addresses, self.addresses);
            }
        }
        new.apply(request)?;
        for (differs, attrtype, text) in [
            (new.group != self.group, attr::ID, c"id cannot be changed"),
            (
                new.addresses.is_ipv6() != self.addresses.is_ipv6()
                    || new.remote() != self.remote(),
                if new.addresses.is_ipv6() {
                    attr::REMOTE6
                } else {
                    attr::REMOTE
                },
                c"remote cannot be changed",
            ),
            (
                new.addresses != self.addresses,
                if new.addresses.is_ipv6() {
                    attr::LOCAL6
                } else {
                    attr::LOCAL
                },
                c"local cannot be changed",
            ),
            (new.link != self.link, attr::LINK, c"dev cannot be changed"),
            (new.port != self.port, attr::PORT, c"port cannot be changed"),
        ] {
            if differs {
                return Err(request.refuse(EOPNOTSUPP, text, request.attr(attrtype)));
            }
        }
        Ok(new)
    }

    /// Applies the attributes of a request, but for the remote address.
    fn apply(&mut self, request: &LinkRequest<'_>) -> Result {
        if let Some(at) = request.attr(attr::ID) {
            self.group = Some(at.get()?);
        }
        self.apply_local(request)?;
        if let Some(at) = request.attr(attr::LINK) {
            self.link = at.get()?;
        }
        self.apply_ports(request)?;
        self.apply_ip_fields(request)?;
        self.apply_checksums(request)?;
        self.check(request)
    }

    fn apply_local(&mut self, request: &LinkRequest<'_>) -> Result {
        let at = match (request.attr(attr::LOCAL), request.attr(attr::LOCAL6)) {
            (None, None) => return Ok(()),
            (Some(_), Some(at)) => {
                return Err(request.refuse(EINVAL, c"local can be given once", Some(at)))
            }
            (Some(at), None) | (None, Some(at)) => at,
        };
        match &mut self.addresses {
            Addresses::V4 { local, .. } if request.attr(attr::LOCAL).is_some() => {
                *local = at.get()?
            }
            Addresses::V6 { local, .. } if request.attr(attr::LOCAL6).is_some() => {
                *local = at.get()?
            }
            _ => {
                return Err(request.refuse(
                    EINVAL,
                    c"local and remote must be of the same IP version",
                    Some(at),
                ))
            }
        }
        let refused = match self.addresses {
            Addresses::V4 { local, .. } if !is_unicast4(local) => {
                c"local must be a unicast address"
            }
            Addresses::V6 { local, .. } if local[0] == 0xff => c"local must be a unicast address",
            Addresses::V6 { local, .. } if is_link_local(local) => {
                c"local must not be a link-local address"
            }
            Addresses::V6 { local, .. } if is_ipv4_mapped(local) => {
                c"local must not be an IPv4-mapped address"
            }
            _ => return Ok(()),
        };
        Err(request.refuse(EINVAL, refused, Some(at)))
    }

    fn apply_ports(&mut self, request: &LinkRequest<'_>) -> Result {
        if let Some(at) = request.attr(attr::PORT) {
            self.port = specific(request, at, c"port must not be 0")?;
        }
        if let Some(at) = request.attr(attr::DPORT) {
            self.destination_port = specific(request, at, c"dport must not be 0")?;
        }
        if let Some(at) = request.attr(attr::SPORT_RANGE) {
            let [l0, l1, h0, h1] = at.get()?;
            let low = PortNumber::from_be_bytes([l0, l1]);
            let high = PortNumber::from_be_bytes([h0, h1]);
            if low.specific().is_none() || low > high {
                return Err(request.refuse(
                    EINVAL,
                    c"srcport must be a range of ports, from 1 on",
                    Some(at),
                ));
            }
            self.source_port = SourcePort::Flow(Some((low, high)));
        }
        if let Some(at) = request.attr(attr::SPORT) {
            let port = PortNumber::from_be_bytes(at.get()?);
            if port.specific().is_some() {
                if request.attr(attr::SPORT_RANGE).is_some() {
                    return Err(request.refuse(
                        EINVAL,
                        c"sport and srcport exclude each other",
                        Some(at),
                    ));
                }
                self.source_port = SourcePort::Fixed(port);
            } else if request.attr(attr::SPORT_RANGE).is_none() {
                self.source_port = SourcePort::Flow(None);
            }
        }
        Ok(())
    }

    fn apply_ip_fields(&mut self, request: &LinkRequest<'_>) -> Result {
        self.ttl = inherit(
            request,
            self.ttl,
            (attr::TTL, attr::TTL_INHERIT),
            c"a ttl and ttl inherit exclude each other",
        )?;
        self.tos = inherit(
            request,
            self.tos,
            (attr::TOS, attr::TOS_INHERIT),
            c"a tos and tos inherit exclude each other",
        )?;
        if matches!(self.tos, Inherit::Value(tos) if tos & ecn::MASK != 0) {
            return Err(request.refuse(
                EINVAL,
                c"the two bits of ECN in tos must be 0",
                request.attr(attr::TOS),
            ));
        }
        if let Some(at) = request.attr(attr::DF) {
            self.df = match at.get::<u8>()? {
                0 => Df::Unset,
                1 => Df::Set,
                2 => Df::Inherit,
                _ => {
                    return Err(request.refuse(
                        EINVAL,
                        c"df must be 0 (unset), 1 (set) or 2 (inherit)",
                        Some(at),
                    ))
                }
            };
        }
        if let Some(at) = request.attr(attr::FLOWLABEL) {
            self.flow_label = u32::from_be_bytes(at.get()?);
            if self.flow_label > FLOW_LABEL_MAX {
                return Err(request.refuse(EINVAL, c"flowlabel has 20 bits", Some(at)));
            }
            if self.flow_label != 0 && !self.addresses.is_ipv6() {
                return Err(request.refuse(EINVAL, c"flowlabel needs an IPv6 remote", Some(at)));
            }
        }
        Ok(())
    }

    fn apply_checksums(&mut self, request: &LinkRequest<'_>) -> Result {
        if let Some(on) = boolean(request, attr::UDP_CSUM, c"udpcsum must be 0 or 1")? {
            self.checksum4 = if on { Checksum::Full } else { Checksum::Zero };
        }
        if let Some(zero) = boolean(
            request,
            attr::UDP_ZERO_CSUM6_TX,
            c"udp6zerocsumtx must be 0 or 1",
        )? {
            self.checksum6 = if zero { Checksum::Zero } else { Checksum::Full };
        }
        if let Some(zero) = boolean(
            request,
            attr::UDP_ZERO_CSUM6_RX,
            c"udp6zerocsumrx must be 0 or 1",
        )? {
            self.accepts_zero_checksum6 = zero;
        }
        if let Some(at) = request.attr(attr::VARIANT) {
            self.variant = match at.get::<u8>()? {
                0 => Variant::Zero,
                1 => Variant::One,
                _ => return Err(request.refuse(EINVAL, c"variant must be 0 or 1", Some(at))),
            };
        }
        if let Some(at) = request.attr(attr::REMCSUM) {
            self.remcsum = match at.get::<u8>()? {
                0 => Remcsum::Off,
                1 => Remcsum::Draft,
                2 => Remcsum::Linux,
                _ => {
                    return Err(request.refuse(
                        EINVAL,
                        c"remcsum must be 0 (off), 1 (flag R) or 2 (Linux's form)",
                        Some(at),
                    ))
                }
            };
        }
        Ok(())
    }

    /// Checks attributes against each other.
    fn check(&self, request: &LinkRequest<'_>) -> Result {
        if self.variant == Variant::One {
            let (attrtype, text) = if self.group.is_some() {
                (attr::ID, c"variant 1 has no header for an id")
            } else if self.remcsum != Remcsum::Off {
                (attr::REMCSUM, c"variant 1 has no header for remcsum")
            } else {
                return Ok(());
            };
            let at = request.attr(attrtype).or(request.attr(attr::VARIANT));
            return Err(request.refuse(EINVAL, text, at));
        }
        Ok(())
    }

    /// Returns the binding of the device's socket.
    pub(crate) fn binding(&self, netns: &Netns) -> Binding {
        let mut addresses = self.addresses;
        match &mut addresses {
            Addresses::V4 { peer, .. } => *peer = [0; 4],
            Addresses::V6 { peer, .. } => *peer = [0; 16],
        }
        Binding {
            addresses,
            local_port: self.port,
            peer_port: PortNumber::ANY,
            ifindex: self.vrf(netns),
        }
    }

    /// Returns the index of the VRF of the device that outer packets come by, or 0.
    pub(crate) fn vrf(&self, netns: &Netns) -> i32 {
        if self.link == 0 {
            return 0;
        }
        NetDevice::vrf_of(netns, self.link)
    }

    /// Returns the length of the longest header that the device pushes after UDP, in bytes.
    pub(crate) fn gue_len_bytes(&self) -> usize {
        if self.variant == Variant::One {
            return 0;
        }
        let group = if self.group.is_some() { 4 } else { 0 };
        group
            + match self.remcsum {
                Remcsum::Off => header::BASE_LEN_BYTES,
                Remcsum::Draft => header::BASE_LEN_BYTES + 4,
                Remcsum::Linux => header::REMOTE_CHECKSUM_LEN_BYTES,
            }
    }

    /// Returns the length of all headers that the device pushes, in bytes.
    pub(crate) fn overhead_bytes(&self) -> usize {
        let ip = if self.addresses.is_ipv6() { 40 } else { 20 };
        ip + udp::HEADER_LEN_BYTES + self.gue_len_bytes()
    }

    /// Returns the sizes of a device. May sleep.
    pub(crate) fn dimensions(&self, netns: &Netns) -> Dimensions {
        // No overflow: the overhead is less than a hundred bytes.
        let overhead = self.overhead_bytes() as u32;
        let (mtu, headroom) = self.underlay(netns).unwrap_or((DEFAULT_MTU, 0));
        let max_mtu = u32::from(u16::MAX) - overhead;
        Dimensions {
            mtu: mtu.saturating_sub(overhead).clamp(MIN_MTU, max_mtu),
            max_mtu,
            headroom: u16::try_from(headroom.saturating_add(overhead)).unwrap_or(u16::MAX),
        }
    }

    /// Returns the MTU below the device, and the bytes that a packet needs there before its IP header: of
    /// the route to the other end, else of the device that the link is bound to.
    fn underlay(&self, netns: &Netns) -> Option<(u32, u32)> {
        let route = match self.addresses {
            _ if self.remote_is_any() => None,
            Addresses::V4 { local, peer } => self.sizes_of_route::<Ipv4>(netns, local, peer),
            Addresses::V6 { local, peer } => self.sizes_of_route::<Ipv6>(netns, local, peer),
        };
        route.or_else(|| {
            // Index 0 is of no device.
            NetDevice::by_index(netns, self.link).map(|dev| (dev.mtu(), dev.headroom()))
        })
    }

    fn sizes_of_route<V: IpVersion>(
        &self,
        netns: &Netns,
        source: V::Address,
        destination: V::Address,
    ) -> Option<(u32, u32)> {
        let flow = Flow {
            source,
            destination,
            ports: Ports {
                source: PortNumber::ANY,
                destination: self.destination_port,
            },
            tos: 0,
            flow_label: self.flow_label,
            mark: 0,
            link: self.link,
        };
        let route = Route::<V>::look_up(netns, &flow).ok()?;
        Some(RcuReader::with(|rcu| {
            (route.hop_mtu(rcu), route.headroom(rcu))
        }))
    }

    /// Returns `true` if the device has no remote address to send to.
    pub(crate) fn remote_is_any(&self) -> bool {
        self.remote() == [0; 16]
    }

    fn remote(&self) -> [u8; 16] {
        match self.addresses {
            Addresses::V4 { peer, .. } => {
                let mut address = [0; 16];
                address[..4].copy_from_slice(&peer);
                address
            }
            Addresses::V6 { peer, .. } => peer,
        }
    }

    /// Writes the configuration to a message.
    pub(crate) fn show(&self, info: &mut LinkInfo<'_>) -> Result {
        if let Some(group) = self.group {
            info.put_u32(attr::ID, group)?;
        }
        match self.addresses {
            Addresses::V4 { local, peer } => {
                info.put_bytes(attr::REMOTE, &peer)?;
                if local != [0; 4] {
                    info.put_bytes(attr::LOCAL, &local)?;
                }
            }
            Addresses::V6 { local, peer } => {
                info.put_bytes(attr::REMOTE6, &peer)?;
                if local != [0; 16] {
                    info.put_bytes(attr::LOCAL6, &local)?;
                }
            }
        }
        if self.link != 0 {
            info.put_u32(attr::LINK, self.link)?;
        }
        info.put_bytes(attr::PORT, &self.port.to_be_bytes())?;
        info.put_bytes(attr::DPORT, &self.destination_port.to_be_bytes())?;
        let (port, range) = match self.source_port {
            SourcePort::Fixed(port) => (port, None),
            SourcePort::Flow(range) => (PortNumber::ANY, range),
        };
        info.put_bytes(attr::SPORT, &port.to_be_bytes())?;
        if let Some((low, high)) = range {
            let ([l0, l1], [h0, h1]) = (low.to_be_bytes(), high.to_be_bytes());
            info.put_bytes(attr::SPORT_RANGE, &[l0, l1, h0, h1])?;
        }
        info.put_u8(attr::MODE, 0)?;
        info.put_u8(attr::VARIANT, (self.variant == Variant::One).into())?;
        for (field, value, inherit) in [
            (self.ttl, attr::TTL, attr::TTL_INHERIT),
            (self.tos, attr::TOS, attr::TOS_INHERIT),
        ] {
            let (number, inherited) = match field {
                Inherit::Inner => (0, true),
                Inherit::Value(number) => (number, false),
            };
            info.put_u8(value, number)?;
            info.put_u8(inherit, inherited.into())?;
        }
        info.put_u8(attr::DF, self.df as u8)?;
        info.put_bytes(attr::FLOWLABEL, &self.flow_label.to_be_bytes())?;
        info.put_u8(attr::UDP_CSUM, (self.checksum4 == Checksum::Full).into())?;
        info.put_u8(
            attr::UDP_ZERO_CSUM6_TX,
            (self.checksum6 == Checksum::Zero).into(),
        )?;
        info.put_u8(attr::UDP_ZERO_CSUM6_RX, self.accepts_zero_checksum6.into())?;
        info.put_u8(attr::REMCSUM, self.remcsum as u8)
    }
}

/// The greatest flow label (RFC 8200).
const FLOW_LABEL_MAX: u32 = 0xf_ffff;

/// The least MTU of a device that carries IP (RFC 791), in bytes.
const MIN_MTU: u32 = 68;

/// Refuses options of later versions.
fn refuse_unsupported(request: &LinkRequest<'_>) -> Result {
    let external = request.attr(attr::EXTERNAL);
    if external.is_some() {
        return Err(request.refuse(EOPNOTSUPP, c"external is not supported", external));
    }
    if let Some(at) = request.attr(attr::MODE) {
        match at.get::<u8>()? {
            0 => {}
            1 => {
                return Err(request.refuse(EOPNOTSUPP, c"mode ethernet is not supported", Some(at)))
            }
            _ => {
                return Err(request.refuse(
                    EINVAL,
                    c"mode must be 0 (ip) or 1 (ethernet)",
                    Some(at),
                ))
            }
        }
    }
    Ok(())
}

/// Reads the remote address.
fn read_remote(request: &LinkRequest<'_>) -> Result<Addresses> {
    let (addresses, at) = match (request.attr(attr::REMOTE), request.attr(attr::REMOTE6)) {
        (None, None) => return Err(request.refuse(EINVAL, c"remote is missing", None)),
        (Some(_), Some(at)) => {
            return Err(request.refuse(EINVAL, c"remote can be given once", Some(at)))
        }
        (Some(at), None) => (
            Addresses::V4 {
                local: [0; 4],
                peer: at.get()?,
            },
            at,
        ),
        (None, Some(at)) => (
            Addresses::V6 {
                local: [0; 16],
                peer: at.get()?,
            },
            at,
        ),
    };
    let refused = match addresses {
        Addresses::V4 { peer, .. } if !is_unicast4(peer) => {
            Some(c"remote must be a unicast address, or any")
        }
        Addresses::V4 { .. } => None,
        Addresses::V6 { peer, .. } if peer[0] == 0xff => {
            Some(c"remote must be a unicast address, or any")
        }
        Addresses::V6 { peer, .. } if is_link_local(peer) => {
            Some(c"remote must not be a link-local address")
        }
        Addresses::V6 { peer, .. } if is_ipv4_mapped(peer) => {
            Some(c"remote must not be an IPv4-mapped address")
        }
        Addresses::V6 { .. } => None,
    };
    if let Some(text) = refused {
        return Err(request.refuse(EINVAL, text, Some(at)));
    }
    if addresses.is_ipv6() && !route::ipv6_is_available() {
        return Err(request.refuse(EPFNOSUPPORT, c"IPv6 is not available", Some(at)));
    }
    Ok(addresses)
}

/// Returns `true` if an IPv4 address is unicast or zero. Class E is unicast here, as in the kernel, but
/// for the broadcast address.
fn is_unicast4(address: [u8; 4]) -> bool {
    address[0] & 0xf0 != 0xe0 && address != [0xff; 4]
}

/// Returns `true` if an IPv6 address says nothing without a link (RFC 4291 §2.5.6).
fn is_link_local(address: [u8; 16]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

/// Returns `true` if an IPv6 address stands for an IPv4 address (RFC 4291 §2.5.5.2).
fn is_ipv4_mapped(address: [u8; 16]) -> bool {
    address[..10] == [0; 10] && address[10..12] == [0xff; 2]
}

/// Returns `addresses` with the local address of `other`, if that is of the same IP version.
fn with_local_of(addresses: Addresses, other: Addresses) -> Addresses {
    match (addresses, other) {
        (Addresses::V4 { peer, .. }, Addresses::V4 { local, .. }) => Addresses::V4 { local, peer },
        (Addresses::V6 { peer, .. }, Addresses::V6 { local, .. }) => Addresses::V6 { local, peer },
        _ => addresses,
    }
}

/// Reads a port number that must not be 0.
fn specific(request: &LinkRequest<'_>, at: NlAttr<'_>, text: &'static CStr) -> Result<PortNumber> {
    let port = PortNumber::from_be_bytes(at.get()?);
    if port.specific().is_none() {
        return Err(request.refuse(EINVAL, text, Some(at)));
    }
    Ok(port)
}

/// Reads an attribute that is 0 or 1.
fn boolean(
    request: &LinkRequest<'_>,
    attrtype: c_int,
    text: &'static CStr,
) -> Result<Option<bool>> {
    let Some(at) = request.attr(attrtype) else {
        return Ok(None);
    };
    match at.get::<u8>()? {
        0 => Ok(Some(false)),
        1 => Ok(Some(true)),
        _ => Err(request.refuse(EINVAL, text, Some(at))),
    }
}

/// Reads a field of the outer IP header: its value, or whether it is inherited. The one that is not sent is
/// reset by the other.
fn inherit(
    request: &LinkRequest<'_>,
    old: Inherit,
    (value, inherited): (c_int, c_int),
    exclude: &'static CStr,
) -> Result<Inherit> {
    let number = match request.attr(value) {
        Some(at) => Some(at.get::<u8>()?),
        None => None,
    };
    match (
        number,
        boolean(request, inherited, c"inherit must be 0 or 1")?,
    ) {
        (Some(number), Some(true)) if number != 0 => {
            Err(request.refuse(EINVAL, exclude, request.attr(inherited)))
        }
        (_, Some(true)) => Ok(Inherit::Inner),
        (Some(number), _) => Ok(Inherit::Value(number)),
        (None, Some(false)) if old == Inherit::Inner => Ok(Inherit::Value(0)),
        (None, _) => Ok(old),
    }
}
