// SPDX-License-Identifier: GPL-2.0

//! Data packets whose first four bytes give the length of the header.
//!
//! Most packets are of this kind. A receiver that need not look at each field recognizes them here, and leaves
//! the others to a [`walk`](crate::walk()).

use crate::{
    header::{Start, BASE_LEN_BYTES},
    layout,
};

/// The first four bytes of a header without the IP protocol: variant, control bit, length and flags.
///
/// ```
/// use gue::{glance::Shape, group, protocol};
///
/// assert_eq!(Shape::of([1, protocol::IPV6, 0x80, 0]), Shape::of_data(group::FLAG));
/// // Surplus space, a control message, and another field.
/// for first in [[2, 41, 0x80, 0], [0x21, 41, 0x80, 0], [1, 41, 0x01, 0]] {
///     assert_ne!(Shape::of(first), Shape::of_data(group::FLAG));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(u32);

impl Shape {
    /// Returns the shape of a header with these first bytes.
    #[inline(always)]
    pub const fn of(first: [u8; BASE_LEN_BYTES]) -> Self {
        const ALL_BUT_PROTO: u32 = u32::from_ne_bytes([0xff, 0, 0xff, 0xff]);
        Self(u32::from_ne_bytes(first) & ALL_BUT_PROTO)
    }

    /// Returns the shape of a data packet's header with the drafts' fields that `flags` announces, and without surplus
    /// space. The header has [`len_bytes`] bytes.
    pub const fn of_data(flags: u16) -> Self {
        Self::of(first_bytes(0, flags))
    }
}

/// Returns the first four bytes of the header of a data packet of this IP protocol, with the drafts' fields that
/// `flags` announces and no surplus space.
///
/// ```
/// use gue::{glance::first_bytes, group, protocol};
///
/// assert_eq!(first_bytes(protocol::IPV6, 0), [0, 41, 0, 0]);
/// assert_eq!(first_bytes(protocol::ETHER_IP, group::FLAG), [1, 97, 0x80, 0]);
/// ```
pub const fn first_bytes(proto: u8, flags: u16) -> [u8; BASE_LEN_BYTES] {
    let [high, low] = flags.to_be_bytes();
    // At most 19 words.
    let hlen_words = (layout::len_bytes(flags) / 4) as u8;
    [hlen_words, proto, high, low]
}

/// Returns the length in bytes of a header with the drafts' fields that `flags` announces, and without surplus space.
///
/// ```
/// use gue::{glance, security::Method};
///
/// assert_eq!(glance::len_bytes(0), 4);
/// assert_eq!(glance::len_bytes(Method::Cookie8.flags()), 12);
/// ```
pub const fn len_bytes(flags: u16) -> usize {
    BASE_LEN_BYTES + layout::len_bytes(flags)
}

/// Returns the IP protocol that a header names, or the type of a control message.
#[inline(always)]
pub const fn proto_ctype(first: [u8; BASE_LEN_BYTES]) -> u8 {
    first[1]
}

/// Returns the IP protocol of a packet of variant 1, which has no header; `None` for other packets.
///
/// ```
/// use gue::{glance, protocol};
///
/// assert_eq!(glance::without_header([0x45, 0, 5, 220]), Some(protocol::IPV4));
/// assert_eq!(glance::without_header([0, 4, 0, 0]), None);
/// ```
#[inline(always)]
pub fn without_header(first: [u8; BASE_LEN_BYTES]) -> Option<u8> {
    match Start::parse(&first) {
        Ok(Start::Direct { protocol }) => Some(protocol),
        _ => None,
    }
}
