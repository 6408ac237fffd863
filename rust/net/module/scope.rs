// SPDX-License-Identifier: GPL-2.0

//! The scope that a module's registrations belong to.

use super::{
    registrations::{Entry, Phase, Queue, Stack, Undo},
    Module,
};
use crate::rcu;
use core::{
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
};
use kernel::{
    prelude::*,
    time::{delay::fsleep, Delta},
};
use net_bindings as bindings;

/// The registrations of a module.
pub struct Scope {
    /// Null before the module's `init` and after the scope has ended.
    module: AtomicPtr<bindings::module>,
    taken: AtomicBool,
    /// `true` while the module's `init` runs.
    loading: AtomicBool,
    /// The number of [`Call`]s.
    calls: AtomicUsize,
    entry_points: Stack,
    states: Stack,
}

impl Scope {
    /// Makes a scope in which every registration fails. Only [`module!`](crate::module!) can open a
    /// scope.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            module: AtomicPtr::new(ptr::null_mut()),
            taken: AtomicBool::new(false),
            loading: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            entry_points: Stack::new(),
            states: Stack::new(),
        }
    }

    /// Returns the module. Fails with `ENODEV` when the scope has ended.
    pub(crate) fn module(&self) -> Result<NonNull<bindings::module>> {
        NonNull::new(self.module.load(Ordering::SeqCst)).ok_or(ENODEV)
    }

    /// Keeps the scope open until the result is dropped, and keeps [`Guard::new`] from returning. Fails
    /// with `ENODEV` when the scope has ended.
    fn call(&self) -> Result<Call<'_>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let call = Call(self);
        // Checked after the call was counted. `end` clears `module` before it reads the number of calls, so
        // either this function sees null or `end` sees the call.
        self.module()?;
        Ok(call)
    }

    /// Waits until there is no call. Polls, because a call that ends signals no event.
    fn wait_for_calls(&self) {
        while self.calls.load(Ordering::SeqCst) != 0 {
            fsleep(POLL_INTERVAL);
        }
    }

    /// Calls `work` while the module's `init` runs. BPF programs, for example, cannot find the module yet.
    /// Process context, may sleep. Fails with `EBUSY` at another time, and with `ENODEV` when the scope has
    /// ended.
    pub(crate) fn while_loading<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<R> {
        let _call = self.call()?;
        if !self.loading.load(Ordering::SeqCst) {
            return Err(EBUSY);
        }
        work()
    }

    /// Runs an initializer, which registers as its last step, and keeps the value until the module is
    /// unloaded. Process context, may sleep. Fails with the initializer's error, `ENOMEM`, or `ENODEV`
    /// when the scope has ended.
    pub(crate) fn register<U: Undo>(&'static self, init: impl PinInit<U, Error>) -> Result {
        self.add(init).map(|_| ())
    }

    /// Does what [`Self::register`] does, for state that hooks use. The state lives until no hook runs.
    pub(crate) fn register_state<U: Undo>(
        &'static self,
        init: impl PinInit<U, Error>,
    ) -> Result<&'static U> {
        const { assert!(matches!(U::PHASE, Phase::State)) }
        let entry = self.add(init)?;
        // SAFETY: The entry is valid and pinned until `end` frees it. `end` frees states after the last use
        // by code of the module: its hooks and RCU callbacks have ended, and destructors of the module's data
        // and of entry points have run. Until then all references to an entry are shared.
        Ok(&unsafe { entry.as_ref() }.value)
    }

    fn add<U: Undo>(&'static self, init: impl PinInit<U, Error>) -> Result<NonNull<Entry<U>>> {
        let _call = self.call()?;
        let entry = KBox::pin_init(Entry::new(init), GFP_KERNEL)?;
        Ok(match U::PHASE {
            Phase::EntryPoint => self.entry_points.push(entry),
            Phase::State => self.states.push(entry),
        })
    }

    /// Undoes everything.
    ///
    /// # Safety
    ///
    /// Must be called once, by [`Guard`], when the module is unloaded or its `init` has failed.
    unsafe fn end(&self) {
        let module = self.module.swap(ptr::null_mut(), Ordering::SeqCst);
        // A hook may be registering something. A registration after `undo_all` would stay.
        self.wait_for_calls();
        let mut hooks = Queue::new();
        self.entry_points.undo_all(&mut hooks);
        // SAFETY: `Guard::new` has stored a valid module, and only this call takes the module out. The module
        // is being unloaded or its `init` has failed: the loader frees its memory after this returns.
        while unsafe { bindings::module_is_used(module) } {
            // A dump may still run in a module whose `init` has failed. The dump's end signals no event to
            // wait for.
            fsleep(POLL_INTERVAL);
        }
        // Freed before the states, because destructors of hooks may close sockets, which uses states and RCU.
        hooks.free_all();
        let mut states = Queue::new();
        self.states.undo_all(&mut states);
        // RCU callbacks of hooks and states are code of the module.
        rcu::wait_for_callbacks();
        states.free_all();
    }
}

/// The interval at which [`Scope::end`] polls for the end of calls and dumps.
const POLL_INTERVAL: Delta = Delta::from_millis(10);

/// Work that the scope's end waits for.
struct Call<'a>(&'a Scope);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // Release: `end` must see the pushed entry once it sees this number.
        self.0.calls.fetch_sub(1, Ordering::Release);
    }
}

/// The module's own data and its scope. For [`module!`](crate::module!) alone.
pub struct Guard<M: Module> {
    module: ManuallyDrop<M>,
    scope: &'static Scope,
}

impl<M: Module> Guard<M> {
    /// Opens a scope and sets the module up in it. Fails with `EBUSY` if the scope was taken before, and
    /// with the module's error.
    ///
    /// # Safety
    ///
    /// `module` must be the module that this code is part of, and must be being loaded. The guard must be
    /// dropped when the module is unloaded, and not before.
    pub unsafe fn new(scope: &'static Scope, module: &'static ThisModule) -> Result<Self> {
        if scope.taken.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        scope.loading.store(true, Ordering::SeqCst);
        scope.module.store(module.as_ptr(), Ordering::SeqCst);
        let result = M::init(scope);
        scope.loading.store(false, Ordering::SeqCst);
        // A hook may still run code that is allowed only while the module is being loaded.
        scope.wait_for_calls();
        match result {
            Ok(data) => Ok(Self {
                module: ManuallyDrop::new(data),
                scope,
            }),
            Err(error) => {
                // SAFETY: `init` has failed. No other call ends the scope: this call took the scope, and
                // returns no guard.
                unsafe { scope.end() };
                Err(error)
            }
        }
    }
}

impl<M: Module> Drop for Guard<M> {
    fn drop(&mut self) {
        // SAFETY: A value is dropped once, and its fields are not used after `drop`, so this drops `module`
        // once. The guard took the scope, and `new` has returned the guard without ending the scope. The
        // caller of `new` has promised that the module is being unloaded.
        unsafe {
            ManuallyDrop::drop(&mut self.module);
            self.scope.end();
        }
    }
}
