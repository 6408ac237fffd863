// SPDX-License-Identifier: GPL-2.0

//! Packets on their way out: an inner packet gets a GUE header, a UDP header and an IP header.

mod external;
mod form;
mod fragments;
mod headers;
mod outer;
mod protect;

pub(crate) use external::fill_metadata;

use crate::{
    config::{Config, Df, Protection, Remcsum, SourcePort},
    control::Place,
    device::Gue,
    keys::KeyRing,
    reason::Reason,
    receive::ETHER_IP,
};
use external::External;
use form::{Form, Frame, Hashing, Kept, Make, Plain, Writing, WritingPlain};
use fragments::Fragmenter;
use gue::security::Method;
use headers::Headers;
use kernel::{prelude::*, sync::Arc};
use net::{
    ip_proto::ChecksumPlace,
    netdev::{DeviceSkb, LinkType, Sent, Spent, TxError, Xmit},
    route::{DstCache, IpVersion, Ipv4, Ipv6, Route},
    skb::GsoType,
    udp::{Checksum, Ports},
    udp_send::{self, InnerIp, OuterIp, OuterUdp, Unsent},
    udp_tunnel::Addresses,
    Netns,
};
use outer::{drop_unreadable, drop_unroutable, outer_ip, ports, route};
pub(crate) use protect::fields as header_fields;
use protect::{Payload, Protector, Wanted};

/// A configuration, and the values that transmit derives from it once.
pub(crate) struct Sender {
    /// The configuration, with the peer's place if the peer has moved.
    pub(crate) config: Config,
    /// The configuration as the user made it, without the peer's move.
    pub(crate) configured: Config,
    /// The place to which the peer has moved.
    pub(crate) moved_to: Option<Place>,
    outer: Outer,
    headers: Headers,
    /// Makes the headers of a device with protecting fields.
    protector: Option<KBox<Protector>>,
    /// Sends long packets in fragments, if the device is configured to.
    fragmenter: Option<KBox<Fragmenter>>,
    /// The course of packets that are not fragmented.
    course: Course,
    /// The length of all headers, in bytes.
    overhead: u32,
    source_port: SourcePort,
    df: Df,
}

/// The course of packets through transmit: see [`form`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Plain,
    Kept,
    Protected,
    Hashed,
    Frames,
}

impl Course {
    fn new(config: &Config) -> Self {
        let Protection {
            auth,
            cover,
            checksum,
            crc,
        } = config.protection;
        match auth {
            _ if config.mode == LinkType::Ethernet => Self::Frames,
            None if config.protection == Protection::NONE => Self::Plain,
            Some(Method::Hmac)
                if cover != 0 && checksum.is_none() && crc.is_none() && !config.external =>
            {
                Self::Hashed
            }
            _ if cover != 0 || checksum.is_some() || crc.is_some() => Self::Protected,
            _ => Self::Kept,
        }
    }
}

/// The outer addresses, and the routes between them.
enum Outer {
    V4(Path<Ipv4>),
    V6(Path<Ipv6>),
    /// Each packet has the addresses in its metadata.
    External(KBox<External>),
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
    /// Makes a sender whose outer packets leave in `netns`. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new(
        configured: Config,
        moved_to: Option<Place>,
        keys: Option<Arc<KeyRing>>,
        netns: &Netns,
    ) -> Result<Self> {
        let config = configured.towards(moved_to);
        Ok(Self {
            course: Course::new(&config),
            outer: match config.addresses {
                _ if config.external => Outer::External(KBox::new(
                    External::new(&config, keys.clone())?,
                    GFP_KERNEL,
                )?),
                _ if config.remote_is_any() => Outer::None,
                Addresses::V4 { local, peer } => {
                    Outer::V4(Path::new(netns, local, peer, config.checksum4)?)
                }
                Addresses::V6 { local, peer } => {
                    Outer::V6(Path::new(netns, local, peer, config.checksum6)?)
                }
            },
            headers: Headers::new(&config)?,
            fragmenter: match config.fragment {
                Some(size) => Some(KBox::new(
                    Fragmenter::new(&config, size, keys.clone())?,
                    GFP_KERNEL,
                )?),
                None => None,
            },
            protector: match Protector::new(&config, keys)? {
                Some(protector) => Some(KBox::new(protector, GFP_KERNEL)?),
                None => None,
            },
            overhead: u32::try_from(config.overhead_bytes())?,
            source_port: match config.source_port {
                SourcePort::Flow(Some((low, high))) if low == high => SourcePort::Fixed(low),
                port => port,
            },
            // A device that fragments packets itself sets DF, so that IP does not fragment them.
            df: match config.fragment {
                Some(_) => Df::Set,
                None => config.df,
            },
            config,
            configured,
            moved_to,
        })
    }
}

/// Sends a packet. Softirqs are off.
#[inline]
pub(crate) fn transmit(xmit: &Xmit<'_, Gue>, skb: DeviceSkb) -> Sent {
    let sender = xmit.device().data().sender(xmit.reader());
    match &sender.fragmenter {
        None => transmit_whole(xmit, sender, skb),
        Some(fragmenter) => fragments::transmit(xmit, sender, fragmenter, skb),
    }
}

