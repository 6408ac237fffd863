// SPDX-License-Identifier: GPL-2.0

//! Alternate checksum: the field `reserved:16 | coverage:16 | crc:32` (gue-extensions-06 §10).
//!
//! CRC-32C, as in SCTP (RFC 9260 §6.8), of the header and of the first `coverage` bytes of the payload, with
//! zeros up to a multiple of four bytes. The drafts do not define the byte order of the value, so this crate
//! uses SCTP's: the low byte first. This crate computes no CRC: see [`covered`](crate::covered).

use crate::{
    fields::{Reader, Writer},
    refusal::Refusal,
    Error,
};
use zerocopy::byteorder::{big_endian::U16, little_endian::U32};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag that announces the field.
pub const FLAG: u16 = 0x0040;

/// Length of the field, in bytes.
pub const LEN_BYTES: usize = size_of::<Raw>();

/// The field's layout on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Raw {
    /// Sent as 0, ignored by receivers.
    reserved: U16,
    pub(crate) coverage: U16,
    pub(crate) value: U32,
}

/// A CRC-32C of the header and of the beginning of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc {
    /// The number of payload bytes that the CRC covers.
    pub coverage: u16,
    /// The CRC, as an implementation of CRC-32C returns it.
    pub value: u32,
}

impl Crc {
    /// Refuses a wrong CRC. `computed` is the CRC of the covered bytes.
    ///
    /// # Errors
    ///
    /// [`Refusal::CrcMismatch`].
    #[inline]
    pub const fn check(&self, computed: u32) -> Result<(), Refusal> {
        if self.value != computed {
            return Err(Refusal::CrcMismatch);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let raw: &Raw = reader.take()?;
        Ok(Self {
            coverage: raw.coverage.get(),
            value: raw.value.get(),
        })
    }

    #[inline(always)]
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        writer.put(&Raw {
            reserved: 0.into(),
            coverage: self.coverage.into(),
            value: self.value.into(),
        })
    }
}
