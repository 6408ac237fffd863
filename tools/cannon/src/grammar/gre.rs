// SPDX-License-Identifier: GPL-2.0

//! GRE (RFC 2784, RFC 2890).

use super::{
    checksum::{fold, put16, sum},
    host::Net,
    Packet,
};
use rand::Rng;

impl Packet {
    /// Returns a GRE header and its payload: IPv4, IPv6, or an Ethernet frame with IPv4.
    pub(super) fn gre(&mut self, depth: u32, big: bool) -> Vec<u8> {
        self.len += 20;
        let mut flags = 0u16;
        let kind = self.rng.random_range(0..6);
        let (protocol, payload) = match kind {
            0 => {
                let mut frame = Vec::from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
                frame.extend(self.payload(&Net::NONE, 4, depth, big));
                (0x6558u16, frame)
            }
            1 | 2 => {
                let packet = self.payload(&Net::NONE, 41, depth, big);
                (0x86dd, packet)
            }
            _ => {
                let packet = self.payload(&Net::NONE, 4, depth, big);
                (0x0800, packet)
            }
        };
        let mut fields = Vec::new();
        if self.one_in(6) {
            flags |= 0x8000;
            fields.extend([0; 4]);
        }
        if self.wrong() {
            flags |= 0x2000;
            fields.extend([0, 0, 0, 1]);
        }
        if self.wrong() {
            flags |= 0x1000;
            fields.extend([0, 0, 0, self.step as u8]);
        }
        if self.wrong() {
            flags = self.rng.random();
        }
        let mut bytes = Vec::from(flags.to_be_bytes());
        let protocol = if self.wrong() {
            self.rng.random()
        } else {
            protocol
        };
        bytes.extend(protocol.to_be_bytes());
        bytes.extend(fields);
        bytes.extend(payload);
        if flags & 0x8000 != 0 {
            let check = !fold(sum(&bytes).into());
            put16(&mut bytes, 4, check);
        }
        bytes
    }
}
