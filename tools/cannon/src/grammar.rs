// SPDX-License-Identifier: GPL-2.0

//! What is fired: packets built from the inside out after the wire format, most of them right in all
//! but a few places, so that they get far before they are refused.
//!
//! A volley is a few packets that belong together: a train of segments that GRO may merge, or one
//! packet. It depends on the seed and its number alone.

use clap::ValueEnum;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Length of the virtio header in front of a packet, in bytes.
pub const VIRTIO_LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_KINDS: [u8; 7] = [1, 3, 4, 5, 0x81, 0x84, 2];
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;

/// Longest packet, in bytes.
const LONGEST: usize = 65_000;
/// Fragments of one packet at most.
const MOST_CUTS: usize = 16;
/// One in so many packets is nothing but headers.
const HEADERS_ALONE: u32 = 1000;

/// What the packets are for.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum Flavour {
    /// A tap device that hands packets to the stack as they are.
    Plain,
    /// A tap device with GRO.
    Gro,
    /// A tap device with GRO that makes each piece of a packet a fragment.
    Fragments,
    /// The same without GRO, which makes linear what it reads.
    Scattered,
    /// A packet socket on a tunnel that carries IP.
    Transmit,
}

impl Flavour {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gro => "gro",
            Self::Fragments => "fragments",
            Self::Scattered => "scattered",
            Self::Transmit => "transmit",
        }
    }

    /// By its name.
    pub fn of(name: &str) -> Option<Self> {
        Self::from_str(name, false).ok()
    }
}

/// One packet to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shot {
    /// The virtio header, little-endian.
    pub virtio: [u8; VIRTIO_LEN],
    /// Where the packet is cut into pieces, ascending.
    pub cuts: Vec<usize>,
    /// The frame, or for a tunnel the IP packet.
    pub bytes: Vec<u8>,
}

impl Shot {
    /// What is to be written at once, piece by piece, the virtio header first.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.cuts.iter().copied().chain([self.bytes.len()]);
        let mut start = 0;
        std::iter::once(&self.virtio[..]).chain(ends.filter_map(move |end| {
            let piece = self.bytes.get(start..end)?;
            start = end;
            (!piece.is_empty()).then_some(piece)
        }))
    }
}

/// The packets of a volley.
pub fn volley(flavour: Flavour, seed: u64, number: u64) -> Vec<Shot> {
    // A stream of its own for each volley.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    let hostile = rng.random_ratio(2, 3);
    let length = if rng.random_ratio(1, 4) {
        rng.random_range(2..=8)
    } else {
        1
    };
    // The packets of a train are made by the same random numbers, and differ by their step alone.
    let template = rng.clone();
    let mut mutations = ChaCha8Rng::seed_from_u64(rng.next_u64());
    (0..length)
        .map(|step| {
            let mut packet = Packet {
                rng: template.clone(),
                step,
                hostile,
                len: 0,
            };
            let mut shot = packet.shot(flavour);
            if hostile {
                mutate(&mut mutations, &mut shot);
            }
            (packet, shot)
        })
        .flat_map(|(mut packet, shot)| {
            if flavour != Flavour::Transmit && packet.one_in(20) {
                packet.fragments(flavour, &shot)
            } else {
                vec![shot]
            }
        })
        .collect()
}

/// Damage that knows nothing of the format.
fn mutate(rng: &mut ChaCha8Rng, shot: &mut Shot) {
    if rng.random_ratio(1, 6) {
        for _ in 0..rng.random_range(1..4) {
            let reach = shot.bytes.len().min(160);
            if let Some(byte) = (reach > 0)
                .then(|| rng.random_range(0..reach))
                .and_then(|at| shot.bytes.get_mut(at))
            {
                *byte = match rng.random_range(0..3) {
                    0 => *byte ^ (1 << rng.random_range(0..8)),
                    1 => [0, 0xff, 0x80, 0x7f][rng.random_range(0..4)],
                    _ => rng.random(),
                };
            }
        }
    }
    if rng.random_ratio(1, 12) {
        let len = rng.random_range(0..=shot.bytes.len());
        shot.bytes.truncate(len.max(14));
        shot.cuts.retain(|cut| *cut < shot.bytes.len());
    }
    if rng.random_ratio(1, 24) {
        let more = rng.random_range(1..64);
        shot.bytes.extend(std::iter::repeat_n(0xee, more));
    }
    if rng.random_ratio(1, 16) {
        let at = rng.random_range(0..VIRTIO_LEN);
        shot.virtio[at] = rng.random();
    }
}

