// SPDX-License-Identifier: GPL-2.0

//! Packets to fire, built from the inside out after the wire format. Most are wrong in a few places
//! only, so that they get far before the kernel refuses them.
//!
//! A volley is one packet, or a train of segments that GRO may merge. The seed and the volley's number
//! alone decide its packets: each module takes random numbers in a fixed order, and a change of that
//! order changes every packet of every seed.

mod checksum;
mod fragment;
mod frame;
mod gre;
mod gue;
mod host;
mod icmp;
mod ip;
mod mutate;
mod pieces;
mod protocol;
#[cfg(test)]
mod tests;
mod transport;
mod virtio;

pub use virtio::VIRTIO_LEN;

use clap::ValueEnum;
use host::Net;
use mutate::mutate;
use protocol::{TCP, UDP, UDPLITE};
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Longest packet, in bytes.
const LONGEST: usize = 65_000;
/// One packet in this many has headers and no payload.
const HEADERS_ALONE: u32 = 1000;

/// The way by which packets enter the kernel.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum Flavour {
    /// A tap device without GRO.
    Plain,
    /// A tap device with GRO.
    Gro,
    /// A tap device with GRO that makes each piece of a packet a fragment.
    Fragments,
    /// The same without GRO, because GRO linearizes the headers that it reads.
    Scattered,
    /// A tap device with GRO. The packets are for devices of kind `gue`, most of them in GUE fragments.
    Pieces,
    /// A packet socket on a tunnel that carries IP.
    Transmit,
}

impl Flavour {
    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gro => "gro",
            Self::Fragments => "fragments",
            Self::Scattered => "scattered",
            Self::Pieces => "pieces",
            Self::Transmit => "transmit",
        }
    }

    /// Returns the flavour of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::from_str(name, false).ok()
    }
}

/// One packet to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shot {
    /// The virtio header, little-endian.
    pub virtio: [u8; VIRTIO_LEN],
    /// Offsets at which the packet is cut into pieces, ascending.
    pub cuts: Vec<usize>,
    /// The Ethernet frame; for [`Flavour::Transmit`] the IP packet.
    pub bytes: Vec<u8>,
}

impl Shot {
    /// Returns the virtio header and then each piece, for one vectored write.
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

/// Returns the packets of a volley.
pub fn volley(flavour: Flavour, seed: u64, number: u64) -> Vec<Shot> {
    // Each volley has a stream of its own.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    let hostile = rng.random_ratio(2, 3);
    let length = if rng.random_ratio(1, 4) {
        rng.random_range(2..=8)
    } else {
        1
    };
    // All packets of a train use the same random numbers and differ by their step alone.
    let template = rng.clone();
    let mut mutations = ChaCha8Rng::seed_from_u64(rng.next_u64());
    (0..length)
        .map(|step| {
            let mut packet = Packet {
                rng: template.clone(),
                step,
                hostile,
                to_devices: flavour == Flavour::Pieces,
                len: 0,
            };
            let mut shot = packet.shot(flavour);
            if hostile {
                mutate(&mut mutations, &mut shot);
            }
            (packet, shot)
        })
        .flat_map(|(mut packet, shot)| {
            match flavour {
                Flavour::Transmit => vec![shot],
                Flavour::Pieces if !packet.one_in(8) => packet.pieces(flavour, &shot),
                _ if packet.one_in(20) => packet.fragments(flavour, &shot),
                // Half of these packets are for no device, and stay whole.
                _ if packet.one_in(8) => packet.pieces(flavour, &shot),
                _ => vec![shot],
            }
        })
        .collect()
}

/// A packet while it is built.
struct Packet {
    rng: ChaCha8Rng,
    /// The packet's number in its train.
    step: u32,
    /// `true` if [`Packet::wrong`] may damage the packet.
    hostile: bool,
    /// `true` if all tunnels are devices of kind `gue`.
    to_devices: bool,
    /// Length of the headers so far, in bytes.
    len: usize,
}

impl Packet {
    /// Returns `true` where the caller shall do something wrong.
    fn wrong(&mut self) -> bool {
        self.one_in(24) && self.hostile
    }

    fn one_in(&mut self, number: u32) -> bool {
        self.rng.random_ratio(1, number)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.rng).expect("a choice")
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        // Repeats one byte after the first 16: captures compress well, and checksums fail as often.
        let mut bytes = vec![self.rng.random(); len];
        let some = len.min(16);
        self.rng.fill_bytes(&mut bytes[..some]);
        bytes
    }

    /// Returns the payload of an IP header, a GRE header or a UDP tunnel of this protocol.
    fn payload(&mut self, net: &Net, protocol: u8, depth: u32, big: bool) -> Vec<u8> {
        match protocol {
            4 | 41 if depth > 0 => {
                let inner = self.inner_net(protocol == 41);
                let next = self.inner_protocol(&inner);
                // A tunnel within a tunnel ends at the host, too.
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
}
