// SPDX-License-Identifier: GPL-2.0

//! The work of a device: a function that runs on a workqueue while the device is up.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::{links::Node, Device, Operations, Private};
use crate::device_work::{run_now, DeviceWork};
use core::mem::offset_of;
use net_bindings as bindings;

/// Initializes the work of a device, disabled.
///
/// # Safety
///
/// `private` must be the private data of a device that is being made, with room for a `Private<T>`. The work
/// must be [disabled](disable) when the private data's `data` is dropped.
pub(super) unsafe fn init<T: Operations>(private: *mut Private<T>) {
    // SAFETY: The caller promises room for the work, which nothing uses yet. C calls the function with the work
    // alone, which is the first field of the `delayed_work`.
    unsafe {
        let work = of(private);
        bindings::delayed_work_init(work, Some(run::<T>));
        bindings::disable_delayed_work(work);
    }
}

/// Returns the work of a device.
///
/// # Safety
///
/// `private` must be valid.
pub(super) unsafe fn of<T: Operations>(private: *const Private<T>) -> *mut DeviceWork {
    // SAFETY: The caller promises valid private data.
    unsafe { kernel::types::Opaque::cast_into(&raw const (*private).work) }
}

/// Enables the work of a device that goes up.
///
/// # Safety
///
/// `private` must belong to a registered device of `T`'s, whose work is disabled, with RTNL held.
pub(super) unsafe fn enable<T: Operations>(private: *mut Private<T>) {
    // SAFETY: `init` has initialized the work.
    unsafe { bindings::enable_delayed_work(of(private)) };
}

/// Disables the work of a device that goes down, and waits until the work does not run. May sleep.
///
/// # Safety
///
/// `private` must belong to a device whose work is enabled, with RTNL held.
pub(super) unsafe fn disable<T: Operations>(private: *mut Private<T>) {
    // SAFETY: `init` has initialized the work.
    unsafe { bindings::disable_delayed_work_sync(of(private)) };
}

/// # Safety
///
/// Only the workqueue may call this, with the work of a `Private<T>` that was passed to [`init`].
unsafe extern "C" fn run<T: Operations>(work: *mut bindings::work_struct) {
    // SAFETY: `init` was called for this `Private<T>`: the work is the first field of its `delayed_work`.
    let private = unsafe { work.byte_sub(offset_of!(Private<T>, work)) }.cast::<Private<T>>();
    // SAFETY: The work runs only while the device is up: `ndo_open` enables it, and `ndo_stop`, which C calls
    // before `ndo_uninit`, waits until it does not run. So the private data's `data` is initialized, and the
    // device is in the `Links`.
    let dev = unsafe { Device::<T>::from_raw(Node::device(&raw const (*private).link)) };
    T::work(dev);
}

impl<T: Operations> Device<T> {
    /// Queues [`Operations::work`] to run at once, even if it is queued for later. Does nothing if the device is
    /// down. Any context.
    pub fn run_work_now(&self) {
        // SAFETY: By the type invariant the private data is valid, and `ndo_init` has initialized the work.
        unsafe { run_now(of(Private::<T>::of(self.as_raw()))) };
    }

    /// Queues [`Operations::work`] to run after at least `ms` milliseconds, unless it is queued already. Does
    /// nothing if the device is down. Any context.
    pub fn run_work_in(&self, ms: u32) {
        // SAFETY: As in `run_work_now`.
        unsafe { bindings::delayed_work_run_in(of(Private::<T>::of(self.as_raw())), ms) };
    }
}
