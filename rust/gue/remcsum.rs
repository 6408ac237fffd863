// SPDX-License-Identifier: GPL-2.0

//! Remote checksum offload: the field `start:16 | offset:16`.
//!
//! The sender leaves one checksum to the receiver: the checksum is at `offset` and covers the payload from
//! `start` on. Both numbers count bytes from the first byte of the payload (gue-extensions-06 §7).

use crate::{
    fields::{Reader, Writer},
    Error,
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag that announces the field in the drafts. Linux has a private flag for the field instead: see
/// [`private`](crate::private).
pub const FLAG: u16 = 0x0200;

/// Length of the field, in bytes.
pub const LEN_BYTES: usize = size_of::<Raw>();

/// The field's layout on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Raw {
    start: U16,
    offset: U16,
}

/// The checksum that the sender leaves to the receiver.
///
/// `start` is at most `offset`: the checksum field is among the bytes that the checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteChecksum {
    start: u16,
    offset: u16,
}

impl RemoteChecksum {
    /// Returns the checksum at `offset` over the payload from `start` on, both in bytes.
    ///
    /// ```
    /// use gue::{Error, RemoteChecksum};
    ///
    /// // TCP after 20 bytes of IPv4.
    /// let remote = RemoteChecksum::new(20, 20 + 16)?;
    /// assert_eq!(remote.payload_needed(), 38);
    /// assert_eq!(RemoteChecksum::new(20, 10), Err(Error::ChecksumBeforeStart));
    /// # Ok::<(), gue::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ChecksumBeforeStart`] if `offset` is less than `start`.
    ///
    /// ```
    /// use gue::{Error, RemoteChecksum};
    ///
    /// let tcp = RemoteChecksum::new(20, 36)?;
    /// assert_eq!(tcp.payload_needed(), 38);
    /// assert_eq!(RemoteChecksum::new(36, 20), Err(Error::ChecksumBeforeStart));
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub const fn new(start: u16, offset: u16) -> Result<Self, Error> {
        if offset < start {
            return Err(Error::ChecksumBeforeStart);
        }
        Ok(Self { start, offset })
    }

    /// Returns the place of the first covered byte, from the first byte of the payload.
    #[inline]
    pub const fn start(&self) -> u16 {
        self.start
    }

    /// Returns the place of the checksum field, from the first byte of the payload.
    #[inline]
    pub const fn offset(&self) -> u16 {
        self.offset
    }

    /// Returns the minimum length, in bytes, of a payload that contains the checksum field.
    ///
    /// The receiver drops a packet whose payload is shorter. The length bounds `start` too, because
    /// `start` is at most `offset`.
    #[inline]
    pub const fn payload_needed(&self) -> usize {
        // No overflow: `offset` has 16 bits.
        self.offset as usize + size_of::<u16>()
    }

    #[inline(always)]
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let raw: &Raw = reader.take()?;
        Self::new(raw.start.get(), raw.offset.get())
    }

    #[inline]
    pub(crate) fn raw(&self) -> Raw {
        Raw {
            start: self.start.into(),
            offset: self.offset.into(),
        }
    }

    #[inline(always)]
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        writer.put(&self.raw())
    }
}
