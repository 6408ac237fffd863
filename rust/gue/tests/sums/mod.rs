// SPDX-License-Identifier: GPL-2.0

//! Computes hashes and checksums over the bytes that the codec returns, as the kernel does for a device.

use gue::{
    checksum::{self, Sum},
    Addresses, Computation, Covered, Outer, Refusal, View,
};
use hmac::{Hmac, Mac};
use sha2::Sha256;

fn covered<'a>(
    view: &View<'a>,
    computation: Computation,
    payload: &[u8],
) -> Result<Covered<'a>, Refusal> {
    let covered = view.covered(computation, payload.len())?;
    Ok(covered.expect("the header has the field"))
}

/// Returns the digest of a keyed hash (HMAC-SHA256).
pub fn digest(
    view: &View<'_>,
    addresses: &Addresses,
    payload: &[u8],
    key: &[u8],
) -> Result<[u8; 32], Refusal> {
    let covered = covered(view, Computation::Hmac, payload)?;
    assert!(covered.padding().is_empty());
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for piece in addresses.pieces() {
        mac.update(piece);
    }
    for piece in covered.header() {
        mac.update(piece);
    }
    mac.update(&payload[covered.payload()]);
    Ok(mac.finalize().into_bytes().into())
}

/// Returns the alternate checksum.
pub fn crc(view: &View<'_>, payload: &[u8]) -> Result<u32, Refusal> {
    let covered = covered(view, Computation::Crc, payload)?;
    Ok(covered
        .header()
        .chain([&payload[covered.payload()], covered.padding()])
        .fold(0, crc32c::crc32c_append))
}

/// Returns the sum of the bytes that the checksum covers.
pub fn sum(view: &View<'_>, outer: &Outer, payload: &[u8]) -> Result<Sum, Refusal> {
    let covered = covered(view, Computation::Checksum, payload)?;
    let payload = Sum::default().with(&payload[covered.payload()]);
    Ok(checksum::sum(&covered, outer, payload))
}
