// SPDX-License-Identifier: GPL-2.0

//! The Internet checksum's arithmetic (RFC 1071).
//!
//! C header: [`include/net/checksum.h`](srctree/include/net/checksum.h)

use kernel::prelude::*;
use net_bindings as bindings;

/// A ones' complement sum of 16-bit words, not yet folded (C's `__wsum`).
///
/// Words are summed as they lie in memory, so a sum's bytes are in network order on any machine.
///
/// ```
/// use net::checksum::Sum;
///
/// // The last four bytes are at an odd offset.
/// let whole = Sum::of(b"payload");
/// assert_eq!(Sum::of(b"pay").plus(Sum::of(b"load").shift(3)).to_field(), whole.to_field());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum(u32);

impl Sum {
    /// Converts C's `__wsum`.
    #[inline]
    pub(crate) const fn from_raw(sum: u32) -> Self {
        Self(sum)
    }

    /// Returns C's `__wsum`.
    #[inline]
    pub(crate) const fn as_raw(self) -> u32 {
        self.0
    }

    /// Sums bytes. The first byte is at an even offset.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        let (start, len) = (bytes.as_ptr(), bytes.len());
        // SAFETY: `start` and `len` are the parts of a slice, so `start` is valid for reads of `len` bytes.
        // C reads fewer bytes of a slice that is longer than `i32::MAX` bytes, which no packet is.
        Self(unsafe { bindings::csum_partial(start.cast(), len as i32, 0) })
    }

    /// Returns the sum of one word, given as it lies in memory.
    #[inline]
    pub const fn of_word(bytes: [u8; 2]) -> Self {
        Self(u16::from_ne_bytes(bytes) as u32)
    }

    /// Returns the sum of the words of `self` and `other`.
    #[inline]
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Self(sum.wrapping_add(carry as u32))
    }

    /// Returns the sum of the words of `self` without the words of `other`.
    #[inline]
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        self.plus(Self(!other.0))
    }

    /// Returns the sum that the same bytes have `offset` bytes further on. If `offset` is odd, the bytes of
    /// each word change places.
    #[inline]
    #[must_use]
    pub const fn shift(self, offset: usize) -> Self {
        if offset % 2 == 0 {
            self
        } else {
            Self(self.0.rotate_right(8))
        }
    }

    /// Returns the inverted 16-bit sum, as a checksum's field stores it. Returns 0xffff instead of 0,
    /// because 0 means "none" to UDP. Both are the same number in this arithmetic.
    #[inline]
    pub const fn to_field(self) -> [u8; 2] {
        let sum = (self.0 & 0xffff) + (self.0 >> 16);
        // The first folding may have carried once more.
        let sum = (sum & 0xffff) + (sum >> 16);
        match !(sum as u16) {
            0 => [0xff, 0xff],
            field => field.to_ne_bytes(),
        }
    }
}

#[kunit_tests(rfou_net_checksum)]
mod tests {
    use super::*;

    #[test]
    fn sum_of_an_ip_header_that_is_right_is_all_ones() {
        // RFC 791 header of 10.1.1.1 -> 10.1.1.2.
        let header = [
            0x45, 0, 0, 0x1c, 0, 1, 0x40, 0, 0x40, 1, 0x24, 0xdc, 10, 1, 1, 1, 10, 1, 1, 2,
        ];
        assert_eq!(Sum::of(&header).to_field(), [0xff, 0xff]);
        let without = Sum::of(&header).minus(Sum::of_word([0x24, 0xdc]));
        assert_eq!(without.to_field(), [0x24, 0xdc]);
    }

    #[test]
    fn sums_of_parts_add_up_at_any_cut() {
        let bytes = *b"the quick brown fox";
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let sum = Sum::of(head).plus(Sum::of(tail).shift(cut));
            assert_eq!(sum.to_field(), Sum::of(&bytes).to_field());
            let rest = Sum::of(&bytes).minus(Sum::of(head)).shift(cut);
            assert_eq!(rest.to_field(), Sum::of(tail).to_field());
        }
    }
}
