// SPDX-License-Identifier: GPL-2.0

//! GUE fragments for devices of kind `gue`, which reassemble them (gue-extensions-06 §5.3).

use super::{
    checksum::{fold, put16, sum},
    gue::keyed_hash,
    host::DEVICE_PORTS,
    protocol::UDP,
    Flavour, Packet, Shot, VIRTIO_LEN,
};
use rand::{seq::SliceRandom, Rng};

/// The flag of the fragment field.
const FRAGMENT: u16 = 0x0800;
/// The flag of the group identifier, which comes before the fragment field.
const GROUP: u16 = 0x8000;
/// The lengths of security fields in bytes, by method. A security field comes before the fragment field.
const SECURITY_LEN: [usize; 5] = [0, 8, 16, 32, 40];
const KEYED_HASH: u16 = 4;
/// Proto/ctype of fragments after the first: "no next header" for data, and type 0 for a control message.
const OPAQUE: [u8; 2] = [59, 0];
/// Greatest Hlen: the longest header, in words after the first.
const MOST_WORDS: u8 = 31;
/// Length of a fragment field, in words.
const FIELD_WORDS: u8 = 2;
/// The most fragments that a packet is cut into.
const MOST_PIECES: usize = 40;

/// The parts of an Ethernet frame for a device.
struct Parts<'a> {
    /// Ethernet and IP.
    outer: &'a [u8],
    udp: &'a [u8],
    gue: &'a [u8],
    payload: &'a [u8],
    /// The offset in `gue` at which the fragment field goes.
    field: usize,
    /// The offset in `gue` of the digest of a keyed hash.
    hash: Option<usize>,
}

/// Splits a frame into its parts. Returns `None` unless the frame is for a device, has a GUE header of variant 0, is no
/// fragment yet, and has room for a fragment field.
fn parts(frame: &[u8]) -> Option<Parts<'_>> {
    let ip_len = match frame.get(12..15)? {
        [8, 0, 0x45] => 20,
        [0x86, 0xdd, first] if first >> 4 == 6 => 40,
        // Not IP, or with a VLAN tag or IP options, or broken.
        _ => return None,
    };
    let (outer, rest) = frame.split_at_checked(14 + ip_len)?;
    let protocol = if ip_len == 20 { outer[23] } else { outer[20] };
    let (udp, rest) = rest.split_at_checked(8)?;
    let port = u16::from_be_bytes([udp[2], udp[3]]);
    let words = rest.first()? & 0x1f;
    let (gue, payload) = rest.split_at_checked(4 + 4 * usize::from(words))?;
    let flags = u16::from_be_bytes([gue[2], gue[3]]);
    let method = flags >> 12 & 7;
    let field = 4
        + if flags & GROUP != 0 { 4 } else { 0 }
        + SECURITY_LEN.get(usize::from(method)).copied()?;
    let fits = words <= MOST_WORDS - FIELD_WORDS && field <= gue.len();
    let ours = protocol == UDP && DEVICE_PORTS.contains(&port) && gue[0] >> 6 == 0;
    (ours && fits && flags & FRAGMENT == 0).then(|| Parts {
        outer,
        udp,
        gue,
        payload,
        field,
        hash: (method == KEYED_HASH).then(|| field - 32),
    })
}

/// The range of payload bytes in a fragment, and its M flag.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
    more: bool,
}

impl Packet {
    /// Cuts a frame for a device into GUE fragments. Returns other frames as they are. The device can reassemble the
    /// packet, unless [`Packet::wrong`] damages the fragments.
    pub(super) fn pieces(&mut self, flavour: Flavour, shot: &Shot) -> Vec<Shot> {
        let Some(parts) = parts(&shot.bytes) else {
            return vec![shot.clone()];
        };
        let ident = self.rng.random::<u64>().wrapping_add(self.step.into());
        let len = parts.payload.len();
        let least = len / 8 / MOST_PIECES + 1;
        let size = 8 * self.pick(&[1, 5, 25, 60, 125]).max(least);
        let mut places: Vec<Place> = (0..len)
            .step_by(size)
            .map(|start| Place {
                start,
                end: (start + size).min(len),
                more: start + size < len,
            })
            .collect();
        if self.one_in(3) {
            places.shuffle(&mut self.rng);
        }
        if self.wrong() {
            // One fragment is missing.
            places.pop();
        }
        if self.wrong() {
            self.add_conflict(&mut places, len);
        }
        places
            .into_iter()
            .map(|place| {
                let bytes = self.piece(&parts, place, ident);
                let cuts = match flavour {
                    Flavour::Fragments | Flavour::Scattered => self.cuts(bytes.len()),
                    _ => vec![],
                };
                Shot {
                    virtio: [0; VIRTIO_LEN],
                    cuts,
                    bytes,
                }
            })
            .collect()
    }

