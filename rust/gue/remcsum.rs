// SPDX-License-Identifier: GPL-2.0

//! Remote checksum offload, in the form that Linux sends: a private flag and a field of 4 bytes.
//!
//! `start:16 | offset:16`, both counted from the first byte of the payload (gue-extensions-06 §5.5).

use crate::Error;
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
    /// ```
    /// use gue::{Error, RemoteChecksum};
    ///
    /// // TCP behind 20 bytes of IPv4.
    /// let remote = RemoteChecksum::new(20, 20 + 16)?;
    /// assert_eq!(remote.payload_needed(), 38);
    /// assert_eq!(RemoteChecksum::new(20, 10), Err(Error::ChecksumBeforeStart));
    /// # Ok::<(), gue::Error>(())
    /// ```
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
    pub const fn start(&self) -> u16 {
        self.start
    }

    /// Where the checksum is, from the first byte of the payload.
    #[inline]
    pub const fn offset(&self) -> u16 {
        self.offset
    }

    /// How many bytes of payload there must be at least, for the checksum field to lie in it.
    ///
    /// A shorter payload is to be dropped. As `start` is not above `offset`, this bounds both.
    #[inline]
    pub const fn payload_needed(&self) -> usize {
        // `offset` is not below `start`, and 16 bits wide: no overflow.
        self.offset as usize + size_of::<u16>()
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
