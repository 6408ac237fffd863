// SPDX-License-Identifier: GPL-2.0

//! Fragment: the field `offset:13 | reserved:2 | more:1 | original:8 | id:40` (gue-extensions-06 §5).
//!
//! A sender splits a packet into pieces, each in a packet of its own. The receiver joins pieces with the same
//! outer addresses, ports, C flag, group, original protocol and id.

use crate::{
    control,
    fields::{Reader, Writer},
    protocol,
    refusal::Refusal,
    Error,
};
use zerocopy::byteorder::big_endian::U16;
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flag that announces the field.
pub const FLAG: u16 = 0x0800;

/// Length of the field, in bytes.
pub const LEN_BYTES: usize = size_of::<Raw>();

/// The offset bits of the field's first 16 bits. They count units of 8 bytes, and three bits follow them: the
/// masked value is the offset in bytes.
const OFFSET: u16 = 0xfff8;
const RESERVED: u16 = 0x0006;
const MORE: u16 = 0x0001;

/// The field's layout on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Raw {
    offset_reserved_more: U16,
    original: u8,
    id: [u8; 5],
}

/// The place of a fragment in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    offset_bytes: u16,
    /// Other fragments follow.
    pub more: bool,
    /// The IP protocol of the packet, or the type of the control message.
    pub original: u8,
    /// The identifier of the packet. The sender gives no other packet the same identifier within a minute.
    pub id: [u8; 5],
}

impl Fragment {
    /// Returns a fragment that begins `offset_bytes` after the packet's first byte; `None` if
    /// `offset_bytes` is no multiple of 8.
    ///
    /// ```
    /// use gue::Fragment;
    ///
    /// let fragment = Fragment::new(8, true, gue::protocol::IPV4, [1, 2, 3, 4, 5]).unwrap();
    /// assert_eq!(fragment.offset_bytes(), 8);
    /// assert_eq!(Fragment::new(9, true, gue::protocol::IPV4, [0; 5]), None);
    /// ```
    #[inline]
    pub const fn new(offset_bytes: u16, more: bool, original: u8, id: [u8; 5]) -> Option<Self> {
        if offset_bytes & !OFFSET != 0 {
            return None;
        }
        Some(Self {
            offset_bytes,
            more,
            original,
            id,
        })
    }

    /// Returns the offset of the fragment from the packet's first byte.
    #[inline]
    pub const fn offset_bytes(&self) -> u16 {
        self.offset_bytes
    }

    /// Returns the protocol, or the type of a control message, in the header of the fragment.
    #[inline]
    pub const fn proto_ctype(&self, control: bool) -> u8 {
        if self.offset_bytes == 0 {
            self.original
        } else {
            opaque(control)
        }
    }

    /// Refuses a fragment that contradicts its header or its length.
    ///
    /// `proto_ctype` is the header's; for a transformed payload, the transform field's.
    ///
    /// # Errors
    ///
    /// [`Refusal::FragmentProtocol`], [`Refusal::FragmentEmpty`], [`Refusal::FragmentUnaligned`],
    /// [`Refusal::FragmentTooLong`].
    #[inline]
    pub fn check(&self, control: bool, proto_ctype: u8, payload_len: usize) -> Result<(), Refusal> {
        if proto_ctype != self.proto_ctype(control) {
            return Err(Refusal::FragmentProtocol);
        }
        if self.more && payload_len == 0 {
            return Err(Refusal::FragmentEmpty);
        }
        if self.more && payload_len % 8 != 0 {
            return Err(Refusal::FragmentUnaligned);
        }
        if payload_len > usize::from(u16::MAX - self.offset_bytes) {
            return Err(Refusal::FragmentTooLong);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn of(raw: &Raw) -> Result<Self, Refusal> {
        let first = raw.offset_reserved_more.get();
        if first & RESERVED != 0 {
            return Err(Refusal::FragmentReserved);
        }
        Ok(Self {
            offset_bytes: first & OFFSET,
            more: first & MORE != 0,
            original: raw.original,
            id: raw.id,
        })
    }

    #[inline]
    pub(crate) fn raw(&self) -> Raw {
        Raw {
            offset_reserved_more: (self.offset_bytes | if self.more { MORE } else { 0 }).into(),
            original: self.original,
            id: self.id,
        }
    }

    #[inline(always)]
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        writer.put(&self.raw())
    }
}

#[inline]
pub(crate) fn parse<'a>(reader: &mut Reader<'a>) -> Result<&'a Raw, Error> {
    reader.take()
}

/// Returns the protocol, or the type of a control message, of a payload that a field of the header describes.
#[inline]
pub(crate) const fn opaque(control: bool) -> u8 {
    if control {
        control::OPAQUE
    } else {
        protocol::NONE
    }
}
