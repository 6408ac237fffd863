// SPDX-License-Identifier: GPL-2.0

//! Requests to the family `rfou`. Each refusal names the attribute at fault.

use super::{attr, encap, AF_INET, AF_INET6};
use crate::{port::Settings, receive::Encapsulation};
use kernel::{prelude::*, transmute::FromBytes};
use net::{
    errno::{EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EPFNOSUPPORT},
    ip_proto::InnerProtocol,
    netlink::GenlInfo,
    skb::RemcsumMode,
    udp::PortNumber,
    udp_tunnel::{Addresses, Binding},
};

/// Reads the binding that names a port.
pub(super) fn parse_binding(info: &GenlInfo) -> Result<Binding> {
    let local_port = info
        .attr(attr::PORT)
        .ok_or_else(|| info.refuse(EINVAL, c"port is missing", None))?;
    let addresses = parse_addresses(info)?;
    let (has_peer, peer) = match addresses {
        Addresses::V4 { peer, .. } => (peer != [0; 4], info.attr(attr::PEER_V4)),
        Addresses::V6 { peer, .. } => (peer != [0; 16], info.attr(attr::PEER_V6)),
    };
    let peer_port = PortNumber::from_be_bytes(get(info, attr::PEER_PORT, [0; 2])?);
    match (has_peer, peer_port.specific()) {
        (true, None) => return Err(info.refuse(EINVAL, c"peer address needs a peer port", peer)),
        (false, Some(_)) => {
            let at = info.attr(attr::PEER_PORT);
            return Err(info.refuse(EINVAL, c"peer port needs a peer address", at));
        }
        _ => {}
    }
    let ifindex = i32::try_from(get(info, attr::IFINDEX, 0_u32)?).map_err(|_| {
        let at = info.attr(attr::IFINDEX);
        info.refuse(EINVAL, c"interface index is too large", at)
    })?;
    Ok(Binding {
        addresses,
        local_port: PortNumber::from_be_bytes(local_port.get()?),
        peer_port,
        ifindex,
    })
}

fn parse_addresses(info: &GenlInfo) -> Result<Addresses> {
    let unused =
        |numbers: [i32; 2], text| match numbers.into_iter().find_map(|number| info.attr(number)) {
            Some(at) => Err(info.refuse(EINVAL, text, Some(at))),
            None => Ok(()),
        };
    match get(info, attr::FAMILY, AF_INET)? {
        AF_INET => {
            unused(
                [attr::LOCAL_V6, attr::PEER_V6],
                c"IPv6 address in a request for an IPv4 port",
            )?;
            Ok(Addresses::V4 {
                local: get(info, attr::LOCAL_V4, [0; 4])?,
                peer: get(info, attr::PEER_V4, [0; 4])?,
            })
        }
        AF_INET6 => {
            unused(
                [attr::LOCAL_V4, attr::PEER_V4],
                c"IPv4 address in a request for an IPv6 port",
            )?;
            Ok(Addresses::V6 {
                local: get(info, attr::LOCAL_V6, [0; 16])?,
                peer: get(info, attr::PEER_V6, [0; 16])?,
            })
        }
        _ => Err(info.refuse(
            EAFNOSUPPORT,
            c"address family must be 2 (IPv4) or 10 (IPv6)",
            info.attr(attr::FAMILY),
        )),
    }
}

/// Reads the settings of a port to open.
pub(super) fn parse_settings(info: &GenlInfo) -> Result<Settings> {
    let protocol = info.attr(attr::PROTOCOL);
    let nopartial = info.attr(attr::REMCSUM_NOPARTIAL);
    let encapsulation = match get(info, attr::ENCAP, encap::FOU)? {
        encap::FOU => {
            if nopartial.is_some() {
                let text = c"only a GUE port has remote checksums";
                return Err(info.refuse(EINVAL, text, nopartial));
            }
            InnerProtocol::new(get(info, attr::PROTOCOL, 0)?)
                .map(Encapsulation::Direct)
                .ok_or_else(|| {
                    info.refuse(EINVAL, c"FOU port needs an IP protocol, 1 to 255", protocol)
                })?
        }
        encap::GUE => {
            if protocol.is_some() {
                let text = c"GUE port has no protocol, because each packet names its own";
                return Err(info.refuse(EINVAL, text, protocol));
            }
            Encapsulation::Gue
        }
        _ => {
            let text = c"encapsulation must be 1 (FOU) or 2 (GUE)";
            return Err(info.refuse(EINVAL, text, info.attr(attr::ENCAP)));
        }
    };
    Ok(Settings {
        encapsulation,
        remote_checksum: match nopartial {
            Some(_) => RemcsumMode::Compute,
            None => RemcsumMode::Partial,
        },
    })
}

/// Refuses attributes that do not name a port.
pub(super) fn refuse_settings(info: &GenlInfo) -> Result {
    let settings = [attr::ENCAP, attr::PROTOCOL, attr::REMCSUM_NOPARTIAL];
    match settings.into_iter().find_map(|number| info.attr(number)) {
        Some(at) => Err(info.refuse(EINVAL, c"attribute does not name a port", Some(at))),
        None => Ok(()),
    }
}

/// Fails with `EBUSY` if an existing port differs from what a request asks for.
pub(super) fn compare(info: &GenlInfo, existing: &Settings, asked: &Settings) -> Result {
    use Encapsulation::{Direct, Gue};
    let (text, number) = match (existing.encapsulation, asked.encapsulation) {
        (Direct(existing), Direct(asked)) if existing.number() == asked.number() => return Ok(()),
        (Gue, Gue) if existing.remote_checksum == asked.remote_checksum => return Ok(()),
        (Direct(_), Direct(_)) => (
            c"rfou has this port with another protocol; delete the port first",
            attr::PROTOCOL,
        ),
        (Gue, Gue) => (
            c"rfou has this port with another remcsum-nopartial; delete the port first",
            attr::REMCSUM_NOPARTIAL,
        ),
        (Direct(_), Gue) | (Gue, Direct(_)) => (
            c"rfou has this port with another encapsulation; delete the port first",
            attr::ENCAP,
        ),
    };
    Err(info.refuse(EBUSY, text, info.attr(number)))
}

/// Refuses a request whose socket could not be opened for this error.
pub(super) fn refuse_binding(info: &GenlInfo, error: Error) -> Error {
    let local = if get(info, attr::FAMILY, AF_INET) == Ok(AF_INET6) {
        attr::LOCAL_V6
    } else {
        attr::LOCAL_V4
    };
    let (text, number) = match error {
        EADDRINUSE => (c"another program has this UDP port", attr::PORT),
        EADDRNOTAVAIL => (
            c"local address is not configured in this network namespace",
            local,
        ),
        EACCES => (c"UDP port is privileged", attr::PORT),
        ENODEV => (c"device does not exist", attr::IFINDEX),
        EPFNOSUPPORT | EAFNOSUPPORT => (c"IPv6 is not available", attr::FAMILY),
        // If there is no memory for a socket's inode, the error is ENFILE.
        ENOMEM | ENFILE => (c"not enough memory for a UDP socket", attr::PORT),
        _ => (c"UDP socket could not be bound", attr::PORT),
    };
    info.refuse(error, text, info.attr(number))
}

/// Returns the value of an attribute, or `otherwise` if it was not sent.
fn get<T: FromBytes + Copy>(info: &GenlInfo, number: i32, otherwise: T) -> Result<T> {
    info.attr(number).map_or(Ok(otherwise), |at| at.get())
}
