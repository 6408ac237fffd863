// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `fou`: `ip fou` and other programs configure ports with it.
//!
//! Attribute and command numbers, errors and the order of checks are the same as in Linux's `fou`
//! (`include/uapi/linux/fou.h`), because users' programs rely on them.

use crate::{
    family,
    port::{Lookup, Port, Ports, Settings},
    receive::Encapsulation,
};
use kernel::prelude::*;
use net::{
    errno::{EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EALREADY, EPFNOSUPPORT},
    ip_proto::InnerProtocol,
    netlink::{
        Buffer, Doit, DumpSkBuff, Dumpit, GenlInfo, GenlMsg, NetlinkSkBuff, NlAttr, NlaPolicy, Op,
        Operations, GENLMSG_DEFAULT_SIZE,
    },
    netns,
    skb::RemcsumMode,
    udp::PortNumber,
    udp_tunnel::{Addresses, Binding, UdpSocket},
};

/// Attribute numbers (`FOU_ATTR_*`).
mod attr {
    pub(super) const PORT: i32 = 1;
    pub(super) const AF: i32 = 2;
    pub(super) const IPPROTO: i32 = 3;
    pub(super) const TYPE: i32 = 4;
    pub(super) const REMCSUM_NOPARTIAL: i32 = 5;
    pub(super) const LOCAL_V4: i32 = 6;
    pub(super) const LOCAL_V6: i32 = 7;
    pub(super) const PEER_V4: i32 = 8;
    pub(super) const PEER_V6: i32 = 9;
    pub(super) const PEER_PORT: i32 = 10;
    pub(super) const IFINDEX: i32 = 11;
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

/// The family's state: the ports of all network namespaces.
pub(crate) struct Fou {
    pub(crate) ports: &'static netns::Registration<Ports>,
}

impl Operations for Fou {
    const NAME: &'static CStr = c"fou";
    const VERSION: u8 = 1;
    const POLICY: &'static [NlaPolicy] = &[
        NlaPolicy::UNSPEC,
        NlaPolicy::BE16,          // PORT
        NlaPolicy::U8,            // AF
        NlaPolicy::U8,            // IPPROTO
        NlaPolicy::U8,            // TYPE
        NlaPolicy::FLAG,          // REMCSUM_NOPARTIAL
        NlaPolicy::U32,           // LOCAL_V4
        NlaPolicy::exact_len(16), // LOCAL_V6
        NlaPolicy::U32,           // PEER_V4
        NlaPolicy::exact_len(16), // PEER_V6
        NlaPolicy::BE16,          // PEER_PORT
        NlaPolicy::S32,           // IFINDEX
    ];
    const OPS: &'static [Op<Self>] = &[
        Op::new::<Add>(command::ADD)
            .admin_perm()
            .dont_validate_strict()
            .dont_validate_dump(),
        Op::new::<Del>(command::DEL)
            .admin_perm()
            .dont_validate_strict()
            .dont_validate_dump(),
        Op::new::<Get>(command::GET)
            .dumpit::<Get>()
            .dont_validate_strict()
            .dont_validate_dump(),
    ];
    const RESV_START_OP: u8 = command::GET + 1;
}

/// Refuses IP protocol 0 with `ERANGE`, except in a request about a GUE port.
///
/// A GUE port has no protocol of its own. systemd-networkd 257 and common netlink libraries send
/// `IPPROTO` 0 along with `TYPE` GUE. An attribute policy would refuse their ports, as the policy of
/// Linux's `fou` does since 6.19.
fn check_protocol(info: &GenlInfo) -> Result {
    let Some(protocol) = info.attr(attr::IPPROTO) else {
        return Ok(());
    };
    let kind = match info.attr(attr::TYPE) {
        Some(at) => at.get::<u8>()?,
        None => encap::UNSPEC,
    };
    if kind != encap::GUE && protocol.get::<u8>()? == 0 {
        return Err(info.refuse(
            ERANGE,
            c"IP protocol must be 1 to 255 unless the type is GUE",
            Some(protocol),
        ));
    }
    Ok(())
}

/// Reads the binding of the port that a request names.
fn parse_binding(info: &GenlInfo) -> Result<Binding> {
    // First, because Linux's attribute policy refuses the protocol before all other checks.
    check_protocol(info)?;
    let family = match info.attr(attr::AF) {
        Some(at) => at.get::<u8>()?,
        None => AF_INET,
    };
    let (local, peer, addresses) = match family {
        AF_INET => {
            let (local, peer) = (info.attr(attr::LOCAL_V4), info.attr(attr::PEER_V4));
            let read = |at: Option<NlAttr<'_>>| at.map_or(Ok([0; 4]), |at| at.get());
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
            let (local, peer) = (info.attr(attr::LOCAL_V6), info.attr(attr::PEER_V6));
            let read = |at: Option<NlAttr<'_>>| at.map_or(Ok([0; 16]), |at| at.get());
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
            return Err(info.refuse(
                EAFNOSUPPORT,
                c"address family must be 2 (IPv4) or 10 (IPv6)",
                info.attr(attr::AF),
            ))
        }
    };

    let mut peer_port = PortNumber::ANY;
    if peer.is_some() {
        let at = info
            .attr(attr::PEER_PORT)
            .ok_or_else(|| info.refuse(EINVAL, c"peer address needs a peer port", peer))?;
        peer_port = PortNumber::from_be_bytes(at.get()?);
    }

    let mut ifindex = 0;
    if let Some(at) = info.attr(attr::IFINDEX) {
        if local.is_none() {
            return Err(info.refuse(EINVAL, c"device needs a local address", Some(at)));
        }
        ifindex = at.get()?;
    }

    Ok(Binding {
        addresses,
        local_port: match info.attr(attr::PORT) {
            Some(at) => PortNumber::from_be_bytes(at.get()?),
            None => PortNumber::ANY,
        },
        peer_port,
        ifindex,
    })
}

