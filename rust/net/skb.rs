// SPDX-License-Identifier: GPL-2.0

//! Packets.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)
//!
//! The type of a packet says where the packet is on its way, and which operations are allowed:
//!
//! - [`RxSkb`]: received by a tunnel's socket; owned, to be decapsulated;
//! - [`InnerSkb`]: received, decapsulated; owned, to be delivered;
//! - [`TxSkb`]: sent by a tunnel device; borrowed, to be encapsulated;
//! - [`OwnedSkb`]: any packet that is owned, and freed on drop;
//! - [`SkBuff`]: any packet, owned or borrowed; the types above dereference to it.
//!
//! The bytes of a header are reached through [`SkBuff::header`], whose result borrows the packet, so
//! that no reference into the packet survives an operation that may move the packet's data.

mod csum;
mod decap;
mod device;
mod gso;
mod owned;
mod pieces;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod xmit;

pub use csum::AfterUdp;
pub use decap::{InnerSkb, Pulled, RemcsumMode, RxSkb};
pub use device::{OuterSource, Refused};
pub use gso::GsoType;
pub use owned::OwnedSkb;
pub use xmit::TxSkb;
pub(crate) use xmit::MOST_HEADROOM_BYTES;

use core::{ffi::c_int, hint, mem::MaybeUninit, ops, slice};
use kernel::{prelude::*, types::Opaque};
use net_bindings as bindings;

/// The length of the pieces in which [`SkBuff::read`] passes on bytes that are not all linear: even, because checksums
/// add 16-bit words.
pub const PIECE_LEN_BYTES: usize = 256;

/// A packet (`struct sk_buff`).
///
/// The exclusive reference to a packet is `Pin<&mut SkBuff>`. From a plain `&mut SkBuff`, safe code could
/// exchange the contents of two packets (`mem::swap`), although C has pointers to both. A pin does not
/// give out such a reference, because [`Opaque`] is not `Unpin`; nor can safe code overwrite a packet
/// through a pin ([`Pin::set`]), because safe code never has a packet by value. A pin is a single pointer,
/// so functions that are not inlined take the pin in a register.
///
/// A packet is neither `Send` nor `Sync`.
///
/// # Invariants
///
/// While a reference to a packet lives:
///
/// - the reference points to a valid `sk_buff`, whose fields change only through that reference;
/// - `head <= data <= tail <= end`, and the bytes between `head` and `tail` are initialized: the linear part;
/// - `len` counts the bytes of the linear part from `data` on and the bytes of the fragments;
///   `data_len` counts the bytes of the fragments.
#[repr(transparent)]
pub struct SkBuff(Opaque<bindings::sk_buff>);

// Does not compile if a packet is `Unpin`, or if a tunnel could keep one because it is `Send`: `OK` is
// ambiguous then.
const _: () = {
    trait AmbiguousIfUnpin<A> {
        const OK: () = ();
    }
    impl<T> AmbiguousIfUnpin<u8> for T {}
    impl<T: Unpin> AmbiguousIfUnpin<u16> for T {}
    let () = <SkBuff as AmbiguousIfUnpin<_>>::OK;
    let () = <TxSkb as AmbiguousIfUnpin<_>>::OK;

    trait AmbiguousIfSend<A> {
        const OK: () = ();
    }
    impl<T> AmbiguousIfSend<u8> for T {}
    impl<T: Send> AmbiguousIfSend<u16> for T {}
    let () = <RxSkb as AmbiguousIfSend<_>>::OK;
    let () = <InnerSkb as AmbiguousIfSend<_>>::OK;
};

