// SPDX-License-Identifier: GPL-2.0

//! Counters that each CPU increments on its own.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use core::{array, ptr::NonNull};
use kernel::prelude::*;
use net_bindings as bindings;

// Narrower CPUs read a `u64` by two instructions, and an interrupt may come between them.
const _: () = assert!(cfg!(CONFIG_64BIT), "a counter must not tear");

/// `N` counters, all 0 at first. Each CPU has its own, so an increment takes no lock and is one
/// instruction.
///
/// # Invariants
///
/// The pointer owns `N` `u64`s for each possible CPU, which change only through [`Self::add`].
pub struct PerCpuCounters<const N: usize>(NonNull<u64>);

// SAFETY: The memory belongs to no thread: any thread may add, read and free. Additions of a CPU are single
// instructions of this CPU, and other CPUs only read, by single instructions.
unsafe impl<const N: usize> Send for PerCpuCounters<N> {}
// SAFETY: As above.
unsafe impl<const N: usize> Sync for PerCpuCounters<N> {}

impl<const N: usize> PerCpuCounters<N> {
    /// Allocates counters, and charges the memory to the caller's control group. May sleep. Fails with
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        const {
            assert!(
                N > 0 && N <= 512,
                "C allocates at most 32 KiB for each CPU, and no size of 0"
            )
        };
        // SAFETY: The size is not 0 and the alignment is a power of two. The caller may sleep, as
        // `GFP_KERNEL_ACCOUNT` does.
        let counters =
            unsafe { bindings::alloc_percpu_u64s(N, ALIGN_BYTES, bindings::GFP_KERNEL_ACCOUNT) };
        // INVARIANT: C returns null or zeroed memory for each possible CPU, which it gives to the caller.
        NonNull::new(counters).map(Self).ok_or(ENOMEM)
    }

    /// Adds to the counter with an index. An index of `N` or more has no effect. Any context.
    #[inline(always)]
    pub fn add(&self, index: usize, value: u64) {
        if index < N {
            // SAFETY: By the type invariant each CPU has `N` counters, and `index` is less. C computes the
            // address on the CPU that runs this, and adds with one instruction.
            unsafe { bindings::this_cpu_add_u64(self.0.as_ptr().wrapping_add(index), value) };
        }
    }

    /// Returns the sums over all CPUs. A sum is never less than in an earlier call. Any context.
    pub fn sums(&self) -> [u64; N] {
        let mut sums = [0_u64; N];
        let mut next = 0;
        loop {
            // SAFETY: Any number is a valid argument: C returns `nr_cpu_ids` or more if there is no further
            // CPU.
            let cpu = unsafe { bindings::possible_cpu_from(next) };
            // SAFETY: C sets the number of CPUs when it boots.
            if cpu >= unsafe { bindings::nr_cpu_ids() } {
                return sums;
            }
            let of_cpu: [u64; N] = array::from_fn(|index| {
                // SAFETY: By the type invariant each possible CPU has `N` counters. `cpu` is a possible one.
                unsafe { bindings::per_cpu_u64(self.0.as_ptr().wrapping_add(index), cpu) }
            });
            for (sum, counter) in sums.iter_mut().zip(of_cpu) {
                *sum = sum.wrapping_add(counter);
            }
            next = cpu.saturating_add(1);
        }
    }
}

impl<const N: usize> Drop for PerCpuCounters<N> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the memory is ours. `drop` runs once, and nothing uses the counters
        // after it. C may free per-CPU memory in any context.
        unsafe { bindings::free_percpu_u64s(self.0.as_ptr()) };
    }
}

/// The alignment of the counters of a CPU. Counters 0 and 1 are in one cache line.
const ALIGN_BYTES: usize = 16;

#[kunit_tests(rfou_net_percpu)]
mod tests {
    use super::*;

    #[test]
    fn counters_start_at_zero_and_add_up() -> Result {
        let counters = PerCpuCounters::<3>::new()?;
        assert!(counters.sums() == [0; 3]);
        counters.add(0, 1);
        counters.add(2, u64::from(u32::MAX));
        counters.add(2, 1);
        assert!(counters.sums() == [1, 0, 1 << 32]);
        Ok(())
    }

    #[test]
    fn index_past_the_end_has_no_effect() -> Result {
        let counters = PerCpuCounters::<2>::new()?;
        counters.add(2, 1);
        counters.add(usize::MAX, 1);
        assert!(counters.sums() == [0; 2]);
        Ok(())
    }
}
