// SPDX-License-Identifier: GPL-2.0

//! The work of a device, for code that may queue the work but has no reference to the device.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use net_bindings as bindings;

/// The work of a device (`struct delayed_work`).
///
/// The work is disabled unless the device is up: requests to run it do nothing then.
///
/// # Invariants
///
/// Each pointer that other code has to this points to an initialized work. The memory of the work lives as
/// long as the memory of the device.
pub(crate) type DeviceWork = bindings::delayed_work;

/// Queues a device's work to run at once, even if it is queued for later. Any context.
///
/// # Safety
///
/// `work` must keep the invariants of [`DeviceWork`], and the device must not be freed during the call.
pub(crate) unsafe fn run_now(work: *mut DeviceWork) {
    // SAFETY: The caller promises an initialized work of a device that is not freed during the call. If the
    // work is disabled, C does nothing.
    unsafe { bindings::delayed_work_run_now(work) };
}