/// Sends a packet without GUE fragmentation.
#[inline]
fn transmit_whole(xmit: &Xmit<'_, Gue>, sender: &Sender, skb: DeviceSkb) -> Sent {
    match (sender.course, &sender.protector) {
        (Course::Plain, _) => transmit_plain(xmit, sender, skb),
        (Course::Kept, Some(protector)) => transmit_kept(xmit, sender, protector, skb),
        (Course::Protected, Some(protector)) => transmit_protected(xmit, sender, protector, skb),
        (Course::Hashed, Some(protector)) => transmit_hashed(xmit, sender, protector, skb),
        (_, protector) => transmit_frame(xmit, sender, protector.as_deref(), skb),
    }
}

// Not inlined, like the next four functions: a packet should not save registers for the other courses.
#[inline(never)]
fn transmit_plain(xmit: &Xmit<'_, Gue>, sender: &Sender, skb: DeviceSkb) -> Sent {
    transmit_one(xmit, sender, Plain, skb)
}

#[inline(never)]
fn transmit_kept(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    protector: &Protector,
    skb: DeviceSkb,
) -> Sent {
    transmit_one(xmit, sender, Kept(protector), skb)
}

#[inline(never)]
fn transmit_frame(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    protector: Option<&Protector>,
    skb: DeviceSkb,
) -> Sent {
    transmit_one(xmit, sender, Frame(protector), skb)
}

/// Sends a packet with protecting fields. If they cover the payload, segments the packet and writes its
/// checksums first, because nothing after the device may change the covered bytes.
#[inline(never)]
fn transmit_protected(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    protector: &Protector,
    skb: DeviceSkb,
) -> Sent {
    if !protector.covers_payload() {
        return transmit_one(xmit, sender, protector, skb);
    }
    if skb.is_gso() {
        let send = |skb| transmit_protected(xmit, sender, protector, skb);
        return transmit_segments(xmit, skb, send);
    }
    transmit_final(xmit, sender, protector, skb)
}

/// Does what [`transmit_protected`] does, for headers whose only protecting field is a keyed hash over payload.
#[inline(never)]
fn transmit_hashed(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    protector: &Protector,
    skb: DeviceSkb,
) -> Sent {
    if skb.is_gso() {
        let send = |skb| transmit_hashed(xmit, sender, protector, skb);
        return transmit_segments(xmit, skb, send);
    }
    transmit_final(xmit, sender, Hashing(protector), skb)
}

/// Writes the checksum of a packet, and sends the packet.
#[inline(always)]
fn transmit_final<F: Form>(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    form: F,
    mut skb: DeviceSkb,
) -> Sent {
    match skb.finalize() {
        Ok(()) => transmit_one(xmit, sender, form, skb),
        Err(error) => drop_unready(xmit, skb, error),
    }
}

/// Segments a GSO packet, and passes the segments to `send`.
#[inline(never)]
fn transmit_segments(
    xmit: &Xmit<'_, Gue>,
    skb: DeviceSkb,
    send: impl Fn(DeviceSkb) -> Sent,
) -> Sent {
    match skb.segment() {
        Ok(segments) => xmit.send_each(segments, |skb| {
            // The core makes no such segment. `send` would recurse without end.
            if skb.is_gso() {
                return drop_unready(xmit, skb, EINVAL);
            }
            send(skb)
        }),
        Err((skb, error)) => drop_unready(xmit, skb, error),
    }
}

/// Drops a packet that could not be segmented, finalized or sent.
#[cold]
fn drop_unready(xmit: &Xmit<'_, Gue>, skb: impl Into<Spent>, error: Error) -> Sent {
    match error {
        ENOMEM => xmit.drop(skb, Reason::NoMemory.number(), TxError::Dropped),
        _ => xmit.drop(skb, Reason::BadCsumStart.number(), TxError::Error),
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
        Err(error) => return drop_unreadable(xmit, sender, skb, error),
    };
    match &sender.outer {
        Outer::V4(path) => send(xmit, sender, form, path, skb, inner),
        Outer::V6(path) => send(xmit, sender, form, path, skb, inner),
        Outer::External(external) => {
            let protector = form.protector();
            if F::IS_FRAME {
                external.transmit::<true>(xmit, sender, protector, skb, inner)
            } else {
                external.transmit::<false>(xmit, sender, protector, skb, inner)
            }
        }
        Outer::None => xmit.drop(skb, Reason::NoRemote.number(), TxError::Carrier),
    }
}

/// Sends a packet over the IP version `V`.
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
    let ports = ports(xmit, sender, &mut skb);
    let route = match route(xmit, config, path, ports, inner, skb.mark()) {
        Ok(route) => route,
        Err(error) => return drop_unroutable(xmit, skb, error),
    };
    let way = ToPeer {
        sender,
        path,
        inner,
    };
    encapsulate(xmit, sender, form, &way, route, ports, skb, inner)
}

