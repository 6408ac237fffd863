// SPDX-License-Identifier: GPL-2.0

//! Digests of headers, kept: the digest of a header that covers no payload is the same for all packets with
//! this header between the same addresses.

use gue::{header::MAX_LEN_BYTES, Addresses, Covered};
use net::{crypto::HmacSha256Key, rcu::RcuReader, rcu_slots::RcuSlots};

/// The bytes that a keyed hash covers when it covers no payload: addresses and header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct CoveredHeader {
    bytes: [u8; 2 * 16 + MAX_LEN_BYTES],
    len: usize,
}

impl CoveredHeader {
    /// Collects the bytes in the order in which they are hashed.
    #[inline]
    pub(crate) fn new(addresses: &Addresses, covered: &Covered<'_>) -> Self {
        let mut all = Self {
            bytes: [0; 2 * 16 + MAX_LEN_BYTES],
            len: 0,
        };
        for piece in addresses.pieces().into_iter().chain(covered.header()) {
            let end = all.len.saturating_add(piece.len());
            // Two addresses and a header always have room.
            if let Some(to) = all.bytes.get_mut(all.len..end) {
                to.copy_from_slice(piece);
                all.len = end;
            }
        }
        all
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    /// Computes the digest.
    #[cold]
    pub(crate) fn digest(&self, key: &HmacSha256Key) -> [u8; 32] {
        let result = key.hash(|hash| {
            hash.update(self.as_bytes());
            Ok::<_, core::convert::Infallible>(())
        });
        match result {
            Ok(digest) => digest,
            Err(never) => match never {},
        }
    }

    /// Returns a number that differs between the headers of a device where possible.
    #[inline]
    fn hash(&self) -> usize {
        let words = self.as_bytes().chunks_exact(4);
        let sum = words.fold(0_u32, |sum, word| {
            sum.rotate_left(5) ^ word.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        });
        (sum.wrapping_mul(0x9e37_79b9) >> 16) as usize
    }
}

/// The headers of one device differ in the inner protocol, in the place of a remote checksum and, on receive
/// from any remote address, in the addresses.
const SLOTS: usize = 64;

struct Digest {
    of: CoveredHeader,
    value: [u8; 32],
}

/// The most recent digests of headers with one key, in one direction.
pub(crate) struct Digests(RcuSlots<Digest, SLOTS>);

impl Digests {
    pub(crate) fn new() -> Self {
        Self(RcuSlots::new())
    }

    /// Returns the digest of a header, if it is kept.
    #[inline]
    pub(crate) fn find<'a>(
        &'a self,
        covered: &CoveredHeader,
        rcu: RcuReader<'a>,
    ) -> Option<&'a [u8; 32]> {
        let index = covered.hash();
        self.find_at(index, covered, rcu)
            .or_else(|| self.find_at(index ^ 1, covered, rcu))
    }

    #[inline]
    fn find_at<'a>(
        &'a self,
        index: usize,
        covered: &CoveredHeader,
        rcu: RcuReader<'a>,
    ) -> Option<&'a [u8; 32]> {
        let digest = self.0.get(index, rcu)?;
        (digest.of.as_bytes() == covered.as_bytes()).then_some(&digest.value)
    }

    /// Keeps the digest of a header, if memory allows, in one of two slots.
    #[cold]
    pub(crate) fn keep(&self, covered: &CoveredHeader, value: [u8; 32], rcu: RcuReader<'_>) {
        let index = covered.hash();
        let is_free = |index| self.0.get(index, rcu).is_none();
        // Without a free slot, the digest decides, so that two headers do not always meet.
        let second = !is_free(index) && (is_free(index ^ 1) || value[0] & 1 != 0);
        let digest = Digest {
            of: covered.clone(),
            value,
        };
        self.0.set(index ^ usize::from(second), digest);
    }
}
