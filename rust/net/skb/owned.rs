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
        // SAFETY: By the type invariant we own the packet, and `self` is borrowed as long as the result.
        unsafe { SkBuff::from_raw(self.as_raw()) }
    }

    /// Frees the packet as one that was used: drop monitors do not see it.
    pub fn consume(self) {
        // SAFETY: We owned the packet and give it up here.
        unsafe { bindings::consume_skb(self.into_raw()) };
    }

    /// Frees the packet as one that is dropped for a reason.
    #[inline]
    pub fn free(self, reason: DropReason) {
        // SAFETY: We owned the packet and give it up here.
        unsafe { bindings::kfree_skb_reason(self.into_raw(), reason.as_raw()) };
    }

    /// Frees the packet as one that was used, after a grace period: RCU readers may have pointers into it.
    ///
    /// The caller's module must wait for RCU callbacks before it is unloaded.
    pub(super) fn consume_after_readers(self) {
        let skb = self.into_raw();
        // SAFETY: We owned the packet. Its control block is unused now, has room for an RCU head and is
        // aligned to 8 bytes. The callback gives the packet up.
        unsafe { bindings::call_rcu((&raw mut (*skb).cb).cast(), Some(consume_in_callback)) };
    }
}

/// # Safety
///
/// Only RCU may call this, with the control block of a packet that was given up to RCU.
unsafe extern "C" fn consume_in_callback(rcu: *mut bindings::callback_head) {
    // SAFETY: Promised by the caller.
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
        // SAFETY: By the type invariant the pointer is valid, and the packet is ours.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for OwnedSkb {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own the packet. No code uses it after this.
        unsafe { bindings::kfree_skb_reason(self.as_raw(), DropReason::NOT_SPECIFIED.as_raw()) };
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl OwnedSkb {
    /// Allocates a packet of these bytes, with headroom, for tests. May sleep.
    pub(super) fn of_bytes(headroom: usize, bytes: &[u8]) -> Result<Self> {
        let size = u32::try_from(headroom.checked_add(bytes.len()).ok_or(EINVAL)?)?;
        // SAFETY: No requirements.
        let skb = unsafe { bindings::alloc_skb(size, bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: The packet is new, ours, and has room for the headroom and the bytes. The bytes that are
        // put are written at once.
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
        // SAFETY: The packet is valid; a clone is a packet of its own that is ours.
        let skb = unsafe { bindings::skb_clone(self.as_raw(), bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: As above.
        Ok(unsafe { Self::from_raw(skb) })
    }
}
