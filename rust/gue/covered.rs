// SPDX-License-Identifier: GPL-2.0

//! The bytes over which the checksums and the keyed hash of a header are computed.
//!
//! Three fields cover the header, including each other. Senders compute them in this order
//! (gue-extensions-06 §11.1), after all other fields are written:
//!
//! 1. SEC's keyed hash, with its own digest and the values of A and K as zero;
//! 2. A, with its own value and K's as zero, and the digest as sent;
//! 3. K, with its own value as zero, and the others as sent.
//!
//! Receivers check K, A and the keyed hash (§11.2), each over the same bytes as the sender. Only values
//! count as zero: coverages and reserved bits count as sent. Surplus space is covered too.
//!
//! | computed | before the header | header with zero for | payload | after it |
//! |---|---|---|---|---|
//! | keyed hash | outer source and destination addresses | digest, K, A | from `offset`, `length` bytes | |
//! | A | | A, K | first `coverage` bytes | zeros to a multiple of 4 |
//! | K | (anywhere) outer addresses, then ports | K | first `coverage` bytes | a zero to an even number |
//!
//! This crate computes no hash and no CRC. It returns the bytes in pieces, and the caller passes them to its
//! own implementation, such as the kernel's:
//!
//! ```
//! use gue::{covered::Computation, Device, View};
//!
//! // CRC-32C by the bit.
//! fn crc32c(crc: u32, piece: &[u8]) -> u32 {
//!     !piece.iter().fold(!crc, |crc, byte| {
//!         (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
//!     })
//! }
//!
//! // A covers 5 bytes of the payload.
//! let packet = [
//!     0x02, 4, 0x00, 0x40, 0, 0, 0, 5, 0x46, 0x66, 0xb9, 0xa8, // header
//!     0x45, 0, 0, 0x1c, 0, 1, 0x40, 0, // payload
//! ];
//! let view = View::parse(&packet, Device::ALL).unwrap().unwrap();
//! let payload = &packet[view.len_bytes()..];
//! let covered = view.covered(Computation::Crc, payload.len()).unwrap().unwrap();
//! let crc = covered
//!     .header()
//!     .chain([&payload[covered.payload()], covered.padding()])
//!     .fold(0, crc32c);
//! assert_eq!(view.crc().unwrap().check(crc), Ok(()));
//! ```

use crate::{
    checksum::{self, Sum},
    crc,
    header::MAX_LEN_BYTES,
    layout,
    refusal::Refusal,
    security::{self, RawHmac, SecurityView, DIGEST_LEN_BYTES},
    View,
};
use core::{mem::offset_of, ops::Range};

/// A field whose value covers the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Computation {
    /// The keyed hash of [`security`].
    Hmac,
    /// The alternate checksum: [`crc`].
    Crc,
    /// The checksum: [`checksum`].
    Checksum,
}

/// The parts of a packet that a [`Computation`] covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered<'a> {
    /// The header in order, with zeros in place of values. Some pieces are empty.
    header: [&'a [u8]; 7],
    payload: Range<usize>,
    padding: &'static [u8],
}

/// Zeros, as many as the longest value that counts as zero has bytes.
const ZEROS: &[u8] = &[0; DIGEST_LEN_BYTES];

impl<'a> Covered<'a> {
    /// Returns the header's bytes in order, in pieces. Zeros stand for the values that count as zero.
    #[inline]
    pub fn header(&self) -> impl Iterator<Item = &'a [u8]> {
        self.header.into_iter().filter(|piece| !piece.is_empty())
    }

    /// Returns the covered part of the payload.
    #[inline]
    pub fn payload(&self) -> Range<usize> {
        self.payload.clone()
    }

    /// Returns the zeros that follow the covered part of the payload.
    #[inline]
    pub fn padding(&self) -> &'static [u8] {
        self.padding
    }
}