/// Reads the encapsulation of a port to open.
fn parse_encapsulation(info: &GenlInfo) -> Result<Encapsulation> {
    let at = info
        .attr(attr::TYPE)
        .ok_or_else(|| info.refuse(EINVAL, c"encapsulation type is missing", None))?;
    match at.get::<u8>()? {
        encap::DIRECT => {
            let at = info.attr(attr::IPPROTO);
            let number = at.map_or(Ok(0), |at| at.get::<u8>())?;
            InnerProtocol::new(number)
                .map(Encapsulation::Direct)
                .ok_or_else(|| {
                    info.refuse(EINVAL, c"direct encapsulation needs an IP protocol", at)
                })
        }
        encap::GUE => Ok(Encapsulation::Gue),
        _ => Err(info.refuse(
            EINVAL,
            c"encapsulation type must be 1 (direct) or 2 (GUE)",
            Some(at),
        )),
    }
}

/// `FOU_CMD_ADD`: opens a port.
struct Add;

impl Doit<Fou> for Add {
    fn doit(fou: &Fou, info: &GenlInfo) -> Result {
        let netns = info.netns();
        let binding = parse_binding(info)?;
        // Before `parse_encapsulation`, because users rely on the order of errors.
        let socket = UdpSocket::open(netns, &binding)
            .map_err(|error| info.refuse(error, why_not_bound(error), None))?;
        let settings = Settings {
            encapsulation: parse_encapsulation(info)?,
            remote_checksum: match info.attr(attr::REMCSUM_NOPARTIAL) {
                Some(_) => RemcsumMode::Compute,
                None => RemcsumMode::Partial,
            },
        };
        fou.ports
            .get(netns)
            .add(&binding, socket, settings, |port| {
                family::notify_added(info, port)
            })
            .map_err(|error| match error {
                EALREADY => info.refuse(error, c"port exists already", None),
                _ => error,
            })
    }
}

/// Returns the text for an error of [`UdpSocket::open`].
fn why_not_bound(error: Error) -> &'static CStr {
    match error {
        EADDRINUSE => c"UDP port is in use",
        EADDRNOTAVAIL => c"local address is not configured in this network namespace",
        EACCES => c"UDP port is privileged",
        ENODEV => c"device does not exist",
        EPFNOSUPPORT | EAFNOSUPPORT => c"IPv6 is not available",
        // If there is no memory for a socket's inode, the error is ENFILE.
        ENOMEM | ENFILE => c"not enough memory for a UDP socket",
        _ => c"UDP socket could not be bound",
    }
}

/// `FOU_CMD_DEL`: closes a port.
struct Del;

impl Doit<Fou> for Del {
    fn doit(fou: &Fou, info: &GenlInfo) -> Result {
        let binding = parse_binding(info)?;
        fou.ports
            .get(info.netns())
            .remove(&binding, Lookup::Actual, family::notify_deleted(info))
            .map_err(|error| info.refuse(error, c"port does not exist", None))
    }
}

/// `FOU_CMD_GET`: shows one port, or all.
struct Get;

impl Doit<Fou> for Get {
    fn doit(fou: &Fou, info: &GenlInfo) -> Result {
        let binding = parse_binding(info)?;
        if binding.local_port.specific().is_none() {
            return Err(info.refuse(EINVAL, c"port is missing", info.attr(attr::PORT)));
        }
        let mut message = NetlinkSkBuff::new(GENLMSG_DEFAULT_SIZE)?.genlmsg_iput(info)?;
        fou.ports
            .get(info.netns())
            .find(&binding, Lookup::Actual, |port| {
                describe(port, &mut message)
            })
            .map_err(|error| match error {
                ESRCH => info.refuse(error, c"port does not exist", None),
                _ => error,
            })?;
        message.reply(info)
    }
}

impl Dumpit<Fou> for Get {
    fn dumpit(fou: &Fou, cursor: &mut u64, skb: &mut DumpSkBuff<'_>) -> Result {
        let ports = fou.ports.get(skb.netns());
        ports.for_each_before(*cursor, |port| {
            let mut message = skb.genlmsg_iput()?;
            describe(port, &mut message)?;
            message.end();
            // Last, because a port that did not fit must come first in the next buffer.
            *cursor = port.serial();
            Ok(())
        })
    }
}

/// Appends the attributes of a port, in the order of Linux's `fou`.
fn describe(port: &Port, message: &mut GenlMsg<impl Buffer>) -> Result {
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
    message.put_u8(attr::AF, family)?;
    message.put_be16(attr::PORT, binding.local_port.to_be_bytes())?;
    message.put_be16(attr::PEER_PORT, binding.peer_port.to_be_bytes())?;
    message.put_u8(attr::IPPROTO, protocol)?;
    message.put_u8(attr::TYPE, kind)?;
    message.put_s32(attr::IFINDEX, binding.ifindex)?;
    if port.settings().remote_checksum == RemcsumMode::Compute {
        message.put_flag(attr::REMCSUM_NOPARTIAL)?;
    }
    match binding.addresses {
        Addresses::V4 { local, peer } => {
            message.put_in_addr(attr::LOCAL_V4, &local)?;
            message.put_in_addr(attr::PEER_V4, &peer)
        }
        Addresses::V6 { local, peer } => {
            message.put_in6_addr(attr::LOCAL_V6, &local)?;
            message.put_in6_addr(attr::PEER_V6, &peer)
        }
    }
}
