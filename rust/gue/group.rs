// SPDX-License-Identifier: GPL-2.0

//! Group identifier: 32 bits that both ends agree on (gue-extensions-06 §3).
//!
//! The bits have no structure, and no value is reserved. With network virtualization they name the tenant.

use crate::{
    fields::{Reader, Writer},
    Error,
};
use zerocopy::byteorder::big_endian::U32;

/// The flag that announces the field.
pub const FLAG: u16 = 0x8000;

/// Length of the field, in bytes.
pub const LEN_BYTES: usize = size_of::<U32>();

#[inline]
pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<u32, Error> {
    Ok(reader.take::<U32>()?.get())
}

#[inline(always)]
pub(crate) fn emit(group: u32, writer: &mut Writer<'_>) -> Result<(), Error> {
    writer.put(&U32::new(group))
}
