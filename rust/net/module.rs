// SPDX-License-Identifier: GPL-2.0

//! Kernel modules whose registrations end with them.
//!
//! C keeps pointers to a module's functions and data as long as something is registered, so a
//! registration that outlives its module is a use after free. A module that is declared by
//! [`module!`](crate::module!) therefore does not own its registrations: a [`Scope`] does, which safe
//! code can neither end nor leak nor move. The scope unregisters everything when the module is unloaded,
//! or when its `init` fails, in an order that suits all registrations. `devres` does the same for drivers.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use crate::rcu;
use core::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
};
use kernel::{
    bindings,
    prelude::*,
    time::{delay::fsleep, Delta},
};

/// A module that registers everything in a [`Scope`].
pub trait Module: Sized + Send + Sync {
    /// Sets the module up. Process context, may sleep.
    ///
    /// If this fails, the scope unregisters everything.
    fn init(scope: &'static Scope) -> Result<Self>;
}

/// Declares a kernel module by its [`Module`] type; other fields are those of `kernel::prelude::module!`.
#[macro_export]
macro_rules! module {
    (type: $type:ident, $($rest:tt)*) => {
        /// The module as the kernel keeps it.
        struct ModuleInScope($crate::module::Guard<$type>);

        impl ::kernel::Module for ModuleInScope {
            fn init(module: &'static ::kernel::ThisModule) -> ::kernel::error::Result<Self> {
                static SCOPE: $crate::module::Scope = $crate::module::Scope::new();
                // SAFETY: `kernel::prelude::module!` makes the first call, before any other code of this
                // module runs. It keeps the result until the module is unloaded, and drops it then.
                // Other calls fail, because a scope is taken once.
                unsafe { $crate::module::Guard::new(&SCOPE, module) }.map(Self)
            }
        }

        ::kernel::prelude::module! { type: ModuleInScope, $($rest)* }
    };
}

/// The time at which an entry of a [`Scope`] is undone. Within a phase the last one registered comes first.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    /// Hooks through which users and tunnel devices reach the module. When `undo` returns, no call of a
    /// hook runs, except netlink dumps, which hold a reference to the module.
    EntryPoint,
    /// State by network namespace, which hooks use. It has hooks of its own: those of sockets.
    State,
}

/// A registration, which stays until its module is unloaded.
pub(crate) trait Undo: Send + Sync + 'static {
    /// The time to undo it.
    const PHASE: Phase;

    /// Undoes the registration. Called once. Process context, may sleep.
    fn undo(&self);
}

/// The registrations of a module.
pub struct Scope {
    /// Null before the module's `init` and after its end.
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
    /// Returns a scope that refuses registrations: [`module!`](crate::module!) opens its own.
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

    /// Keeps the scope from ending, and a module that is being loaded from being used, until the
    /// result is dropped. Fails with `ENODEV` when the scope has ended.
    fn call(&self) -> Result<Call<'_>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let call = Call(self);
        // After the call was counted: `end` takes the module away before it reads the number of calls, so
        // this sees no module or `end` sees the call.
        self.module()?;
        Ok(call)
    }

    /// Waits until there is no [`Call`]. There is no event to wait for.
    fn wait_for_calls(&self) {
        while self.calls.load(Ordering::SeqCst) != 0 {
            fsleep(POLL_INTERVAL);
        }
    }

    /// Calls `work`, if the module's `init` runs: nothing else can find the module then, such as BPF
    /// programs. Process context, may sleep. Fails with `EBUSY` at another time.
    pub(crate) fn while_loading<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<R> {
        let _call = self.call()?;
        if !self.loading.load(Ordering::SeqCst) {
            return Err(EBUSY);
        }
        work()
    }

    /// Keeps a registration, which its initializer makes as its last step. Process context, may sleep.
    /// Fails with the initializer's error, `ENOMEM`, or `ENODEV` when the scope has ended.
    pub(crate) fn register<U: Undo>(&'static self, init: impl PinInit<U, Error>) -> Result {
        self.add(init).map(|_| ())
    }

    /// As [`Self::register`], for state that hooks use: the state lives until no hook runs any more.
    pub(crate) fn register_state<U: Undo>(
        &'static self,
        init: impl PinInit<U, Error>,
    ) -> Result<&'static U> {
        const { assert!(matches!(U::PHASE, Phase::State)) }
        let entry = self.add(init)?;
        // SAFETY: `end` frees states, when no code of the module can use them any more: its hooks and RCU
        // callbacks have returned, and the module's data and the entry points have been dropped before.
        Ok(unsafe { &(*entry.as_ptr()).value })
    }

    fn add<U: Undo>(&'static self, init: impl PinInit<U, Error>) -> Result<NonNull<Entry<U>>> {
        let _call = self.call()?;
        let entry = KBox::pin_init(
            try_pin_init!(Entry {
                node: Node {
                    next: UnsafeCell::new(ptr::null_mut()),
                    undo: undo::<U>,
                    free: free::<U>,
                },
                value <- init,
            }? Error),
            GFP_KERNEL,
        )?;
        // SAFETY: The entry is not moved: `free` drops it in its place.
        let entry = NonNull::from(KBox::leak(unsafe { Pin::into_inner_unchecked(entry) }));
        match U::PHASE {
            Phase::EntryPoint => self.entry_points.push(entry.cast()),
            Phase::State => self.states.push(entry.cast()),
        }
        Ok(entry)
    }

    /// Undoes everything.
    ///
    /// # Safety
    ///
    /// To be called once, when the module is being unloaded or its `init` has failed.
    unsafe fn end(&self) {
        let module = self.module.swap(ptr::null_mut(), Ordering::SeqCst);
        // A hook may be registering something. A registration after `undo_all` would stay.
        self.wait_for_calls();
        let mut hooks = Queue::new();
        self.entry_points.undo_all(&mut hooks);
        // SAFETY: The module is being unloaded or was not loaded; its memory is there meanwhile.
        while unsafe { net_bindings::module_is_used(module) } {
            // A dump runs although the module's `init` has failed. There is no event to wait for.
            fsleep(POLL_INTERVAL);
        }
        // Before the states, because the destructors of hooks may close sockets.
        hooks.free_all();
        let mut states = Queue::new();
        self.states.undo_all(&mut states);
        // The code of RCU callbacks that hooks and states have queued is the module's.
        rcu::wait_for_callbacks();
        states.free_all();
    }
}

