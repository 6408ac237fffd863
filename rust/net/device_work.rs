// SPDX-License-Identifier: GPL-2.0

//! The work of a device, for code that has no device but may let the work run.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use net_bindings as bindings;

/// The work of a device (`struct delayed_work`).
///
/// The work is disabled unless the device is up: requests to run it do nothing then.
///
/// # Invariants
///
/// A pointer to this that other code has is to an initialized work, whose memory lives as long as the device's.
pub(crate) type DeviceWork = bindings::delayed_work;

/// Lets a device's work run at once, also if it waits for a later time. Any context.
///
/// # Safety
///
/// `work` must keep the invariants of [`DeviceWork`], and the device not be freed during the call.
pub(crate) unsafe fn run_now(work: *mut DeviceWork) {
    // SAFETY: The caller promises a work that is initialized. If it is disabled, C does nothing.
    unsafe { bindings::delayed_work_run_now(work) };
}
