// SPDX-License-Identifier: GPL-2.0

//! NAT address checksum: the field `checksum:16 | reserved:16` (gue-extensions-06 §9).
//!
//! The checksum is the sum of the outer addresses as sent. The pseudo header of a transport protocol directly in
//! GUE has these addresses. If a NAT changes the addresses, the receiver corrects the transport checksum by the
//! difference of the sums. The drafts do not say that the sum is inverted, so this crate does not invert it.

use crate::{
    checksum::Sum,
    covered::Addresses,
    fields::{Reader, Writer},
    Error,
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag that announces the field.
pub const FLAG: u16 = 0x0080;

/// Length of the field, in bytes.
pub const LEN_BYTES: usize = size_of::<Raw>();

/// The field's layout on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Raw {
    pub(crate) value: U16,
    /// Sent as 0, ignored by receivers.
    reserved: U16,
}

/// The sum of the outer addresses as they were sent.
///
/// ```
/// use gue::{Addresses, NatChecksum};
///
/// let sent = NatChecksum::of(&Addresses::V4([192, 0, 2, 1], [192, 0, 2, 2]));
/// assert_eq!(sent.value, 0x8404);
/// let received = Addresses::V4([198, 51, 100, 7], [192, 0, 2, 2]);
/// assert_eq!(sent.difference(&received), 0x97c6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatChecksum {
    /// The sum.
    pub value: u16,
}

impl NatChecksum {
    /// Returns the field of a packet with these outer addresses.
    #[inline]
    pub fn of(addresses: &Addresses) -> Self {
        Self {
            value: addresses.sum().fold(),
        }
    }

    /// Returns the sum of the addresses as sent minus the sum of `received`, in ones' complement.
    ///
    /// To verify an inner packet, compute its sum with the received addresses in the pseudo header, and add the
    /// difference.
    #[inline]
    pub fn difference(&self, received: &Addresses) -> u16 {
        let minus_received = received.sum().complement();
        Sum::default()
            .with(&self.value.to_be_bytes())
            .with(&minus_received.to_be_bytes())
            .fold()
    }

    #[inline]
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let raw: &Raw = reader.take()?;
        Ok(Self {
            value: raw.value.get(),
        })
    }

    #[inline(always)]
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        writer.put(&Raw {
            value: self.value.into(),
            reserved: 0.into(),
        })
    }
}
