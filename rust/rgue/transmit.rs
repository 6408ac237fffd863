// SPDX-License-Identifier: GPL-2.0

//! Packets on their way out: an inner packet gets a GUE header, a UDP header and an IP header.

mod headers;
mod protect;

use crate::{
    config::{Config, Df, Inherit, Protection, Remcsum, SourcePort},
    device::Gue,
    keys::KeyRing,
    reason::Reason,
    receive::ETHER_IP,
};
use gue::Addresses as GueAddresses;
use headers::Headers;
use kernel::{prelude::*, sync::Arc};
use net::{
    ecn,
    errno::ELOOP,
    ip_proto::ChecksumPlace,
    netdev::{DeviceSkb, LinkType, Sent, Spent, TxError, Xmit},
    route::{DstCache, Flow, IpVersion, Ipv4, Ipv6, Route},
    skb::GsoType,
    udp::{Checksum, Ports},
    udp_send::{self, InnerIp, OuterIp, OuterUdp, Unsent},
    udp_tunnel::Addresses,
    Netns,
};
use protect::{Payload, Protector};

/// A configuration, and what transmit makes of it once.
pub(crate) struct Sender {
    pub(crate) config: Config,
    outer: Outer,
    headers: Headers,
    /// Makes the headers of a device with protecting fields.
    protector: Option<KBox<Protector>>,
    /// The device has protecting fields, or carries Ethernet.
    is_special: bool,
    /// The length of all headers, in bytes.
    overhead: u32,
    source_port: SourcePort,
}

/// The outer addresses, and the routes between them.
enum Outer {
    V4(Path<Ipv4>),
    V6(Path<Ipv6>),
    /// There is no remote address.
    None,
}

/// The way to the other end.
struct Path<V: IpVersion> {
    source: V::Address,
    destination: V::Address,
    checksum: Checksum,
    routes: DstCache<V>,
}

impl<V: IpVersion> Path<V> {
    fn new(
        netns: &Netns,
        source: V::Address,
        destination: V::Address,
        checksum: Checksum,
    ) -> Result<Self> {
        Ok(Self {
            source,
            destination,
            checksum,
            routes: DstCache::new(netns)?,
        })
    }
}

impl Sender {
    /// Makes a sender to a namespace. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new(config: Config, keys: Option<Arc<KeyRing>>, netns: &Netns) -> Result<Self> {
        Ok(Self {
            outer: match config.addresses {
                _ if config.remote_is_any() => Outer::None,
                Addresses::V4 { local, peer } => {
                    Outer::V4(Path::new(netns, local, peer, config.checksum4)?)
                }
                Addresses::V6 { local, peer } => {
                    Outer::V6(Path::new(netns, local, peer, config.checksum6)?)
                }
            },
            headers: Headers::new(&config)?,
            protector: match Protector::new(&config, keys)? {
                Some(protector) => Some(KBox::new(protector, GFP_KERNEL)?),
                None => None,
            },
            is_special: config.protection != Protection::NONE || config.mode == LinkType::Ethernet,
            overhead: u32::try_from(config.overhead_bytes())?,
            source_port: match config.source_port {
                SourcePort::Flow(Some((low, high))) if low == high => SourcePort::Fixed(low),
                port => port,
            },
            config,
        })
    }
}

/// Sends a packet. Softirqs are off.
#[inline]
pub(crate) fn transmit(xmit: &Xmit<'_, Gue>, skb: DeviceSkb) -> Sent {
    let sender = xmit.device().data().sender(xmit.reader());
    if sender.is_special {
        return transmit_special(xmit, sender, skb);
    }
    transmit_one(xmit, sender, Plain, skb)
}

/// Sends a frame, or a packet with protecting fields.
// Not inlined: other packets should not save registers for it.
#[inline(never)]
fn transmit_special(xmit: &Xmit<'_, Gue>, sender: &Sender, skb: DeviceSkb) -> Sent {
    match &sender.protector {
        Some(protector) if sender.config.mode == LinkType::Ip => {
            transmit_protected(xmit, sender, protector, skb)
        }
        protector => transmit_one(xmit, sender, Frame(protector.as_deref()), skb),
    }
}

