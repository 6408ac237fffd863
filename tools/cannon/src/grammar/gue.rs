// SPDX-License-Identifier: GPL-2.0

//! GUE, and packets with FOU and GUE headers and no payload.

use super::{
    checksum::{fold, put16, sum},
    host::{Net, COOKIE, FOU_UDP, GROUP_OF_FRAMES, GROUP_WITH_KEY, GUE_PORTS, KEY, KEY_ID},
    protocol::{TCP, UDP, UDPLITE},
    Packet, LONGEST,
};
use hmac::{Hmac, Mac};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use sha2::Sha256;

/// EtherIP (RFC 3378).
const ETHER_IP: u8 = 97;

/// The flags of fields (gue-extensions-06 §5), and Linux's private one.
const GROUP: u16 = 0x8000;
const COOKIE_8: u16 = 0x1000;
const KEYED_HASH: u16 = 0x4000;
const FRAGMENT: u16 = 0x0800;
const TRANSFORM: u16 = 0x0400;
const REMOTE_CHECKSUM: u16 = 0x0200;
const CHECKSUM: u16 = 0x0100;
const NAT_CHECKSUM: u16 = 0x0080;
const CRC: u16 = 0x0040;
const PRIVATE: u16 = 0x0001;

/// The owner of a UDP port that receives GUE. Each understands fields of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiver {
    /// A port of `ip fou`.
    Port,
    /// The devices of kind `gue` that share a socket.
    Device,
}

/// The fields of a header in their order, and the flags that announce them.
#[derive(Default)]
struct Fields {
    flags: u16,
    bytes: Vec<u8>,
    /// The place of a digest that is still to be computed.
    digest: Option<usize>,
}

impl Fields {
    fn push(&mut self, flag: u16, field: &[u8]) {
        self.flags |= flag;
        self.bytes.extend(field);
    }
}

/// Returns the digest of the outer addresses and a header, with zeros in place of the digest.
pub(super) fn keyed_hash(addresses: &[u8], header: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).expect("a key has any length");
    mac.update(addresses);
    mac.update(header);
    mac.finalize().into_bytes().into()
}

impl Packet {
    /// Returns a GUE header of variant 0 with its payload, or a packet of variant 1.
    pub(super) fn gue(&mut self, net: &Net, depth: u32, big: bool, to: Receiver) -> Vec<u8> {
        self.len += 12;
        let protocol = match (self.rng.random_range(0..12), to) {
            (0..=3, _) => 4,
            (4..=6, _) => 41,
            (7, Receiver::Device) => 4,
            (8, Receiver::Device) => 41,
            (7 | 8, Receiver::Port) => 47,
            (9, _) => self.pick(&[UDP, UDP, UDPLITE]),
            (10, _) => self.pick(&[1, 58, 6, 59, 0]),
            _ if self.hostile => self.rng.random(),
            _ => 4,
        };
        let depth = depth.max(1);
        if to == Receiver::Device && self.one_in(10) {
            return self.gue_with_frame(net, depth, big);
        }
        let mut payload = self.payload(net, protocol, depth, big);
        if self.one_in(6) && matches!(protocol, 4 | 41) {
            // Variant 1: the payload is the packet.
            if let Some(first) = payload.first_mut().filter(|_| self.rng.random_ratio(1, 32)) {
                *first ^= 0x30;
            }
            return payload;
        }
        let group = match to {
            Receiver::Device => self.group(net),
            Receiver::Port => None,
        };
        let fields = self.fields(net, &mut payload, to, group);
        self.header(net, protocol, fields, payload)
    }

    /// Returns a GUE header and an Ethernet frame in EtherIP, for a device that carries Ethernet.
    fn gue_with_frame(&mut self, net: &Net, depth: u32, big: bool) -> Vec<u8> {
        let mut payload = vec![0x30, 0];
        if self.wrong() {
            payload[usize::from(self.one_in(2))] = self.rng.random();
        }
        payload.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        if self.wrong() {
            let at = self.rng.random_range(2..16);
            payload[at] = self.rng.random();
        }
        payload.extend(self.payload(&Net::NONE, 4, depth, big));
        if self.wrong() {
            let len = self.rng.random_range(0..=payload.len().min(60));
            payload.truncate(len);
        }
        // Only headers without a remote checksum know where an inner packet begins.
        let mut fields = Fields::default();
        fields.push(GROUP, &GROUP_OF_FRAMES.to_be_bytes());
        if self.one_in(4) && payload.len() > 40 {
            let start = self.rng.random_range(0..40u16);
            let place = [start, start.saturating_add(self.rng.random_range(0..20))];
            fields.push(REMOTE_CHECKSUM, place.map(u16::to_be_bytes).as_flattened());
        }
        let protocol = if self.wrong() { 4 } else { ETHER_IP };
        self.header(net, protocol, fields, payload)
    }

    /// Returns a header with these fields, and its payload.
    fn header(&mut self, net: &Net, protocol: u8, fields: Fields, payload: Vec<u8>) -> Vec<u8> {
        let Fields {
            mut flags,
            bytes: mut fields,
            digest,
        } = fields;
        if self.one_in(6) {
            let surplus = 4 * self.rng.random_range(0..=28);
            fields.extend(self.noise(surplus));
        }
        if self.wrong() {
            flags = self.rng.random();
        }
        let mut words = (fields.len() / 4).min(31) as u8;
        if self.wrong() {
            words = self.rng.random_range(0..32);
        }
        let mut first = words;
        if self.wrong() {
            first |= 0x20;
        }
        if self.wrong() {
            first |= self.pick(&[0x40, 0x80, 0xc0]);
        }
        let mut bytes = vec![first, protocol];
        bytes.extend(flags.to_be_bytes());
        bytes.extend(fields);
        if let Some(at) = digest {
            let addresses = [net.source.as_slice(), &net.target].concat();
            let found = keyed_hash(&addresses, &bytes);
            bytes[4 + at..4 + at + 32].copy_from_slice(&found);
        }
        bytes.extend(payload);
        bytes
    }

