// SPDX-License-Identifier: GPL-2.0

//! Kernel modules whose registrations end with them.
//!
//! C keeps pointers to a module's functions and data for as long as something is registered, so a
//! registration that outlives its module is a use after free. A module that is declared by
//! [`module!`](crate::module!) therefore does not own its registrations: a [`Scope`] does, which no
//! safe code can end, leak or move. It unregisters everything when the module goes, or when its `init`
//! fails, in an order that suits all of them. `devres` does the same for drivers.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use crate::rcu;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};
use kernel::{
    bindings,
    prelude::*,
    time::{delay::fsleep, Delta},
};
use net_bindings as extra;

/// A module that registers everything in a [`Scope`].
pub trait Module: Sized + Send + Sync {
    /// Sets the module up. Process context, may sleep.
    ///
    /// What has been registered is unregistered again if this fails.
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
                // SAFETY: The first call is the one of `kernel::prelude::module!`, before which no code of
                // this module runs. It keeps the result until the module goes, and drops it then.
                // Other calls fail, because a scope is taken once.
                unsafe { $crate::module::Guard::new(&SCOPE, module) }.map(Self)
            }
        }

        ::kernel::prelude::module! { type: ModuleInScope, $($rest)* }
    };
}

/// When an entry of a [`Scope`] is undone. Within a phase the last one registered comes first.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    /// Hooks through which users and packets reach the module. Calls of them have ended when `undo`
    /// returns, except netlink dumps, which hold a reference to the module.
    EntryPoint,
    /// State that hooks use.
    State,
}

/// Something that stays registered until its module goes.
pub(crate) trait Undo: Send + Sync + 'static {
    /// When to undo it.
    const PHASE: Phase;

    /// Unregisters it. Called once. Process context, may sleep.
    fn undo(&self);
}

/// The registrations of a module.
///
/// Registrations are handed out as `&'static`: they live until none of the module's code can run.
pub struct Scope {
    /// Null before the module's `init` and after its end.
    module: AtomicPtr<bindings::module>,
    taken: AtomicBool,
    entry_points: Stack,
    states: Stack,
}

impl Scope {
    /// Returns a scope that nothing can be registered in: [`module!`](crate::module!) opens its own.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            module: AtomicPtr::new(ptr::null_mut()),
            taken: AtomicBool::new(false),
            entry_points: Stack::new(),
            states: Stack::new(),
        }
    }

    /// Returns the module. Fails with `ENODEV` when the scope has ended.
    pub(crate) fn module(&self) -> Result<NonNull<bindings::module>> {
        NonNull::new(self.module.load(Ordering::Acquire)).ok_or(ENODEV)
    }

    /// Keeps what an initializer registers; the initializer registers it last. Process context, may
    /// sleep. Fails with the initializer's error, `ENOMEM`, or `ENODEV` when the scope has ended.
    pub(crate) fn register<U: Undo>(
        &'static self,
        init: impl PinInit<U, Error>,
    ) -> Result<&'static U> {
        self.module()?;
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
        // SAFETY: The entry is not moved: it is freed in its place.
        let entry = NonNull::from(KBox::leak(unsafe { Pin::into_inner_unchecked(entry) }));
        match U::PHASE {
            Phase::EntryPoint => self.entry_points.push(entry.cast()),
            Phase::State => self.states.push(entry.cast()),
        }
        // SAFETY: Only `end` frees entries, when no code of the module can run any more.
        Ok(unsafe { &(*entry.as_ptr()).value })
    }

    /// Undoes everything.
    ///
    /// # Safety
    ///
    /// To be called once, when the module goes or was not loaded.
    unsafe fn end(&self) {
        let module = self.module.swap(ptr::null_mut(), Ordering::AcqRel);
        let mut undone = Queue::new();
        // A call that has seen the scope open may push until its hook is unregistered, hence until
        // none is left.
        self.entry_points.undo_all(&mut undone);
        // SAFETY: The module is being unloaded or was not loaded; its memory is there meanwhile.
        while unsafe { extra::module_is_used(module) } {
            // A dump of a module whose `init` has failed. There is no event to wait for.
            fsleep(Delta::from_millis(10));
        }
        self.states.undo_all(&mut undone);
        // Callbacks that hooks and states have left to RCU are the module's code, and those that freeing
        // leaves are.
        rcu::wait_for_callbacks();
        undone.free_all();
        rcu::wait_for_callbacks();
    }
}

