// SPDX-License-Identifier: GPL-2.0

//! The sets of flags that receivers accept.
//!
//! Linux and gue-09 agree on a header without flags and on variant 1. Their flags share no bit (Linux
//! 0x0001, gue-09 0xffc0), so a dialect is a set of flags and the fields that they announce: no dialect
//! changes the meaning of a flag or the place of its field.
//!
//! A dialect is a type, so that code for one dialect has nothing of the fields that only another has.

use crate::fields::{DeviceFields, FieldSet, Fields};
use core::fmt::Debug;

/// The flags that a receiver accepts.
pub trait Dialect: Copy + Debug {
    /// The fields that the flags announce.
    type Fields: FieldSet;

    /// Returns the accepted flags, in host order. A receiver refuses a header with any other flag
    /// (gue-09 §3.2).
    #[inline]
    fn known_flags(self) -> u16 {
        Self::Fields::KNOWN_FLAGS
    }
}

/// The private flag alone, which Linux's `fou` sends and accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linux;

impl Dialect for Linux {
    type Fields = Fields;
}

/// The flags that a device of kind `gue` accepts: the group identifier, and remote checksums in the
/// drafts' form and in Linux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device;

impl Dialect for Device {
    type Fields = DeviceFields;
}
