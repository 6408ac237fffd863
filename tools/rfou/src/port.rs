// SPDX-License-Identifier: GPL-2.0

//! A port: an open UDP port that receives FOU or GUE, with its configuration.

use crate::{netns, protocol};
use serde::{Serialize, Serializer};
use std::{fmt, net::IpAddr};

/// The IP version of the packets that a port receives.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        })
    }
}

/// The addresses that tell a port from all others of its network namespace.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Identity {
    pub family: Family,
    pub port: u16,
    /// The only address that the port receives at.
    pub local: Option<IpAddr>,
    /// The only sender that the port receives from.
    pub peer: Option<(IpAddr, u16)>,
    /// The only interface that the port receives from; 0 for any.
    pub ifindex: u32,
}

impl Identity {
    /// Returns whether `self`, as a user wrote it, is the port `shown` by the kernel. The kernel
    /// chooses the local address of a port with a peer if the user gave none.
    pub fn is(&self, shown: &Identity) -> bool {
        let chosen = self.peer.is_some() && self.local.is_none();
        self.family == shown.family
            && self.port == shown.port
            && self.peer == shown.peer
            && self.ifindex == shown.ifindex
            && (chosen || self.local == shown.local)
    }

    /// Returns the words that name the port in a command.
    pub fn arguments(&self) -> String {
        let mut words = vec![self.port.to_string()];
        if self.family == Family::Ipv6 && self.local.is_none() && self.peer.is_none() {
            words.push("--ipv6".into());
        }
        if let Some(local) = self.local {
            words.push(format!("--local {local}"));
        }
        if let Some((peer, port)) = self.peer {
            words.push(format!("--peer {peer} --peer-port {port}"));
        }
        if self.ifindex != 0 {
            words.push(format!("--dev {}", netns::interface_name(self.ifindex)));
        }
        words.join(" ")
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} {}", self.port, self.family)?;
        if let Some(local) = self.local {
            write!(f, " local {local}")?;
        }
        if let Some((peer, port)) = self.peer {
            write!(f, " peer {peer} peer-port {port}")?;
        }
        if self.ifindex != 0 {
            write!(f, " dev {}", netns::interface_name(self.ifindex))?;
        }
        Ok(())
    }
}

/// The format of the packets that a port receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encapsulation {
    /// FOU: a packet of this IP protocol directly after the UDP header.
    Fou(u8),
    /// GUE: a header names the protocol.
    Gue,
}

/// The treatment of a port's packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    pub encapsulation: Encapsulation,
    pub remcsum_nopartial: bool,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encapsulation {
            Encapsulation::Gue => f.write_str("gue")?,
            Encapsulation::Fou(number) => match protocol::name(number) {
                Some(name) => write!(f, "fou {name}")?,
                None => write!(f, "fou protocol {number}")?,
            },
        }
        match self.remcsum_nopartial {
            true => f.write_str(" remcsum-nopartial"),
            false => Ok(()),
        }
    }
}

/// Packets that a port dropped for one reason.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Drop {
    pub reason: String,
    pub packets: u64,
}

/// A port's counters.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counters {
    /// Packets that the port decapsulated.
    pub rx_packets: u64,
    /// UDP payload of these packets.
    pub rx_bytes: u64,
    /// Packets that the port dropped.
    pub drops: u64,
    pub drops_by_reason: Vec<Drop>,
}

/// A port as the kernel shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Port {
    pub identity: Identity,
    pub settings: Settings,
    pub counters: Option<Counters>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.identity, self.settings)
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            port: u16,
            family: Family,
            encap: &'static str,
            protocol: Option<u8>,
            protocol_name: Option<&'static str>,
            local: Option<IpAddr>,
            peer: Option<IpAddr>,
            peer_port: Option<u16>,
            dev: Option<String>,
            remcsum_nopartial: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            counters: Option<&'a Counters>,
        }
        let identity = &self.identity;
        let (encap, protocol) = match self.settings.encapsulation {
            Encapsulation::Fou(protocol) => ("fou", Some(protocol)),
            Encapsulation::Gue => ("gue", None),
        };
        Shown {
            port: identity.port,
            family: identity.family,
            encap,
            protocol,
            protocol_name: protocol.and_then(protocol::name),
            local: identity.local,
            peer: identity.peer.map(|peer| peer.0),
            peer_port: identity.peer.map(|peer| peer.1),
            dev: (identity.ifindex != 0).then(|| netns::interface_name(identity.ifindex)),
            remcsum_nopartial: self.settings.remcsum_nopartial,
            counters: self.counters.as_ref(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(local: &str, peer: Option<&str>) -> Identity {
        let local: IpAddr = local.parse().unwrap();
        Identity {
            family: Family::of(local),
            port: 5555,
            local: (!local.is_unspecified()).then_some(local),
            peer: peer.map(|peer| (peer.parse().unwrap(), 7)),
            ifindex: 0,
        }
    }

    #[test]
    fn a_port_with_a_peer_matches_the_local_address_that_the_kernel_chose() {
        let asked = identity("0.0.0.0", Some("192.0.2.2"));
        assert!(asked.is(&identity("192.0.2.1", Some("192.0.2.2"))));
        assert!(!asked.is(&identity("192.0.2.1", Some("192.0.2.3"))));
        assert!(!asked.is(&identity("192.0.2.1", None)));
        assert!(!identity("0.0.0.0", None).is(&identity("192.0.2.1", None)));
        assert!(!identity("0.0.0.0", None).is(&identity("::", None)));
    }

    #[test]
    fn a_port_is_named_by_the_words_of_a_command() {
        assert_eq!(identity("::", None).arguments(), "5555 --ipv6");
        assert_eq!(
            identity("192.0.2.1", Some("192.0.2.2")).arguments(),
            "5555 --local 192.0.2.1 --peer 192.0.2.2 --peer-port 7"
        );
    }
}
