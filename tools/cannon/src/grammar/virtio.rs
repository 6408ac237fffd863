// SPDX-License-Identifier: GPL-2.0

//! The virtio header before a packet: checksum, segmentation and layout.

use super::{protocol::TCP, Packet};
use rand::Rng;

/// Length of the virtio header, in bytes.
pub const VIRTIO_LEN: usize = 10;

// `flags` and `gso_type` of `struct virtio_net_hdr`.
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_KINDS: [u8; 7] = [1, 3, 4, 5, 0x81, 0x84, 2];
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;

impl Packet {
    /// Returns the virtio header of a packet whose IP header begins at `link_len`.
    pub(super) fn virtio(&mut self, bytes: &[u8], link_len: usize) -> [u8; VIRTIO_LEN] {
        let v6 = bytes.get(link_len).is_some_and(|byte| byte >> 4 == 6);
        let ip_len = if v6 { 40 } else { 20 };
        let protocol = bytes.get(link_len + if v6 { 6 } else { 9 }).copied();
        let (field, header, gso) = match protocol {
            Some(TCP) => (16, 20, if v6 { GSO_TCPV6 } else { GSO_TCPV4 }),
            _ => (6, 8, GSO_UDP_L4),
        };
        let start = link_len + ip_len;
        let (mut flags, mut kind, mut size) = (0, 0, 0);
        let (mut begin, mut offset, mut linear) = (0, 0, 0);
        match self.rng.random_range(0..8) {
            0..=3 => {}
            4 | 5 => flags = DATA_VALID,
            _ => (flags, begin, offset) = (NEEDS_CSUM, start, field),
        }
        if bytes.len() > 2000 || self.one_in(24) {
            (flags, begin, offset) = (NEEDS_CSUM, start, field);
            (kind, linear) = (gso, start + header);
            size = self.pick(&[1u16, 100, 500, 1000, 1400, 9000]);
            if !self.one_in(16) {
                // Ten segments show as much as a thousand, which took most of the time.
                size = size.max((bytes.len() / 10) as u16);
            }
            if self.wrong() {
                kind = self.pick(&GSO_KINDS);
            }
        } else if self.one_in(6) {
            // The rest of the packet lies in pages.
            linear = self.rng.random_range(0..=bytes.len());
        }
        if self.wrong() {
            begin = self.rng.random_range(0..=bytes.len() + 4);
            offset = self.rng.random_range(0..64);
        }
        let mut header = [0; VIRTIO_LEN];
        header[0] = flags;
        header[1] = kind;
        let words = [linear as u16, size, begin as u16, offset];
        for (to, word) in header[2..].chunks_mut(2).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        header
    }
}