/// What a module macro keeps: the module's own data and its scope.
///
/// Not for use by other code.
pub struct Guard<M: Module> {
    module: ManuallyDrop<M>,
    scope: &'static Scope,
    _module: PhantomData<M>,
}

impl<M: Module> Guard<M> {
    /// Opens a scope and sets the module up in it. Fails with `EBUSY` if the scope was taken before.
    ///
    /// # Safety
    ///
    /// `module` is the module whose code this is, and is being loaded. The guard must be dropped when
    /// the module goes, and not before; the module must not go without that.
    pub unsafe fn new(scope: &'static Scope, module: &'static ThisModule) -> Result<Self> {
        if scope.taken.swap(true, Ordering::AcqRel) {
            return Err(EBUSY);
        }
        scope.module.store(module.as_ptr(), Ordering::Release);
        match M::init(scope) {
            Ok(data) => Ok(Self {
                module: ManuallyDrop::new(data),
                scope,
                _module: PhantomData,
            }),
            Err(error) => {
                // SAFETY: The module is not loaded, and the scope not ended before.
                unsafe { scope.end() };
                Err(error)
            }
        }
    }
}

impl<M: Module> Drop for Guard<M> {
    fn drop(&mut self) {
        // SAFETY: It is not used after this, and the module goes, as promised to `new`.
        unsafe {
            ManuallyDrop::drop(&mut self.module);
            self.scope.end();
        }
    }
}

/// The head of an [`Entry`], by which its type is forgotten.
struct Node {
    /// The next one, for the [`Stack`] or [`Queue`] that has this one.
    next: UnsafeCell<*mut Node>,
    undo: unsafe fn(NonNull<Node>),
    free: unsafe fn(NonNull<Node>),
}

/// Something registered. `node` comes first, so that a pointer to it is one to the whole.
#[repr(C)]
#[pin_data]
struct Entry<U> {
    node: Node,
    #[pin]
    value: U,
}

/// # Safety
///
/// `node` must be that of a valid `Entry<U>`, which has not been undone.
unsafe fn undo<U: Undo>(node: NonNull<Node>) {
    // SAFETY: Promised by the caller.
    unsafe { node.cast::<Entry<U>>().as_ref() }.value.undo();
}

/// # Safety
///
/// `node` must be that of a valid `Entry<U>` that has been undone and is not used after.
unsafe fn free<U: Undo>(node: NonNull<Node>) {
    // SAFETY: Promised by the caller; entries come out of a `KBox`, and are dropped in their place.
    drop(unsafe { KBox::from_raw(node.cast::<Entry<U>>().as_ptr()) });
}

/// Entries, the last one pushed first. Pushing takes no lock, so that it can be a `static`.
struct Stack(AtomicPtr<Node>);

impl Stack {
    const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn push(&self, node: NonNull<Node>) {
        let mut next = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: The node is not in the stack yet, so it is ours to write to.
            unsafe { *node.as_ref().next.get() = next };
            // The entry's content is to be seen before the entry.
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
        // Entries may be pushed meanwhile.
        while let Some(first) = NonNull::new(self.0.swap(ptr::null_mut(), Ordering::Acquire)) {
            let mut next = Some(first);
            while let Some(node) = next {
                // SAFETY: The swap has made all of these ours; they are valid entries.
                unsafe {
                    next = NonNull::new(*node.as_ref().next.get());
                    (node.as_ref().undo)(node);
                    to.append(node);
                }
            }
        }
    }
}

/// Entries that were undone, the first one first: hooks use state, so hooks are freed before it.
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
    /// `node` must be a valid entry that was undone and is nobody else's.
    unsafe fn append(&mut self, node: NonNull<Node>) {
        // SAFETY: Promised by the caller, now and for the last one when that was appended.
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
            // SAFETY: What was appended is valid, undone and ours.
            unsafe {
                self.first = *node.as_ref().next.get();
                (node.as_ref().free)(node);
            }
        }
    }
}