/// Sends a packet with protecting fields. If they cover the packet's bytes, it is sent as it goes over the
/// wire: nothing after the device may segment the packet or write checksums.
fn transmit_protected(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    protector: &Protector,
    skb: DeviceSkb,
) -> Sent {
    if !protector.covers_payload() {
        return transmit_one(xmit, sender, protector, skb);
    }
    let send = |mut skb: DeviceSkb| match skb.finalize() {
        Ok(()) => transmit_one(xmit, sender, protector, skb),
        Err(error) => drop_unready(xmit, skb, error),
    };
    if !skb.is_gso() {
        return send(skb);
    }
    match skb.segment() {
        Ok(segments) => xmit.send_each(segments, send),
        Err((skb, error)) => drop_unready(xmit, skb, error),
    }
}

/// Drops a packet that cannot be made what goes over the wire.
#[cold]
fn drop_unready(xmit: &Xmit<'_, Gue>, skb: impl Into<Spent>, error: Error) -> Sent {
    match error {
        ENOMEM => xmit.drop(skb, Reason::NoMemory.number(), TxError::Dropped),
        _ => xmit.drop(skb, Reason::BadCsumStart.number(), TxError::Error),
    }
}

/// The form of the packets that a device sends.
trait Form: Copy {
    /// An inner packet begins with an Ethernet header.
    const IS_FRAME: bool;

    /// Returns the protector, if headers have protecting fields.
    fn protector(&self) -> Option<&Protector>;
}

/// IP packets whose headers have no protecting fields, and are copied.
#[derive(Clone, Copy)]
struct Plain;

impl Form for Plain {
    const IS_FRAME: bool = false;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        None
    }
}

impl Form for &Protector {
    const IS_FRAME: bool = false;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        Some(self)
    }
}

/// Ethernet frames.
#[derive(Clone, Copy)]
struct Frame<'a>(Option<&'a Protector>);

impl Form for Frame<'_> {
    const IS_FRAME: bool = true;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        self.0
    }
}

/// Sends a packet over IPv4 or IPv6.
#[inline(always)]
fn transmit_one<F: Form>(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    form: F,
    mut skb: DeviceSkb,
) -> Sent {
    let inner = if F::IS_FRAME {
        skb.inner_frame()
    } else {
        skb.inner_ip()
    };
    let inner = match inner {
        Ok(inner) => inner,
        Err(ENOMEM) => return xmit.drop(skb, Reason::NoMemory.number(), TxError::Dropped),
        Err(_) if F::IS_FRAME => return xmit.drop(skb, Reason::Truncated.number(), TxError::Error),
        Err(_) => return xmit.drop(skb, Reason::NotIp.number(), TxError::Error),
    };
    match &sender.outer {
        Outer::V4(path) => send(xmit, sender, form, path, skb, inner),
        Outer::V6(path) => send(xmit, sender, form, path, skb, inner),
        Outer::None => xmit.drop(skb, Reason::NoRemote.number(), TxError::Carrier),
    }
}

