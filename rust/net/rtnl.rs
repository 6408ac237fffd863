// SPDX-License-Identifier: GPL-2.0

//! The lock of network configuration (RTNL).
//!
//! C header: [`include/linux/rtnetlink.h`](srctree/include/linux/rtnetlink.h)

pub use crate::rcu::RcuReader;

use crate::rcu::RcuBox;
use core::{
    marker::PhantomData,
    mem,
    ptr::NonNull,
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::prelude::*;
use net_bindings as bindings;

/// Evidence that this task holds RTNL.
///
/// A callback that the stack calls under RTNL gets a `&mut Rtnl`. A function that changes configuration, or
/// that may call such a callback, takes it exclusively.
///
/// # Invariants
///
/// This task holds RTNL as long as the value exists. No other value exists in this call of the callback.
pub struct Rtnl(PhantomData<*mut ()>);

impl Rtnl {
    /// Calls `work` with RTNL held. May sleep. A caller that holds RTNL already waits for ever.
    pub fn lock<R>(work: impl FnOnce(&mut Self) -> R) -> R {
        // SAFETY: C only requires that the task may sleep.
        unsafe { bindings::rtnl_lock() };
        let _locked = Locked;
        // SAFETY: `_locked` gives the lock up only when `work` has returned, and `work` cannot keep the value.
        // The lock is not recursive, so no other value of this task exists.
        work(&mut unsafe { Self::assume_held() })
    }

    /// Does what [`Self::lock`] does, if no task holds RTNL; otherwise returns `None` without a call and without
    /// waiting. For work that a holder of RTNL waits for. Process context; `work` may sleep.
    pub fn try_lock<R>(work: impl FnOnce(&mut Self) -> R) -> Option<R> {
        // SAFETY: C only requires process context, and does not wait.
        if unsafe { bindings::rtnl_trylock() } == 0 {
            return None;
        }
        let _locked = Locked;
        // SAFETY: As in `lock`: this task has just taken the lock.
        Some(work(&mut unsafe { Self::assume_held() }))
    }

    /// # Safety
    ///
    /// The caller must hold RTNL as long as the result exists. It must not use another `Rtnl` meanwhile.
    #[inline]
    pub(crate) unsafe fn assume_held() -> Self {
        // INVARIANT: Promised by the caller.
        Self(PhantomData)
    }
}

/// RTNL, taken by this task. Dropping the value gives the lock up.
struct Locked;

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: The value was made when this task took the lock, and is dropped once.
        unsafe { bindings::rtnl_unlock() };
    }
}

/// A value that is read under RCU and replaced under RTNL.
///
/// A replaced value is dropped after a grace period, in softirq context: dropping a `T` must not sleep. A
/// value that borrows something would outlive it, so this does not compile:
///
/// ```compile_fail,E0597
/// # use net::rtnl::{Rtnl, RtnlCell, RtnlValue};
/// # fn change(rtnl: &mut Rtnl) -> kernel::error::Result {
/// let number = 1;
/// let cell = RtnlCell::new(&number)?;
/// cell.replace(RtnlValue::new(&number)?, rtnl);
/// # Ok(())
/// # }
/// ```
///
/// # Invariants
///
/// The pointer is valid, and came from `RcuBox::new`.
pub struct RtnlCell<T: Send + Sync + 'static>(AtomicPtr<RcuBox<T>>);

/// A value that takes the place of another in an [`RtnlCell`], with the memory for it.
///
/// # Invariants
///
/// The pointer is valid, came from `RcuBox::new`, and is owned.
pub struct RtnlValue<T: Send + Sync + 'static>(NonNull<RcuBox<T>>);

impl<T: Send + Sync + 'static> RtnlValue<T> {
    /// Allocates a value. May sleep. Fails with `ENOMEM`.
    pub fn new(value: T) -> Result<Self> {
        // INVARIANT: The pointer just came from `new`, and no other code has it.
        Ok(Self(RcuBox::new(value)?))
    }
}

impl<T: Send + Sync + 'static> Drop for RtnlValue<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the pointer came from `RcuBox::new`, and no other code has it. It is
        // not used afterwards.
        unsafe { RcuBox::drop_now(self.0) };
    }
}

impl<T: Send + Sync + 'static> RtnlCell<T> {
    /// Allocates the first value. May sleep. Fails with `ENOMEM`.
    pub fn new(value: T) -> Result<Self> {
        Ok(Self(AtomicPtr::new(RcuBox::new(value)?.as_ptr())))
    }

    #[inline]
    fn load(&self) -> NonNull<RcuBox<T>> {
        // Acquire orders nothing here that the dependency on the pointer does not order already. On x86 it
        // costs nothing.
        // SAFETY: By the type invariant the pointer is not null.
        unsafe { NonNull::new_unchecked(self.0.load(Ordering::Acquire)) }
    }

    /// Reads the value. The result is valid in the reader's read side.
    #[inline]
    pub fn read<'a>(&'a self, _reader: RcuReader<'a>) -> &'a T {
        // SAFETY: By the type invariant the pointer is valid. `replace` drops the old value after a grace
        // period, which does not end before this read side does. The last value is dropped with `self`.
        unsafe { self.load().as_ref() }.value()
    }

    /// Reads the value under RTNL.
    #[inline]
    pub fn read_rtnl<'a>(&'a self, _rtnl: &'a Rtnl) -> &'a T {
        // SAFETY: By the type invariant the pointer is valid. `replace` needs the `Rtnl` exclusively, and no
        // other task has one, so the value stays as long as the result is used.
        unsafe { self.load().as_ref() }.value()
    }

    /// Replaces the value. Readers see the old value or the new one as a whole.
    pub fn replace(&self, value: RtnlValue<T>, _rtnl: &mut Rtnl) {
        // INVARIANT: By the invariant of `RtnlValue` the pointer came from `RcuBox::new`. `value` gives it up.
        let new = mem::ManuallyDrop::new(value).0;
        // Release: a reader that sees the pointer must see the value. The exchange is in the order of RTNL.
        let old = self.0.swap(new.as_ptr(), Ordering::AcqRel);
        // SAFETY: By the type invariant the pointer came from `RcuBox::new`. The swap took the pointer out of
        // the cell, so no new reader finds it, and no other call drops it.
        unsafe { RcuBox::drop_after_readers(NonNull::new_unchecked(old)) };
    }
}

impl<T: Send + Sync + 'static> Drop for RtnlCell<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the pointer came from `RcuBox::new`. `self` is exclusively borrowed,
        // and a reader's result borrows it, so no reader has the value. It is not used afterwards.
        unsafe { RcuBox::drop_now(self.load()) };
    }
}
