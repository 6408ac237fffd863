// SPDX-License-Identifier: GPL-2.0

//! A cache of the headers with a cookie or a keyed hash that a device sends.
//!
//! A keyed hash that covers no payload changes only with the header and the addresses, and a cookie never. The whole
//! header of the first packet is kept, and later packets get a copy. The cache belongs to the keys in force: each
//! change of keys starts an empty one. A packet gets the kept header if [`Purpose`] is equal: the configuration, which
//! has the destination address, the packet's properties that are in the header, and the source address, which the
//! route chooses.

use core::sync::atomic::{AtomicU64, Ordering};
use gue::header::MAX_LEN_BYTES;
use kernel::prelude::*;
use net::{crypto::Secret, ip_proto::ChecksumPlace, rcu::RcuReader, rcu_slots::RcuSlots};

/// The headers of one device differ in the inner protocol and in the place of a remote checksum.
const SLOTS: usize = 64;

/// The number of a configuration. No two configurations get the same number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(u64);

impl Number {
    /// Returns the next number.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The inputs from which a header is made, apart from the keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purpose {
    configuration: Number,
    /// The inner IP version and the place of a remote checksum.
    inner: u64,
    /// The outer source address.
    // Not an array, because the compiler compares arrays in memory.
    source: (u64, u64),
}

impl Purpose {
    /// `source` is the outer source address: 16 bytes of IPv6, or 4 of IPv4.
    #[inline(always)]
    pub(crate) fn new(
        configuration: Number,
        is_ipv6: bool,
        remote: Option<ChecksumPlace>,
        source: &[u8],
    ) -> Self {
        let place = remote.map_or(0, |ChecksumPlace { start, field }| {
            1 << 32 | u64::from(start) << 16 | u64::from(field)
        });
        let source = match (source.try_into(), source.try_into()) {
            (Ok(address), _) => (u32::from_ne_bytes(address).into(), 0),
            (_, Ok(address)) => {
                let number = u128::from_ne_bytes(address);
                // Both halves.
                (number as u64, (number >> 64) as u64)
            }
            _ => (0, 0),
        };
        Self {
            configuration,
            inner: place << 1 | u64::from(is_ipv6),
            source,
        }
    }

    /// Returns a number that differs between the headers of a device where possible.
    #[inline(always)]
    fn index(&self) -> usize {
        // The shift makes the start count too. Both numbers of a checksum's place are even as a rule.
        (self.inner ^ self.inner >> 17) as usize
    }
}

struct Prepared {
    purpose: Purpose,
    header: Secret<MAX_LEN_BYTES>,
}

/// The headers that were made with one set of keys.
pub(crate) struct PreparedHeaders(RcuSlots<Prepared, SLOTS>);

impl PreparedHeaders {
    pub(crate) fn new() -> Self {
        Self(RcuSlots::new())
    }

    /// Returns the header for a purpose, if it is kept.
    #[inline(always)]
    pub(crate) fn find<'a>(
        &'a self,
        purpose: &Purpose,
        rcu: RcuReader<'a>,
    ) -> Option<&'a Secret<MAX_LEN_BYTES>> {
        let kept = self.0.get(purpose.index(), rcu)?;
        (kept.purpose == *purpose).then_some(&kept.header)
    }

    /// Does what [`Self::find`] does, for packets with a remote checksum.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    pub(crate) fn find_with_place<'a>(
        &'a self,
        purpose: &Purpose,
        rcu: RcuReader<'a>,
    ) -> Option<&'a Secret<MAX_LEN_BYTES>> {
        self.find(purpose, rcu)
    }

    /// Keeps a header, if memory allows.
    #[cold]
    pub(crate) fn keep(&self, purpose: &Purpose, header: &[u8]) {
        let new = init!(Prepared {
            purpose: *purpose,
            header <- Secret::copied(header),
        });
        self.0.set(purpose.index(), new);
    }
}