/// Addresses that a transport checksum is over.
#[derive(Clone)]
struct Net {
    source: Vec<u8>,
    target: Vec<u8>,
}

impl Net {
    fn is_v6(&self) -> bool {
        self.source.len() == 16
    }

    fn reversed(&self) -> Self {
        Self {
            source: self.target.clone(),
            target: self.source.clone(),
        }
    }

    /// The sum over the pseudo header.
    fn pseudo(&self, protocol: u8, len: usize) -> u32 {
        // A packet has fewer than 2^16 bytes.
        sum(&self.source) + sum(&self.target) + u32::from(protocol) + (len as u32 & 0xffff)
    }
}

/// Sum of the words, the last one padded.
fn sum(bytes: &[u8]) -> u32 {
    fold(
        bytes
            .chunks(2)
            .map(|pair| (u64::from(pair[0]) << 8) | u64::from(pair.get(1).copied().unwrap_or(0)))
            .sum(),
    )
    .into()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(to) = bytes.get_mut(at..at + 2) {
        to.copy_from_slice(&value.to_be_bytes());
    }
}

const PEER_V4: [u8; 4] = [192, 0, 2, 2];
const HOST_V4: [u8; 4] = [192, 0, 2, 1];
const PEER_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const HOST_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_V4: [u8; 4] = [224, 0, 0, 1];
const ALL_V6: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Ports of the host under fire that carry one protocol each.
const FOU_PORTS: [(u16, u8); 8] = [
    (5551, 4),
    (5552, 41),
    (5553, 47),
    (5554, 17),
    (5555, 6),
    (5556, 136),
    (5557, 1),
    (5558, 58),
];
/// The one of them that carries UDP.
const FOU_UDP: u16 = 5554;
/// Its GUE ports; the second computes remote checksums at once.
const GUE_PORTS: [u16; 2] = [6080, 6081];

const TCP: u8 = 6;
const UDP: u8 = 17;
const UDPLITE: u8 = 136;
/// The extension header of IPv6.
const FRAGMENT: u8 = 44;

struct Packet {
    rng: ChaCha8Rng,
    /// The place in a train.
    step: u32,
    /// Whether anything is to be wrong.
    hostile: bool,
    /// Bytes so far.
    len: usize,
}

impl Packet {
    /// Whether to do something wrong here.
    fn wrong(&mut self) -> bool {
        self.one_in(24) && self.hostile
    }

    fn one_in(&mut self, number: u32) -> bool {
        self.rng.random_ratio(1, number)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        // Never of nothing.
        *from.choose(&mut self.rng).expect("a choice")
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        // One byte over and over compresses well, and sums up as badly as any.
        let mut bytes = vec![self.rng.random(); len];
        let some = len.min(16);
        self.rng.fill_bytes(&mut bytes[..some]);
        bytes
    }

