// SPDX-License-Identifier: GPL-2.0

//! Packets that a device sends in pieces.

use super::{DeviceSkb, Operations, Sent, Xmit};
use crate::skb::MOST_HEADROOM_BYTES;
use core::{ops::Range, slice};
use kernel::{error::to_result, prelude::*};
use net_bindings as bindings;

impl DeviceSkb {
    /// Makes a packet of the bytes of `before` and a copy of this packet's bytes in `range`, with `headroom` bytes of
    /// headroom. The new packet has no partial checksum, and goes the way of this one. This packet's own checksum
    /// must be complete: see [`Self::finalize`]. Softirq context.
    ///
    /// Fails with `EFAULT` if the packet is shorter than `range`; with `EINVAL` if the range ends before it starts,
    /// the new packet would have more than 65,535 bytes, or `headroom` is greater than 16 KiB; with `ENOMEM`.
    pub fn piece(&self, before: &[u8], range: Range<usize>, headroom: u32) -> Result<Self> {
        let rest = range.end.checked_sub(range.start).ok_or(EINVAL)?;
        let len = rest.checked_add(before.len()).ok_or(EINVAL)?;
        if headroom as usize > MOST_HEADROOM_BYTES || len > usize::from(u16::MAX) {
            return Err(EINVAL);
        }
        let from = c_int::try_from(range.start)?;
        // SAFETY: The packet is valid. The lengths are far below C's limits.
        let raw = unsafe { bindings::skb_alloc_piece(self.0.as_raw(), headroom, len as u32) };
        if raw.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: C has returned a new packet with `len` bytes of data; nothing else has the packet. C's allocator
        // has not cleared the bytes, but any byte is a valid `u8`, and to the compiler memory from C is always
        // initialized. All of them are written here, or the packet is freed.
        let (piece, data) = unsafe {
            (
                Self::from_raw(raw),
                slice::from_raw_parts_mut((*raw).data, len),
            )
        };
        let (first, second) = data.split_at_mut_checked(before.len()).ok_or(EINVAL)?;
        first.copy_from_slice(before);
        // SAFETY: The packet is valid. C compares its length with the range, and writes `rest` bytes, as many as
        // `second` has.
        to_result(unsafe {
            bindings::skb_copy_bits(
                self.0.as_raw(),
                from,
                second.as_mut_ptr().cast(),
                rest as c_int,
            )
        })?;
        Ok(piece)
    }
}

impl<T: Operations> Xmit<'_, T> {
    /// Frees a packet whose pieces were sent.
    pub fn consume(&self, skb: DeviceSkb) -> Sent {
        skb.0.consume();
        Sent(())
    }
}
