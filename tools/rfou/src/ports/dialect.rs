// SPDX-License-Identifier: GPL-2.0

//! Attributes and commands of the families `fou` and `rfou`.

use crate::{
    netlink::{attributes, be16, number, string, Builder},
    port::{Counters, Drop, Encapsulation, Family, Identity, Port, Settings},
};
use std::net::IpAddr;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Notifications of the family `rfou`.
pub const PORT_ADDED: u8 = 4;
pub const PORT_DELETED: u8 = 5;

/// The attributes of [`COUNTERS`].
mod counter {
    pub const RX_PACKETS: u16 = 1;
    pub const RX_BYTES: u16 = 2;
    pub const DROPS: u16 = 3;
    pub const DROP: u16 = 4;
    pub const DROP_REASON: u16 = 1;
    pub const DROP_PACKETS: u16 = 2;
}

/// Numbers that both families give to the same attributes.
mod both {
    pub const REMCSUM_NOPARTIAL: u16 = 5;
    pub const LOCAL_V4: u16 = 6;
    pub const LOCAL_V6: u16 = 7;
    pub const PEER_V4: u16 = 8;
    pub const PEER_V6: u16 = 9;
    pub const PEER_PORT: u16 = 10;
    pub const IFINDEX: u16 = 11;
}

/// One of the two families.
pub struct Dialect {
    pub name: &'static str,
    pub add: u8,
    pub delete: u8,
    pub get: u8,
    family: u16,
    port: u16,
    protocol: u16,
    encapsulation: u16,
    /// 0 if ports have no counters.
    counters: u16,
}

/// Linux's family (`include/uapi/linux/fou.h`).
pub static FOU: Dialect = Dialect {
    name: "fou",
    add: 1,
    delete: 2,
    get: 3,
    port: 1,
    family: 2,
    protocol: 3,
    encapsulation: 4,
    counters: 0,
};

/// rfou's own family (`Documentation/netlink/rfou.yaml`).
pub static RFOU: Dialect = Dialect {
    name: "rfou",
    get: 1,
    add: 2,
    delete: 3,
    family: 1,
    port: 2,
    encapsulation: 3,
    protocol: 4,
    counters: 12,
};

impl Dialect {
    /// Returns whether the family has counters and tells changes.
    pub fn notifies(&self) -> bool {
        self.counters != 0
    }

    /// Returns the attributes that name a port.
    pub fn identity(&self, identity: &Identity) -> Builder {
        let mut request = Builder::default()
            .put_be16(self.port, identity.port)
            .put_u8(
                self.family,
                match identity.family {
                    Family::Ipv4 => AF_INET,
                    Family::Ipv6 => AF_INET6,
                },
            );
        if let Some(local) = identity.local {
            request = put_address(request, local, both::LOCAL_V4, both::LOCAL_V6);
        }
        if let Some((peer, port)) = identity.peer {
            request = put_address(request, peer, both::PEER_V4, both::PEER_V6)
                .put_be16(both::PEER_PORT, port);
        }
        if identity.ifindex != 0 {
            request = request.put_u32(both::IFINDEX, identity.ifindex);
        }
        request
    }

    /// Adds the attributes of a port's settings.
    pub fn settings(&self, mut request: Builder, settings: &Settings) -> Builder {
        request = match settings.encapsulation {
            Encapsulation::Fou(protocol) => request
                .put_u8(self.encapsulation, 1)
                .put_u8(self.protocol, protocol),
            Encapsulation::Gue => request.put_u8(self.encapsulation, 2),
        };
        match settings.remcsum_nopartial {
            true => request.put(both::REMCSUM_NOPARTIAL, []),
            false => request,
        }
    }

    /// Reads a port's attributes.
    pub fn read(&self, bytes: &[u8]) -> Option<Port> {
        let fields = attributes(bytes);
        let find = |wanted| fields.iter().find(|at| at.0 == wanted).map(|at| at.1);
        let byte = |wanted| find(wanted).and_then(number).unwrap_or(0) as u8;
        let address = |v4, v6| {
            let address = find(v4)
                .and_then(address)
                .or_else(|| find(v6).and_then(address));
            address.filter(|address| !address.is_unspecified())
        };
        let family = match byte(self.family) {
            AF_INET6 => Family::Ipv6,
            _ => Family::Ipv4,
        };
        let encapsulation = match byte(self.encapsulation) {
            2 => Encapsulation::Gue,
            _ => Encapsulation::Fou(byte(self.protocol)),
        };
        let peer_port = find(both::PEER_PORT).and_then(be16).unwrap_or(0);
        Some(Port {
            identity: Identity {
                family,
                port: be16(find(self.port)?)?,
                local: address(both::LOCAL_V4, both::LOCAL_V6),
                peer: address(both::PEER_V4, both::PEER_V6).map(|peer| (peer, peer_port)),
                ifindex: find(both::IFINDEX).and_then(number).unwrap_or(0) as u32,
            },
            settings: Settings {
                encapsulation,
                remcsum_nopartial: find(both::REMCSUM_NOPARTIAL).is_some(),
            },
            counters: match self.counters {
                0 => None,
                nest => find(nest).map(read_counters),
            },
        })
    }

