// SPDX-License-Identifier: GPL-2.0

//! The sizes of a device: its headers, and the MTU and the headroom that follow from them.

use super::{Config, Remcsum, Variant};
use gue::{checksum, crc, header, security::Method};
use net::{
    netdev::{Dimensions, LinkType, NetDevice},
    rcu::RcuReader,
    route::{self, Flow, IpVersion, Ipv4, Ipv6, Route},
    udp::{self, PortNumber, Ports},
    udp_tunnel::Addresses,
    Netns,
};

/// The MTU of links whose MTU is unknown, and of devices that send fragments, in bytes.
const DEFAULT_MTU: u32 = 1500;

/// The length of an EtherIP header (RFC 3378), in bytes.
const ETHER_IP_LEN_BYTES: usize = 2;

/// The length of an inner Ethernet header, in bytes.
const ETHERNET_LEN_BYTES: usize = 14;

/// The least MTU of a device that carries IP (RFC 791), in bytes.
const MIN_MTU: u32 = 68;

impl Config {
    /// Returns the length of the longest header that the device pushes after UDP, in bytes.
    pub(crate) fn gue_len_bytes(&self) -> usize {
        if self.variant == Variant::One {
            return 0;
        }
        let has_group = self.group.is_some() || self.external;
        let group = if has_group { 4 } else { 0 };
        let protection = self.protection;
        group
            + protection.auth.map_or(0, Method::len_bytes)
            + protection.checksum.map_or(0, |_| checksum::LEN_BYTES)
            + protection.crc.map_or(0, |_| crc::LEN_BYTES)
            + match self.remcsum {
                Remcsum::Off => header::BASE_LEN_BYTES,
                Remcsum::Draft => header::BASE_LEN_BYTES + 4,
                Remcsum::Linux => header::REMOTE_CHECKSUM_LEN_BYTES,
            }
    }

    /// Returns the length of all headers that the device pushes, in bytes.
    pub(crate) fn overhead_bytes(&self) -> usize {
        let is_ipv6 = self.addresses.is_ipv6() || self.external && route::ipv6_is_available();
        let ip = if is_ipv6 { 40 } else { 20 };
        let link = match self.mode {
            LinkType::Ip => 0,
            LinkType::Ethernet => ETHER_IP_LEN_BYTES + ETHERNET_LEN_BYTES,
        };
        ip + udp::HEADER_LEN_BYTES + self.gue_len_bytes() + link
    }

    /// Returns the sizes of a device. May sleep.
    pub(crate) fn dimensions(&self, netns: &Netns) -> Dimensions {
        // No overflow: the overhead is less than two hundred bytes.
        let overhead = self.overhead_bytes() as u32;
        let (mtu, headroom) = self.underlay(netns).unwrap_or((DEFAULT_MTU, 0));
        let max_mtu = u32::from(u16::MAX) - overhead;
        let mtu = match self.fragment {
            // Whatever the path MTU is.
            Some(_) => DEFAULT_MTU,
            None => mtu.saturating_sub(overhead),
        };
        Dimensions {
            mtu: mtu.clamp(MIN_MTU, max_mtu),
            max_mtu,
            headroom: u16::try_from(headroom.saturating_add(overhead)).unwrap_or(u16::MAX),
        }
    }

    /// Returns the MTU and the headroom of the underlay, in bytes: of the route to the peer, or else of the device
    /// that [`Self::link`] names.
    fn underlay(&self, netns: &Netns) -> Option<(u32, u32)> {
        let route = match self.addresses {
            _ if self.external || self.remote_is_any() => None,
            Addresses::V4 { local, peer } => self.sizes_of_route::<Ipv4>(netns, local, peer),
            Addresses::V6 { local, peer } => self.sizes_of_route::<Ipv6>(netns, local, peer),
        };
        route.or_else(|| {
            // No device has index 0.
            NetDevice::by_index(netns, self.link).map(|dev| (dev.mtu(), dev.headroom()))
        })
    }

    fn sizes_of_route<V: IpVersion>(
        &self,
        netns: &Netns,
        source: V::Address,
        destination: V::Address,
    ) -> Option<(u32, u32)> {
        let flow = Flow {
            source,
            destination,
            ports: Ports {
                source: PortNumber::ANY,
                destination: self.destination_port,
            },
            tos: 0,
            flow_label: self.flow_label,
            mark: 0,
            link: self.link,
            any_source: false,
        };
        let route = Route::<V>::look_up(netns, &flow).ok()?;
        Some(RcuReader::with(|rcu| {
            (route.hop_mtu(rcu), route.headroom(rcu))
        }))
    }
}
