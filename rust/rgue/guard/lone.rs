// SPDX-License-Identifier: GPL-2.0

//! Keyed hashes over payload, in headers that have no other protecting field.
//!
//! Such a header differs between packets, so the device keeps none, and computes a hash for each packet. The check
//! avoids every other cost.

use super::Guard;
use crate::reason::Reason;
use gue::{
    group,
    hashed::{self, address_pair, Label},
    refusal::Refusal,
    security::{equal_with, DIGEST_LEN_BYTES},
    DeviceNotes, Header,
};
use net::{
    crypto::{opaque, SHA256_DIGEST_LEN_BYTES},
    rcu::RcuReader,
    skb::{RxSkb, SkBuff},
    udp,
};

/// The lengths of the headers in bytes.
const WITHOUT_GROUP: usize = hashed::Header::<0>::LEN_BYTES;
const WITH_GROUP: usize = hashed::Header::<{ group::LEN_BYTES }>::LEN_BYTES;

/// Checks the keyed hash of a packet, which begins with its UDP header. The walk of the header has found a keyed hash.
/// Returns `None` for a packet that is refused without a hash, and for a header with other fields or surplus space.
#[inline(always)]
pub(super) fn check(
    guard: &Guard,
    skb: &RxSkb,
    header: &Header<DeviceNotes>,
    addresses: &[u8],
    rcu: RcuReader<'_>,
) -> Option<Result<(), Reason>> {
    // The length tells the fields: each field has at least four bytes, and the walk has found room for all of them.
    let has_group = match header.len_bytes() {
        WITHOUT_GROUP => false,
        WITH_GROUP if header.fields().group.is_some() => true,
        _ => return None,
    };
    // The compiler knows the length of the addresses.
    if let Some(addresses) = address_pair(addresses) {
        check_between::<4>(guard, skb, has_group, addresses, rcu)
    } else {
        check_between::<16>(guard, skb, has_group, address_pair(addresses)?, rcu)
    }
}

/// Does what [`check`] does, between addresses of `ADDRESS` bytes.
#[inline(always)]
fn check_between<const ADDRESS: usize>(
    guard: &Guard,
    skb: &SkBuff,
    has_group: bool,
    addresses: &[[u8; ADDRESS]; 2],
    rcu: RcuReader<'_>,
) -> Option<Result<(), Reason>> {
    if has_group {
        check_linear::<ADDRESS, { group::LEN_BYTES }>(guard, skb, addresses, rcu)
    } else {
        check_linear::<ADDRESS, 0>(guard, skb, addresses, rcu)
    }
}

/// Does what [`check_between`] does, for a header with `GROUP` bytes of a group identifier. Checks packets whose
/// covered bytes are linear, and that name a key without `nat`. [`check_any`] checks the others.
// Not inlined: other packets should not save registers for it.
#[inline(never)]
fn check_linear<const ADDRESS: usize, const GROUP: usize>(
    guard: &Guard,
    skb: &SkBuff,
    addresses: &[[u8; ADDRESS]; 2],
    rcu: RcuReader<'_>,
) -> Option<Result<(), Reason>> {
    let len_bytes = hashed::Header::<GROUP>::LEN_BYTES;
    let payload_at = udp::HEADER_LEN_BYTES + len_bytes;
    // Wraps if the packet is shorter. The range below does not exist then.
    let coverage = guard.demands.coverage(skb.len().wrapping_sub(payload_at));
    // Header and covered payload together, because one range takes one comparison.
    let covered_len = len_bytes + usize::from(coverage.len);
    let bytes = skb.linear_range(udp::HEADER_LEN_BYTES, covered_len);
    let header = bytes.and_then(hashed::Header::<GROUP>::at_start_of);
    if let (Some(bytes), Some(header), Some(keys)) = (bytes, header, &guard.keys) {
        if let Some(key) = keys.read(rcu).hash_key(header.label(), coverage) {
            let start = header.covered(addresses.each_ref());
            let payload = || bytes.get(len_bytes..).unwrap_or_default();
            let computed = key.hash_two(start.as_bytes(), payload);
            return Some(compare(&computed, header.digest()));
        }
    }
    check_any::<ADDRESS, GROUP>(guard, skb, addresses, rcu)
}

/// Does what [`check_linear`] does, for any packet and key.
#[inline(never)]
fn check_any<const ADDRESS: usize, const GROUP: usize>(
    guard: &Guard,
    skb: &SkBuff,
    addresses: &[[u8; ADDRESS]; 2],
    rcu: RcuReader<'_>,
) -> Option<Result<(), Reason>> {
    let len_bytes = hashed::Header::<GROUP>::LEN_BYTES;
    let payload_at = udp::HEADER_LEN_BYTES + len_bytes;
    let bytes = skb.linear_range(udp::HEADER_LEN_BYTES, len_bytes)?;
    let header = hashed::Header::<GROUP>::at_start_of(bytes)?;
    let coverage = guard.demands.coverage(skb.len().checked_sub(payload_at)?);
    let label = header.label();
    let mut keys = guard.keys.as_ref()?.read(rcu).accepted();
    let key = keys.find(|key| Label::new(key.id, coverage) == label)?;
    let addresses = addresses.each_ref();
    let covered = (payload_at, usize::from(coverage.len));
    let checked = key.hash_packet(header, addresses, skb, covered, |computed| {
        compare(computed, header.digest())
    });
    Some(checked.and_then(|checked| checked))
}

#[inline(always)]
fn compare(
    computed: &[u8; SHA256_DIGEST_LEN_BYTES],
    digest: &[u8; DIGEST_LEN_BYTES],
) -> Result<(), Reason> {
    if !equal_with(computed, digest, opaque) {
        return Err(Refusal::SecurityMismatch.into());
    }
    Ok(())
}