/// The fields of the outer headers of one packet.
// Each is read where it is needed: values that are read early would be kept on the stack.
trait Way<V: IpVersion> {
    fn destination(&self) -> &V::Address;
    fn checksum(&self) -> Checksum;
    /// The length of all headers, in bytes.
    fn overhead(&self) -> u32;
    fn dont_fragment(&self) -> bool;
    fn ip(&self, route: &Route<V>) -> OuterIp;
}

/// The way to the peer of a device.
struct ToPeer<'a, V: IpVersion> {
    sender: &'a Sender,
    path: &'a Path<V>,
    inner: InnerIp,
}

impl<V: IpVersion> Way<V> for ToPeer<'_, V> {
    #[inline(always)]
    fn destination(&self) -> &V::Address {
        &self.path.destination
    }

    #[inline(always)]
    fn checksum(&self) -> Checksum {
        self.path.checksum
    }

    #[inline(always)]
    fn overhead(&self) -> u32 {
        self.sender.overhead
    }

    #[inline(always)]
    fn dont_fragment(&self) -> bool {
        match self.sender.df {
            Df::Unset => false,
            Df::Set => true,
            Df::Inherit => self.inner.dont_fragment,
        }
    }

    #[inline(always)]
    fn ip(&self, route: &Route<V>) -> OuterIp {
        outer_ip(&self.sender.config, self.inner, route, self.dont_fragment())
    }
}

/// Pushes headers before a packet, and sends the packet.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn encapsulate<V: IpVersion, F: Form>(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    form: F,
    way: &impl Way<V>,
    route: Route<V>,
    ports: Ports,
    mut skb: DeviceSkb,
    inner: InnerIp,
) -> Sent {
    if F::IS_FRAME {
        // Whatever the outer DF bit, a sender on this host learns the path MTU, and a sender behind a bridge gets an
        // ICMP error, as with VXLAN. If a frame of another sender is too long, IPv4 without DF fragments the outer
        // packet; with DF, and over IPv6, IP drops it.
        skb = match skb.check_path_mtu_of_frame(xmit, &route, way.overhead()) {
            Ok(skb) => skb,
            Err(sent) => return sent,
        };
    } else if let Err(too_long) = skb.check_path_mtu(&route, way.overhead()) {
        // No ICMP error if the outer packet may be fragmented, or if the inner packet may: then its sender fragments
        // the next inner packet.
        let reaches_nobody = (way.dont_fragment() || !V::ROUTERS_FRAGMENT) && inner.dont_fragment;
        if reaches_nobody && skb.answer_too_long(too_long) {
            return xmit.drop(skb, Reason::TooLong.number(), TxError::Error);
        }
    }
    let remote = match checksum_to_leave(xmit, &sender.config, way.checksum(), &skb, &route, inner)
    {
        Ok(Some(ChecksumPlace { start, field })) if F::IS_FRAME => Some(ChecksumPlace {
            // Both offsets count from the EtherIP header, which has 2 bytes.
            start: start.saturating_add(2),
            field: field.saturating_add(2),
        }),
        Ok(remote) => remote,
        Err(_) => return xmit.drop(skb, Reason::BadCsumStart.number(), TxError::Error),
    };
    let ip = way.ip(&route);
    let udp = |header_len| OuterUdp {
        ports,
        checksum: way.checksum(),
        header_len,
        leaves_checksum: remote.is_some(),
        is_frame: F::IS_FRAME,
    };
    let to = way.destination();
    let sent = match form.protector() {
        None => {
            let header = form.headers(sender).of(inner.is_ipv6, remote.is_some());
            let udp = udp(header.len().saturating_add(form.surplus().len()));
            let fill = WritingPlain {
                form,
                header,
                remote,
            };
            udp_send::send(xmit, skb, route, to, &ip, &udp, fill)
        }
        Some(protector) => {
            let (source, rcu) = (*route.source(), xmit.reader());
            let wanted = Wanted {
                is_ipv6: inner.is_ipv6,
                remote,
                source: source.as_ref(),
            };
            let mut made = F::Made::empty();
            let payload = || Payload {
                skb: &skb,
                wanted,
                group: form.group(),
                surplus: form.surplus(),
                destination: to.as_ref(),
                ports,
                fragment: None,
            };
            let header = match form.header(protector, wanted, &mut made, payload, rcu) {
                Ok(header) => header,
                Err(reason) => return xmit.drop(skb, reason.number(), TxError::Error),
            };
            let ether_ip_len = if F::IS_FRAME { ETHER_IP.len() } else { 0 };
            let udp = udp(header.len().saturating_add(ether_ip_len));
            let fill = Writing {
                header,
                is_frame: F::IS_FRAME,
            };
            udp_send::send(xmit, skb, route, to, &ip, &udp, fill)
        }
    };
    sent.unwrap_or_else(|Unsent(skb, error)| drop_unready(xmit, skb, error))
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
