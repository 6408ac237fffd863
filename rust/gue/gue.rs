// SPDX-License-Identifier: GPL-2.0

//! The wire format of Generic UDP Encapsulation and of Foo over UDP.
//!
//! Turns bytes into values and values into bytes, and does nothing else: no kernel, no allocation, no
//! logging, no `unsafe`. The kernel module, host tests and programs compile the same source.
//!
//! Sources: draft-ietf-intarea-gue-09 ("gue-09"), draft-ietf-intarea-gue-extensions-06
//! ("gue-extensions-06"), and the behaviour of Linux's `fou`. A [`Dialect`] is a set of fields that a
//! receiver accepts: [`Linux`] has the private flag and its remote checksum, [`Device`] also has what a
//! device of kind `gue` understands of the drafts. All fields on the wire are big-endian.
//!
//! A receiver calls [`walk()`], which asks a [`Prefix`] for as many bytes as the header has. A sender
//! fills in a [`Repr`] and calls [`Repr::emit`]:
//!
//! ```
//! use gue::{protocol, Fields, Header, Linux, RemoteChecksum, Repr};
//!
//! # fn main() -> Result<(), gue::Error> {
//! // IPv4 and TCP without options: the checksum of the bytes from 20 on is at 36.
//! let repr = Repr {
//!     control: false,
//!     proto_ctype: protocol::IPV4,
//!     fields: Fields::with_remote_checksum(RemoteChecksum::new(20, 36)?),
//! };
//! let mut bytes = [0; 12];
//! repr.emit(&mut bytes)?;
//! assert_eq!(bytes, [0x02, 4, 0, 1, 0x80, 0, 0, 0, 0, 20, 0, 36]);
//!
//! let header = Header::parse(&bytes, Linux)?;
//! assert_eq!(header.repr(), Some(repr));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(any(test, CONFIG_KUNIT, feature = "cases"))]
pub mod cases;
pub mod dialect;
pub mod fields;
pub mod group;
pub mod header;
pub mod private;
pub mod protocol;
pub mod remcsum;
pub mod walk;

pub use dialect::{Device, Dialect, Linux};
pub use fields::{DeviceFields, FieldSet, Fields};
pub use header::{Header, Repr};
pub use private::Private;
pub use remcsum::RemoteChecksum;
pub use walk::{walk, Prefix, WalkError};

/// The UDP port registered for GUE (gue-09 §9.1). FOU has no registered port.
pub const UDP_PORT: u16 = 6080;

/// The reason why a receiver does not accept a GUE packet, or why values cannot be written as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The UDP payload has fewer than four bytes, the least that any GUE packet has.
    Truncated,
    /// The UDP payload has fewer bytes than Hlen gives the header (gue-09).
    HeaderPastEnd,
    /// The variant is 2 or 3; both are unassigned (gue-09 §2).
    UnknownVariant,
    /// The variant is 1 and the IP version is neither 4 nor 6 (gue-09 §4).
    UnknownIpVersion,
    /// A flag is set that the [`Dialect`] does not have, so the length of its field is unknown
    /// (gue-09 §3.2), or two flags are set that exclude each other.
    UnknownFlag,
    /// An unknown flag is set in Linux's private word.
    UnknownPrivateFlag,
    /// The header is too short for the fields that its flags announce.
    FieldPastHeader,
    /// Remote checksum offload: the checksum field lies before the bytes that the checksum covers.
    ChecksumBeforeStart,
    /// The buffer to write to is too short.
    BufferTooShort,
    /// The fields have more words than the five bits of Hlen can count.
    HeaderTooLong,
}
