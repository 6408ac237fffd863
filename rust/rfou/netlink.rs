// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `fou`, by which `ip fou` and others configure ports.
//!
//! Attribute and command numbers, errors and the order of checks are those of Linux's `fou`
//! (`include/uapi/linux/fou.h`), which users' programs rely on.

use crate::{
    port::{Port, Ports, Settings},
    receive::Encapsulation,
};
use kernel::prelude::*;
use net::{
    genetlink::{Attr, AttrPolicy, Command, Do, Dump, DumpWriter, Family, Message, Request},
    ip_proto::InnerProtocol,
    module::Scope,
    netns,
    skb::RemcsumMode,
    udp::PortNumber,
    udp_tunnel::{Addresses, Binding, UdpSocket},
    Netns,
};

/// Attribute numbers (`FOU_ATTR_*`).
mod attr {
    pub(super) const PORT: u16 = 1;
    pub(super) const AF: u16 = 2;
    pub(super) const IPPROTO: u16 = 3;
    pub(super) const TYPE: u16 = 4;
    pub(super) const REMCSUM_NOPARTIAL: u16 = 5;
    pub(super) const LOCAL_V4: u16 = 6;
    pub(super) const LOCAL_V6: u16 = 7;
    pub(super) const PEER_V4: u16 = 8;
    pub(super) const PEER_V6: u16 = 9;
    pub(super) const PEER_PORT: u16 = 10;
    pub(super) const IFINDEX: u16 = 11;
}

/// Command numbers (`FOU_CMD_*`).
mod command {
    pub(super) const ADD: u8 = 1;
    pub(super) const DEL: u8 = 2;
    pub(super) const GET: u8 = 3;
}

/// Values of [`attr::TYPE`] (`FOU_ENCAP_*`).
mod encap {
    pub(super) const UNSPEC: u8 = 0;
    pub(super) const DIRECT: u8 = 1;
    pub(super) const GUE: u8 = 2;
}

/// Values of [`attr::AF`].
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The family, with the ports of all namespaces.
pub(crate) struct Fou {
    ports: &'static netns::Registration<Ports>,
}

impl Fou {
    /// Makes the port table of each namespace. May sleep.
    pub(crate) fn new(scope: &'static Scope) -> Result<Self> {
        Ok(Self {
            ports: netns::register(scope)?,
        })
    }
}

impl Family for Fou {
    const NAME: &'static CStr = c"fou";
    const VERSION: u8 = 1;
    const POLICY: &'static [AttrPolicy] = &[
        AttrPolicy::UNUSED,
        AttrPolicy::BE16,          // PORT
        AttrPolicy::U8,            // AF
        AttrPolicy::U8,            // IPPROTO
        AttrPolicy::U8,            // TYPE
        AttrPolicy::FLAG,          // REMCSUM_NOPARTIAL
        AttrPolicy::U32,           // LOCAL_V4
        AttrPolicy::exact_len(16), // LOCAL_V6
        AttrPolicy::U32,           // PEER_V4
        AttrPolicy::exact_len(16), // PEER_V6
        AttrPolicy::BE16,          // PEER_PORT
        AttrPolicy::S32,           // IFINDEX
    ];
    const COMMANDS: &'static [Command<Self>] = &[
        Command::new::<Add>(command::ADD).admin().liberal(),
        Command::new::<Del>(command::DEL).admin().liberal(),
        Command::new::<Get>(command::GET).dump::<Get>().liberal(),
    ];
    const STRICT_FROM: u8 = command::GET + 1;
}

