// SPDX-License-Identifier: GPL-2.0

//! IP fragments.

use super::{
    checksum::{fold, put16, sum},
    Flavour, Packet, Shot, VIRTIO_LEN,
};
use rand::{seq::SliceRandom, Rng};

/// Protocol number of the IPv6 fragment header.
const FRAGMENT: u8 = 44;

impl Packet {
    /// Returns the frame as IP fragments. They make up the packet again unless something is wrong.
    pub(super) fn fragments(&mut self, flavour: Flavour, shot: &Shot) -> Vec<Shot> {
        let frame = &shot.bytes;
        let (link_len, ip_len) = match frame.get(12..15) {
            Some([8, 0, 0x45]) => (14, 20),
            Some([0x86, 0xdd, first]) if first >> 4 == 6 => (14, 40),
            // A frame with a VLAN tag or IP options, or a broken one.
            _ => return vec![shot.clone()],
        };
        let Some((headers, payload)) = frame.split_at_checked(link_len + ip_len) else {
            return vec![shot.clone()];
        };
        let number = self.rng.random::<u32>().wrapping_add(self.step);
        // The first fragment may end within a header.
        let first = 8 * self.pick(&[1, 2, 3, 8, 64]);
        let size = 8 * self.pick(&[2, 25, 125, 180]).max(payload.len() / 8 / 60);
        let mut shots = Vec::new();
        let mut start = 0;
        while start < payload.len() {
            let end = (start + if start == 0 { first } else { size }).min(payload.len());
            let more = end < payload.len();
            let mut bytes = headers.to_vec();
            let ip = &mut bytes[link_len..];
            let word = start as u16 | u16::from(more);
            let mut extension = Vec::new();
            if ip_len == 20 {
                put16(ip, 2, (20 + end - start) as u16);
                put16(ip, 4, number as u16);
                put16(ip, 6, (start as u16 / 8) | (u16::from(more) << 13));
                put16(ip, 10, 0);
                let check = !fold(sum(ip).into());
                put16(ip, 10, check);
            } else {
                put16(ip, 4, (8 + end - start) as u16);
                extension.extend([ip[6], 0]);
                extension.extend(word.to_be_bytes());
                extension.extend(number.to_be_bytes());
                ip[6] = FRAGMENT;
            }
            bytes.extend(extension);
            bytes.extend(&payload[start..end]);
            let cuts = match flavour {
                Flavour::Fragments | Flavour::Scattered => self.cuts(bytes.len()),
                _ => vec![],
            };
            shots.push(Shot {
                virtio: [0; VIRTIO_LEN],
                cuts,
                bytes,
            });
            start = end;
        }
        if self.one_in(3) {
            shots.shuffle(&mut self.rng);
        }
        if self.wrong() {
            // One fragment is missing, or comes twice.
            shots.pop();
        } else if self.wrong() {
            shots.extend(shots.last().cloned());
        }
        shots
    }
}
