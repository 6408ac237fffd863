// SPDX-License-Identifier: GPL-2.0

//! Registered kinds of links, and their devices.

use super::{LinkKind, Ops};
use crate::{
    module::{Phase, Undo},
    netdev::Device,
    rtnl::Rtnl,
    Netns,
};
use kernel::prelude::*;
use net_bindings as bindings;

/// A kind, which lives as long as the module's scope.
///
/// # Invariants
///
/// Only devices of the kind `K` have a pointer to `ops`. `ops` is the first field, so a pointer to it is also
/// a pointer to the `Kind`.
#[repr(C)]
#[pin_data]
pub struct Kind<K: LinkKind> {
    #[pin]
    pub(super) ops: Ops,
    pub(super) kind: K,
}

impl<K: LinkKind> Undo for Kind<K> {
    const PHASE: Phase = Phase::State;

    fn undo(&self) {}
}

impl<K: LinkKind> Kind<K> {
    /// Calls `work` with the device that has an index in a namespace. Returns `None` without a call if there
    /// is no such device, or if it is of another kind. May sleep if `work` does.
    pub fn with_device<R>(
        &self,
        netns: &Netns,
        ifindex: u32,
        rtnl: &mut Rtnl,
        work: impl FnOnce(&Device<K::Device>, &mut Rtnl) -> R,
    ) -> Option<R> {
        let ifindex = i32::try_from(ifindex).ok()?;
        // SAFETY: The namespace is valid. RTNL is held.
        let dev = unsafe { bindings::__dev_get_by_index(netns.as_raw(), ifindex) };
        // SAFETY: C returns null or a device that is in the namespace's list, and so registered, as long as
        // RTNL is held.
        unsafe { self.with(dev, rtnl, work) }
    }

    /// Does what [`Self::with_device`] does, for the device with a name.
    pub fn with_device_named<R>(
        &self,
        netns: &Netns,
        name: &CStr,
        rtnl: &mut Rtnl,
        work: impl FnOnce(&Device<K::Device>, &mut Rtnl) -> R,
    ) -> Option<R> {
        // SAFETY: The namespace is valid, and the name ends with a NUL. RTNL is held.
        let dev = unsafe { bindings::__dev_get_by_name(netns.as_raw(), name.as_char_ptr()) };
        // SAFETY: As in `with_device`.
        unsafe { self.with(dev, rtnl, work) }
    }

    /// Calls `work` for the devices of the kind in a namespace, in ascending order of their indexes, from
    /// index `first` on, until `work` fails.
    pub fn for_each_device(
        &self,
        netns: &Netns,
        first: u32,
        rtnl: &mut Rtnl,
        mut work: impl FnMut(&Device<K::Device>, &mut Rtnl) -> Result,
    ) -> Result {
        let mut next = first;
        loop {
            // SAFETY: The namespace is valid. RTNL is held.
            let dev = unsafe { bindings::netdev_from_index(netns.as_raw(), next as usize) };
            if dev.is_null() {
                return Ok(());
            }
            // SAFETY: C has returned a device of the namespace; see `with_device`.
            let (ifindex, result) = unsafe {
                let ifindex = bindings::netdev_ifindex(dev);
                (ifindex, self.with(dev, rtnl, &mut work))
            };
            result.unwrap_or(Ok(()))?;
            next = u32::try_from(ifindex)?.saturating_add(1);
        }
    }

    /// # Safety
    ///
    /// `dev` must be null, or be registered as long as RTNL is held.
    unsafe fn with<R>(
        &self,
        dev: *mut bindings::net_device,
        rtnl: &mut Rtnl,
        work: impl FnOnce(&Device<K::Device>, &mut Rtnl) -> R,
    ) -> Option<R> {
        // SAFETY: The caller promises a valid device. By the type invariant only a device of the kind `K` has
        // this pointer, and `ndo_init` has succeeded for a registered device. `work` cannot unregister it
        // without giving RTNL up.
        unsafe {
            if dev.is_null() || bindings::netdev_rtnl_link_ops(dev) != self.ops.0.get() {
                return None;
            }
            Some(work(Device::from_raw(dev), rtnl))
        }
    }
}

/// Returns the kind of a device.
///
/// # Safety
///
/// `dev` must be a valid device of the registered kind `K`. The chosen lifetime must end with the callback
/// that `dev` was passed to.
pub(super) unsafe fn of<'a, K: LinkKind>(dev: *const bindings::net_device) -> &'a K {
    // SAFETY: The caller promises a device of the kind, whose operations are the first field of a `Kind<K>`.
    // The scope keeps the `Kind` until all callbacks and devices have ended.
    unsafe { &(*bindings::netdev_rtnl_link_ops(dev).cast::<Kind<K>>()).kind }
}