/// Refuses IP protocol 0 with `ERANGE`, except in a request about a GUE port.
///
/// A GUE port has no protocol of its own. systemd-networkd 257 and common netlink libraries send
/// `IPPROTO` 0 along with `TYPE` GUE, so an attribute policy would refuse their ports, as Linux's does
/// since 6.19.
fn check_protocol(request: &Request<'_>) -> Result {
    let Some(protocol) = request.attr(attr::IPPROTO) else {
        return Ok(());
    };
    let kind = match request.attr(attr::TYPE) {
        Some(at) => at.read::<u8>()?,
        None => encap::UNSPEC,
    };
    if kind != encap::GUE && protocol.read::<u8>()? == 0 {
        return Err(request.refuse(
            ERANGE,
            c"IP protocol must be 1 to 255 unless the type is GUE",
            Some(protocol),
        ));
    }
    Ok(())
}

/// What a request says about which port is meant.
fn parse_binding(request: &Request<'_>) -> Result<Binding> {
    // First, where the attribute policy of Linux refuses the protocol.
    check_protocol(request)?;
    let family = match request.attr(attr::AF) {
        Some(at) => at.read::<u8>()?,
        None => AF_INET,
    };
    let (local, peer, addresses) = match family {
        AF_INET => {
            let (local, peer) = (request.attr(attr::LOCAL_V4), request.attr(attr::PEER_V4));
            let read = |at: Option<Attr<'_>>| at.map_or(Ok([0; 4]), |at| at.read());
            (
                local,
                peer,
                Addresses::V4 {
                    local: read(local)?,
                    peer: read(peer)?,
                },
            )
        }
        AF_INET6 => {
            let (local, peer) = (request.attr(attr::LOCAL_V6), request.attr(attr::PEER_V6));
            let read = |at: Option<Attr<'_>>| at.map_or(Ok([0; 16]), |at| at.read());
            (
                local,
                peer,
                Addresses::V6 {
                    local: read(local)?,
                    peer: read(peer)?,
                },
            )
        }
        _ => {
            return Err(request.refuse(
                EAFNOSUPPORT,
                c"address family must be 2 (IPv4) or 10 (IPv6)",
                request.attr(attr::AF),
            ))
        }
    };

    let mut peer_port = PortNumber::ANY;
    if peer.is_some() {
        let at = request
            .attr(attr::PEER_PORT)
            .ok_or_else(|| request.refuse(EINVAL, c"a peer address needs a peer port", peer))?;
        peer_port = PortNumber::from_be_bytes(at.read()?);
    }

    let mut ifindex = 0;
    if let Some(at) = request.attr(attr::IFINDEX) {
        if local.is_none() {
            return Err(request.refuse(EINVAL, c"a device needs a local address", Some(at)));
        }
        ifindex = at.read()?;
    }

    Ok(Binding {
        addresses,
        local_port: match request.attr(attr::PORT) {
            Some(at) => PortNumber::from_be_bytes(at.read()?),
            None => PortNumber::ANY,
        },
        peer_port,
        ifindex,
    })
}

/// What a request says about what the port receives.
fn parse_encapsulation(request: &Request<'_>) -> Result<Encapsulation> {
    let at = request
        .attr(attr::TYPE)
        .ok_or_else(|| request.refuse(EINVAL, c"the type of encapsulation is missing", None))?;
    match at.read::<u8>()? {
        encap::DIRECT => {
            let at = request.attr(attr::IPPROTO);
            let number = at.map_or(Ok(0), |at| at.read::<u8>())?;
            InnerProtocol::new(number)
                .map(Encapsulation::Direct)
                .ok_or_else(|| {
                    request.refuse(EINVAL, c"direct encapsulation needs an IP protocol", at)
                })
        }
        encap::GUE => Ok(Encapsulation::Gue),
        _ => Err(request.refuse(
            EINVAL,
            c"the type of encapsulation must be 1 (direct) or 2 (GUE)",
            Some(at),
        )),
    }
}

/// `FOU_CMD_ADD`: opens a port.
struct Add;

