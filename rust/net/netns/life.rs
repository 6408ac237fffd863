// SPDX-License-Identifier: GPL-2.0

//! The end of a namespace, as seen by objects that may outlive it.

use super::{state, Netns, PerNetns, Place, Slot, SlotRef, READY};
use crate::rcu::{self, RcuReader};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use kernel::{prelude::*, sync::Arc};

/// The life of one network namespace.
pub(crate) struct Life(Arc<Shared>);

struct Shared {
    ended: AtomicBool,
    /// The number of [`Tenant`]s.
    tenants: AtomicUsize,
}

static SLOT: Slot<Life> = Slot::new();

impl PerNetns for Life {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(_place: Place<'_>) -> impl PinInit<Self, Error> {
        let shared = Shared {
            ended: AtomicBool::new(false),
            tenants: AtomicUsize::new(0),
        };
        Arc::new(shared, GFP_KERNEL).map(Self).map_err(Error::from)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // Sequentially consistent: a tenant that the load does not count any more is done with the
        // namespace. A tenant that it counts sees `ended`, or is in an RCU read side that began before.
        self.0.ended.store(true, Ordering::SeqCst);
        if self.0.tenants.load(Ordering::SeqCst) != 0 {
            rcu::wait_for_readers();
        }
    }
}

/// A part of an object that uses a namespace and may outlive it.
pub(crate) struct Tenant(Arc<Shared>);

impl Tenant {
    /// Begins to use a namespace. Fails with `EINVAL` if [`Life`] is not registered.
    pub(crate) fn of(netns: &Netns) -> Result<Self> {
        if SLOT.state.load(Ordering::Acquire) != READY {
            return Err(EINVAL);
        }
        // SAFETY: The caller has a `Netns` from a hook of the module, during which `Life`, once registered,
        // stays registered. C makes the states of all namespaces while it registers.
        let life = unsafe { &*state::<Life>(netns.as_raw()) };
        life.0.tenants.fetch_add(1, Ordering::SeqCst);
        Ok(Self(life.0.clone()))
    }

    /// Returns `true` if this is a tenant of `netns`, which exists.
    pub(crate) fn is_of(&self, netns: &Netns) -> bool {
        // SAFETY: `of` has found `Life` registered, and for the reason given there it stays registered while
        // a hook has a `Netns`.
        let life = unsafe { &*state::<Life>(netns.as_raw()) };
        Arc::ptr_eq(&life.0, &self.0)
    }

    /// Returns `true` if the namespace exists. Then the namespace and all its parts exist until the end of
    /// the read side.
    #[inline(always)]
    pub(crate) fn is_alive(&self, _rcu: RcuReader<'_>) -> bool {
        !self.0.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.0.tenants.fetch_sub(1, Ordering::SeqCst);
    }
}
