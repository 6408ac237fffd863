// SPDX-License-Identifier: GPL-2.0

//! The wire format of Generic UDP Encapsulation and of Foo over UDP.
//!
//! Bytes to values and values to bytes, and nothing else: no kernel, no allocation, no logging, no
//! `unsafe`. The same source is a crate for host tests and programs, and part of the kernel module.
//!
//! Sources: draft-ietf-intarea-gue-09 ("gue-09"), and what Linux's `fou` sends and accepts, which is
//! the [`Dialect`] understood here: variant 0 with the private flag and remote checksum offload, and
//! variant 1. All fields on the wire are big-endian.

#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(any(test, CONFIG_KUNIT, feature = "cases"))]
pub mod cases;
pub mod dialect;
pub mod header;
pub mod protocol;
pub mod remcsum;

pub use dialect::Dialect;
pub use header::{Header, Repr, Start};
pub use remcsum::RemoteChecksum;

/// The UDP port registered for GUE (gue-09 §9.1). FOU has none: any port can be configured.
pub const UDP_PORT: u16 = 6080;

/// Why bytes are not a GUE packet that can be accepted, or values cannot be written as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There are fewer than the four bytes that any packet must have.
    Truncated,
    /// There are fewer bytes than the header's Hlen says it has (gue-09).
    HeaderPastEnd,
    /// Variant 2 or 3, which are unassigned (gue-09 §2).
    UnknownVariant,
    /// Variant 1 whose IP version is neither 4 nor 6 (gue-09 §4).
    UnknownIpVersion,
    /// A flag is set that is not understood; its field's length is unknown (gue-09 §3.2).
    UnknownFlag,
    /// A flag is set in Linux's private word that is not understood.
    UnknownPrivateFlag,
    /// The header is too short for the fields that its flags announce.
    FieldPastHeader,
    /// Remote checksum offload: the checksum field would lie before the bytes it covers.
    ChecksumBeforeStart,
    /// The buffer to write to is too short.
    BufferTooShort,
    /// More words of fields than the five bits of Hlen can say.
    HeaderTooLong,
}