/// Sends a packet over an IP version.
#[inline(always)]
fn send<V: IpVersion, F: Form>(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    form: F,
    path: &Path<V>,
    mut skb: DeviceSkb,
    inner: InnerIp,
) -> Sent {
    let config = &sender.config;
    let ports = Ports {
        source: match sender.source_port {
            SourcePort::Fixed(port) => port,
            SourcePort::Flow(range) => skb.flow_port(xmit, range),
        },
        destination: config.destination_port,
    };
    // The cache has the routes of the most common TOS.
    let (tos, cached_tos) = match config.tos {
        Inherit::Inner => (inner.tos & !ecn::MASK, 0),
        Inherit::Value(tos) => (tos, tos),
    };
    let mark = skb.mark();
    let cache = (mark == 0 && tos == cached_tos).then_some(&path.routes);
    let route = Route::of_packet(xmit, cache, || Flow {
        source: path.source,
        destination: path.destination,
        ports,
        tos,
        flow_label: config.flow_label,
        mark,
        link: config.link,
    });
    let route = match route {
        Ok(route) => route,
        Err(ELOOP) => return xmit.drop(skb, Reason::Loop.number(), TxError::Loop),
        Err(_) => return xmit.drop(skb, Reason::NoRoute.number(), TxError::Carrier),
    };
    let dont_fragment = match config.df {
        Df::Unset => false,
        Df::Set => true,
        Df::Inherit => inner.dont_fragment,
    };
    if F::IS_FRAME {
        // A sender on this host learns the path MTU. Nothing answers a bridged one: over IPv4 without DF the outer
        // packet is fragmented, otherwise IP drops it.
        let _ = skb.check_path_mtu_of_frame(&route, sender.overhead);
    } else if let Err(too_long) = skb.check_path_mtu(&route, sender.overhead) {
        // Otherwise the outer packet is fragmented, or the sender fragments the next inner packet.
        let reaches_nobody = (dont_fragment || !V::ROUTERS_FRAGMENT) && inner.dont_fragment;
        if reaches_nobody && skb.answer_too_long(too_long) {
            return xmit.drop(skb, Reason::TooLong.number(), TxError::Error);
        }
    }
    let remote = match checksum_to_leave(xmit, config, path.checksum, &skb, &route, inner) {
        Ok(Some(ChecksumPlace { start, field })) if F::IS_FRAME => Some(ChecksumPlace {
            // Both numbers count the EtherIP header.
            start: start.saturating_add(2),
            field: field.saturating_add(2),
        }),
        Ok(remote) => remote,
        Err(_) => return xmit.drop(skb, Reason::BadCsumStart.number(), TxError::Error),
    };
    let ip = OuterIp {
        // The ECN field is copied (RFC 6040 §4.1, normal mode).
        tos: tos | inner.tos & ecn::MASK,
        hop_limit: match config.ttl {
            Inherit::Inner if inner.hop_limit != 0 => inner.hop_limit,
            Inherit::Inner | Inherit::Value(0) => route.hop_limit(),
            Inherit::Value(ttl) => ttl,
        },
        dont_fragment,
        flow_label: config.flow_label,
    };
    let udp = |header_len| OuterUdp {
        ports,
        checksum: path.checksum,
        header_len,
        leaves_checksum: remote.is_some(),
        is_frame: F::IS_FRAME,
    };
    let to = &path.destination;
    let sent = match form.protector() {
        None => {
            let header = sender.headers.of(inner.is_ipv6, remote.is_some());
            let udp = udp(header.len());
            udp_send::send(xmit, skb, route, to, &ip, &udp, |to| {
                header.write(to, remote)
            })
        }
        Some(protector) => {
            let addresses = GueAddresses::from_slices(route.source().as_ref(), to.as_ref());
            let Some(addresses) = addresses else {
                return xmit.drop(skb, Reason::NoRoute.number(), TxError::Error);
            };
            let payload = Payload {
                skb: &skb,
                is_ipv6: inner.is_ipv6,
                remote,
                outer: gue::Outer {
                    addresses,
                    source_port: u16::from_be_bytes(ports.source.to_be_bytes()),
                    destination_port: u16::from_be_bytes(ports.destination.to_be_bytes()),
                },
            };
            let header = match protector.header(&payload, xmit.reader()) {
                Ok(header) => header,
                Err(reason) => return xmit.drop(skb, reason.number(), TxError::Error),
            };
            let ether_ip: &[u8] = if F::IS_FRAME { &ETHER_IP } else { &[] };
            let len = header.as_bytes().len();
            let udp = udp(len.saturating_add(ether_ip.len()));
            udp_send::send(xmit, skb, route, to, &ip, &udp, |to| {
                if let Some((gue, rest)) = to.split_at_mut_checked(len) {
                    gue.copy_from_slice(header.as_bytes());
                    rest.copy_from_slice(ether_ip);
                }
            })
        }
    };
    sent.unwrap_or_else(|Unsent(skb, error)| match error {
        ENOMEM => xmit.drop(skb, Reason::NoMemory.number(), TxError::Dropped),
        _ => xmit.drop(skb, Reason::BadCsumStart.number(), TxError::Error),
    })
}

/// Returns the place of the packet's checksum if the device leaves it to the receiver.
///
/// No device segments packets with remote checksums: the core would segment each GSO packet in software. A
/// device that segments UDP tunnels computes the inner checksums, too. The route decides, not the packet,
/// because the receiver's GRO keeps packets with different GUE headers apart: GSO packets could overtake a
/// packet without GSO that GRO holds.
#[inline]
fn checksum_to_leave<V: IpVersion>(
    xmit: &Xmit<'_, Gue>,
    config: &Config,
    checksum: Checksum,
    skb: &DeviceSkb,
    route: &Route<V>,
    inner: InnerIp,
) -> Result<Option<ChecksumPlace>> {
    if config.remcsum == Remcsum::Off {
        return Ok(None);
    }
    let gso_type = match checksum {
        Checksum::Full => GsoType::UDP_TUNNEL_CSUM,
        Checksum::Zero => GsoType::UDP_TUNNEL,
    };
    if route.device_segments(gso_type, inner.is_ipv6, xmit.reader()) {
        return Ok(None);
    }
    skb.partial_checksum()
}
