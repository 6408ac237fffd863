// SPDX-License-Identifier: GPL-2.0

//! The configuration of a device.

pub(crate) mod attr;
mod external;
mod fragment;
mod liveness;
mod protection;
mod read;
mod show;
mod sizes;

use crate::{control::Place, demux::Key};
use gue::{security::Method, Demands};
pub(crate) use liveness::Liveness;
use net::{
    netdev::{LinkType, NetDevice},
    route,
    skb::OuterSource,
    udp::{Checksum, PortNumber},
    udp_tunnel::{Addresses, Binding},
    Netns,
};

/// Any IPv4 address.
const ANY_V4: Addresses = Addresses::V4 {
    local: [0; 4],
    peer: [0; 4],
};

/// Any IPv6 address.
const ANY_V6: Addresses = Addresses::V6 {
    local: [0; 16],
    peer: [0; 16],
};

/// The configuration of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Group and outer addresses come with each packet. Fixed when the device is made.
    pub(crate) external: bool,
    /// The group that the device's packets belong to.
    pub(crate) group: Option<u32>,
    /// The outer addresses. A local address that is zero is chosen by routing; a peer that is zero is any.
    pub(crate) addresses: Addresses,
    /// The index of the device that the outer packets leave by, or 0.
    pub(crate) link: u32,
    /// The UDP port that the device receives from.
    pub(crate) port: PortNumber,
    /// The UDP port that the device sends to.
    pub(crate) destination_port: PortNumber,
    pub(crate) source_port: SourcePort,
    pub(crate) variant: Variant,
    /// IP or Ethernet. Fixed when the device is made.
    pub(crate) mode: LinkType,
    pub(crate) ttl: Inherit,
    /// DSCP; the two bits of ECN are 0.
    pub(crate) tos: Inherit,
    pub(crate) df: Df,
    /// The flow label of IPv6, in host order.
    pub(crate) flow_label: u32,
    /// The UDP checksum of packets over IPv4.
    pub(crate) checksum4: Checksum,
    /// The UDP checksum of packets over IPv6.
    pub(crate) checksum6: Checksum,
    /// Packets with a UDP checksum of zero over IPv6 are accepted.
    pub(crate) accepts_zero_checksum6: bool,
    pub(crate) remcsum: Remcsum,
    pub(crate) protection: Protection,
    pub(crate) liveness: Liveness,
    /// The length of the longest outer IP packet, in bytes, if the device sends longer packets in fragments. 0 stands
    /// for the path's MTU.
    pub(crate) fragment: Option<u16>,
}

/// The fields by which a device protects its packets, and which it demands of received ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    /// SEC. Fixed when the device is made.
    pub(crate) auth: Option<Method>,
    /// The number of payload bytes that a keyed hash covers. [`gue::Demands::WHOLE_PAYLOAD`] covers the whole payload.
    pub(crate) cover: u16,
    /// K, and the number of payload bytes that the checksum covers.
    pub(crate) checksum: Option<u16>,
    /// A, and the number of payload bytes that the CRC covers.
    pub(crate) crc: Option<u16>,
}

impl Protection {
    /// No field.
    pub(crate) const NONE: Self = Self {
        auth: None,
        cover: 0,
        checksum: None,
        crc: None,
    };

    /// Returns `true` if a field covers bytes of the payload.
    pub(crate) fn covers_payload(&self) -> bool {
        self.cover != 0 || self.checksum.unwrap_or(0) != 0 || self.crc.unwrap_or(0) != 0
    }

    /// Returns the demands of the device on received packets.
    pub(crate) fn demands(&self) -> Demands {
        Demands {
            security: self.auth,
            hmac_coverage: self.cover,
            checksum: self.checksum.is_some(),
            crc: self.crc.is_some(),
            ..Demands::NONE
        }
    }
}

/// The UDP port that the device sends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourcePort {
    /// This port.
    Fixed(PortNumber),
    /// A port that the hash of the inner flow selects from the namespace's local ports, or from this range.
    Flow(Option<(PortNumber, PortNumber)>),
}

/// The form of the packets that the device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// With a header.
    Zero,
    /// IP directly in UDP.
    One,
}

/// A field of the outer IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inherit {
    /// From the inner IP header.
    Inner,
    /// This value.
    Value(u8),
}

/// The "don't fragment" bit of the outer IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Df {
    Unset,
    Set,
    /// Set if it is set in an inner IPv4 header; set for inner IPv6, whose packets routers do not fragment.
    Inherit,
}

/// The form in which the device leaves inner checksums to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remcsum {
    Off,
    /// Flag R (gue-extensions-06 §7).
    Draft,
    /// Linux's private flag.
    Linux,
}

impl Config {
    /// Returns the key of the device's packets.
    pub(crate) fn key(&self) -> Key {
        if self.external {
            return Key::EXTERNAL;
        }
        Key::of_device(self.group, self.addresses)
    }

    /// Returns the binding of the device's socket. For an external device, also returns the binding of a second
    /// socket, if IPv6 is available: the device has a socket for each IP version.
    pub(crate) fn bindings(&self, netns: &Netns) -> (Binding, Option<Binding>) {
        let mut addresses = self.addresses;
        match &mut addresses {
            Addresses::V4 { peer, .. } => *peer = [0; 4],
            Addresses::V6 { peer, .. } => *peer = [0; 16],
        }
        let first = Binding {
            addresses,
            local_port: self.port,
            peer_port: PortNumber::ANY,
            ifindex: self.vrf(netns),
        };
        let second = (self.external && route::ipv6_is_available()).then_some(Binding {
            addresses: ANY_V6,
            ..first
        });
        (first, second)
    }

    /// Returns the index of the VRF of the device that outer packets leave by, or 0.
    pub(crate) fn vrf(&self, netns: &Netns) -> i32 {
        if self.link == 0 {
            return 0;
        }
        NetDevice::vrf_of(netns, self.link)
    }

    /// Returns the place that the device sends to; `None` if the device has no remote address, or if each packet has
    /// its own.
    pub(crate) fn peer(&self) -> Option<Place> {
        if self.remote() == [0; 16] {
            return None;
        }
        Some(Place {
            address: match self.addresses {
                Addresses::V4 { peer, .. } => OuterSource::V4(peer),
                Addresses::V6 { peer, .. } => OuterSource::V6(peer),
            },
            port: self.destination_port,
        })
    }

    /// Returns this configuration for a peer that has moved.
    pub(crate) fn towards(&self, place: Option<Place>) -> Self {
        let mut config = *self;
        let Some(place) = place else {
            return config;
        };
        match (&mut config.addresses, place.address) {
            (Addresses::V4 { peer, .. }, OuterSource::V4(address)) => *peer = address,
            (Addresses::V6 { peer, .. }, OuterSource::V6(address)) => *peer = address,
            // A device has one IP version.
            _ => return config,
        }
        config.destination_port = place.port;
        config
    }

    /// Returns `true` if the device has remote `any`, and so no place to send to. An external device does not count.
    pub(crate) fn remote_is_any(&self) -> bool {
        !self.external && self.remote() == [0; 16]
    }

    fn remote(&self) -> [u8; 16] {
        match self.addresses {
            Addresses::V4 { peer, .. } => {
                let mut address = [0; 16];
                address[..4].copy_from_slice(&peer);
                address
            }
            Addresses::V6 { peer, .. } => peer,
        }
    }
}
