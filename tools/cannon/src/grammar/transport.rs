// SPDX-License-Identifier: GPL-2.0

//! TCP, UDP and their payload.

use super::{
    checksum::{fold, put16, sum},
    gue::Receiver,
    host::{Net, DEVICE_PORTS, FOU_PORTS, GUE_PORTS},
    protocol::{TCP, UDPLITE},
    Packet, LONGEST,
};
use rand::Rng;

impl Packet {
    /// Returns the length of the innermost payload.
    fn data_len(&mut self, big: bool) -> usize {
        if big {
            let longest = LONGEST.saturating_sub(self.len + 400);
            return self.rng.random_range(2000.min(longest)..=longest);
        }
        match self.rng.random_range(0..8) {
            0 => 0,
            1..=4 => self.rng.random_range(1..100),
            5 | 6 => self.rng.random_range(100..1300),
            _ => 1000,
        }
    }

    /// Returns a TCP segment.
    pub(super) fn tcp(&mut self, net: &Net, big: bool) -> Vec<u8> {
        let len = self.data_len(big);
        let options = if self.one_in(3) { 12 } else { 0 };
        let mut bytes = vec![0; 20];
        put16(&mut bytes, 0, 1000);
        put16(&mut bytes, 2, 2000);
        let sequence = 1u32.wrapping_add(self.step.wrapping_mul(len as u32));
        bytes[4..8].copy_from_slice(&sequence.to_be_bytes());
        bytes[11] = 1;
        bytes[12] = ((20 + options) as u8 / 4) << 4;
        bytes[13] = self.pick(&[0x10, 0x10, 0x10, 0x18, 0x11, 0x02]);
        put16(&mut bytes, 14, 0xffff);
        if options > 0 {
            bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1]);
        }
        if self.wrong() {
            bytes[12] = self.rng.random();
        }
        bytes.extend(self.noise(len));
        self.finish_checksum(net, TCP, bytes, 16)
    }

    /// Returns a UDP or UDP-Lite datagram: data, or at a depth above 0 a packet in FOU or GUE.
    pub(super) fn udp(&mut self, net: &Net, protocol: u8, depth: u32, big: bool) -> Vec<u8> {
        self.len += 8;
        let (port, payload) = if depth == 0 {
            let len = self.data_len(big);
            (self.pick(&[9, 53, 4789]), self.noise(len))
        } else if self.to_devices {
            // Of every protocol that a device has, and of no other tunnel.
            let payload = self.gue(net, depth - 1, big, Receiver::Device);
            (DEVICE_PORTS[0], payload)
        } else if self.one_in(3) {
            let (port, carried) = self.pick(&FOU_PORTS);
            (port, self.payload(net, carried, depth - 1, big))
        } else if self.one_in(3) {
            let payload = self.gue(net, depth - 1, big, Receiver::Device);
            (self.pick(&DEVICE_PORTS), payload)
        } else {
            let payload = self.gue(net, depth - 1, big, Receiver::Port);
            (self.pick(&GUE_PORTS), payload)
        };
        let mut bytes = vec![0; 8];
        put16(&mut bytes, 0, 40_000);
        put16(&mut bytes, 2, port);
        let mut length = (8 + payload.len()) as u16;
        if protocol == UDPLITE {
            length = self.pick(&[0, 8, length]);
        }
        if self.wrong() {
            length = self.odd_length(length);
        }
        put16(&mut bytes, 4, length);
        bytes.extend(payload);
        if self.one_in(3) {
            return bytes;
        }
        self.finish_checksum(net, protocol, bytes, 6)
    }

    /// Fills in a transport checksum: right, wrong, or partial.
    fn finish_checksum(
        &mut self,
        net: &Net,
        protocol: u8,
        mut bytes: Vec<u8>,
        at: usize,
    ) -> Vec<u8> {
        let pseudo = net.pseudo(protocol, bytes.len());
        let check = if self.wrong() {
            0xdead
        } else if self.one_in(8) {
            // A device or the receiver of a tunnel computes the checksum.
            fold(pseudo.into())
        } else {
            match !fold((pseudo + sum(&bytes)).into()) {
                0 => 0xffff,
                check => check,
            }
        };
        put16(&mut bytes, at, check);
        bytes
    }
}
