// SPDX-License-Identifier: GPL-2.0

//! Configurations from requests: read, and checked.

use super::{
    attr, external::refuse_peer, Config, Df, Inherit, Liveness, Protection, Remcsum, SourcePort,
    Variant, ANY_V4,
};
use kernel::prelude::*;
use net::{
    ecn,
    errno::{EOPNOTSUPP, EPFNOSUPPORT},
    netdev::{LinkType, NetDevice},
    netlink::NlAttr,
    route,
    rtnl_link::{LinkRequest, NewLink},
    udp::{Checksum, PortNumber},
    udp_tunnel::Addresses,
};

impl Config {
    /// Reads a request for a new device.
    pub(crate) fn read(request: &NewLink<'_>) -> Result<Self> {
        let external = request.attr(attr::EXTERNAL).is_some();
        let mut config = Self {
            external,
            group: None,
            addresses: if external {
                refuse_peer(request)?;
                ANY_V4
            } else {
                read_remote(request)?
            },
            link: 0,
            port: PortNumber::from_be_bytes(gue::UDP_PORT.to_be_bytes()),
            destination_port: PortNumber::from_be_bytes(gue::UDP_PORT.to_be_bytes()),
            source_port: SourcePort::Flow(None),
            variant: Variant::Zero,
            mode: LinkType::Ip,
            ttl: Inherit::Value(0),
            tos: Inherit::Value(0),
            df: Df::Unset,
            flow_label: 0,
            checksum4: Checksum::Zero,
            checksum6: Checksum::Full,
            accepts_zero_checksum6: false,
            remcsum: Remcsum::Off,
            protection: Protection::NONE,
            liveness: Liveness::OFF,
            fragment: None,
        };
        config.apply(request)?;
        if request.attr(attr::PORT).is_none() {
            config.port = config.destination_port;
        }
        config.check_liveness(request)?;
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
        let mut new = *self;
        if self.external {
            refuse_peer(request)?;
        } else if request.attr(attr::EXTERNAL).is_some() {
            return Err(request.refuse(
                EOPNOTSUPP,
                c"external cannot be changed",
                request.attr(attr::EXTERNAL),
            ));
        }
        if request.attr(attr::REMOTE).is_some() || request.attr(attr::REMOTE6).is_some() {
            new.addresses = read_remote(request)?;
            if request.attr(attr::LOCAL).is_none() && request.attr(attr::LOCAL6).is_none() {
                new.addresses = with_local_of(new.addresses, self.addresses);
            }
        }
        new.apply(request)?;
        new.check_auth_is(self, request)?;
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
            (new.mode != self.mode, attr::MODE, c"mode cannot be changed"),
            (new.link != self.link, attr::LINK, c"dev cannot be changed"),
            (new.port != self.port, attr::PORT, c"port cannot be changed"),
        ] {
            if differs {
                return Err(request.refuse(EOPNOTSUPP, text, request.attr(attrtype)));
            }
        }
        new.check_liveness(request)?;
        Ok(new)
    }

    /// Applies the attributes of a request, except for the remote address.
    fn apply(&mut self, request: &LinkRequest<'_>) -> Result {
        if let Some(at) = request.attr(attr::ID) {
            self.group = Some(at.get()?);
        }
        self.apply_local(request)?;
        if let Some(at) = request.attr(attr::MODE) {
            self.mode = match at.get::<u8>()? {
                0 => LinkType::Ip,
                1 => LinkType::Ethernet,
                _ => {
                    return Err(request.refuse(
                        EINVAL,
                        c"mode must be 0 (ip) or 1 (ethernet)",
                        Some(at),
                    ))
                }
            };
        }
        if let Some(at) = request.attr(attr::LINK) {
            self.link = at.get()?;
        }
        self.apply_ports(request)?;
        self.apply_ip_fields(request)?;
        self.apply_checksums(request)?;
        self.apply_protection(request)?;
        self.apply_liveness(request)?;
        self.apply_fragment(request)?;
        self.check_external(request)?;
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
            if self.flow_label != 0 && !self.addresses.is_ipv6() && !self.external {
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
            } else if self.mode == LinkType::Ethernet {
                (attr::MODE, c"variant 1 carries IP alone")
            } else {
                return Ok(());
            };
            let at = request.attr(attrtype).or(request.attr(attr::VARIANT));
            return Err(request.refuse(EINVAL, text, at));
        }
        Ok(())
    }
}

/// The greatest flow label (RFC 8200).
const FLOW_LABEL_MAX: u32 = 0xf_ffff;

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

/// Returns `true` if an IPv4 address is unicast or zero. As in the kernel, class E is unicast, except for the
/// broadcast address.
fn is_unicast4(address: [u8; 4]) -> bool {
    address[0] & 0xf0 != 0xe0 && address != [0xff; 4]
}

/// Returns `true` if an IPv6 address is link-local (RFC 4291 §2.5.6), which means nothing without a link.
fn is_link_local(address: [u8; 16]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

/// Returns `true` if an IPv6 address is IPv4-mapped (RFC 4291 §2.5.5.2).
fn is_ipv4_mapped(address: [u8; 16]) -> bool {
    address[..10] == [0; 10] && address[10..12] == [0xff; 2]
}

/// Returns `addresses` with the local address of `other`, if both are of the same IP version.
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
pub(super) fn boolean(
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

/// Reads a field of the outer IP header from two attributes: a value, and a switch that makes the device inherit the
/// field. A value turns the switch off, and the switch resets the value.
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
