// SPDX-License-Identifier: GPL-2.0

//! Packets of a device in external mode, which has no group and no outer addresses: the metadata of each packet have
//! them.

use super::{
    encapsulate,
    form::Form,
    headers::Headers,
    protect::{Made, Protector},
    Sender, Way,
};
use crate::{
    config::{Config, SourcePort},
    device::Gue,
    keys::KeyRing,
    reason::Reason,
};
use gue::{group, header};
use kernel::{prelude::*, sync::Arc};
use net::{
    ecn,
    errno::ELOOP,
    metadata::{EgressPacket, TunnelInfo, MAX_OPTIONS_LEN_BYTES},
    netdev::{Device, DeviceSkb, Sent, TxError, Xmit},
    route::{Flow, IpVersion, Ipv4, Ipv6, Route},
    rtnl::RcuReader,
    udp::{Checksum, PortNumber, Ports},
    udp_send::{InnerIp, OuterIp},
    udp_tunnel::Addresses,
};

/// The headers of packets with a group. The [`Sender`] itself has the headers of packets without one.
pub(super) struct External {
    headers: Headers,
    protector: Option<KBox<Protector>>,
    /// The length of all headers over IPv4, without and with a group, in bytes.
    overhead: [u32; 2],
}

/// A packet with a group of its own, or without one.
#[derive(Clone, Copy)]
struct Keyed<'a, const FRAME: bool> {
    headers: &'a Headers,
    protector: Option<&'a Protector>,
    group: Option<u32>,
    surplus: &'a [u8],
}

impl<const FRAME: bool> Form for Keyed<'_, FRAME> {
    const IS_FRAME: bool = FRAME;
    type Made = Option<Made>;

    #[inline(always)]
    fn protector(&self) -> Option<&Protector> {
        self.protector
    }

    #[inline(always)]
    fn headers<'a>(&'a self, _sender: &'a Sender) -> &'a Headers {
        self.headers
    }

    #[inline(always)]
    fn group(&self) -> Option<u32> {
        self.group
    }

    #[inline(always)]
    fn surplus(&self) -> &[u8] {
        self.surplus
    }
}

impl External {
    /// Prepares the headers. May sleep. Fails with `ENOMEM`.
    pub(super) fn new(config: &Config, keys: Option<Arc<KeyRing>>) -> Result<Self> {
        // A placeholder: the group of each packet overwrites this one.
        let with_group = Config {
            external: false,
            group: Some(0),
            ..*config
        };
        let without_group = Config {
            group: None,
            ..with_group
        };
        // External, so that no header is kept: addresses and surplus space may differ in each packet.
        let protected = Config {
            external: true,
            ..with_group
        };
        Ok(Self {
            headers: Headers::new(&with_group)?,
            protector: match Protector::new(&protected, keys)? {
                Some(protector) => Some(KBox::new(protector, GFP_KERNEL)?),
                None => None,
            },
            overhead: [
                u32::try_from(without_group.overhead_bytes())?,
                u32::try_from(with_group.overhead_bytes())?,
            ],
        })
    }

    /// Sends a packet through the tunnel in its metadata. `protector` makes the headers without a group, if the device
    /// has protecting fields.
    // Not inlined: the packets of other devices should not save registers for it.
    #[inline(never)]
    pub(super) fn transmit<const FRAME: bool>(
        &self,
        xmit: &Xmit<'_, Gue>,
        sender: &Sender,
        protector: Option<&Protector>,
        skb: DeviceSkb,
        inner: InnerIp,
    ) -> Sent {
        let Some(info) = TunnelInfo::of_sent(&skb) else {
            return xmit.drop(skb, Reason::NoMetadata.number(), TxError::Dropped);
        };
        let Ok(group) = group(&info) else {
            return xmit.drop(skb, Reason::BadKey.number(), TxError::Error);
        };
        let mut options;
        let surplus = match info.options_len() {
            0 => &[][..],
            len => {
                options = [0; MAX_OPTIONS_LEN_BYTES];
                if info.read_options(&skb, &mut options).is_err()
                    || !self.has_room(&sender.config, group, len)
                {
                    return xmit.drop(skb, Reason::BadPrivateData.number(), TxError::Error);
                }
                options.get(..len).unwrap_or_default()
            }
        };
        let form = Keyed::<FRAME> {
            headers: match group {
                Some(_) => &self.headers,
                None => &sender.headers,
            },
            protector: match group {
                Some(_) => self.protector.as_deref(),
                None => protector,
            },
            group,
            surplus,
        };
        match info.addresses {
            to if to.is_any_peer() => xmit.drop(skb, Reason::NoRemote.number(), TxError::Carrier),
            Addresses::V4 { local, peer } => {
                self.send::<Ipv4, FRAME>(xmit, sender, form, (local, peer), &info, skb, inner)
            }
            Addresses::V6 { local, peer } => {
                self.send::<Ipv6, FRAME>(xmit, sender, form, (local, peer), &info, skb, inner)
            }
        }
    }

