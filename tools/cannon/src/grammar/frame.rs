// SPDX-License-Identifier: GPL-2.0

//! Ethernet frames, and their cuts into pieces.

use super::{
    host::{ALL_V4, ALL_V6},
    protocol::{TCP, UDP, UDPLITE},
    Flavour, Packet, Shot, HEADERS_ALONE,
};
use rand::Rng;

/// The most cuts of one packet.
const MOST_CUTS: usize = 16;

impl Packet {
    /// Returns a packet to send.
    pub(super) fn shot(&mut self, flavour: Flavour) -> Shot {
        let depth = match self.rng.random_range(0..64) {
            0 => self.rng.random_range(5..=40),
            1..=15 => 3,
            16..=40 => 2,
            _ => 1,
        };
        let v6 = self.rng.random();
        let big = self.one_in(100) || flavour == Flavour::Transmit && self.one_in(12);
        let headers_alone = self.one_in(HEADERS_ALONE);
        if flavour == Flavour::Transmit {
            let net = self.inner_net(v6);
            let protocol = self.pick(&[TCP, TCP, UDP, UDP, 1, 58, 4, 41, 47]);
            let bytes = self.ip(&net, protocol, depth - 1, big);
            let virtio = self.virtio(&bytes, 0);
            return Shot {
                virtio,
                cuts: vec![],
                bytes,
            };
        }
        let mut net = self.ends(v6);
        let mut mac = [2, 0, 0, 0, 0, 1];
        if self.one_in(24) {
            // Multicast: each socket of the port gets a clone.
            (net.target, mac) = if v6 {
                (ALL_V6.into(), [0x33, 0x33, 0, 0, 0, 1])
            } else {
                (ALL_V4.into(), [1, 0, 0x5e, 0, 0, 1])
            };
        }
        let protocol = match self.rng.random_range(0..32) {
            _ if self.to_devices => UDP,
            0..=25 => UDP,
            26..=28 if v6 => 58,
            26..=28 => 1,
            29 => UDPLITE,
            _ => self.pick(&[4, 41, 47, 6]),
        };
        let ip = if headers_alone {
            self.headers_alone(&net)
        } else {
            self.ip(&net, protocol, depth, big)
        };
        let mut bytes = Vec::from(mac);
        bytes.extend([2, 0, 0, 0, 0, 2]);
        if self.wrong() {
            bytes[0] = self.pick(&[0xff, 1, 0x33]);
        }
        if self.one_in(12) {
            let tags = if self.wrong() { 2 } else { 1 };
            for _ in 0..tags {
                bytes.extend(self.pick(&[[0x81, 0], [0x81, 0], [0x88, 0xa8]]));
                bytes.extend([0, self.pick(&[0, 5, 5, 6])]);
            }
        }
        bytes.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
        let link_len = bytes.len();
        bytes.extend(ip);
        let virtio = self.virtio(&bytes, link_len);
        let cuts = match flavour {
            Flavour::Fragments | Flavour::Scattered => self.cuts(bytes.len()),
            _ => vec![],
        };
        Shot {
            virtio,
            cuts,
            bytes,
        }
    }

    /// Returns the offsets at which to cut a frame: tiny pieces within the headers, larger ones after
    /// them.
    pub(super) fn cuts(&mut self, len: usize) -> Vec<usize> {
        let mut at = self.pick(&[14, 14, 15, 34, 42, 54, 66, 128]);
        let mut cuts = Vec::new();
        // Each piece costs the debug kernel time, so only half of the packets have the most tiny pieces.
        let tiny = if self.one_in(2) {
            MOST_CUTS / 2
        } else {
            self.rng.random_range(1..=4)
        };
        while at < len && cuts.len() < MOST_CUTS {
            cuts.push(at);
            // A fragment is at most one page.
            at += if cuts.len() < tiny {
                let short = self.rng.random_range(1..=9);
                if self.one_in(4) {
                    self.rng.random_range(9..=200)
                } else {
                    short
                }
            } else {
                self.rng.random_range(500..=4096)
            };
        }
        if len - cuts.last().copied().unwrap_or(0) > 4096 {
            // The last piece is longer than a page: the frame stays linear.
            return vec![];
        }
        cuts
    }
}
