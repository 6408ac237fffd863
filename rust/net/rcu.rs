// SPDX-License-Identifier: GPL-2.0

//! Values that are dropped after an RCU grace period.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::{
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};
use kernel::{bindings, prelude::*, types::Opaque};

/// A value that RCU readers may find.
#[repr(C)]
pub(crate) struct RcuBox<T> {
    // RCU writes to it while readers have a reference to the whole.
    head: Opaque<bindings::callback_head>,
    value: T,
}

/// The number of values that wait for their grace period.
static PENDING: AtomicUsize = AtomicUsize::new(0);

impl<T> RcuBox<T> {
    /// Allocates a value, which lives until [`Self::drop_after_readers`]. May sleep.
    pub(crate) fn new(value: T) -> Result<NonNull<Self>> {
        let head = Opaque::new(Default::default());
        let value = KBox::new(Self { head, value }, GFP_KERNEL)?;
        Ok(NonNull::from(KBox::leak(value)))
    }

    #[inline]
    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    /// Drops a value that no reader has found.
    ///
    /// # Safety
    ///
    /// `this` must have come from [`Self::new`], and must not be used after this.
    pub(crate) unsafe fn drop_now(this: NonNull<Self>) {
        // SAFETY: The value came out of a `KBox`.
        drop(unsafe { KBox::from_raw(this.as_ptr()) });
    }

    /// Drops the value in softirq context, after a grace period.
    ///
    /// # Safety
    ///
    /// `this` must have come from [`Self::new`], no reader must find it any more, and only RCU read sides
    /// that have begun may use it after this.
    pub(crate) unsafe fn drop_after_readers(this: NonNull<Self>)
    where
        T: Send,
    {
        PENDING.fetch_add(1, Ordering::Relaxed);
        // SAFETY: By `new` and the caller's promise the value is freed by this callback alone. `head`
        // is the first field, so the callback can find the value from it.
        unsafe { bindings::call_rcu(this.as_ptr().cast(), Some(drop_in_callback::<T>)) };
    }
}

/// # Safety
///
/// To be called by RCU alone, with the head of an [`RcuBox<T>`] that nobody else uses any more.
unsafe extern "C" fn drop_in_callback<T>(head: *mut bindings::callback_head) {
    // SAFETY: `head` is the first field of an `RcuBox<T>` that came out of a `KBox`.
    drop(unsafe { KBox::from_raw(head.cast::<RcuBox<T>>()) });
    PENDING.fetch_sub(1, Ordering::Release);
}

/// Waits until all RCU callbacks of this module have run. May sleep.
pub(crate) fn wait_for_callbacks() {
    loop {
        kernel::sync::rcu::rcu_barrier();
        // Dropping a value may queue another callback of the same kind.
        if PENDING.load(Ordering::Acquire) == 0 {
            // The last callback may still be returning from the module's code.
            kernel::sync::rcu::rcu_barrier();
            return;
        }
    }
}