    /// Returns `true` if a header has room for the surplus space, and if the surplus space is a whole number of words.
    fn has_room(&self, config: &Config, group: Option<u32>, surplus_len: usize) -> bool {
        // `gue_len_bytes` includes a group.
        let group_len = if group.is_some() { 0 } else { group::LEN_BYTES };
        let fields = config.gue_len_bytes().saturating_sub(group_len);
        surplus_len % 4 == 0 && fields.saturating_add(surplus_len) <= header::MAX_LEN_BYTES
    }

    /// Sends a packet over an IP version.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn send<V: IpVersion, const FRAME: bool>(
        &self,
        xmit: &Xmit<'_, Gue>,
        sender: &Sender,
        form: Keyed<'_, FRAME>,
        addresses: (V::Address, V::Address),
        info: &TunnelInfo,
        mut skb: DeviceSkb,
        inner: InnerIp,
    ) -> Sent {
        let ports = ports(sender, info, |range| skb.flow_port(xmit, range));
        let flow = flow(&sender.config, addresses, info, ports, skb.mark());
        let route = match Route::<V>::of_metadata(xmit, &skb, info, &flow) {
            Ok(route) => route,
            Err(ELOOP) => return xmit.drop(skb, Reason::Loop.number(), TxError::Loop),
            Err(_) => return xmit.drop(skb, Reason::NoRoute.number(), TxError::Carrier),
        };
        let overhead = self.overhead[usize::from(form.group.is_some())]
            .saturating_add(V::HEADER_LEN_BYTES as u32)
            .saturating_sub(Ipv4::HEADER_LEN_BYTES as u32)
            .saturating_add(form.surplus.len() as u32);
        let way = Tunnel {
            info,
            inner,
            destination: flow.destination,
            overhead,
        };
        encapsulate(xmit, sender, form, &way, route, ports, skb, inner)
    }
}

/// The path of a packet through the tunnel that was set for it.
struct Tunnel<'a, A> {
    info: &'a TunnelInfo,
    inner: InnerIp,
    destination: A,
    overhead: u32,
}

impl<V: IpVersion> Way<V> for Tunnel<'_, V::Address> {
    fn destination(&self) -> &V::Address {
        &self.destination
    }

    fn checksum(&self) -> Checksum {
        self.info.checksum
    }

    fn overhead(&self) -> u32 {
        self.overhead
    }

    fn dont_fragment(&self) -> bool {
        self.info.dont_fragment
    }

    fn ip(&self, route: &Route<V>) -> OuterIp {
        OuterIp {
            // The ECN field is copied (RFC 6040 §4.1, normal mode).
            tos: self.info.tos & !ecn::MASK | self.inner.tos & ecn::MASK,
            hop_limit: match self.info.ttl {
                0 => route.hop_limit(),
                ttl => ttl,
            },
            dont_fragment: self.info.dont_fragment,
            flow_label: self.info.flow_label,
        }
    }
}

/// Returns the group of a packet. A key that is not 0 counts without the flag that announces a key, because
/// `ip route ... encap ip id 7` does not set the flag. Fails if the key is longer than a group.
fn group(info: &TunnelInfo) -> Result<Option<u32>, core::num::TryFromIntError> {
    let group = u32::try_from(info.id)?;
    Ok((info.has_key || group != 0).then_some(group))
}

/// Returns the ports of a packet. `flow_port` chooses one of a range by the packet's flow.
fn ports(
    sender: &Sender,
    info: &TunnelInfo,
    flow_port: impl FnOnce(Option<(PortNumber, PortNumber)>) -> PortNumber,
) -> Ports {
    Ports {
        source: match sender.source_port {
            SourcePort::Fixed(port) => port,
            SourcePort::Flow(range) => flow_port(range),
        },
        destination: match info.destination_port {
            PortNumber::ANY => sender.config.destination_port,
            port => port,
        },
    }
}

/// Returns the flow by which routing finds the route of a packet.
fn flow<A>(
    config: &Config,
    (source, destination): (A, A),
    info: &TunnelInfo,
    ports: Ports,
    mark: u32,
) -> Flow<A> {
    Flow {
        source,
        destination,
        ports,
        tos: info.tos & !ecn::MASK,
        flow_label: info.flow_label,
        mark,
        link: config.link,
        any_source: info.any_source,
    }
}

/// Completes the metadata of a packet that a device would send: source address and ports.
pub(crate) fn fill_metadata(dev: &Device<Gue>, packet: &mut EgressPacket<'_>) -> Result {
    RcuReader::with(|reader| {
        let sender = dev.data().sender(reader);
        let info = packet.tunnel_info().ok_or(EINVAL)?;
        if !sender.config.external {
            return Err(EINVAL);
        }
        let ports = ports(sender, &info, |range| {
            packet.flow_port(dev.link_net(), range)
        });
        let netns = dev.link_net();
        let mark = packet.mark();
        let source = match info.addresses {
            Addresses::V4 { local, peer } => {
                let flow = flow(&sender.config, (local, peer), &info, ports, mark);
                let local = *Route::<Ipv4>::look_up(netns, &flow)?.source();
                Addresses::V4 { local, peer }
            }
            Addresses::V6 { local, peer } => {
                let flow = flow(&sender.config, (local, peer), &info, ports, mark);
                let local = *Route::<Ipv6>::look_up(netns, &flow)?.source();
                Addresses::V6 { local, peer }
            }
        };
        packet.complete(source, ports)
    })
}