    /// Adds a fragment that may repeat another, overlap others, or contradict them about the packet's end.
    fn add_conflict(&mut self, places: &mut Vec<Place>, len: usize) {
        let start = 8 * self.rng.random_range(0..=len / 8 + 1);
        let end = match self.rng.random_range(0..4) {
            0 => start,
            1 => start + self.rng.random_range(0..64usize),
            _ => start + 8 * self.rng.random_range(0..32usize),
        };
        let more = self.rng.random();
        let at = self.rng.random_range(0..=places.len());
        let again = places.first().copied().filter(|_| self.one_in(2));
        places.insert(at, again.unwrap_or(Place { start, end, more }));
    }

    /// Returns the frame of one fragment. Bytes past the end of the payload are zero.
    fn piece(&mut self, parts: &Parts<'_>, place: Place, ident: u64) -> Vec<u8> {
        let mut word = place.start as u16 & 0xfff8 | u16::from(place.more);
        if self.wrong() {
            word = self.pick(&[word | 2, word | 4, word ^ 1, word | 0xfff8, word ^ 8]);
        }
        let mut gue = parts.gue.to_vec();
        let mut origin = gue[1];
        if self.wrong() {
            origin = self.pick(&[4, 41, 59, 0, 97]);
        }
        if place.start > 0 && !self.wrong() {
            gue[1] = OPAQUE[usize::from(gue[0] >> 5 & 1)];
        }
        let mut field = Vec::from(word.to_be_bytes());
        field.push(origin);
        field.extend(&ident.to_be_bytes()[3..]);
        gue[0] += FIELD_WORDS;
        let flags = u16::from_be_bytes([gue[2], gue[3]]) | FRAGMENT;
        put16(&mut gue, 2, flags);
        gue.splice(parts.field..parts.field, field);
        if let Some(hash) = parts.hash {
            gue[hash..hash + 32].fill(0);
            let addresses = &parts.outer[if parts.outer.len() == 34 { 26 } else { 22 }..];
            let found = keyed_hash(addresses, &gue);
            gue[hash..hash + 32].copy_from_slice(&found);
        }
        let mut payload: Vec<u8> = parts.payload.iter().copied().skip(place.start).collect();
        payload.resize(place.end - place.start, 0);
        let mut datagram = parts.udp.to_vec();
        datagram.extend(gue);
        datagram.extend(payload);
        let mut bytes = parts.outer.to_vec();
        let length = datagram.len() as u16;
        put16(&mut datagram, 4, length);
        finish_udp(&mut datagram, &bytes);
        let ip = &mut bytes[14..];
        if ip.len() == 20 {
            put16(ip, 2, length.wrapping_add(20));
            put16(ip, 10, 0);
            let check = !fold(sum(ip).into());
            put16(ip, 10, check);
        } else {
            put16(ip, 4, length);
        }
        bytes.extend(datagram);
        bytes
    }
}

/// Computes the UDP checksum of a datagram again, unless the checksum is zero.
fn finish_udp(datagram: &mut [u8], outer: &[u8]) {
    if datagram[6..8] == [0, 0] {
        return;
    }
    let addresses = &outer[if outer.len() == 34 { 26 } else { 22 }..];
    put16(datagram, 6, 0);
    let total = sum(addresses) + u32::from(UDP) + datagram.len() as u32 + sum(datagram);
    let check = match !fold(total.into()) {
        0 => 0xffff,
        check => check,
    };
    put16(datagram, 6, check);
}