impl Do<Fou> for Add {
    fn run(fou: &Fou, request: &Request<'_>) -> Result {
        let netns = request.netns();
        let binding = parse_binding(request)?;
        // Errors of the socket come before those of what it is for: users rely on the order.
        let socket = UdpSocket::open(netns, &binding)
            .map_err(|error| request.refuse(error, why_not_bound(error), None))?;
        let settings = Settings {
            encapsulation: parse_encapsulation(request)?,
            remote_checksum: match request.attr(attr::REMCSUM_NOPARTIAL) {
                Some(_) => RemcsumMode::Compute,
                None => RemcsumMode::Partial,
            },
        };
        fou.ports
            .get(netns)
            .add(&binding, socket, settings)
            .map_err(|error| match error {
                EALREADY => request.refuse(error, c"there is such a port already", None),
                _ => error,
            })
    }
}

fn why_not_bound(error: Error) -> &'static CStr {
    match error {
        EADDRINUSE => c"the UDP port is in use",
        EADDRNOTAVAIL => c"the local address is none of this network namespace's",
        EACCES => c"the UDP port is a privileged one",
        ENODEV => c"no such device",
        EPFNOSUPPORT | EAFNOSUPPORT => c"this kernel has no IPv6",
        // That a socket's inode could not be had is told as ENFILE.
        ENOMEM | ENFILE => c"there is not enough memory for a UDP socket",
        _ => c"the UDP socket could not be bound",
    }
}

/// `FOU_CMD_DEL`: closes a port.
struct Del;

impl Do<Fou> for Del {
    fn run(fou: &Fou, request: &Request<'_>) -> Result {
        let binding = parse_binding(request)?;
        fou.ports
            .get(request.netns())
            .remove(&binding)
            .map_err(|error| request.refuse(error, c"there is no such port", None))
    }
}

/// `FOU_CMD_GET`: shows one port, or all.
struct Get;

impl Do<Fou> for Get {
    fn run(fou: &Fou, request: &Request<'_>) -> Result {
        let binding = parse_binding(request)?;
        if binding.local_port.specific().is_none() {
            return Err(request.refuse(EINVAL, c"the port is missing", request.attr(attr::PORT)));
        }
        request.reply(|message| {
            fou.ports
                .get(request.netns())
                .find(&binding, |port| describe(port, message))
                .map_err(|error| match error {
                    ESRCH => request.refuse(error, c"there is no such port", None),
                    _ => error,
                })
        })
    }
}

impl Dump<Fou> for Get {
    fn run(fou: &Fou, netns: &Netns, cursor: &mut u64, out: &mut DumpWriter<'_>) -> Result {
        // A port that does not fit any more must come again, so the cursor follows what was written.
        fou.ports.get(netns).for_each_before(*cursor, |port| {
            out.entry(command::GET, |message| describe(port, message))?;
            *cursor = port.serial();
            Ok(())
        })
    }
}

/// Writes the attributes of a port, in the order that Linux's `fou` has.
fn describe(port: &Port, message: &mut Message<'_>) -> Result {
    let binding = port.binding();
    let family = if binding.addresses.is_ipv6() {
        AF_INET6
    } else {
        AF_INET
    };
    let (kind, protocol) = match port.settings().encapsulation {
        Encapsulation::Direct(protocol) => (encap::DIRECT, protocol.number()),
        Encapsulation::Gue => (encap::GUE, 0),
    };
    message.put(attr::AF, &family)?;
    message.put(attr::PORT, &binding.local_port.to_be_bytes())?;
    message.put(attr::PEER_PORT, &binding.peer_port.to_be_bytes())?;
    message.put(attr::IPPROTO, &protocol)?;
    message.put(attr::TYPE, &kind)?;
    message.put(attr::IFINDEX, &binding.ifindex)?;
    if port.settings().remote_checksum == RemcsumMode::Compute {
        message.put_flag(attr::REMCSUM_NOPARTIAL)?;
    }
    match binding.addresses {
        Addresses::V4 { local, peer } => {
            message.put(attr::LOCAL_V4, &local)?;
            message.put(attr::PEER_V4, &peer)
        }
        Addresses::V6 { local, peer } => {
            message.put(attr::LOCAL_V6, &local)?;
            message.put(attr::PEER_V6, &peer)
        }
    }
}
