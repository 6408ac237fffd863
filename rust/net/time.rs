// SPDX-License-Identifier: GPL-2.0

//! The kernel's clocks.
//!
//! C header: [`include/linux/timekeeping.h`](srctree/include/linux/timekeeping.h)

use net_bindings as bindings;

/// Nanoseconds of one second.
pub const NS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds of one millisecond.
pub const NS_PER_MS: u64 = 1_000_000;

/// Returns the time since boot, without the time that the machine was suspended, in nanoseconds
/// (`CLOCK_MONOTONIC`). Any context.
pub fn monotonic_ns() -> u64 {
    // SAFETY: C has no requirement.
    unsafe { bindings::ktime_get_ns() }
}

/// Returns the time of day in nanoseconds since 1970 (`CLOCK_REALTIME`). An administrator may set the clock
/// back. Any context.
pub fn wall_clock_ns() -> u64 {
    // SAFETY: C has no requirement.
    unsafe { bindings::ktime_get_real_ns() }
}
