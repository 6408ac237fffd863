// SPDX-License-Identifier: GPL-2.0

//! Packets in GRO.

use super::NoMerge;
use crate::SkBuff;
use core::{hint, ops::Deref, ptr::NonNull, slice};
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

    /// Borrows a packet from C to look at it.
    ///
    /// # Safety
    ///
    /// The packet must be valid and in GRO, and not change during `'a`.
    #[inline]
    pub(super) unsafe fn ref_from_raw<'a>(ptr: *const bindings::sk_buff) -> &'a Self {
        // INVARIANT: Promised by the caller.
        // SAFETY: The caller promises a valid packet that does not change. `GroSkb` is a transparent wrapper of
        // `sk_buff`.
        unsafe { &*ptr.cast() }
    }

    /// Returns the offset of the next header, in bytes from the packet's data.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        // SAFETY: By the type invariant the packet is valid, and its control block is GRO's.
        unsafe { bindings::skb_gro_offset(self.as_raw()) as usize }
    }

    /// Returns the first `LEN` bytes from the next header on, if they are linear.
    #[inline(always)]
    pub(super) fn linear_first<const LEN: usize>(&self) -> Option<&[u8; LEN]> {
        let (offset, skb) = (self.offset(), self.as_raw());
        // SAFETY: By the invariant of `SkBuff` the packet is valid, and its fields change only through
        // an exclusive reference.
        let (data, linear) = unsafe { ((*skb).data, (*skb).len.wrapping_sub((*skb).data_len)) };
        if offset.saturating_add(LEN) > linear as usize {
            return None;
        }
        // SAFETY: `data` is the first of `linear` bytes in one allocation, which are initialized as all bytes of a
        // packet are, and `LEN` of them follow `offset`. An array of bytes has no alignment. Only methods that take
        // `self` exclusively write to the bytes or move them. An allocation is not at null, which the compiler does
        // not know of a loaded pointer, and would check for.
        unsafe {
            hint::assert_unchecked(!data.is_null());
            Some(&*data.add(offset).cast())
        }
    }

    /// Returns the linear bytes from the next header on, which may be none.
    #[inline(always)]
    pub(super) fn linear_rest(&self) -> &[u8] {
        let (offset, skb) = (self.offset(), self.as_raw());
        // SAFETY: As in `linear_first`.
        let (data, linear) = unsafe { ((*skb).data, (*skb).len.wrapping_sub((*skb).data_len)) };
        match (linear as usize).checked_sub(offset) {
            // SAFETY: As in `linear_first`. `offset` is at most `linear`, and `len` the number of the bytes after it.
            Some(len) => unsafe { slice::from_raw_parts(data.add(offset), len) },
            None => &[],
        }
    }

    /// Clears `same_flow` of the held packets that differ from this packet in the `len` bytes at its GRO offset,
    /// which lie at `start`.
    ///
    /// # Safety
    ///
    /// `held` must be the list of held packets that GRO has passed with this packet. The packet must have `len` bytes
    /// at its GRO offset, and they must lie at `start`.
    #[inline(always)]
    pub(super) unsafe fn compare_held(
        &self,
        held: *mut bindings::list_head,
        start: NonNull<u8>,
        len: usize,
    ) {
        let offset = self.offset() as u32;
        // SAFETY: The caller promises that the packet's `len` bytes lie at `start`, so no number is cut to 32 bits: the
        // packet's length has no more, and `offset` had no more in C. The caller promises GRO's list of held packets,
        // which GRO does not change during its call. C checks the length of each held packet.
        unsafe { bindings::gro_compare_held(held, start.as_ptr().cast(), offset, len as u32) };
    }

    /// Does what [`Self::compare_held`] does, and pulls the bytes.
    ///
    /// # Safety
    ///
    /// As for [`Self::compare_held`].
    #[inline(always)]
    pub(super) unsafe fn pull_header(
        self: Pin<&mut Self>,
        held: *mut bindings::list_head,
        start: NonNull<u8>,
        len: usize,
    ) {
        let skb = self.as_raw();
        // SAFETY: The caller promises what `compare_held` asks for. The packet is in GRO, and has the `len` bytes at
        // `start` at its GRO offset, so the offset stays within the packet, and `len` has 32 bits.
        unsafe {
            self.compare_held(held, start, len);
            bindings::skb_gro_postpull_rcsum(skb, start.as_ptr().cast(), len as u32);
            bindings::skb_gro_pull(skb, len as u32);
        }
    }

    /// Does what [`Self::compare_held`] does with linear bytes.
    ///
    /// # Safety
    ///
    /// `held` must be the list of held packets that GRO has passed with this packet. `len` linear bytes must follow
    /// the packet's GRO offset.
    #[inline(always)]
    pub(super) unsafe fn compare_linear(&self, held: *mut bindings::list_head, len: usize) {
        // SAFETY: The caller promises the list, and that the bytes lie where `linear_start` says.
        unsafe { self.compare_held(held, self.linear_start(), len) };
    }

    /// Does what [`Self::pull_header`] does with linear bytes.
    ///
    /// # Safety
    ///
    /// As for [`Self::compare_linear`].
    #[inline(always)]
    pub(super) unsafe fn pull_linear(
        self: Pin<&mut Self>,
        held: *mut bindings::list_head,
        len: usize,
    ) {
        // SAFETY: The caller promises the list, and that the bytes lie where `linear_start` says.
        unsafe {
            let start = self.linear_start();
            self.pull_header(held, start, len);
        }
    }

    /// Returns the place of the packet's GRO offset in the linear part, or at its end.
    ///
    /// # Safety
    ///
    /// The packet's GRO offset must be at most the number of linear bytes.
    #[inline(always)]
    unsafe fn linear_start(&self) -> NonNull<u8> {
        // SAFETY: By the invariant of `SkBuff` the packet is valid. The caller promises that the GRO offset is in the
        // linear part or at its end. An allocation is not at null.
        unsafe { NonNull::new_unchecked((*self.as_raw()).data.add(self.offset())) }
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