/// The time between two looks at a condition that has no event.
const POLL_INTERVAL: Delta = Delta::from_millis(10);

/// Work that the scope's end waits for.
struct Call<'a>(&'a Scope);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // The release makes what was pushed visible before the number.
        self.0.calls.fetch_sub(1, Ordering::Release);
    }
}

/// The module's own data and its scope, for the module macro alone.
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
    /// `module` must be the module whose code this is, and must be being loaded. The guard must be dropped
    /// when the module is unloaded, and not before; the module must not be unloaded without that.
    pub unsafe fn new(scope: &'static Scope, module: &'static ThisModule) -> Result<Self> {
        if scope.taken.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        scope.loading.store(true, Ordering::SeqCst);
        scope.module.store(module.as_ptr(), Ordering::SeqCst);
        let result = M::init(scope);
        scope.loading.store(false, Ordering::SeqCst);
        // A hook may still be in `while_loading`.
        scope.wait_for_calls();
        match result {
            Ok(data) => Ok(Self {
                module: ManuallyDrop::new(data),
                scope,
            }),
            Err(error) => {
                // SAFETY: `init` has failed, and the scope was not ended before.
                unsafe { scope.end() };
                Err(error)
            }
        }
    }
}

impl<M: Module> Drop for Guard<M> {
    fn drop(&mut self) {
        // SAFETY: The data is not used after this. The module is being unloaded, as promised to `new`.
        unsafe {
            ManuallyDrop::drop(&mut self.module);
            self.scope.end();
        }
    }
}

/// The head of an [`Entry`] of any type.
struct Node {
    /// The next node of the [`Stack`] or [`Queue`] that this node is in.
    next: UnsafeCell<*mut Node>,
    undo: unsafe fn(NonNull<Node>),
    free: unsafe fn(NonNull<Node>),
}

/// A registration in a list. `node` comes first, so that a pointer to it is one to the whole.
#[repr(C)]
#[pin_data]
struct Entry<U> {
    node: Node,
    #[pin]
    value: U,
}

/// # Safety
///
/// `node` must be that of a valid `Entry<U>` that has not been undone.
unsafe fn undo<U: Undo>(node: NonNull<Node>) {
    // SAFETY: Promised by the caller.
    unsafe { node.cast::<Entry<U>>().as_ref() }.value.undo();
}

/// # Safety
///
/// `node` must be that of a valid `Entry<U>` that has been undone, and must not be used after this.
unsafe fn free<U: Undo>(node: NonNull<Node>) {
    // SAFETY: Promised by the caller; entries come out of a `KBox`, and this drops them in their place.
    drop(unsafe { KBox::from_raw(node.cast::<Entry<U>>().as_ptr()) });
}

/// Entries, the last one pushed first. Pushing takes no lock, so that the stack can be a `static`.
struct Stack(AtomicPtr<Node>);

impl Stack {
    const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn push(&self, node: NonNull<Node>) {
        let mut next = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: The node is not in the stack yet, so nobody else reads or writes it.
            unsafe { *node.as_ref().next.get() = next };
            // The release makes the entry's content visible before the entry.
            match self.0.compare_exchange_weak(
                next,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => next = other,
            }
        }
    }

    /// Undoes all entries and moves them to a queue.
    fn undo_all(&self, to: &mut Queue) {
        let mut next = NonNull::new(self.0.swap(ptr::null_mut(), Ordering::Acquire));
        while let Some(node) = next {
            // SAFETY: These are valid entries, and nobody else has them since the swap.
            unsafe {
                next = NonNull::new(*node.as_ref().next.get());
                (node.as_ref().undo)(node);
                to.append(node);
            }
        }
    }
}

/// Entries that were undone, the first one undone first.
struct Queue {
    first: *mut Node,
    last: Option<NonNull<Node>>,
}

impl Queue {
    const fn new() -> Self {
        Self {
            first: ptr::null_mut(),
            last: None,
        }
    }

    /// # Safety
    ///
    /// `node` must be a valid entry that was undone, and that nobody else has.
    unsafe fn append(&mut self, node: NonNull<Node>) {
        // SAFETY: Promised by the caller for this node, and for the last one when it was appended.
        unsafe {
            *node.as_ref().next.get() = ptr::null_mut();
            match self.last.replace(node) {
                None => self.first = node.as_ptr(),
                Some(last) => *last.as_ref().next.get() = node.as_ptr(),
            }
        }
    }

    fn free_all(mut self) {
        while let Some(node) = NonNull::new(self.first) {
            // SAFETY: The nodes that were appended are valid, undone, and nobody else has them.
            unsafe {
                self.first = *node.as_ref().next.get();
                (node.as_ref().free)(node);
            }
        }
    }
}
