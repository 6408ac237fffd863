// SPDX-License-Identifier: GPL-2.0

//! The sets of flags that receivers accept.
//!
//! Linux and gue-09 agree on a header without flags and on variant 1. Their flags share no bit (Linux
//! 0x0001, gue-09 0xffc0), so a dialect is a set of flags and nothing else: no dialect changes the
//! meaning of a flag or the place of its field.

use crate::private;

/// The flags that a receiver accepts.
///
/// Match this without a wildcard: a new dialect then does not compile until every match handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The private flag alone, which Linux's `fou` sends and accepts.
    Linux,
}

impl Dialect {
    /// Returns the accepted flags, in host order. A receiver refuses a header with any other flag
    /// (gue-09 §3.2).
    #[inline]
    pub const fn known_flags(self) -> u16 {
        match self {
            Self::Linux => private::FLAG,
        }
    }
}