impl SkBuff {
    /// Borrows a packet from C.
    ///
    /// # Safety
    ///
    /// For the chosen lifetime, `ptr` must be valid and used only through the returned reference, and
    /// the packet must keep the invariants of this type.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::sk_buff) -> Pin<&'a mut Self> {
        // INVARIANT: Promised by the caller.
        // SAFETY: The caller promises a valid pointer that is used only through the result. The type is a
        // transparent wrapper of `sk_buff`, which C does not move.
        unsafe { Pin::new_unchecked(&mut *ptr.cast()) }
    }

    /// Returns C's pointer.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.get()
    }

    #[inline]
    fn fields(&self) -> &bindings::sk_buff {
        // SAFETY: By the type invariant the packet is valid. The fields do not change while the result lives,
        // because code that changes them needs the packet's exclusive reference.
        unsafe { &*self.as_raw() }
    }

    /// Returns the number of bytes from the packet's data on, linear or in fragments.
    #[inline]
    pub fn len(&self) -> usize {
        self.fields().len as usize
    }

    /// Returns `true` if the packet has no byte left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of linear bytes from the packet's data on.
    #[inline]
    pub fn headlen(&self) -> usize {
        // By the type invariant this does not wrap. Not checked, because every read of a header calls this.
        self.fields().len.wrapping_sub(self.fields().data_len) as usize
    }

    /// Returns `true` if the packet is a GSO packet.
    #[inline]
    pub fn is_gso(&self) -> bool {
        // SAFETY: By the type invariant the packet is valid, and no other code changes its fields.
        unsafe { bindings::skb_is_gso(self.as_raw()) }
    }

    /// Returns the number of segments of a GSO packet, at least 1, or 1 for another packet.
    #[inline(always)]
    pub fn segments(&self) -> u16 {
        if !self.is_gso() {
            return 1;
        }
        // SAFETY: As in `is_gso`.
        unsafe { bindings::skb_gso_segs(self.as_raw()) }.max(1)
    }

    /// Returns the EtherType that the stack has noted for the packet, in network byte order.
    #[inline]
    pub(crate) fn protocol(&self) -> u16 {
        // SAFETY: As in `is_gso`.
        unsafe { bindings::skb_protocol(self.as_raw()) }
    }

    /// Pulls the first `len` bytes into the linear part and returns them.
    ///
    /// Clones of the packet may share the bytes, so they are read only. Any context. Fails with `EINVAL`
    /// if the packet is shorter, with `ENOMEM`.
    #[inline]
    pub fn header(mut self: Pin<&mut Self>, len: usize) -> Result<&[u8]> {
        if self.headlen() < len {
            self.as_mut().pull_tail(len)?;
        }
        // SAFETY: Either `headlen` is at least `len`, or `pull_tail` has made `len` bytes linear.
        Ok(unsafe { self.into_ref().get_ref().linear_bytes(len) })
    }

    /// Passes bytes of the packet to `take`: in one piece if all are linear, and otherwise in order and in pieces of at
    /// most [`PIECE_LEN_BYTES`], of which all but the last have this length. Any context.
    ///
    /// Fails with `EFAULT` if the packet is shorter.
    #[inline]
    pub fn read(&self, range: ops::Range<usize>, mut take: impl FnMut(&[u8])) -> Result {
        match self.linear_range(range.start, range.len()) {
            Some(bytes) => take(bytes),
            None => self.copy_pieces(range, take)?,
        }
        Ok(())
    }

    /// Does what [`Self::read`] does, for bytes that are not all linear.
    #[inline(never)]
    fn copy_pieces(&self, range: ops::Range<usize>, mut take: impl FnMut(&[u8])) -> Result {
        let mut buffer = [MaybeUninit::<u8>::uninit(); PIECE_LEN_BYTES];
        let mut start = range.start;
        while start < range.end {
            let len = range.end.saturating_sub(start).min(PIECE_LEN_BYTES);
            let piece = buffer.get_mut(..len).ok_or(EINVAL)?;
            let at = c_int::try_from(start)?;
            // SAFETY: By the type invariant the packet is valid. C compares its length with the range, and writes `len`
            // bytes, as many as `piece` has, or fails.
            to_result(unsafe {
                bindings::skb_copy_bits(self.as_raw(), at, piece.as_mut_ptr().cast(), len as c_int)
            })?;
            // SAFETY: `skb_copy_bits` has succeeded, so it has written all `len` bytes of `piece`.
            take(unsafe { slice::from_raw_parts(piece.as_ptr().cast(), len) });
            start = start.saturating_add(len);
        }
        Ok(())
    }

    /// Returns the first `len` bytes if they are linear.
    #[inline]
    pub fn linear_header(&self, len: usize) -> Option<&[u8]> {
        if self.headlen() < len {
            return None;
        }
        // SAFETY: `headlen` is at least `len`.
        Some(unsafe { self.linear_bytes(len) })
    }

    /// Returns `N` bytes at an offset from the packet's data, if they are linear.
    #[inline(always)]
    pub fn linear_array<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        self.linear_range(at, N)?.first_chunk()
    }

    /// Returns `len` bytes at an offset from the packet's data, if they are linear.
    #[inline(always)]
    pub fn linear_range(&self, at: usize, len: usize) -> Option<&[u8]> {
        // Numbers up to `i32::MAX` have a sum that does not wrap, and no linear part is longer. One comparison checks
        // both.
        if (at | len) > i32::MAX as usize || self.headlen() < at.wrapping_add(len) {
            return None;
        }
        // SAFETY: `headlen` is at least the sum, which does not wrap, so the range is a part of these bytes. A place
        // within an allocation is not null.
        Some(unsafe {
            let start = self.linear_bytes(at.wrapping_add(len)).as_ptr().add(at);
            hint::assert_unchecked(!start.is_null());
            slice::from_raw_parts(start, len)
        })
    }

    /// Returns the first `len` bytes.
    ///
    /// # Safety
    ///
    /// The packet must have at least `len` linear bytes.
    #[inline]
    unsafe fn linear_bytes(&self, len: usize) -> &[u8] {
        // SAFETY: The caller promises the bytes; by the type invariant they are initialized. No code writes
        // to them while the packet is borrowed: the owner of a clone must unclone before it writes.
        unsafe {
            let data = self.fields().data;
            // The compiler does not know that a loaded pointer is not null, and would check for it.
            hint::assert_unchecked(!data.is_null());
            slice::from_raw_parts(data, len)
        }
    }

    /// Returns the linear bytes from the network header on, or `None` if the header lies past them.
    #[inline]
    pub(crate) fn network_header(&self) -> Option<&[u8]> {
        let skb = self.as_raw();
        // SAFETY: As in `is_gso`.
        let (start, tail) = unsafe {
            (
                bindings::skb_network_header(skb),
                bindings::skb_tail_pointer(skb),
            )
        };
        let len = (tail as usize).checked_sub(start as usize)?;
        // SAFETY: C keeps the header's place as an unsigned offset from `head`, so `head <= start`.
        // With `start + len == tail`, these bytes are in the linear part, so they are initialized. No code
        // writes to them, for the reason in `linear_bytes`. A place within an allocation is not null.
        Some(unsafe {
            hint::assert_unchecked(!start.is_null());
            slice::from_raw_parts(start, len)
        })
    }

    /// Returns the first `N` linear bytes from the network header on, or `None` if there are fewer.
    #[inline(always)]
    pub(crate) fn network_array<const N: usize>(&self) -> Option<&[u8; N]> {
        let skb = self.as_raw();
        // SAFETY: As in `is_gso`.
        let (start, tail) = unsafe {
            (
                bindings::skb_network_header(skb),
                bindings::skb_tail_pointer(skb),
            )
        };
        // Negative if the header lies past the linear part.
        let len = (tail as isize).wrapping_sub(start as isize);
        if len < N as isize {
            return None;
        }
        // SAFETY: As in `network_header`: the bytes from `start` to `tail` are in the linear part, and there are at
        // least `N` of them.
        Some(unsafe {
            hint::assert_unchecked(!start.is_null());
            &*start.cast::<[u8; N]>()
        })
    }

    /// Returns the last `len` bytes before the packet's data, such as headers that were pulled. Returns `None`
    /// if there are fewer.
    #[inline]
    pub fn bytes_before(&self, len: usize) -> Option<&[u8]> {
        // SAFETY: As in `is_gso`.
        if (unsafe { bindings::skb_headroom(self.as_raw()) } as usize) < len {
            return None;
        }
        // SAFETY: The headroom is the number of bytes from `head` to `data`, so these bytes are in the linear
        // part. By the type invariant they are initialized. No code writes to them, for the reason in
        // `linear_bytes`. A place within an allocation is not null.
        Some(unsafe {
            let start = self.fields().data.sub(len);
            hint::assert_unchecked(!start.is_null());
            slice::from_raw_parts(start, len)
        })
    }

    /// Returns the index of the device that received the packet, or 0 if the packet was sent here.
    #[inline]
    pub fn iif(&self) -> u32 {
        // SAFETY: As in `is_gso`. An index is not negative.
        unsafe { bindings::skb_iif(self.as_raw()) as u32 }
    }

    /// Makes the packet's headers and linear data private if a clone shares them.
    ///
    /// Any context. Fails with `ENOMEM`.
    #[inline]
    pub fn unclone(self: Pin<&mut Self>) -> Result {
        // SAFETY: By the type invariant the packet is valid. It is exclusively borrowed, so no reference
        // points into the head, which C may reallocate. `GFP_ATOMIC` is allowed in any context.
        to_result(unsafe { bindings::skb_unclone(self.as_raw(), bindings::GFP_ATOMIC) })
    }

    /// Pulls bytes from the fragments until `len` bytes are linear: the slow path of [`Self::header`].
    #[cold]
    fn pull_tail(self: Pin<&mut Self>, len: usize) -> Result {
        let len = u32::try_from(len).map_err(|_| EINVAL)?;
        if len > self.fields().len {
            return Err(EINVAL);
        }
        // SAFETY: As in `unclone`: C may reallocate the head, and allocates with `GFP_ATOMIC`. The packet
        // has `len` bytes, as was just checked.
        if unsafe { bindings::pskb_may_pull(self.as_raw(), len) } {
            Ok(())
        } else {
            Err(ENOMEM)
        }
    }
}

/// Converts C's result. Inlined, unlike the kernel crate's function: a call would cost each packet.
#[inline]
pub(crate) fn to_result(code: c_int) -> Result {
    if code < 0 {
        return Err(Error::from_errno(code));
    }
    Ok(())
}