    /// Returns the fields before a payload, in whose checksum a remote checksum leaves its mark.
    fn fields(
        &mut self,
        net: &Net,
        payload: &mut [u8],
        to: Receiver,
        group: Option<u32>,
    ) -> Fields {
        let mut fields = Fields::default();
        let remote = self.one_in(3).then(|| self.remote_checksum(payload));
        let mut draft = false;
        if to == Receiver::Device {
            if let Some(group) = group {
                fields.push(GROUP, &group.to_be_bytes());
            }
            self.security(net, group, &mut fields);
            for (flag, len) in [(FRAGMENT, 8), (TRANSFORM, 4)] {
                if self.one_in(48) {
                    let noise = self.noise(len);
                    fields.push(flag, &noise);
                }
            }
            draft = self.one_in(2);
        }
        if let Some((start, offset)) = remote {
            let place = [start, offset].map(u16::to_be_bytes);
            if draft {
                fields.push(REMOTE_CHECKSUM, place.as_flattened());
            }
            self.sums(to, &mut fields);
            // Both forms exclude each other.
            if !draft || self.wrong() {
                fields.push(PRIVATE, &[0x80, 0, 0, 0]);
                fields.push(PRIVATE, place.as_flattened());
            }
            return fields;
        }
        self.sums(to, &mut fields);
        if self.one_in(16) {
            let word: u32 = if self.wrong() { 1 } else { 0 };
            fields.push(PRIVATE, &word.to_be_bytes());
        }
        fields
    }

    /// Adds a cookie or a keyed hash: the right one for a device with a key, most often.
    fn security(&mut self, net: &Net, group: Option<u32>, fields: &mut Fields) {
        if group == Some(GROUP_WITH_KEY) && !self.wrong() {
            if !net.is_v6() {
                fields.push(COOKIE_8, &COOKIE);
                return;
            }
            fields.push(KEYED_HASH, &KEY_ID.to_be_bytes());
            fields.push(KEYED_HASH, &[0; 4]);
            fields.digest = Some(fields.bytes.len());
            fields.push(KEYED_HASH, &[0; 32]);
        } else if self.one_in(16) {
            let (method, len) = self.pick(&[(1, 8), (2, 16), (3, 32), (4, 40), (5, 4)]);
            let noise = self.noise(len);
            fields.push(method << 12, &noise);
        }
    }

    /// Adds checksums, which are wrong.
    fn sums(&mut self, to: Receiver, fields: &mut Fields) {
        if to == Receiver::Port {
            return;
        }
        for (flag, len) in [(CHECKSUM, 4), (NAT_CHECKSUM, 4), (CRC, 8)] {
            if self.one_in(48) {
                let noise = self.noise(len);
                fields.push(flag, &noise);
            }
        }
    }

    /// Returns the start and the offset of a remote checksum. Writes the pseudo header's sum to the
    /// checksum field, as a sender does.
    fn remote_checksum(&mut self, payload: &mut [u8]) -> (u16, u16) {
        let v6 = payload.first().is_some_and(|byte| byte >> 4 == 6);
        let (start, protocol, addresses) = if v6 { (40, 6, 8..40) } else { (20, 9, 12..20) };
        let protocol = payload.get(protocol).copied().unwrap_or(0);
        let offset = start + if protocol == TCP { 16 } else { 6 };
        let len = payload.len();
        if let (false, Some(addresses)) = (self.wrong(), payload.get(addresses)) {
            let pseudo = sum(addresses) + u32::from(protocol) + len.saturating_sub(start) as u32;
            put16(payload, offset, fold(pseudo.into()));
        }
        if !self.wrong() && !self.wrong() {
            return (start as u16, offset as u16);
        }
        let bound = |rng: &mut ChaCha8Rng| match rng.random_range(0..8) {
            0 => 0,
            1 => 1,
            2 => len.wrapping_sub(2) as u16,
            3 => len.wrapping_sub(1) as u16,
            4 => len as u16,
            5 => 0xffff,
            6 => rng.random_range(0..=len) as u16,
            _ => rng.random(),
        };
        (bound(&mut self.rng), bound(&mut self.rng))
    }

    /// Returns an IP packet full of UDP headers. Each carries the next by FOU or GUE.
    pub(super) fn headers_alone(&mut self, net: &Net) -> Vec<u8> {
        let len = self.rng.random_range(500..=LONGEST);
        let surplus = self.pick(&[0, 0, 1, 28]);
        let mut bytes = Vec::with_capacity(len);
        while len - bytes.len() > 8 + 128 {
            let rest = (len - bytes.len()) as u16;
            let fou = self.one_in(3);
            let port = if fou { FOU_UDP } else { self.pick(&GUE_PORTS) };
            bytes.extend([40_000, port, rest, 0].map(u16::to_be_bytes).as_flattened());
            if fou {
                continue;
            }
            let remote = self.one_in(8);
            let words = if remote { 2 } else { surplus };
            bytes.extend([words, UDP, 0, remote.into()]);
            let mut fields = vec![0; 4 * usize::from(words)];
            if remote {
                // The checksum of the next UDP header.
                fields[0] = 0x80;
                fields[7] = 6;
            }
            bytes.extend(fields);
        }
        bytes.resize(len, 0);
        if net.is_v6() {
            self.ipv6(net, UDP, bytes)
        } else {
            self.ipv4(net, UDP, bytes)
        }
    }
}
