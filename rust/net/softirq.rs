// SPDX-License-Identifier: GPL-2.0

//! Values that softirqs and tasks share.
//!
//! C headers: [`include/linux/bottom_half.h`](srctree/include/linux/bottom_half.h),
//! [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use core::marker::PhantomData;
use kernel::{new_spinlock, prelude::*, sync::SpinLock};
use net_bindings as bindings;

/// Keeps softirqs from running on this CPU as long as the value lives.
pub(crate) struct SoftirqsOff {
    /// Neither `Send` nor `Sync`.
    _here: PhantomData<*mut ()>,
}

impl SoftirqsOff {
    /// Turns softirqs off. Any context but hard interrupts, with interrupts on.
    pub(crate) fn new() -> Self {
        // SAFETY: C counts the calls. `drop` makes the matching call, on the same CPU, because the value does
        // not leave the task and the task does not sleep.
        unsafe { bindings::local_bh_disable() };
        Self { _here: PhantomData }
    }
}

impl Drop for SoftirqsOff {
    fn drop(&mut self) {
        // SAFETY: `new` has made the matching call.
        unsafe { bindings::local_bh_enable() };
    }
}

/// A value that softirqs and tasks change, guarded by a spinlock that is held with softirqs off
/// (`spin_lock_bh()`).
#[pin_data]
pub struct SoftirqLock<T> {
    #[pin]
    lock: SpinLock<T>,
}

impl<T: Unpin> SoftirqLock<T> {
    /// Returns an initializer.
    pub fn new(value: T) -> impl PinInit<Self> {
        pin_init!(Self {
            lock <- new_lock(value),
        })
    }

    /// Calls `work` with the value. Any context but hard interrupts. `work` must not sleep, and must not ask
    /// for the same lock.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let softirqs_off = SoftirqsOff::new();
        let mut value = self.lock.lock();
        let result = work(&mut value);
        // In this order: turning softirqs on runs pending softirqs, which must find the lock free.
        drop(value);
        drop(softirqs_off);
        result
    }
}

/// Returns an initializer of the lock.
// Not inlined, because lockdep wants one name for one class of locks.
#[inline(never)]
fn new_lock<T>(value: T) -> impl PinInit<SpinLock<T>> {
    new_spinlock!(value, "SoftirqLock")
}
