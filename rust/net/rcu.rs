// SPDX-License-Identifier: GPL-2.0

//! RCU: the read side of a hook, and values that are dropped after a grace period.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::{
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};
use kernel::{prelude::*, types::Opaque};
use net_bindings as bindings;

/// Evidence that this code runs in an RCU read side: values that it finds are not freed during the lifetime.
///
/// A hook that C calls in a read side gets one, which costs nothing.
///
/// # Invariants
///
/// The RCU read side lasts longer than the value and its copies.
#[derive(Clone, Copy)]
pub struct RcuReader<'a>(PhantomData<(&'a (), *mut ())>);

impl RcuReader<'_> {
    /// # Safety
    ///
    /// The caller must be in an RCU read side that lasts as long as the chosen lifetime.
    #[inline]
    pub(crate) unsafe fn assume<'a>() -> RcuReader<'a> {
        // INVARIANT: Promised by the caller.
        RcuReader(PhantomData)
    }

    /// Calls `read` in an RCU read side of its own. `read` must not sleep.
    pub fn with<R>(read: impl FnOnce(RcuReader<'_>) -> R) -> R {
        let guard = kernel::sync::rcu::read_lock();
        // SAFETY: `guard` is dropped after `read` has returned, so the read side lasts longer than the
        // value, whose lifetime `read` cannot choose.
        let result = read(unsafe { RcuReader::assume() });
        drop(guard);
        result
    }
}

/// A value that RCU readers may have a reference to.
#[repr(C)]
#[pin_data]
pub(crate) struct RcuBox<T> {
    // Opaque, because RCU writes to the head while readers have a reference to the box.
    head: Opaque<bindings::callback_head>,
    #[pin]
    value: T,
}

/// The number of values that wait for their grace period.
static PENDING: AtomicUsize = AtomicUsize::new(0);

impl<T> RcuBox<T> {
    /// Allocates a value, which lives until [`Self::drop_after_readers`] or [`Self::drop_now`]. May sleep.
    pub(crate) fn new(value: T) -> Result<NonNull<Self>> {
        let head = Opaque::new(Default::default());
        let value = KBox::new(Self { head, value }, GFP_KERNEL)?;
        Ok(NonNull::from(KBox::leak(value)))
    }

    /// Does what [`Self::new`] does, in any context, with a value that is initialized in its place.
    pub(crate) fn init_atomic(init: impl Init<T>) -> Result<NonNull<Self>> {
        let boxed = try_pin_init!(Self {
            head: Opaque::new(Default::default()),
            value <- init,
        }? Error);
        Self::leak(KBox::pin_init(boxed, GFP_ATOMIC | __GFP_NOWARN))
    }

    /// Does what [`Self::new`] does with a value that is initialized in its place, and pinned there. May
    /// sleep.
    pub(crate) fn pin_init(init: impl PinInit<T, Error>) -> Result<NonNull<Self>> {
        let boxed = try_pin_init!(Self {
            head: Opaque::new(Default::default()),
            value <- init,
        }? Error);
        Self::leak(KBox::pin_init(boxed, GFP_KERNEL))
    }

    fn leak(value: Result<Pin<KBox<Self>>>) -> Result<NonNull<Self>> {
        // SAFETY: Nothing moves the value from here on: `drop_now` and `drop_after_readers` drop it in its
        // place, and references to it are shared.
        Ok(NonNull::from(KBox::leak(unsafe {
            Pin::into_inner_unchecked(value?)
        })))
    }

    #[inline]
    pub(crate) fn value(&self) -> &T {
        &self.value
    }

    /// Drops a value to which no reader has a reference.
    ///
    /// # Safety
    ///
    /// `this` must come from a function of this type that allocates, and must not be used afterwards.
    pub(crate) unsafe fn drop_now(this: NonNull<Self>) {
        // SAFETY: The caller promises a pointer from a function of this type, which took it from a `KBox`, and
        // not to use it again.
        drop(unsafe { KBox::from_raw(this.as_ptr()) });
    }

    /// Drops the value in softirq context, after a grace period.
    ///
    /// # Safety
    ///
    /// `this` must come from a function of this type that allocates, and no new reader may find it. It must
    /// not be used afterwards, except in RCU read sides that have begun before.
    pub(crate) unsafe fn drop_after_readers(this: NonNull<Self>)
    where
        T: Send + 'static,
    {
        PENDING.fetch_add(1, Ordering::Relaxed);
        // SAFETY: The caller promises a pointer from a function of this type that it does not use again, so
        // only this callback frees the value, and `head` is not queued already. `head` is the first field of a
        // `repr(C)` type, so the callback finds the value from it; RCU may write to it, because it is an
        // `Opaque`. A `T` may be dropped by another thread, because it is `Send`, and at any time, because it
        // borrows nothing.
        unsafe { bindings::call_rcu(this.as_ptr().cast(), Some(drop_in_callback::<T>)) };
    }
}

/// # Safety
///
/// Only RCU may call this, with the head of an [`RcuBox<T>`] that no other code uses.
unsafe extern "C" fn drop_in_callback<T>(head: *mut bindings::callback_head) {
    // SAFETY: `head` is the first field of an `RcuBox<T>` that came from a `KBox`. The grace period is over,
    // so no reader has a reference, and RCU is done with `head` when it calls this.
    drop(unsafe { KBox::from_raw(head.cast::<RcuBox<T>>()) });
    PENDING.fetch_sub(1, Ordering::Release);
}

/// Waits until the RCU read sides that have begun are over. Interrupts other CPUs, to end sooner (an expedited
/// grace period). May sleep.
pub(crate) fn wait_for_readers() {
    // SAFETY: C has no requirement but that the caller may sleep.
    unsafe { bindings::synchronize_rcu_expedited() };
}

/// Waits until all RCU callbacks of this module have run. May sleep.
pub(crate) fn wait_for_callbacks() {
    // SAFETY: C only requires that the task may sleep.
    let rcu_barrier = || unsafe { bindings::rcu_barrier() };
    loop {
        rcu_barrier();
        // A callback may drop a value whose destructor calls `drop_after_readers`.
        if PENDING.load(Ordering::Acquire) == 0 {
            // The last callback may not have returned yet.
            rcu_barrier();
            return;
        }
    }
}
