// SPDX-License-Identifier: GPL-2.0

//! The first look at a packet in GRO.
//!
//! Most headers have no field, or a group identifier, a security field, or both. Their first four bytes give the
//! header's length, so each such header has code of its own, without a loop. [`GroTunnel::gro_receive`] handles the
//! others.
//!
//! [`GroTunnel::gro_receive`]: net::gro::GroTunnel::gro_receive

use crate::{demux::Receiver, guard, receive::ETHER_IP};
use gue::{
    glance::{first_bytes, len_bytes, proto_ctype, without_header, Shape},
    group,
    header::BASE_LEN_BYTES,
    protocol,
    security::Method,
};
use net::{
    gro::{Glance, Glanced},
    ip_proto::InnerProtocol,
};

/// Flags that announce a header's fields.
const NONE: u16 = 0;
const GROUP: u16 = group::FLAG;
const COOKIE8: u16 = Method::Cookie8.flags();
const COOKIE16: u16 = Method::Cookie16.flags();
const COOKIE32: u16 = Method::Cookie32.flags();
const HMAC: u16 = Method::Hmac.flags();

/// The first bytes of the most frequent headers, as words in host order.
const NONE_V4: u32 = u32::from_ne_bytes(first_bytes(protocol::IPV4, NONE));
const NONE_V6: u32 = u32::from_ne_bytes(first_bytes(protocol::IPV6, NONE));
const GROUP_V4: u32 = u32::from_ne_bytes(first_bytes(protocol::IPV4, GROUP));
const GROUP_V6: u32 = u32::from_ne_bytes(first_bytes(protocol::IPV6, GROUP));
const COOKIE_V4: u32 = u32::from_ne_bytes(first_bytes(protocol::IPV4, COOKIE8));
const COOKIE_V6: u32 = u32::from_ne_bytes(first_bytes(protocol::IPV6, COOKIE8));
const HMAC_V4: u32 = u32::from_ne_bytes(first_bytes(protocol::IPV4, HMAC));
const HMAC_V6: u32 = u32::from_ne_bytes(first_bytes(protocol::IPV6, HMAC));

/// Does what [`GroTunnel::gro_glance`](net::gro::GroTunnel::gro_glance) does.
// Inlined into the hook, where one load and a few comparisons recognize most packets.
#[inline(always)]
pub(crate) fn glance<'a, const IPV6: bool>(
    receiver: &Receiver,
    packet: Glance<'a, Receiver, IPV6>,
) -> Glanced<'a> {
    macro_rules! apart {
        ($flags:expr, $protocol:expr) => {
            pull_ip_apart::<IPV6, { $flags }, { len_bytes($flags) }>(receiver, packet, $protocol)
        };
    }
    let Some(&first) = packet.first() else {
        return packet.other(receiver);
    };
    match u32::from_ne_bytes(first) {
        NONE_V4 => packet.pull::<{ len_bytes(NONE) }>(receiver, InnerProtocol::IPV4),
        NONE_V6 => packet.pull::<{ len_bytes(NONE) }>(receiver, InnerProtocol::IPV6),
        GROUP_V4 => apart!(GROUP, InnerProtocol::IPV4),
        GROUP_V6 => apart!(GROUP, InnerProtocol::IPV6),
        COOKIE_V4 => apart!(COOKIE8, InnerProtocol::IPV4),
        COOKIE_V6 => apart!(COOKIE8, InnerProtocol::IPV6),
        HMAC_V4 => apart!(HMAC, InnerProtocol::IPV4),
        HMAC_V6 => apart!(HMAC, InnerProtocol::IPV6),
        word => glance_further(receiver, packet, word.to_ne_bytes()),
    }
}

/// Does what [`glance`] does, for less frequent headers, for frames, and for packets without a header.
// Not inlined: other packets should not save registers for it.
#[inline(never)]
fn glance_further<'a, const IPV6: bool>(
    receiver: &Receiver,
    packet: Glance<'a, Receiver, IPV6>,
    first: [u8; BASE_LEN_BYTES],
) -> Glanced<'a> {
    macro_rules! match_shape {
        ($($flags:expr => $arm:expr,)*) => {
            match Shape::of(first) {
                $(shape if shape == const { Shape::of_data($flags) } => $arm,)*
                _ => packet.other(receiver),
            }
        };
    }
    macro_rules! frame {
        ($flags:expr) => {
            pull_frame::<IPV6, { len_bytes($flags) + ETHER_IP.len() }>(receiver, packet)
        };
    }
    macro_rules! ip {
        ($flags:expr, $protocol:expr) => {
            pull_ip::<IPV6, { $flags }, { len_bytes($flags) }>(receiver, packet, $protocol)
        };
    }
    if let Some(protocol) = without_header(first).and_then(InnerProtocol::new) {
        // The first byte tells a header from an IP packet.
        return packet.compare_first(receiver, protocol);
    }
    match InnerProtocol::new(proto_ctype(first)) {
        Some(InnerProtocol::ETHERNET) => match_shape! {
            NONE => frame!(NONE),
            GROUP => frame!(GROUP),
            COOKIE8 => frame!(COOKIE8),
            GROUP | COOKIE8 => frame!(GROUP | COOKIE8),
        },
        Some(protocol) if protocol.is_ip() => match_shape! {
            GROUP | COOKIE8 => ip!(GROUP | COOKIE8, protocol),
            GROUP | HMAC => ip!(GROUP | HMAC, protocol),
            COOKIE16 => ip!(COOKIE16, protocol),
            GROUP | COOKIE16 => ip!(GROUP | COOKIE16, protocol),
            COOKIE32 => ip!(COOKIE32, protocol),
            GROUP | COOKIE32 => ip!(GROUP | COOKIE32, protocol),
        },
        _ => packet.other(receiver),
    }
}

/// Does what [`pull_ip`] does.
// Not inlined: packets with shorter headers should not save registers for it.
#[inline(never)]
fn pull_ip_apart<'a, const IPV6: bool, const FLAGS: u16, const LEN: usize>(
    receiver: &Receiver,
    packet: Glance<'a, Receiver, IPV6>,
    protocol: InnerProtocol,
) -> Glanced<'a> {
    pull_ip::<IPV6, FLAGS, LEN>(receiver, packet, protocol)
}

/// Pulls a header of `LEN` bytes before an IP packet. `FLAGS` announces its fields. If a keyed hash covers payload,
/// leaves the packet to `gro_receive`, which does not merge it.
#[inline(always)]
fn pull_ip<'a, const IPV6: bool, const FLAGS: u16, const LEN: usize>(
    receiver: &Receiver,
    packet: Glance<'a, Receiver, IPV6>,
    protocol: InnerProtocol,
) -> Glanced<'a> {
    match packet.first::<LEN>() {
        Some(header) if guard::hash_covers_no_payload(FLAGS, header) => {
            packet.pull::<LEN>(receiver, protocol)
        }
        _ => packet.other(receiver),
    }
}

/// Pulls a header and the EtherIP header after it, `LEN` bytes together.
#[inline(always)]
fn pull_frame<'a, const IPV6: bool, const LEN: usize>(
    receiver: &Receiver,
    packet: Glance<'a, Receiver, IPV6>,
) -> Glanced<'a> {
    match packet.first::<LEN>() {
        Some(header) if header.ends_with(&ETHER_IP) => {
            packet.pull::<LEN>(receiver, InnerProtocol::ETHERNET)
        }
        _ => packet.other(receiver),
    }
}
