// SPDX-License-Identifier: GPL-2.0

//! Payload transform: the field `type:8 | proto/ctype:8 | info:16` (gue-extensions-06 §6).
//!
//! The payload is transformed, for example encrypted by DTLS. The header says "no next header" (59), or 0
//! for a control message; the field has the protocol of the payload before the transform.

use crate::{
    fields::{Reader, Writer},
    Error,
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag that announces the field.
pub const FLAG: u16 = 0x0400;

/// Length of the field, in bytes.
pub const LEN_BYTES: usize = size_of::<Raw>();

/// Type of a payload of DTLS records.
pub const DTLS: u8 = 1;

/// The field's layout on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Raw {
    kind: u8,
    proto_ctype: u8,
    info: U16,
}

/// A payload transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// The type: [`DTLS`], 2 to 127 unassigned, 128 to 255 private, 0 reserved.
    pub kind: u8,
    /// The IP protocol of the payload before the transform, or the type of the control message.
    pub proto_ctype: u8,
    /// Depends on the type; 0 for [`DTLS`].
    pub info: u16,
}

impl Transform {
    #[inline]
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let raw: &Raw = reader.take()?;
        Ok(Self {
            kind: raw.kind,
            proto_ctype: raw.proto_ctype,
            info: raw.info.get(),
        })
    }

    #[inline(always)]
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        writer.put(&Raw {
            kind: self.kind,
            proto_ctype: self.proto_ctype,
            info: self.info.into(),
        })
    }
}
