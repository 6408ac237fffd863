// SPDX-License-Identifier: GPL-2.0

//! The wire format of Generic UDP Encapsulation and of Foo over UDP.
//!
//! Reads, checks and writes headers, and does nothing else: no kernel, no allocation, no logging, no
//! `unsafe`. The kernel modules, host tests and programs compile the same source.
//!
//! Sources: draft-ietf-intarea-gue-09 ("gue-09"), draft-ietf-intarea-gue-extensions-06
//! ("gue-extensions-06"), and the behaviour of Linux's `fou`. A [`Dialect`] is a set of fields that a
//! receiver accepts: [`Linux`] has the private flag and its remote checksum, [`Device`] also has the fields of
//! the drafts. All fields on the wire are big-endian.
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
//!
//! A device does more. [`layout`] lists the fields. The walk notes the group and the remote checksum; a
//! [`View`] of the header has the other fields. A device then checks, in this order:
//!
//! 1. [`Demands::check`]: all demanded fields are there, and no unexpected cookie or keyed hash is;
//! 2. [`View::covered`], for K, A and SEC: the value of each is right over the bytes that it covers;
//! 3. [`View::content`]: the payload is a packet, a fragment, a control message or a transformed payload.
//!
//! Each may return a [`Refusal`]. A sender prepares a [`Template`] once and writes a copy in front of each packet.

#![cfg_attr(not(MODULE), no_std)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(any(test, CONFIG_KUNIT, feature = "cases"))]
pub mod cases;
pub mod checksum;
pub mod content;
pub mod control;
pub mod covered;
pub mod crc;
pub mod demands;
pub mod device;
pub mod dialect;
pub mod fields;
pub mod fragment;
pub mod glance;
pub mod group;
pub mod hashed;
pub mod header;
pub mod layout;
pub mod nat;
pub mod private;
pub mod protocol;
pub mod refusal;
pub mod remcsum;
pub mod security;
pub mod surplus;
pub mod template;
pub mod transform;
pub mod view;
pub mod walk;

pub use checksum::Checksum;
pub use content::Content;
pub use covered::{Addresses, Computation, Covered, Outer};
pub use crc::Crc;
pub use demands::Demands;
pub use device::{DeviceFields, DeviceNotes};
pub use dialect::{Device, Dialect, Linux};
pub use fields::{FieldSet, FieldValues, Fields};
pub use fragment::Fragment;
pub use header::{Header, Repr};
pub use nat::NatChecksum;
pub use private::Private;
pub use refusal::Refusal;
pub use remcsum::RemoteChecksum;
pub use security::{Hmac, Security};
pub use template::Template;
pub use transform::Transform;
pub use view::View;
pub use walk::{walk, Prefix, WalkError};

/// The UDP port registered for GUE (gue-09 §9.1). FOU has no registered port.
pub const UDP_PORT: u16 = 6080;

/// The reason why a receiver does not accept a GUE packet, or why values cannot be written as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// As wide as a group identifier. In a `Result`, a smaller error would share a word with the header's values, and the
// compiler would split each valid header into bytes.
#[repr(u32)]
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
    /// The method of security is reserved, so the length of its field is unknown (gue-extensions-06 §4).
    ReservedSecurity,
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
