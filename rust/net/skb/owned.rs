// SPDX-License-Identifier: GPL-2.0

//! Packets that we own.

use super::SkBuff;
use crate::DropReason;
use core::{mem, ops::Deref, ptr::NonNull};
use kernel::prelude::*;
use net_bindings as bindings;

/// A packet of our own.
///
/// [`Self::consume`] frees a packet that was used, [`Self::free`] one that is dropped for a reason.
/// Dropping the value frees the packet as dropped for `NOT_SPECIFIED`.
///
/// # Invariants
///
/// The pointer is valid, and we own a reference to the packet, which no other code gives up.
pub struct OwnedSkb(NonNull<SkBuff>);

impl OwnedSkb {
    /// Takes a packet over from C.
    ///
    /// # Safety
    ///
    /// The caller must own the packet and give it up to the returned value, and the packet must keep
    /// the invariants of [`SkBuff`].
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: Promised by the caller.
        Self(ptr.cast())
    }

    /// Gives the packet to C.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut bindings::sk_buff {
        let ptr = self.as_raw();
        mem::forget(self);
        ptr
    }

    /// Borrows the packet exclusively.
    #[inline]
    pub fn as_pin_mut(&mut self) -> Pin<&mut SkBuff> {
        // SAFETY: By the type invariant the pointer is valid, and we own the packet. `self` is exclusively
        // borrowed as long as the result lives, so the packet is used only through the result. The packet
        // kept the invariants of `SkBuff` when it was taken over, and only functions that keep them change
        // it.
        unsafe { SkBuff::from_raw(self.as_raw()) }
    }

    /// Frees the packet as one that was used: drop monitors do not report it.
    pub fn consume(self) {
        // SAFETY: By the type invariant we owned a reference to the packet. `into_raw` gives it up without
        // dropping it, so C may take it.
        unsafe { bindings::consume_skb(self.into_raw()) };
    }

    /// Frees the packet as one that is dropped for a reason.
    #[inline]
    pub fn free(self, reason: DropReason) {
        // SAFETY: As in `consume`. The reason is one of the core's, or of a registered subsystem.
        unsafe { bindings::kfree_skb_reason(self.into_raw(), reason.as_raw()) };
    }

    /// Frees the packet as one that was used, after a grace period: RCU readers may have pointers into it.
    ///
    /// The caller's module must wait for RCU callbacks before it is unloaded.
    pub(super) fn consume_after_readers(self) {
        let skb = self.into_raw();
        // SAFETY: We owned the packet, and no code uses it before the callback, which gives it up. So its
        // control block is unused; it has room for an RCU head and is aligned to 8 bytes, as is asserted
        // below. The caller's module waits for the callback before its code goes.
        unsafe { bindings::call_rcu((&raw mut (*skb).cb).cast(), Some(consume_in_callback)) };
    }
}

/// # Safety
///
/// Only RCU may call this, with the control block of a packet that was given up to RCU.
unsafe extern "C" fn consume_in_callback(rcu: *mut bindings::callback_head) {
    // SAFETY: `rcu` is the control block of a packet, so the packet begins `offset_of!(cb)` bytes before it
    // in the same allocation. `consume_after_readers` gave up its reference to RCU, which calls this once.
    unsafe {
        let skb = rcu
            .byte_sub(mem::offset_of!(bindings::sk_buff, cb))
            .cast::<bindings::sk_buff>();
        bindings::consume_skb(skb);
    }
}

// The control block has room for an RCU head.
const _: () = {
    let len = size_of::<bindings::callback_head>();
    assert!(len <= 48 && mem::offset_of!(bindings::sk_buff, cb) % 8 == 0);
};

impl Deref for OwnedSkb {
    type Target = SkBuff;

    #[inline]
    fn deref(&self) -> &SkBuff {
        // SAFETY: By the type invariant the pointer is valid, and the packet is ours. `self` is borrowed as
        // long as the result, so no exclusive reference exists.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for OwnedSkb {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own a reference to the packet. `drop` runs once, and only for a
        // value that `into_raw` did not forget, so no other code gives the reference up.
        unsafe { bindings::kfree_skb_reason(self.as_raw(), DropReason::NOT_SPECIFIED.as_raw()) };
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl OwnedSkb {
    /// Allocates a packet of these bytes, with headroom, for tests. May sleep.
    pub(super) fn of_bytes(headroom: usize, bytes: &[u8]) -> Result<Self> {
        let size = u32::try_from(headroom.checked_add(bytes.len()).ok_or(EINVAL)?)?;
        // SAFETY: C has no requirement but that the caller may sleep, as `GFP_KERNEL` does; see above.
        let skb = unsafe { bindings::alloc_skb(size, bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: The packet is new and ours, and `size` is the headroom and the bytes together, so C finds
        // room for both. `to` is valid for the bytes that were just put, and does not overlap `bytes`. With
        // these written, all bytes of the linear part that may be read are initialized, as `SkBuff` asks.
        unsafe {
            bindings::skb_reserve(skb.as_ptr(), headroom as i32);
            let to = bindings::skb_put(skb.as_ptr(), bytes.len() as u32);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), bytes.len());
            bindings::skb_reset_network_header(skb.as_ptr());
            Ok(Self::from_raw(skb))
        }
    }

    /// Clones the packet, for tests. The clone shares the packet's data.
    pub(super) fn share(&self) -> Result<Self> {
        // SAFETY: By the type invariant the packet is valid. The caller may sleep, because tests may.
        let skb = unsafe { bindings::skb_clone(self.as_raw(), bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: A clone is a valid packet of its own, which C gives to the caller. It has the same bytes,
        // so it keeps the invariants of `SkBuff`.
        Ok(unsafe { Self::from_raw(skb) })
    }
}
