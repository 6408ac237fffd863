// SPDX-License-Identifier: GPL-2.0

//! A cache of received headers whose keyed hash was found right.
//!
//! A keyed hash that covers no payload is the same for all packets with one header between the same addresses, so
//! one hash serves them all. A header that was found right is kept, and a packet with the same bytes between the
//! same addresses passes without a look at its fields. The cache belongs to the keys in force: each change of keys
//! starts an empty one. Only right headers are kept, so a sender without a key cannot displace others.

use gue::{
    group, hashed, header::MAX_LEN_BYTES, security::both_equal_with, DeviceNotes, Header,
    RemoteChecksum,
};
use kernel::prelude::*;
use net::{
    checksum::Sum,
    crypto::{opaque, Secret},
    rcu::RcuReader,
    rcu_slots::RcuSlots,
    skb::RxSkb,
    udp,
};

/// The headers of one device differ in the inner protocol, in the place of a remote checksum and, from any remote
/// address, in the addresses.
const SLOTS: usize = 64;

/// The lengths of a header with no field but the hash, and with a group before it, in bytes.
const WITHOUT_GROUP: usize = hashed::Header::<0>::LEN_BYTES;
const WITH_GROUP: usize = hashed::Header::<{ group::LEN_BYTES }>::LEN_BYTES;

/// A header that was found right.
struct Verified {
    /// The outer addresses, source first: 16 bytes each of IPv6, or 4 of IPv4.
    addresses: Secret<32>,
    /// The header, with zero for the values of checksum and CRC.
    header: Secret<MAX_LEN_BYTES>,
    /// The sum of `header`.
    sum: Sum,
}

impl Verified {
    /// Returns `true` if header and addresses are equal. The time does not depend on the header's bytes.
    fn is(&self, header: &[u8], addresses: &[u8]) -> bool {
        both_equal_with(
            (self.addresses.as_bytes(), addresses),
            (self.header.as_bytes(), header),
            opaque,
        )
    }

    /// Does what [`Self::is`] does, for a packet that begins with its UDP header and has a GUE header of `N` bytes. A
    /// kept header of another length is not equal, because the first byte of a header has the length.
    #[inline(always)]
    fn is_of_packet<const N: usize>(&self, skb: &RxSkb, addresses: &[u8]) -> bool {
        let Some(header) = skb.linear_array::<N>(udp::HEADER_LEN_BYTES) else {
            return false;
        };
        let headers = (&self.header.first_bytes::<N>()[..], &header[..]);
        // The compiler knows the length in each branch.
        match addresses.len() {
            8 => self
                .addresses
                .as_array::<8>()
                .is_some_and(|kept| both_equal_with((kept, addresses), headers, opaque)),
            _ => self
                .addresses
                .as_array::<32>()
                .is_some_and(|kept| both_equal_with((kept, addresses), headers, opaque)),
        }
    }
}

/// The headers that were found right under one set of keys.
pub(crate) struct VerifiedHeaders(RcuSlots<Verified, SLOTS>);

impl VerifiedHeaders {
    pub(crate) fn new() -> Self {
        Self(RcuSlots::new())
    }

    /// Looks for the header of a packet, which begins with its UDP header, in its first slot alone. Returns the
    /// header's sum if the header is there. This finds most headers: they have no field but the hash and perhaps a
    /// group. After `None`, [`Self::has_of`] looks for the header in both slots.
    #[inline(always)]
    pub(crate) fn has_at_once(
        &self,
        skb: &RxSkb,
        header: &Header<DeviceNotes>,
        addresses: &[u8],
        rcu: RcuReader<'_>,
    ) -> Option<Sum> {
        let index = index(header.proto_ctype(), None, addresses);
        let kept = self.0.get(index, rcu)?;
        // The comparison needs no loop, because the compiler knows the length.
        let is_kept = if header.fields().group.is_some() {
            header.len_bytes() == WITH_GROUP && kept.is_of_packet::<WITH_GROUP>(skb, addresses)
        } else {
            header.len_bytes() == WITHOUT_GROUP
                && kept.is_of_packet::<WITHOUT_GROUP>(skb, addresses)
        };
        is_kept.then_some(kept.sum)
    }

    /// Returns `true` if the header of a packet, which begins with its UDP header, is kept.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    pub(crate) fn has_of(
        &self,
        skb: &RxSkb,
        header: &Header<DeviceNotes>,
        addresses: &[u8],
        rcu: RcuReader<'_>,
    ) -> bool {
        skb.linear_range(udp::HEADER_LEN_BYTES, header.len_bytes())
            .is_some_and(|bytes| self.has(header, bytes, addresses, rcu))
    }

    /// Returns `true` if a header between these addresses is kept. `bytes` are the header's, with zero for the
    /// values of checksum and CRC.
    pub(crate) fn has(
        &self,
        header: &Header<DeviceNotes>,
        bytes: &[u8],
        addresses: &[u8],
        rcu: RcuReader<'_>,
    ) -> bool {
        let index = index_of(header, addresses);
        [index, index ^ 1].iter().any(|index| {
            self.0
                .get(*index, rcu)
                .is_some_and(|kept| kept.is(bytes, addresses))
        })
    }

    /// Keeps a header that was found right, if memory allows, in one of two slots.
    #[cold]
    pub(crate) fn keep(
        &self,
        header: &Header<DeviceNotes>,
        bytes: &[u8],
        addresses: &[u8],
        rcu: RcuReader<'_>,
    ) {
        let index = index_of(header, addresses);
        let is_free = |index| self.0.get(index, rcu).is_none();
        // If neither slot is free, the parity of the header's bytes decides, so that two headers need not displace
        // each other.
        let parity = || bytes.iter().fold(0, |sum, byte| sum ^ byte) & 1 != 0;
        let second = !is_free(index) && (is_free(index ^ 1) || parity());
        let new = init!(Verified {
            addresses <- Secret::copied(addresses),
            header <- Secret::copied(bytes),
            sum: Sum::of(bytes),
        });
        self.0.set(index ^ usize::from(second), new);
    }
}

/// Returns a number that differs between the headers of a device where possible, and does not depend on the digest.
fn index_of(header: &Header<DeviceNotes>, addresses: &[u8]) -> usize {
    let remote = header.fields().remote_checksum();
    index(header.proto_ctype(), remote, addresses)
}

#[inline(always)]
fn index(proto_ctype: u8, remote: Option<RemoteChecksum>, addresses: &[u8]) -> usize {
    let field = remote.map_or(0, |remote| usize::from(remote.offset()));
    // The last byte of the source.
    let peer = addresses
        .get(addresses.len() / 2 - 1)
        .map_or(0, |byte| usize::from(*byte));
    usize::from(proto_ctype) ^ field ^ peer
}
