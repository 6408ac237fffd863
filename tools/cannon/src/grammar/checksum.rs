// SPDX-License-Identifier: GPL-2.0

//! Internet checksums (RFC 1071), and big-endian words.

/// Returns the sum of the words. A last odd byte is padded.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    fold(
        bytes
            .chunks(2)
            .map(|pair| (u64::from(pair[0]) << 8) | u64::from(pair.get(1).copied().unwrap_or(0)))
            .sum(),
    )
    .into()
}

/// Folds a sum into 16 bits.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Writes a word at `at`, if `bytes` is long enough.
pub(super) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(to) = bytes.get_mut(at..at + 2) {
        to.copy_from_slice(&value.to_be_bytes());
    }
}
