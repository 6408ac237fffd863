// SPDX-License-Identifier: GPL-2.0

//! Checksum: the field `checksum:16 | coverage:16` (gue-extensions-06 §8).
//!
//! The Internet checksum (RFC 1071) of the header, of a pseudo header (outer addresses and ports, no length
//! and no protocol) and of the first `coverage` bytes of the payload. It protects the header where the UDP
//! checksum is zero.

use crate::{
    covered::{Covered, Outer},
    fields::{Reader, Writer},
    refusal::Refusal,
    Error,
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag that announces the field.
pub const FLAG: u16 = 0x0100;

/// Length of the field, in bytes.
pub const LEN_BYTES: usize = size_of::<Raw>();

/// The field's layout on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Raw {
    pub(crate) value: U16,
    pub(crate) coverage: U16,
}

/// A checksum of the header and of the beginning of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The checksum. No value is reserved for "no checksum", unlike 0 in UDP.
    pub value: u16,
    /// The number of payload bytes that the checksum covers.
    pub coverage: u16,
}

impl Checksum {
    #[inline]
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let raw: &Raw = reader.take()?;
        Ok(Self {
            value: raw.value.get(),
            coverage: raw.coverage.get(),
        })
    }

    #[inline(always)]
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        writer.put(&Raw {
            value: self.value.into(),
            coverage: self.coverage.into(),
        })
    }

    /// Refuses a wrong checksum. `sum` is the result of [`sum`] for this packet.
    ///
    /// # Errors
    ///
    /// [`Refusal::ChecksumMismatch`].
    #[inline]
    pub fn check(&self, sum: Sum) -> Result<(), Refusal> {
        if sum.with(&self.value.to_be_bytes()).fold() != u16::MAX {
            return Err(Refusal::ChecksumMismatch);
        }
        Ok(())
    }
}

/// Returns the sum of the bytes that a checksum covers. `payload` is the sum of the covered bytes of the
/// payload, with or without the padding.
///
/// The checksum's value is the [`Sum::complement`] of this sum.
#[inline]
pub fn sum(covered: &Covered<'_>, outer: &Outer, payload: Sum) -> Sum {
    let header = covered.header().fold(Sum::default(), Sum::with);
    let [source, destination] = outer.addresses.pieces();
    header
        .with(source)
        .with(destination)
        .with(&outer.source_port.to_be_bytes())
        .with(&outer.destination_port.to_be_bytes())
        .join(payload)
        .padded()
}

/// A sum in ones' complement over 16-bit words in network order (RFC 1071).
///
/// ```
/// use gue::checksum::Sum;
///
/// let sum = Sum::default().with(&[0x45, 0]).with(&[0]);
/// assert_eq!(sum.fold(), 0x4500);
/// assert_eq!(sum.complement(), !0x4500);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// No overflow: a packet has fewer than 2⁴⁸ words.
    words: u64,
    /// The number of bytes added so far is odd.
    odd: bool,
}

impl Sum {
    /// Adds the next bytes. An odd number of bytes counts as if a zero followed.
    #[inline]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        let mut rest = bytes;
        if self.odd {
            let Some((last, after)) = bytes.split_first() else {
                return self;
            };
            self.words += u64::from(*last);
            self.odd = false;
            rest = after;
        }
        let pairs = rest.chunks_exact(2);
        let last = pairs.remainder();
        for pair in pairs {
            self.words += pair
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        if let [last] = last {
            self.words += u64::from(*last) << 8;
            self.odd = true;
        }
        self
    }

    /// Adds the sum of further bytes, which begin at an even offset.
    #[inline]
    pub const fn join(self, other: Self) -> Self {
        Self {
            words: self.words + other.words,
            odd: other.odd,
        }
    }

    /// Returns the sum with a zero byte appended if the number of bytes is odd.
    #[inline]
    const fn padded(self) -> Self {
        Self {
            words: self.words,
            odd: false,
        }
    }

    /// Returns the sum in 16 bits: 0 only if all bytes are zero.
    #[inline]
    pub const fn fold(self) -> u16 {
        let mut sum = self.words;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// Returns the ones' complement of the sum: the value of a checksum field.
    #[inline]
    pub const fn complement(self) -> u16 {
        !self.fold()
    }
}