    /// Returns the option of the command that an attribute comes from.
    pub fn argument(&self, attribute: u16) -> Option<&'static str> {
        Some(match attribute {
            both::REMCSUM_NOPARTIAL => "--remcsum-nopartial",
            both::LOCAL_V4 | both::LOCAL_V6 => "--local",
            both::PEER_V4 | both::PEER_V6 => "--peer",
            both::PEER_PORT => "--peer-port",
            both::IFINDEX => "--dev",
            _ if attribute == self.port => "PORT",
            _ if attribute == self.family => "--ipv6",
            _ if attribute == self.protocol => "--protocol",
            _ if attribute == self.encapsulation => "--encap",
            _ => return None,
        })
    }
}

fn put_address(request: Builder, address: IpAddr, v4: u16, v6: u16) -> Builder {
    match address {
        IpAddr::V4(address) => request.put(v4, address.octets()),
        IpAddr::V6(address) => request.put(v6, address.octets()),
    }
}

/// Reads an IPv4 or IPv6 address.
pub fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

fn read_counters(bytes: &[u8]) -> Counters {
    let mut counters = Counters::default();
    for (kind, value) in attributes(bytes) {
        let count = || number(value).unwrap_or(0);
        match kind {
            counter::RX_PACKETS => counters.rx_packets = count(),
            counter::RX_BYTES => counters.rx_bytes = count(),
            counter::DROPS => counters.drops = count(),
            counter::DROP => counters.drops_by_reason.push(read_drop(value)),
            _ => (),
        }
    }
    counters
}

fn read_drop(bytes: &[u8]) -> Drop {
    let mut drop = Drop {
        reason: String::new(),
        packets: 0,
    };
    for (kind, value) in attributes(bytes) {
        match kind {
            counter::DROP_REASON => drop.reason = string(value),
            counter::DROP_PACKETS => drop.packets = number(value).unwrap_or(0),
            _ => (),
        }
    }
    drop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_they_are_asked_for() {
        for dialect in [&FOU, &RFOU] {
            for local in [None, Some("192.0.2.1"), Some("2001:db8::1")] {
                let local: Option<IpAddr> = local.map(|local| local.parse().unwrap());
                let port = Port {
                    identity: Identity {
                        family: local.map_or(Family::Ipv4, Family::of),
                        port: 5555,
                        local,
                        peer: local.map(|local| (local, 7)),
                        ifindex: 3,
                    },
                    settings: Settings {
                        encapsulation: Encapsulation::Fou(47),
                        remcsum_nopartial: local.is_some(),
                    },
                    counters: None,
                };
                let request = dialect.settings(dialect.identity(&port.identity), &port.settings);
                assert_eq!(dialect.read(&request.build()), Some(port));
            }
        }
    }

    #[test]
    fn counters_are_read_with_their_reasons() {
        let drop = Builder::default()
            .put_string(1, "GUE_BAD_HLEN")
            .put_u32(2, 7);
        let counters = Builder::default()
            .put(1, 10_u64.to_ne_bytes())
            .put_u32(2, 100)
            .put_u32(3, 7)
            .put_nest(4, drop);
        let bytes = Builder::default()
            .put_be16(2, 6080)
            .put_u8(3, 2)
            .put_nest(12, counters)
            .build();
        let port = RFOU.read(&bytes).unwrap();
        assert_eq!(port.settings.encapsulation, Encapsulation::Gue);
        let counters = port.counters.unwrap();
        assert_eq!((counters.rx_packets, counters.rx_bytes), (10, 100));
        assert_eq!(counters.drops_by_reason[0].reason, "GUE_BAD_HLEN");
        assert_eq!(counters.drops_by_reason[0].packets, 7);
    }
}