impl<'a> View<'a> {
    /// Returns the bytes that a computation covers; `None` if the header does not have the field of the
    /// computation.
    ///
    /// # Errors
    ///
    /// [`Refusal::HmacPastPayload`], [`Refusal::CrcPastPayload`] or [`Refusal::ChecksumPastPayload`]: the
    /// payload is shorter than the coverage.
    #[inline]
    pub fn covered(
        &self,
        computation: Computation,
        payload_len: usize,
    ) -> Result<Option<Covered<'a>>, Refusal> {
        let digest = self.value_at(
            security::Method::Hmac.flags(),
            offset_of!(RawHmac, digest),
            DIGEST_LEN_BYTES,
        );
        let checksum = self.checksum_value();
        let crc = self.crc_value();
        let none = 0..0;
        let (zeros, payload, align) = match computation {
            Computation::Hmac => {
                let Some(SecurityView::Hmac(hmac)) = self.security() else {
                    return Ok(None);
                };
                (
                    [digest, checksum, crc],
                    hmac.coverage.range(payload_len)?,
                    1,
                )
            }
            Computation::Crc => {
                let Some(field) = self.crc() else {
                    return Ok(None);
                };
                let payload = first(field.coverage, payload_len, Refusal::CrcPastPayload)?;
                ([none, checksum, crc], payload, 4)
            }
            Computation::Checksum => {
                let Some(field) = self.checksum() else {
                    return Ok(None);
                };
                let payload = first(field.coverage, payload_len, Refusal::ChecksumPastPayload)?;
                ([none.clone(), checksum, none], payload, 2)
            }
        };
        let padding = payload.len().next_multiple_of(align) - payload.len();
        Ok(Some(Covered {
            header: zeroed(self.as_bytes(), zeros),
            payload,
            padding: ZEROS.get(..padding).unwrap_or(ZEROS),
        }))
    }

    /// Copies the header with zero for the values of K and A, and returns the copy. If a keyed hash covers no
    /// payload, all headers with the same copy, between the same addresses, have the same keyed hash.
    ///
    /// ```
    /// use gue::{Device, View};
    ///
    /// // A checksum that covers 3 bytes.
    /// let header = [0x01, 4, 0x01, 0, 0x12, 0x34, 0, 3];
    /// let view = View::parse(&header, Device::ALL).unwrap().unwrap();
    /// assert_eq!(view.without_sums(&mut [0; 128]), [0x01, 4, 0x01, 0, 0, 0, 0, 3]);
    /// ```
    #[inline]
    pub fn without_sums<'b>(&self, to: &'b mut [u8; MAX_LEN_BYTES]) -> &'b [u8] {
        let to = &mut to[..self.len_bytes().min(MAX_LEN_BYTES)];
        for (to, from) in to.iter_mut().zip(self.as_bytes()) {
            *to = *from;
        }
        for value in [self.checksum_value(), self.crc_value()] {
            to.get_mut(value).unwrap_or_default().fill(0);
        }
        to
    }

    #[inline]
    fn checksum_value(&self) -> Range<usize> {
        let offset = offset_of!(checksum::Raw, value);
        self.value_at(checksum::FLAG, offset, size_of::<u16>())
    }

    #[inline]
    fn crc_value(&self) -> Range<usize> {
        self.value_at(crc::FLAG, offset_of!(crc::Raw, value), size_of::<u32>())
    }

    /// Returns the place of a field's value in the header; an empty range if the header does not have the field.
    #[inline]
    fn value_at(&self, field: u16, offset: usize, len: usize) -> Range<usize> {
        if self.flags() & field == 0 {
            return 0..0;
        }
        let start = layout::offset_of(self.flags(), field) + offset;
        start..start + len
    }
}

#[inline]
fn first(coverage: u16, payload_len: usize, past: Refusal) -> Result<Range<usize>, Refusal> {
    let coverage = usize::from(coverage);
    if coverage > payload_len {
        return Err(past);
    }
    Ok(0..coverage)
}

/// Splits a header into pieces, with zeros in place of three ranges in ascending order. Empty ranges are skipped.
#[inline]
fn zeroed(header: &[u8], ranges: [Range<usize>; 3]) -> [&[u8]; 7] {
    let mut pieces: [&[u8]; 7] = [&[]; 7];
    let mut done = 0;
    let mut at = 0;
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        if let (Some(before), Some(zeros)) =
            (header.get(done..range.start), ZEROS.get(..range.len()))
        {
            [pieces[at], pieces[at + 1]] = [before, zeros];
            at += 2;
            done = range.end;
        }
    }
    pieces[at] = header.get(done..).unwrap_or_default();
    pieces
}

/// The outer addresses of a packet: source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IPv4.
    V4([u8; 4], [u8; 4]),
    /// IPv6.
    V6([u8; 16], [u8; 16]),
}

impl Addresses {
    /// Returns addresses from two slices of 4 bytes each, or of 16 bytes each; `None` for other lengths.
    #[inline]
    pub fn from_slices(source: &[u8], destination: &[u8]) -> Option<Self> {
        if let (Ok(source), Ok(destination)) = (source.try_into(), destination.try_into()) {
            return Some(Self::V4(source, destination));
        }
        Some(Self::V6(
            source.try_into().ok()?,
            destination.try_into().ok()?,
        ))
    }

    /// Returns addresses of the same IP version that are all zero.
    #[inline]
    #[must_use]
    pub const fn zeroed(self) -> Self {
        match self {
            Self::V4(..) => Self::V4([0; 4], [0; 4]),
            Self::V6(..) => Self::V6([0; 16], [0; 16]),
        }
    }

    /// Returns source and destination, as a keyed hash covers them before the header.
    #[inline]
    pub fn pieces(&self) -> [&[u8]; 2] {
        match self {
            Self::V4(source, destination) => [source, destination],
            Self::V6(source, destination) => [source, destination],
        }
    }

    #[inline]
    pub(crate) fn sum(&self) -> Sum {
        let [source, destination] = self.pieces();
        Sum::default().with(source).with(destination)
    }
}

/// The fields of the outer headers that a checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// The outer IP addresses.
    pub addresses: Addresses,
    /// The UDP source port.
    pub source_port: u16,
    /// The UDP destination port.
    pub destination_port: u16,
}
