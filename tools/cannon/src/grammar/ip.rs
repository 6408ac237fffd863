// SPDX-License-Identifier: GPL-2.0

//! IPv4 and IPv6.

use super::{
    checksum::{fold, put16, sum},
    host::Net,
    protocol::{TCP, UDP, UDPLITE},
    Packet,
};
use rand::Rng;

impl Packet {
    /// Returns an IP packet with a payload of `protocol`.
    pub(super) fn ip(&mut self, net: &Net, protocol: u8, depth: u32, big: bool) -> Vec<u8> {
        self.len += if net.is_v6() { 40 } else { 20 };
        let payload = self.payload(net, protocol, depth, big);
        if net.is_v6() {
            self.ipv6(net, protocol, payload)
        } else {
            self.ipv4(net, protocol, payload)
        }
    }

    pub(super) fn ipv4(&mut self, net: &Net, protocol: u8, payload: Vec<u8>) -> Vec<u8> {
        let options = if self.wrong() {
            4 * self.rng.random_range(0..=10)
        } else {
            0
        };
        let mut bytes = vec![0; 20];
        bytes[0] = 0x45 + (options / 4) as u8;
        bytes[1] = self.pick(&[0, 0, 0, 1, 2, 3, 0xb8]);
        let fragment: u16 = if self.wrong() {
            self.rng.random()
        } else {
            self.pick(&[0, 0x4000])
        };
        let identification = if self.one_in(2) { 0 } else { self.step as u16 };
        put16(&mut bytes, 4, identification);
        put16(&mut bytes, 6, fragment);
        bytes[8] = self.pick(&[64, 64, 64, 255, 2, 1]);
        bytes[9] = if self.wrong() {
            self.rng.random()
        } else {
            protocol
        };
        bytes[12..16].copy_from_slice(&net.source);
        bytes[16..20].copy_from_slice(&net.target);
        bytes.extend(self.noise(options));
        let header = bytes.len();
        let mut total = (header + payload.len()) as u16;
        if self.wrong() {
            total = self.odd_length(total);
        }
        put16(&mut bytes, 2, total);
        if self.wrong() {
            bytes[0] = self.rng.random();
        }
        let check = if self.wrong() {
            1
        } else {
            !fold(sum(&bytes).into())
        };
        put16(&mut bytes, 10, check);
        bytes.extend(payload);
        bytes
    }

    pub(super) fn ipv6(&mut self, net: &Net, protocol: u8, payload: Vec<u8>) -> Vec<u8> {
        let mut next = if self.wrong() {
            self.rng.random()
        } else {
            protocol
        };
        let mut extension = Vec::new();
        if self.wrong() {
            // Hop-by-hop, routing, fragment and destination options.
            let kind = self.pick(&[0, 43, 44, 60]);
            let words = self.rng.random_range(0..3usize);
            extension = self.noise(8 + 8 * words);
            extension[0] = next;
            extension[1] = words as u8;
            next = kind;
        }
        let mut bytes = vec![0; 40];
        bytes[0] = 0x60;
        bytes[1] = self.pick(&[0, 0, 0x10, 0x20, 0x30]);
        let label = if self.one_in(2) { 0 } else { 0x4242 };
        put16(&mut bytes, 2, label);
        let mut length = (extension.len() + payload.len()) as u16;
        if self.wrong() {
            length = self.odd_length(length);
        }
        put16(&mut bytes, 4, length);
        bytes[6] = next;
        bytes[7] = self.pick(&[64, 64, 64, 255, 2, 1]);
        bytes[8..24].copy_from_slice(&net.source);
        bytes[24..40].copy_from_slice(&net.target);
        if self.wrong() {
            bytes[0] = self.rng.random();
        }
        bytes.extend(extension);
        bytes.extend(payload);
        bytes
    }

    /// Returns a length other than the right one, most of the time.
    pub(super) fn odd_length(&mut self, right: u16) -> u16 {
        match self.rng.random_range(0..6) {
            0 => 0,
            1 => right.wrapping_sub(1),
            2 => right.wrapping_add(1),
            3 => 0xffff,
            4 => self.rng.random_range(0..32),
            _ => self.rng.random(),
        }
    }

    /// Returns the protocol of an inner IP packet's payload.
    pub(super) fn inner_protocol(&mut self, net: &Net) -> u8 {
        let icmp = if net.is_v6() { 58 } else { 1 };
        match self.rng.random_range(0..16) {
            0..=6 => TCP,
            7..=11 => UDP,
            12 | 13 => icmp,
            14 => self.pick(&[4, 41, 47]),
            _ if self.wrong() => self.rng.random(),
            _ => UDPLITE,
        }
    }
}
