// SPDX-License-Identifier: GPL-2.0

//! The places of the drafts' fields in a header.
//!
//! Fields lie in the order of their flags, from bit 0 on, without padding (gue-09 §3.2,
//! gue-extensions-06 §2). So the flags to the left of a field's own give the field's offset.
//!
//! | flag | field | bytes | module |
//! |---|---|---|---|
//! | 0x8000 | G: group identifier | 4 | [`group`] |
//! | 0x7000 | SEC: security | 8, 16, 32 or 40 | [`security`] |
//! | 0x0800 | F: fragment | 8 | [`fragment`] |
//! | 0x0400 | T: payload transform | 4 | [`transform`] |
//! | 0x0200 | R: remote checksum offload | 4 | [`remcsum`] |
//! | 0x0100 | K: checksum | 4 | [`checksum`] |
//! | 0x0080 | N: NAT address checksum | 4 | [`nat`] |
//! | 0x0040 | A: alternate checksum | 8 | [`crc`] |
//! | 0x0001 | Linux's private word | 4 or 8 | [`private`](crate::private) |

use crate::{
    checksum, crc, fragment, group, header::BASE_LEN_BYTES, nat, remcsum, security, transform,
};

/// The flags of the drafts.
pub const DRAFT_FLAGS: u16 = 0xffc0;

/// Returns the length of the drafts' fields that `flags` announces, in bytes: a multiple of 4, at most 76.
///
/// Other flags add nothing. Neither does a reserved method of security, whose length is unknown.
///
/// ```
/// use gue::{layout, security::Method};
///
/// assert_eq!(layout::len_bytes(0), 0);
/// assert_eq!(layout::len_bytes(gue::group::FLAG | Method::Cookie8.flags()), 12);
/// assert_eq!(layout::len_bytes(0xcfc0), 76);
/// ```
#[inline]
pub const fn len_bytes(flags: u16) -> usize {
    let security = match security::Method::of(flags) {
        Ok(Some(method)) => method.len_bytes(),
        Ok(None) | Err(_) => 0,
    };
    security
        + one(flags, group::FLAG, group::LEN_BYTES)
        + one(flags, fragment::FLAG, fragment::LEN_BYTES)
        + one(flags, transform::FLAG, transform::LEN_BYTES)
        + one(flags, remcsum::FLAG, remcsum::LEN_BYTES)
        + one(flags, checksum::FLAG, checksum::LEN_BYTES)
        + one(flags, nat::FLAG, nat::LEN_BYTES)
        + one(flags, crc::FLAG, crc::LEN_BYTES)
}

#[inline]
const fn one(flags: u16, flag: u16, len_bytes: usize) -> usize {
    if flags & flag != 0 {
        len_bytes
    } else {
        0
    }
}

/// Returns the offset of a field from the first byte of a header with `flags`.
///
/// `field` is the field's flag, or [`security::FLAGS`]. The header need not have the field.
///
/// ```
/// use gue::{checksum, layout};
///
/// // After the base header, the group identifier and the HMAC.
/// assert_eq!(layout::offset_of(0xc140, checksum::FLAG), 4 + 4 + 40);
/// ```
#[inline]
pub const fn offset_of(flags: u16, field: u16) -> usize {
    let flags_to_the_left = !(u16::MAX >> field.leading_zeros());
    BASE_LEN_BYTES + len_bytes(flags & flags_to_the_left)
}
