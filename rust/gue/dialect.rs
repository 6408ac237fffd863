// SPDX-License-Identifier: GPL-2.0

//! Which of the two meanings of the flags a receiver accepts.
//!
//! Linux and gue-09 agree on a header without flags and on variant 1 only. Their flags do not share a
//! bit (Linux 0x0001, gue-09 0xffc0), so that a dialect is no more than the set of flags understood:
//! what a flag means, and where its field lies, never depends on the dialect.

use crate::header::FLAG_PRIVATE;

/// The flags that are accepted.
///
/// Matched without a wildcard, so that a further dialect has to be thought of wherever it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// What Linux's `fou` sends and accepts: the private flag alone.
    Linux,
}

impl Dialect {
    /// The flags that do not make a receiver refuse the header, in host order (gue-09).
    #[inline]
    pub const fn known_flags(self) -> u16 {
        match self {
            Self::Linux => FLAG_PRIVATE,
        }
    }
}
