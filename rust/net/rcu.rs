// SPDX-License-Identifier: GPL-2.0

//! Waiting for RCU before a module's code may go.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use kernel::{prelude::*, sync::Arc};

/// Shared by everything that queues RCU callbacks; when the last holder is dropped, all callbacks
/// that were queued have run.
///
/// A callback's code lies in the module that queued it, so a module must not be unloaded before it
/// ran. Whoever queues one holds an [`Arc`] of this for as long as it might queue another, and
/// whoever owns the module's state thereby waits, without having to remember to.
pub struct Quiescence(());

impl Quiescence {
    /// Makes one. May sleep.
    pub fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(()), GFP_KERNEL)?)
    }
}

impl Drop for Quiescence {
    fn drop(&mut self) {
        kernel::sync::rcu::rcu_barrier();
    }
}
