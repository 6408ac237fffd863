// SPDX-License-Identifier: GPL-2.0

//! Packets in GRO.

use super::NoMerge;
use crate::SkBuff;
use core::{hint, ops::Deref, ptr::NonNull};
use kernel::prelude::*;
use net_bindings as bindings;

/// A packet in GRO.
///
/// # Invariants
///
/// While a reference to a packet lives, the packet's control block is GRO's (`struct napi_gro_cb`).
#[repr(transparent)]
pub(super) struct GroSkb(SkBuff);

impl GroSkb {
    /// Borrows a packet from C.
    ///
    /// # Safety
    ///
    /// As for [`SkBuff::from_raw`]; and the packet must be in GRO.
    #[inline]
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::sk_buff) -> Pin<&'a mut Self> {
        // INVARIANT: Promised by the caller.
        // SAFETY: The caller promises a valid pointer that is used only through the result. `GroSkb` is a
        // transparent wrapper of `sk_buff`, which C does not move.
        unsafe { Pin::new_unchecked(&mut *ptr.cast()) }
    }

    /// Returns the offset of the next header, in bytes from the packet's data.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        // SAFETY: By the type invariant the packet is valid, and its control block is GRO's.
        unsafe { bindings::skb_gro_offset(self.as_raw()) as usize }
    }

    /// Finds the `len` bytes of the packet that begin `from` bytes after its data.
    #[inline(always)]
    pub(super) fn find(
        self: Pin<&mut Self>,
        from: usize,
        len: usize,
    ) -> Result<NonNull<u8>, NoMerge> {
        let end = from.checked_add(len).ok_or(NoMerge)?;
        let skb = self.as_raw();
        // SAFETY: By the invariant of `SkBuff` the packet is valid, and its fields change only through
        // `self`.
        let (data, linear) = unsafe { ((*skb).data, (*skb).len.wrapping_sub((*skb).data_len)) };
        // Looks in the linear part first, because C may look in a fragment. An inner layer may have pulled
        // the bytes from there since, if the layer needed more bytes than the fragment had.
        if end <= linear as usize {
            // SAFETY: `from` is at most `end`, which is at most the number of linear bytes from `data` on,
            // so `start` lies in the linear part or at its end. An allocation is not at null.
            return Ok(unsafe {
                let start = data.add(from);
                // The compiler does not know that a loaded pointer is not null, and would check for it.
                hint::assert_unchecked(!start.is_null());
                NonNull::new_unchecked(start)
            });
        }
        self.find_in_fragment(from, end)
    }

    /// Finds the bytes between two offsets, which are not all linear: the slow path of [`Self::find`].
    #[cold]
    fn find_in_fragment(
        self: Pin<&mut Self>,
        from: usize,
        end: usize,
    ) -> Result<NonNull<u8>, NoMerge> {
        let skb = self.as_raw();
        let short = u32::try_from(end).map_err(|_| NoMerge)?;
        // SAFETY: By the type invariant the packet is valid, and its control block is GRO's.
        if unsafe { bindings::skb_gro_may_pull(skb, short) } {
            // SAFETY: The packet is in GRO, as above. `skb_gro_may_pull` has said that the first `end`
            // bytes lie in the fragment that GRO has noted. `from` is at most `end`, so it has 32 bits.
            let start = unsafe { bindings::skb_gro_header_fast(skb, from as u32) };
            return NonNull::new(start.cast()).ok_or(NoMerge);
        }
        self.make_linear(from, end)
    }

    /// Finds the bytes between two offsets, and pulls all bytes before `end` into the linear part.
    #[cold]
    pub(super) fn make_linear(
        self: Pin<&mut Self>,
        from: usize,
        end: usize,
    ) -> Result<NonNull<u8>, NoMerge> {
        let (from, end) = (
            u32::try_from(from).map_err(|_| NoMerge)?,
            u32::try_from(end).map_err(|_| NoMerge)?,
        );
        // SAFETY: By the type invariant the packet is valid, and its control block is GRO's. C checks that
        // the packet has `end` bytes, and `from` is at most `end`. The packet is exclusively borrowed, so
        // no reference of ours points to bytes that the call moves.
        let start = unsafe { bindings::skb_gro_header_slow(self.as_raw(), end, from) };
        NonNull::new(start.cast()).ok_or(NoMerge)
    }
}

impl Deref for GroSkb {
    type Target = SkBuff;

    #[inline]
    fn deref(&self) -> &SkBuff {
        &self.0
    }
}
