// SPDX-License-Identifier: GPL-2.0

//! Surplus space: the bytes of a header after its last field.
//!
//! gue-09 requires receivers to skip these bytes. Two ends may agree to carry private data in them.

use crate::{header::MAX_LEN_BYTES, Error};

/// The bits of the first byte that count words (Hlen).
const HLEN_MASK: u8 = 0x1f;

/// Appends `surplus` to a header of variant 0, and adds the length of `surplus` to Hlen. Returns the new length of the
/// header in bytes.
///
/// The header is the first `len` bytes of `packet`. `surplus` overwrites the bytes after the header.
///
/// # Errors
///
/// After an error, `packet` is unchanged.
///
/// - [`Error::HeaderTooLong`]: the header would have more words than Hlen can count, or `surplus` is not a
///   whole number of words.
/// - [`Error::BufferTooShort`]: `packet` ends before the new end of the header.
///
/// ```
/// use gue::{surplus, Error};
///
/// let mut packet = [0, 4, 0, 0, 0, 0, 0, 0, 0x45];
/// assert_eq!(surplus::append(&mut packet, 4, b"GLB!"), Ok(8));
/// assert_eq!(packet, *b"\x01\x04\0\0GLB!E");
/// assert_eq!(surplus::append(&mut packet, 8, b"GLB"), Err(Error::HeaderTooLong));
/// ```
#[inline]
pub fn append(packet: &mut [u8], len: usize, surplus: &[u8]) -> Result<usize, Error> {
    let end = len.saturating_add(surplus.len());
    if end > MAX_LEN_BYTES || surplus.len() % 4 != 0 {
        return Err(Error::HeaderTooLong);
    }
    let to = packet.get_mut(len..end).ok_or(Error::BufferTooShort)?;
    to.copy_from_slice(surplus);
    if let Some(first) = packet.first_mut() {
        let words = (*first & HLEN_MASK).saturating_add((surplus.len() / 4) as u8);
        *first = *first & !HLEN_MASK | words & HLEN_MASK;
    }
    Ok(end)
}
