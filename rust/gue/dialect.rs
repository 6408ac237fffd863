// SPDX-License-Identifier: GPL-2.0

//! The sets of flags that receivers accept.
//!
//! Linux and gue-09 agree on a header without flags and on variant 1. Their flags share no bit (Linux
//! 0x0001, gue-09 0xffc0), so a dialect is a set of flags and the fields that they announce: no dialect
//! changes the meaning of a flag or the place of its field.
//!
//! A dialect is a type, so that code for one dialect contains nothing for fields that only another has.

use crate::{
    device::DeviceNotes,
    fields::{FieldSet, Fields},
};
use core::fmt::Debug;

/// The flags that a receiver accepts.
pub trait Dialect: Copy + Debug {
    /// The fields that a walk reads. A walk skips other fields that the flags announce.
    type Fields: FieldSet;

    /// Returns the accepted flags, in host order. A receiver refuses a header with any other flag
    /// (gue-09 §3.2).
    fn known_flags(self) -> u16;
}

/// The private flag alone, which Linux's `fou` sends and accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linux;

impl Dialect for Linux {
    type Fields = Fields;

    #[inline(always)]
    fn known_flags(self) -> u16 {
        Fields::KNOWN_FLAGS
    }
}

/// The flags that a device of kind `gue` accepts: all or some of the drafts' flags and Linux's private flag.
/// The device may later drop a packet because of an accepted flag, with a reason for that flag.
///
/// ```
/// use gue::{group, nat, Device, Error, Header};
///
/// let nat_checksum = [0x01, 6, 0, 0x80, 0x84, 4, 0, 0];
/// assert!(Header::parse(&nat_checksum, Device::ALL).is_ok());
/// let device = Device::with_flags(group::FLAG);
/// assert_eq!(Header::parse(&nat_checksum, device), Err(Error::UnknownFlag));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    known_flags: u16,
}

impl Device {
    /// All flags of the drafts, and Linux's private flag.
    pub const ALL: Self = Self {
        known_flags: DeviceNotes::KNOWN_FLAGS,
    };

    /// Returns a dialect that accepts those of `flags` that are in [`Self::ALL`].
    #[inline]
    pub const fn with_flags(flags: u16) -> Self {
        Self {
            known_flags: flags & DeviceNotes::KNOWN_FLAGS,
        }
    }
}

impl Dialect for Device {
    type Fields = DeviceNotes;

    #[inline(always)]
    fn known_flags(self) -> u16 {
        self.known_flags
    }
}
