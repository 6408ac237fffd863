// SPDX-License-Identifier: GPL-2.0

//! The path of a packet: its ports, its route, and the outer IP header.

use super::{Path, Sender};
use crate::{
    config::{Config, Inherit, SourcePort},
    device::Gue,
    reason::Reason,
};
use kernel::prelude::*;
use net::{
    ecn,
    errno::ELOOP,
    netdev::{DeviceSkb, LinkType, Sent, TxError, Xmit},
    route::{Flow, IpVersion, Route},
    udp::Ports,
    udp_send::{InnerIp, OuterIp},
};

/// Drops a packet whose inner headers cannot be read.
#[cold]
pub(super) fn drop_unreadable(
    xmit: &Xmit<'_, Gue>,
    sender: &Sender,
    skb: DeviceSkb,
    error: Error,
) -> Sent {
    match (error, sender.config.mode) {
        (ENOMEM, _) => xmit.drop(skb, Reason::NoMemory.number(), TxError::Dropped),
        (_, LinkType::Ethernet) => xmit.drop(skb, Reason::Truncated.number(), TxError::Error),
        (_, LinkType::Ip) => xmit.drop(skb, Reason::NotIp.number(), TxError::Error),
    }
}

/// Drops a packet for which there is no usable route.
#[cold]
pub(super) fn drop_unroutable(xmit: &Xmit<'_, Gue>, skb: DeviceSkb, error: Error) -> Sent {
    match error {
        ELOOP => xmit.drop(skb, Reason::Loop.number(), TxError::Loop),
        _ => xmit.drop(skb, Reason::NoRoute.number(), TxError::Carrier),
    }
}

/// Returns the ports of a packet.
#[inline(always)]
pub(super) fn ports(xmit: &Xmit<'_, Gue>, sender: &Sender, skb: &mut DeviceSkb) -> Ports {
    Ports {
        source: match sender.source_port {
            SourcePort::Fixed(port) => port,
            SourcePort::Flow(range) => skb.flow_port(xmit, range),
        },
        destination: sender.config.destination_port,
    }
}

/// Finds the route of a packet with this mark.
#[inline(always)]
pub(super) fn route<V: IpVersion>(
    xmit: &Xmit<'_, Gue>,
    config: &Config,
    path: &Path<V>,
    ports: Ports,
    inner: InnerIp,
    mark: u32,
) -> Result<Route<V>> {
    // The cache has the routes of one TOS: the configured one, or 0 if the device inherits the TOS.
    let (tos, cached_tos) = match config.tos {
        Inherit::Inner => (inner.tos & !ecn::MASK, 0),
        Inherit::Value(tos) => (tos, tos),
    };
    let cache = (mark == 0 && tos == cached_tos).then_some(&path.routes);
    Route::of_packet(xmit, cache, || Flow {
        source: path.source,
        destination: path.destination,
        ports,
        tos,
        flow_label: config.flow_label,
        mark,
        link: config.link,
        any_source: false,
    })
}

/// Returns the fields of the outer IP header.
#[inline(always)]
pub(super) fn outer_ip<V: IpVersion>(
    config: &Config,
    inner: InnerIp,
    route: &Route<V>,
    dont_fragment: bool,
) -> OuterIp {
    let tos = match config.tos {
        Inherit::Inner => inner.tos & !ecn::MASK,
        Inherit::Value(tos) => tos,
    };
    OuterIp {
        // The ECN field is copied (RFC 6040 §4.1, normal mode).
        tos: tos | inner.tos & ecn::MASK,
        hop_limit: match config.ttl {
            Inherit::Inner if inner.hop_limit != 0 => inner.hop_limit,
            Inherit::Inner | Inherit::Value(0) => route.hop_limit(),
            Inherit::Value(ttl) => ttl,
        },
        dont_fragment,
        flow_label: config.flow_label,
    }
}
