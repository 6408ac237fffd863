// SPDX-License-Identifier: GPL-2.0

//! Frames on their way out.

use crate::{
    config::{flow, Config},
    device::Geneve,
    header::{Header, BASE_LEN_BYTES},
};
use kernel::prelude::*;
use net::{
    ecn,
    errno::ELOOP,
    netdev::{DeviceSkb, Sent, TxError, Xmit},
    route::{DstCache, IpVersion, Ipv4, Ipv6, Route},
    skb::OuterSource,
    udp::Ports,
    udp_send::{self, InnerIp, OuterIp, OuterUdp, Unsent},
    DropReason, Netns,
};

/// A configuration, and the values that transmit derives from it once.
pub(crate) struct Sender {
    pub(crate) config: Config,
    header: Header,
    overhead_bytes: u32,
    path: Path,
}

/// The remote address, and the routes to it.
enum Path {
    V4([u8; 4], DstCache<Ipv4>),
    V6([u8; 16], DstCache<Ipv6>),
}

impl Sender {
    /// Makes a sender whose outer packets leave in `netns`. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new(config: Config, netns: &Netns) -> Result<Self> {
        Ok(Self {
            header: Header::new(config.vni),
            overhead_bytes: config.overhead_bytes(),
            path: match config.remote {
                OuterSource::V4(remote) => Path::V4(remote, DstCache::new(netns)?),
                OuterSource::V6(remote) => Path::V6(remote, DstCache::new(netns)?),
            },
            config,
        })
    }
}

/// Sends a frame. Softirqs are off.
#[inline]
pub(crate) fn transmit(xmit: &Xmit<'_, Geneve>, sender: &Sender, mut skb: DeviceSkb) -> Sent {
    let inner = match skb.inner_frame() {
        Ok(inner) => inner,
        Err(error) => return drop_unsent(xmit, Unsent(skb.into(), error)),
    };
    match &sender.path {
        Path::V4(remote, routes) => send(xmit, sender, skb, inner, ([0; 4], remote), routes),
        Path::V6(remote, routes) => send(xmit, sender, skb, inner, ([0; 16], remote), routes),
    }
}

/// Sends a frame over the IP version `V`.
#[inline(always)]
fn send<V: IpVersion>(
    xmit: &Xmit<'_, Geneve>,
    sender: &Sender,
    mut skb: DeviceSkb,
    inner: InnerIp,
    (any, remote): (V::Address, &V::Address),
    routes: &DstCache<V>,
) -> Sent {
    let config = &sender.config;
    let ports = Ports {
        source: skb.flow_port(xmit, None),
        destination: config.port,
    };
    // The cache has the routes of packets without a mark.
    let mark = skb.mark();
    let cache = (mark == 0).then_some(routes);
    let route = match Route::of_packet(xmit, cache, || flow(any, *remote, ports, mark)) {
        Ok(route) => route,
        Err(ELOOP) => return xmit.drop(skb, DropReason::RECURSION_LIMIT, TxError::Loop),
        Err(_) => return xmit.drop(skb, DropReason::IP_OUTNOROUTES, TxError::Carrier),
    };
    // A sender on this host learns the path MTU, and a sender behind a bridge gets an ICMP error. If a frame
    // of another sender is too long, IPv4 fragments the outer packet, and IPv6 drops it.
    let skb = match skb.check_path_mtu_of_frame(xmit, &route, sender.overhead_bytes) {
        Ok(skb) => skb,
        Err(sent) => return sent,
    };
    let ip = OuterIp {
        // The ECN field is copied (RFC 6040 §4.1, normal mode).
        tos: inner.tos & ecn::MASK,
        hop_limit: match config.ttl {
            0 => route.hop_limit(),
            ttl => ttl,
        },
        dont_fragment: false,
        flow_label: 0,
    };
    let udp = OuterUdp {
        ports,
        checksum: config.checksum,
        header_len: BASE_LEN_BYTES,
        leaves_checksum: false,
        is_frame: true,
    };
    let header = |to: &mut [u8]| sender.header.write(to);
    udp_send::send(xmit, skb, route, remote, &ip, &udp, header)
        .unwrap_or_else(|unsent| drop_unsent(xmit, unsent))
}

/// Drops a frame that could not be read or sent.
#[cold]
fn drop_unsent(xmit: &Xmit<'_, Geneve>, Unsent(skb, error): Unsent) -> Sent {
    match error {
        ENOMEM => xmit.drop(skb, DropReason::NOMEM, TxError::Dropped),
        _ => xmit.drop(skb, DropReason::INVALID_PROTO, TxError::Error),
    }
}
