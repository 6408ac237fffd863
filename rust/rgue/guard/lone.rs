// SPDX-License-Identifier: GPL-2.0

//! Keyed hashes over payload, in headers that have no other protecting field.
//!
//! Such a header differs between packets, so the device keeps none, and computes a hash for each packet. The check
//! avoids every other cost.

use super::Guard;
use crate::reason::Reason;
use gue::{
    glance::len_bytes,
    group,
    hashed::{Room, Start},
    refusal::Refusal,
    security::{equal, Method},
    DeviceNotes, Header,
};
use net::{rcu::RcuReader, skb::RxSkb, udp};

const HMAC: u16 = Method::Hmac.flags();
const GROUP_HMAC: u16 = group::FLAG | HMAC;

/// Checks the keyed hash of a packet, which begins with its UDP header. Returns `None` for a packet that is refused
/// without a hash, and for a header with other fields or surplus space: [`check_any`](super::check_any) decides.
#[inline(always)]
pub(super) fn check<const IPV6: bool>(
    guard: &Guard,
    skb: &RxSkb,
    header: &Header<DeviceNotes>,
    rcu: RcuReader<'_>,
) -> Option<Result<(), Reason>> {
    // The compiler knows the places of the fields in each branch.
    match header.fields().flags() {
        HMAC => check_fields::<IPV6, HMAC>(guard, skb, header, rcu),
        GROUP_HMAC => check_fields::<IPV6, GROUP_HMAC>(guard, skb, header, rcu),
        _ => None,
    }
}

#[inline(always)]
fn check_fields<const IPV6: bool, const FLAGS: u16>(
    guard: &Guard,
    skb: &RxSkb,
    header: &Header<DeviceNotes>,
    rcu: RcuReader<'_>,
) -> Option<Result<(), Reason>> {
    let keys = guard.keys.as_ref()?.read(rcu);
    let len_bytes = const { len_bytes(FLAGS) };
    if header.len_bytes() != len_bytes {
        return None;
    }
    let bytes = skb.linear_range(udp::HEADER_LEN_BYTES, len_bytes)?;
    let (start, digest) = Start::of_received(FLAGS, bytes)?;
    let payload_at = udp::HEADER_LEN_BYTES + len_bytes;
    let payload_len = skb.len().checked_sub(payload_at)?;
    let coverage = guard.demands.coverage(payload_len);
    if !start.has_coverage(coverage) {
        return None;
    }
    let key = keys.accepted_with(start.key_id())?;
    let addresses = skb.outer_addresses::<IPV6>()?;
    let (source, destination) = addresses.split_at_checked(addresses.len() / 2)?;
    let covered = (payload_at, usize::from(coverage.len));
    let mut room = Room::EMPTY;
    let computed = key.hash_start(source, destination, &start, &mut room, skb, covered);
    Some(match computed {
        Ok(computed) if equal(&computed, digest) => Ok(()),
        Ok(_) => Err(Refusal::SecurityMismatch.into()),
        Err(reason) => Err(reason),
    })
}
