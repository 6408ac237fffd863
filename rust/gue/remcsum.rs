// SPDX-License-Identifier: GPL-2.0

//! Remote checksum offload, in the form that Linux sends: a private flag and a field of 4 bytes.
//!
//! `start:16 | offset:16`, both counted from the first byte of the payload (gue-extensions-06 §5.5).

use crate::{protocol, Error};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the field, in bytes.
pub const LEN_BYTES: usize = size_of::<Raw>();

/// The field as it stands on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Raw {
    start: U16,
    offset: U16,
}

/// Which checksum the sender has left to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteChecksum {
    start: u16,
    offset: u16,
}

impl RemoteChecksum {
    /// The checksum at `offset` over the payload from `start` on; both in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::ChecksumBeforeStart`] if the checksum is not among what it covers.
    #[inline]
    pub const fn new(start: u16, offset: u16) -> Result<Self, Error> {
        if offset < start {
            return Err(Error::ChecksumBeforeStart);
        }
        Ok(Self { start, offset })
    }

    /// Where the covered bytes begin, from the first byte of the payload.
    #[inline]
    pub const fn start(&self) -> usize {
        self.start as usize
    }

    /// Where the checksum is, from the first byte of the payload.
    #[inline]
    pub const fn offset(&self) -> usize {
        self.offset as usize
    }

    /// How many bytes of payload there must be at least, for the checksum field to lie in it.
    ///
    /// A shorter payload is to be dropped. As `start` is not above `offset`, this bounds both.
    #[inline]
    pub const fn payload_needed(&self) -> usize {
        // `offset` is not below `start`, and 16 bits wide: no overflow.
        self.offset as usize + size_of::<u16>()
    }

    /// Whether this is the own checksum of the first TCP or UDP header of the payload, which begins
    /// with a header of `protocol`: the one that a sender leaves who offloads checksums.
    ///
    /// IPv4 and IPv6 are looked into, also behind GRE, but not fragments, extension headers and
    /// tunnels in tunnels. `payload` may be cut off behind the checksum.
    #[inline]
    #[must_use]
    pub fn is_of_transport_header(&self, protocol: u8, payload: &[u8]) -> bool {
        match protocol {
            protocol::IPV4 | protocol::IPV6 => self.is_of_ip(protocol, payload, 0),
            protocol::GRE => self.is_of_gre(payload),
            number => self.is_of(number, 0),
        }
    }

    /// Whether it is that of a header of `number` that begins at `start`.
    #[inline]
    fn is_of(self, number: u8, start: usize) -> bool {
        let field = match number {
            protocol::TCP => 16,
            protocol::UDP => 6,
            _ => return false,
        };
        // `offset` is not below `start`.
        self.start() == start && self.offset.wrapping_sub(self.start) == field
    }

    /// Whether it is that of the header behind an IP header, which begins `ip_at` bytes into the
    /// payload.
    #[inline]
    fn is_of_ip(self, version: u8, ip: &[u8], ip_at: usize) -> bool {
        let found = if version == protocol::IPV4 {
            ipv4_payload(ip)
        } else {
            ipv6_payload(ip)
        };
        found.is_some_and(|(len, number)| self.is_of(number, ip_at.saturating_add(len)))
    }

    /// Whether it is that of the header behind GRE and IP.
    // Not inlined: what most packets are should not make way for it.
    #[inline(never)]
    fn is_of_gre(self, gre: &[u8]) -> bool {
        gre_payload(gre).is_some_and(|(ip_at, version)| {
            gre.get(ip_at..)
                .is_some_and(|ip| self.is_of_ip(version, ip, ip_at))
        })
    }

    #[inline]
    pub(crate) fn from_raw(raw: &Raw) -> Result<Self, Error> {
        Self::new(raw.start.get(), raw.offset.get())
    }

    #[inline]
    pub(crate) fn to_raw(self) -> Raw {
        Raw {
            start: self.start.into(),
            offset: self.offset.into(),
        }
    }
}

/// The length of an IPv4 header (RFC 791), and the protocol of what is whole behind it.
#[inline]
fn ipv4_payload(ip: &[u8]) -> Option<(usize, u8)> {
    let [first, _, _, _, _, _, fragment @ .., _, number] = ip.first_chunk::<10>()?;
    let header_len = usize::from(first & 0xf).saturating_mul(4);
    // All but "don't fragment".
    let whole = u16::from_be_bytes(*fragment) & !0x4000 == 0;
    (first >> 4 == 4 && header_len >= 20 && whole).then_some((header_len, *number))
}

/// The length of an IPv6 header (RFC 8200), and the protocol behind it.
#[inline]
fn ipv6_payload(ip: &[u8]) -> Option<(usize, u8)> {
    let [first, _, _, _, _, _, number] = ip.first_chunk::<7>()?;
    (first >> 4 == 6).then_some((40, *number))
}

/// The length of a GRE header (RFC 2784, RFC 2890), with that of the Ethernet header if it carries
/// one, and the protocol of the IP header behind it.
#[inline]
fn gre_payload(gre: &[u8]) -> Option<(usize, u8)> {
    const CHECKSUM_KEY_SEQUENCE: [u8; 3] = [0x80, 0x20, 0x10];
    let [flags, version, ether_type @ ..] = gre.first_chunk::<4>()?;
    if flags & !0xb0 != 0 || *version != 0 {
        return None;
    }
    let mut len: usize = 4;
    for flag in CHECKSUM_KEY_SEQUENCE {
        if flags & flag != 0 {
            len = len.checked_add(4)?;
        }
    }
    let mut ether_type = *ether_type;
    if ether_type == [0x65, 0x58] {
        ether_type = *gre.get(len.checked_add(12)?..)?.first_chunk()?;
        len = len.checked_add(14)?;
    }
    match ether_type {
        [0x08, 0x00] => Some((len, protocol::IPV4)),
        [0x86, 0xdd] => Some((len, protocol::IPV6)),
        _ => None,
    }
}