    fn shot(&mut self, flavour: Flavour) -> Shot {
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
            // To all hosts: each socket of the port gets its own.
            (net.target, mac) = if v6 {
                (ALL_V6.into(), [0x33, 0x33, 0, 0, 0, 1])
            } else {
                (ALL_V4.into(), [1, 0, 0x5e, 0, 0, 1])
            };
        }
        let protocol = match self.rng.random_range(0..32) {
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

    /// An IP packet filled with UDP headers that lead to each other, through FOU and GUE.
    fn headers_alone(&mut self, net: &Net) -> Vec<u8> {
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
                // Over the next header, whose checksum it is.
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

    /// The frame as IP fragments, which make up the packet again unless something is wrong.
    fn fragments(&mut self, flavour: Flavour, shot: &Shot) -> Vec<Shot> {
        let frame = &shot.bytes;
        let (link_len, ip_len) = match frame.get(12..15) {
            Some([8, 0, 0x45]) => (14, 20),
            Some([0x86, 0xdd, first]) if first >> 4 == 6 => (14, 40),
            // With a tag, with options, or broken.
            _ => return vec![shot.clone()],
        };
        let Some((headers, payload)) = frame.split_at_checked(link_len + ip_len) else {
            return vec![shot.clone()];
        };
        let number = self.rng.random::<u32>().wrapping_add(self.step);
        // The first one may end within a header.
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
            // One is missing, or comes twice.
            shots.pop();
        } else if self.wrong() {
            shots.extend(shots.last().cloned());
        }
        shots
    }

    /// Where to cut a frame: tiny pieces within the headers, larger ones behind them.
    fn cuts(&mut self, len: usize) -> Vec<usize> {
        let mut at = self.pick(&[14, 14, 15, 34, 42, 54, 66, 128]);
        let mut cuts = Vec::new();
        // Each piece takes the kernel's checkers time: not every packet has as many as can be.
        let tiny = if self.one_in(2) {
            MOST_CUTS / 2
        } else {
            self.rng.random_range(1..=4)
        };
        while at < len && cuts.len() < MOST_CUTS {
            cuts.push(at);
            // No fragment is longer than a page.
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
            // Left to the linear part.
            return vec![];
        }
        cuts
    }

    /// A virtio header; `link_len` bytes stand before the IP header.
    fn virtio(&mut self, bytes: &[u8], link_len: usize) -> [u8; VIRTIO_LEN] {
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
                // What ten segments do, a thousand do too: they took most of all the time.
                size = size.max((bytes.len() / 10) as u16);
            }
            if self.wrong() {
                kind = self.pick(&GSO_KINDS);
            }
        } else if self.one_in(6) {
            // What lies in the linear part of a packet, and what in pages.
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

    /// Addresses of an inner packet: to the host itself, through another of its tunnels, or anywhere.
    fn inner_net(&mut self, v6: bool) -> Net {
        let last = self.rng.random_range(1..=4u8);
        if v6 {
            let mut source = [0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
            source[15] = last;
            let mut target = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            target[3] = self.rng.random_range(0..4);
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
            let mut target = [10, 0, self.rng.random_range(0..4), 1];
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

    /// An IP packet of a protocol.
    fn ip(&mut self, net: &Net, protocol: u8, depth: u32, big: bool) -> Vec<u8> {
        self.len += if net.is_v6() { 40 } else { 20 };
        let payload = self.payload(net, protocol, depth, big);
        if net.is_v6() {
            self.ipv6(net, protocol, payload)
        } else {
            self.ipv4(net, protocol, payload)
        }
    }

    fn ipv4(&mut self, net: &Net, protocol: u8, payload: Vec<u8>) -> Vec<u8> {
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

    fn ipv6(&mut self, net: &Net, protocol: u8, payload: Vec<u8>) -> Vec<u8> {
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

    /// A length that is not the right one.
    fn odd_length(&mut self, right: u16) -> u16 {
        match self.rng.random_range(0..6) {
            0 => 0,
            1 => right.wrapping_sub(1),
            2 => right.wrapping_add(1),
            3 => 0xffff,
            4 => self.rng.random_range(0..32),
            _ => self.rng.random(),
        }
    }

    /// What an IP header, a GRE header or a UDP tunnel of this protocol carries.
    fn payload(&mut self, net: &Net, protocol: u8, depth: u32, big: bool) -> Vec<u8> {
        match protocol {
            4 | 41 if depth > 0 => {
                let inner = self.inner_net(protocol == 41);
                let next = self.inner_protocol(&inner);
                // A tunnel within a tunnel ends at the host too.
                let inner = if next == UDP && depth > 1 {
                    self.ends(protocol == 41)
                } else {
                    inner
                };
                self.ip(&inner, next, depth - 1, big)
            }
            UDP | UDPLITE => self.udp(net, protocol, depth, big),
            TCP => self.tcp(net, big),
            47 if depth > 0 => self.gre(depth, big),
            1 => self.icmp(net, depth),
            58 => self.icmp(net, depth),
            _ => {
                let len = self.rng.random_range(0..64);
                self.noise(len)
            }
        }
    }

    fn ends(&mut self, v6: bool) -> Net {
        Net {
            source: if v6 { PEER_V6.into() } else { PEER_V4.into() },
            target: if v6 { HOST_V6.into() } else { HOST_V4.into() },
        }
    }

    fn inner_protocol(&mut self, net: &Net) -> u8 {
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

    /// How long the innermost payload is.
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

    fn tcp(&mut self, net: &Net, big: bool) -> Vec<u8> {
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

    /// Fills in a transport checksum: right, wrong, or left to somebody else.
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
            // To be completed by a device, or by the far end of a tunnel.
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

    fn udp(&mut self, net: &Net, protocol: u8, depth: u32, big: bool) -> Vec<u8> {
        self.len += 8;
        let (port, payload) = if depth == 0 {
            let len = self.data_len(big);
            (self.pick(&[9, 53, 4789]), self.noise(len))
        } else if self.one_in(3) {
            let (port, carried) = self.pick(&FOU_PORTS);
            (port, self.payload(net, carried, depth - 1, big))
        } else {
            (self.pick(&GUE_PORTS), self.gue(net, depth - 1, big))
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

    fn gue(&mut self, net: &Net, depth: u32, big: bool) -> Vec<u8> {
        self.len += 12;
        let protocol = match self.rng.random_range(0..12) {
            0..=3 => 4,
            4..=6 => 41,
            7 | 8 => 47,
            9 => self.pick(&[UDP, UDP, UDPLITE]),
            10 => self.pick(&[1, 58, 6, 59, 0]),
            _ if self.hostile => self.rng.random(),
            _ => 4,
        };
        let depth = depth.max(1);
        let mut payload = self.payload(net, protocol, depth, big);
        if self.one_in(6) && matches!(protocol, 4 | 41) {
            // Variant 1: the payload is the packet.
            if let Some(first) = payload.first_mut().filter(|_| self.rng.random_ratio(1, 32)) {
                *first ^= 0x30;
            }
            return payload;
        }
        let remote = self.one_in(3).then(|| self.remote_checksum(&mut payload));
        let mut fields = Vec::new();
        let mut flags: u16 = 0;
        if let Some((start, offset)) = remote {
            flags = 1;
            fields.extend(0x8000_0000u32.to_be_bytes());
            fields.extend(start.to_be_bytes());
            fields.extend(offset.to_be_bytes());
        } else if self.one_in(16) {
            flags = 1;
            fields.extend(if self.wrong() { 1u32 } else { 0 }.to_be_bytes());
        }
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
        bytes.extend(payload);
        bytes
    }

    /// Where a remote checksum starts and lies; the field is made what the sender leaves in it.
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

    fn gre(&mut self, depth: u32, big: bool) -> Vec<u8> {
        self.len += 20;
        let mut flags = 0u16;
        let kind = self.rng.random_range(0..6);
        let (protocol, payload) = match kind {
            0 => {
                let mut frame = Vec::from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
                frame.extend(self.payload(
                    &Net {
                        source: vec![],
                        target: vec![],
                    },
                    4,
                    depth,
                    big,
                ));
                (0x6558u16, frame)
            }
            1 | 2 => {
                let packet = self.payload(
                    &Net {
                        source: vec![],
                        target: vec![],
                    },
                    41,
                    depth,
                    big,
                );
                (0x86dd, packet)
            }
            _ => {
                let packet = self.payload(
                    &Net {
                        source: vec![],
                        target: vec![],
                    },
                    4,
                    depth,
                    big,
                );
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

    /// An echo, or an error about a packet that the host is said to have sent.
    fn icmp(&mut self, net: &Net, depth: u32) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const FLAVOURS: [Flavour; 5] = [
        Flavour::Plain,
        Flavour::Gro,
        Flavour::Fragments,
        Flavour::Scattered,
        Flavour::Transmit,
    ];

    #[test]
    fn the_seed_and_the_number_decide_alone() {
        for flavour in FLAVOURS {
            let all: Vec<_> = (0..200).map(|number| volley(flavour, 7, number)).collect();
            assert_eq!(volley(flavour, 7, 123), all[123]);
            assert_ne!(volley(flavour, 8, 123), all[123]);
        }
    }

    #[test]
    fn pieces_make_up_the_packet() {
        for number in 0..2000 {
            for shot in volley(Flavour::Fragments, 1, number) {
                let all: Vec<u8> = shot.pieces().flatten().copied().collect();
                assert_eq!(all[..VIRTIO_LEN], shot.virtio);
                assert_eq!(all[VIRTIO_LEN..], shot.bytes);
            }
        }
    }

    #[test]
    fn what_is_not_hostile_has_good_headers() {
        let mut tunnelled = 0;
        for number in 0..3000 {
            for shot in volley(Flavour::Plain, 3, number) {
                let bytes = &shot.bytes;
                let Some(header) = bytes.get(14..34) else {
                    continue;
                };
                if bytes[12..14] == [8, 0] && header[0] == 0x45 {
                    let right = fold(sum(header).into()) == 0xffff;
                    tunnelled += u32::from(right && header[9] == UDP);
                }
            }
        }
        assert!(
            tunnelled > 1000,
            "{tunnelled} of the packets are UDP over IPv4"
        );
    }

    #[test]
    fn fragments_make_up_the_packet() {
        let mut whole = 0;
        for number in 0..3000 {
            let fragments: Vec<_> = volley(Flavour::Plain, 5, number)
                .into_iter()
                .filter(|shot| shot.virtio == [0; VIRTIO_LEN])
                .filter_map(|shot| {
                    let ip = shot.bytes.get(14..).filter(|ip| ip.len() >= 20)?;
                    if shot.bytes.get(12..15)? != [8, 0, 0x45] {
                        return None;
                    }
                    let word = u16::from_be_bytes([ip[6], ip[7]]);
                    let more = word & 0x2000 != 0;
                    let start = usize::from(word & 0x1fff) * 8;
                    (more || start > 0).then(|| (ip[4..6].to_vec(), start, ip.len() - 20, more))
                })
                .collect();
            let Some(((id, ..), rest)) = fragments.split_first() else {
                continue;
            };
            let total: usize = fragments.iter().map(|fragment| fragment.2).sum();
            let last = fragments.iter().find(|fragment| !fragment.3);
            let one = rest.iter().all(|fragment| fragment.0 == *id);
            whole += u32::from(one && last.is_some_and(|last| last.1 + last.2 == total));
        }
        assert!(whole > 20, "{whole} packets in fragments that fit together");
    }

    #[test]
    fn packets_of_headers_alone_are_long() {
        let mut seen = 0;
        for number in 0..20 * u64::from(HEADERS_ALONE) {
            for shot in volley(Flavour::Gro, 1, number)
                .iter()
                .filter(|shot| shot.bytes.len() > 2000)
            {
                let port = (FOU_UDP.to_be_bytes(), GUE_PORTS.map(u16::to_be_bytes));
                let headers = shot.bytes.windows(4).filter(|bytes| {
                    bytes[..2] == 40_000u16.to_be_bytes()
                        && (bytes[2..] == port.0 || port.1.iter().any(|port| bytes[2..] == *port))
                });
                seen += u32::from(headers.count() > 100);
            }
        }
        assert!(seen > 0, "none of more than 100 headers");
    }
}
