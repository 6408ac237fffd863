// SPDX-License-Identifier: GPL-2.0

//! Small caches that hooks read and fill under RCU.

use crate::rcu::{RcuBox, RcuReader};
use core::{
    array,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::prelude::*;

/// `N` values. Hooks read a value without a lock, and code in any context may replace it.
///
/// A replaced value is dropped after a grace period, in softirq context: dropping a `T` must not sleep.
///
/// # Invariants
///
/// A pointer is null, or came from `RcuBox::init_atomic` and is owned.
pub struct RcuSlots<T: Send + Sync + 'static, const N: usize>([AtomicPtr<RcuBox<T>>; N]);

impl<T: Send + Sync + 'static, const N: usize> RcuSlots<T, N> {
    /// Makes empty slots.
    pub fn new() -> Self {
        const { assert!(N > 0, "an index counts modulo this") }
        // INVARIANT: All pointers are null.
        Self(array::from_fn(|_| AtomicPtr::new(ptr::null_mut())))
    }

    /// Returns the value of a slot. The index counts modulo `N`. Any context.
    #[inline]
    pub fn get<'a>(&'a self, index: usize, _rcu: RcuReader<'a>) -> Option<&'a T> {
        // SAFETY: By the type invariant the pointer is null or valid. A replaced value is dropped after a grace
        // period, which does not end before this read side does. The last value is dropped with `self`.
        // Acquire: the value was written before the pointer to it was stored.
        let value = unsafe { self.0.get(index % N)?.load(Ordering::Acquire).as_ref() }?;
        Some(value.value())
    }

    /// Replaces the value of a slot; without memory, the old value stays. The new value is initialized in its
    /// place. Any context.
    pub fn set(&self, index: usize, value: impl Init<T>) {
        let (Some(slot), Ok(new)) = (self.0.get(index % N), RcuBox::init_atomic(value)) else {
            return;
        };
        // Release: a reader that sees the pointer must see the value.
        let old = slot.swap(new.as_ptr(), Ordering::AcqRel);
        if let Some(old) = NonNull::new(old) {
            // SAFETY: By the type invariant the pointer came from `init_atomic`. The swap took the pointer out
            // of the slot, so no new reader finds it, and no other call drops it.
            unsafe { RcuBox::drop_after_readers(old) };
        }
    }
}

impl<T: Send + Sync + 'static, const N: usize> Default for RcuSlots<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Send + Sync + 'static, const N: usize> Drop for RcuSlots<T, N> {
    fn drop(&mut self) {
        for slot in &mut self.0 {
            if let Some(value) = NonNull::new(*slot.get_mut()) {
                // SAFETY: By the type invariant the pointer came from `init_atomic`. `self` is borrowed
                // exclusively, and a reader's result borrows it, so no reader has the value.
                unsafe { RcuBox::drop_now(value) };
            }
        }
    }
}

#[kunit_tests(rfou_net_rcu_slots)]
mod tests {
    use super::*;

    #[test]
    fn slot_has_the_last_value_that_was_set() -> Result {
        let slots = RcuSlots::<u32, 2>::new();
        slots.set(0, 1);
        slots.set(2, 2);
        slots.set(1, 3);
        RcuReader::with(|rcu| {
            assert!(slots.get(0, rcu) == Some(&2));
            assert!(slots.get(1, rcu) == Some(&3));
        });
        Ok(())
    }

    #[test]
    fn slots_are_empty_at_first() -> Result {
        let slots = RcuSlots::<u32, 2>::new();
        RcuReader::with(|rcu| assert!(slots.get(0, rcu).is_none()));
        Ok(())
    }
}
