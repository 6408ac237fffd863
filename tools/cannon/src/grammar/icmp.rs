// SPDX-License-Identifier: GPL-2.0

//! ICMP and ICMPv6 (RFC 792, RFC 4443).

use super::{
    checksum::{fold, put16, sum},
    host::Net,
    protocol::UDP,
    Packet,
};
use rand::Rng;

impl Packet {
    /// Returns an echo request, or an error about a packet that the host seems to have sent.
    pub(super) fn icmp(&mut self, net: &Net, depth: u32) -> Vec<u8> {
        let v6 = net.is_v6();
        let mut bytes;
        if depth > 0 && self.one_in(2) {
            let (kind, code) = match (v6, self.rng.random_range(0..6)) {
                (false, 0..=2) => (3, 4),
                (false, 3) => (3, self.rng.random_range(0..16)),
                (false, 4) => (11, 0),
                (false, _) => (self.pick(&[5, 12, 4]), 0),
                (true, 0..=2) => (2, 0),
                (true, 3) => (1, self.rng.random_range(0..7)),
                (true, 4) => (3, 0),
                (true, _) => (self.pick(&[4, 137]), 0),
            };
            let mtu = self.pick(&[0, 68, 576, 1280, 1400, 0xffff]);
            bytes = Vec::from([kind, code, 0, 0, 0, 0]);
            bytes.extend(u16::to_be_bytes(mtu));
            let protocol = self.pick(&[UDP, UDP, UDP, 4, 41, 47]);
            let quoted = if net.source.len() == 16 || net.source.len() == 4 {
                self.ends(v6).reversed()
            } else {
                net.reversed()
            };
            let mut quoted = self.ip(&quoted, protocol, depth, false);
            let len = self.pick(&[8, 28, 36, 48, 60, 128, 548]);
            quoted.truncate(len);
            bytes.extend(quoted);
        } else {
            bytes = vec![if v6 { 128 } else { 8 }, 0, 0, 0, 0, 1, 0, 1];
            let len = self.rng.random_range(0..80);
            bytes.extend(self.noise(len));
        }
        let pseudo = if v6 { net.pseudo(58, bytes.len()) } else { 0 };
        let check = if self.wrong() {
            0
        } else {
            !fold((pseudo + sum(&bytes)).into())
        };
        put16(&mut bytes, 2, check);
        bytes
    }
}
