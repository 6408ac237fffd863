// SPDX-License-Identifier: GPL-2.0

//! Network namespaces that may have lost their states.

use super::Netns;
use net_bindings as bindings;

/// A namespace that may not have the module's states yet, or may no longer have them. Only C's own parts of the
/// namespace can be used, such as routes.
///
/// At the end of a namespace its states are dropped before the devices that are in it. So a hook that finds a
/// namespace by a device cannot ask for a state. This does not compile:
///
/// ```compile_fail,E0308
/// # use net::netns::{BareNetns, PerNetns, Registration};
/// fn state<'a, T: PerNetns>(states: &'a Registration<T>, netns: BareNetns<'a>) -> &'a T {
///     states.get(netns)
/// }
/// ```
#[derive(Clone, Copy)]
pub struct BareNetns<'a>(&'a Netns);

impl<'a> BareNetns<'a> {
    /// Borrows a namespace from C.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for the chosen lifetime.
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: *const bindings::net) -> Self {
        // SAFETY: Promised by the caller. The reference stays in `self`, which gives it to no code that looks for a
        // state.
        Self(unsafe { Netns::from_raw(ptr) })
    }

    /// Returns C's pointer.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::net {
        self.0.as_raw()
    }

    /// Does what [`Netns::cookie`] does.
    #[inline]
    pub fn cookie(&self) -> u64 {
        self.0.cookie()
    }
}

impl<'a> From<&'a Netns> for BareNetns<'a> {
    #[inline]
    fn from(netns: &'a Netns) -> Self {
        Self(netns)
    }
}
