// SPDX-License-Identifier: GPL-2.0

//! Addresses and ports of the host under fire, and addresses of the peer that fires.

use super::{checksum::sum, Packet};
use rand::{Rng, RngCore};

const PEER_V4: [u8; 4] = [192, 0, 2, 2];
const HOST_V4: [u8; 4] = [192, 0, 2, 1];
const PEER_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const HOST_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(super) const ALL_V4: [u8; 4] = [224, 0, 0, 1];
pub(super) const ALL_V6: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// FOU ports of the host, each with its protocol.
pub(super) const FOU_PORTS: [(u16, u8); 8] = [
    (5551, 4),
    (5552, 41),
    (5553, 47),
    (5554, 17),
    (5555, 6),
    (5556, 136),
    (5557, 1),
    (5558, 58),
];
/// The FOU port that carries UDP.
pub(super) const FOU_UDP: u16 = 5554;
/// GUE ports of the host. The second has `remcsum_nopartial`.
pub(super) const GUE_PORTS: [u16; 2] = [6080, 6081];

/// UDP ports of the host's `gue` devices. The device of the second sends variant 1.
pub(super) const DEVICE_PORTS: [u16; 2] = [6090, 6091];
/// The groups of a device over IPv4, of one over IPv6, and of none.
const GROUP_V4: u32 = 7;
const GROUP_V6: u32 = 0xfedc_ba98;
const GROUP_OF_NONE: u32 = 8;
/// The group of two devices with a key: over IPv4 a cookie, over IPv6 a keyed hash of no payload.
pub(super) const GROUP_WITH_KEY: u32 = 9;
/// The group of the devices that carry Ethernet.
pub(super) const GROUP_OF_FRAMES: u32 = 10;
/// The group of the devices that cut packets into pieces.
const GROUP_OF_PIECES: u32 = 11;
pub(super) const COOKIE: [u8; 8] = *b"cannon!!";
pub(super) const KEY_ID: u32 = 1;
pub(super) const KEY: &[u8] = b"the key of the cannon";

/// Source and destination address, over which a transport checksum is computed.
pub(super) struct Net {
    pub(super) source: Vec<u8>,
    pub(super) target: Vec<u8>,
}

impl Net {
    /// No addresses: GRE has none.
    pub(super) const NONE: Self = Self {
        source: Vec::new(),
        target: Vec::new(),
    };

    pub(super) fn is_v6(&self) -> bool {
        self.source.len() == 16
    }

    /// Returns the addresses of a reply.
    pub(super) fn reversed(&self) -> Self {
        Self {
            source: self.target.clone(),
            target: self.source.clone(),
        }
    }

    /// Returns the sum of the pseudo header.
    pub(super) fn pseudo(&self, protocol: u8, len: usize) -> u32 {
        // A packet has fewer than 2^16 bytes.
        sum(&self.source) + sum(&self.target) + u32::from(protocol) + (len as u32 & 0xffff)
    }
}

impl Packet {
    /// Returns the addresses of an outer packet: from the peer to the host.
    pub(super) fn ends(&mut self, v6: bool) -> Net {
        Net {
            source: if v6 { PEER_V6.into() } else { PEER_V4.into() },
            target: if v6 { HOST_V6.into() } else { HOST_V4.into() },
        }
    }

    /// Returns the group of a packet to a `gue` device over this IP version: most often none or the one
    /// that a device has.
    pub(super) fn group(&mut self, net: &Net) -> Option<u32> {
        let (own, other) = if net.is_v6() {
            (GROUP_V6, GROUP_V4)
        } else {
            (GROUP_V4, GROUP_V6)
        };
        match self.rng.random_range(0..13) {
            0..=3 => None,
            4..=7 => Some(own),
            8 | 9 => Some(GROUP_WITH_KEY),
            10 => Some(GROUP_OF_PIECES),
            11 => Some(other),
            _ => Some(GROUP_OF_NONE),
        }
    }

    /// Returns the addresses of an inner packet: to the host itself, through another of its tunnels, or
    /// to any address.
    pub(super) fn inner_net(&mut self, v6: bool) -> Net {
        let last = self.rng.random_range(1..=4u8);
        if v6 {
            let mut source = [0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
            source[15] = last;
            let mut target = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            target[3] = self.rng.random_range(0..6);
            match self.rng.random_range(0..24) {
                0 => target = HOST_V6,
                1 => target = ALL_V6,
                2 => source = PEER_V6,
                3 if self.wrong() => self.rng.fill_bytes(&mut target),
                _ => {}
            }
            Net {
                source: source.into(),
                target: target.into(),
            }
        } else {
            let mut source = [10, 0, 9, last];
            let mut target = [10, 0, self.rng.random_range(0..6), 1];
            match self.rng.random_range(0..24) {
                0 => target = HOST_V4,
                1 => target = ALL_V4,
                2 => source = PEER_V4,
                3 if self.wrong() => self.rng.fill_bytes(&mut target),
                4 if self.wrong() => target = [127, 0, 0, 1],
                5 if self.wrong() => target = [255; 4],
                _ => {}
            }
            Net {
                source: source.into(),
                target: target.into(),
            }
        }
    }
}
