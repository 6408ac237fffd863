// SPDX-License-Identifier: GPL-2.0

//! Kernel modules whose registrations end with them.
//!
//! The kernel keeps pointers to a module's functions and data for as long as something is registered,
//! so a registration that outlives its module is a use after free. A module that is declared by
//! [`module!`](crate::module!) therefore does not own its registrations. They belong to a [`Scope`],
//! which no safe code can end, leak or move. The scope unregisters everything when the module is
//! unloaded or when its `init` fails, in an order that suits all registrations. `devres` does the same
//! for drivers.
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
    prelude::*,
    time::{delay::fsleep, Delta},
};
use net_bindings as bindings;

/// A module that registers everything in a [`Scope`].
pub trait Module: Sized + Send + Sync {
    /// Sets the module up. Process context, may sleep.
    ///
    /// The scope unregisters everything if this fails.
    fn init(scope: &'static Scope) -> Result<Self>;
}

/// Declares a kernel module by its [`Module`] type.
///
/// `version` is optional: a constant `&str`. `modinfo` and `/sys/module/NAME/version` show it without
/// trailing white space. The other fields are those of `kernel::prelude::module!`.
///
/// ```
/// use kernel::prelude::*;
/// use net::module::Scope;
///
/// net::module! {
///     type: MyTunnel,
///     version: "1.0",
///     name: "my_tunnel",
///     authors: ["A developer"],
///     description: "A tunnel",
///     license: "GPL v2",
/// }
///
/// struct MyTunnel;
///
/// impl net::module::Module for MyTunnel {
///     fn init(_scope: &'static Scope) -> Result<Self> {
///         // Registers hooks in the scope, which unregisters them.
///         Ok(Self)
///     }
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! module {
    (type: $type:ident, version: $version:expr, $($rest:tt)*) => {
        const _: () = {
            const VERSION: &str = $version;
            // Only bytes, as C's `MODULE_INFO()` puts them there.
            #[cfg(MODULE)]
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static MODINFO: [u8; $crate::module::version_info_len(VERSION)] =
                $crate::module::version_info(VERSION);
        };

        $crate::module! { type: $type, $($rest)* }
    };
    (type: $type:ident, $($rest:tt)*) => {
        /// The type that the kernel crate drops when the module is unloaded.
        struct ModuleInScope($crate::module::Guard<$type>);

        impl ::kernel::Module for ModuleInScope {
            fn init(module: &'static ::kernel::ThisModule) -> ::kernel::error::Result<Self> {
                static SCOPE: $crate::module::Scope = $crate::module::Scope::new();
                // SAFETY: `kernel::prelude::module!` makes the first call, before any other code of this
                // module runs. It drops the result when the module is unloaded. Other calls fail, because
                // a scope can be taken once.
                unsafe { $crate::module::Guard::new(&SCOPE, module) }.map(Self)
            }
        }

        ::kernel::prelude::module! { type: ModuleInScope, $($rest)* }
    };
}

/// The tag that the module loader looks for in `.modinfo`.
const VERSION_TAG: &[u8] = b"version=";

/// Returns the length of [`version_info`] in bytes. For [`module!`](crate::module!).
#[doc(hidden)]
pub const fn version_info_len(version: &str) -> usize {
    VERSION_TAG.len() + version.trim_ascii_end().len() + 1
}

/// Returns the `.modinfo` entry for a version: C's `MODULE_VERSION()`. For [`module!`](crate::module!).
///
/// Does not compile if `LEN` is not [`version_info_len`], or the version has a NUL.
#[doc(hidden)]
pub const fn version_info<const LEN: usize>(version: &str) -> [u8; LEN] {
    assert!(LEN == version_info_len(version));
    let version = version.trim_ascii_end().as_bytes();
    let mut entry = [0; LEN];
    let mut at = 0;
    while at < VERSION_TAG.len() {
        entry[at] = VERSION_TAG[at];
        at += 1;
    }
    while at < LEN - 1 {
        let byte = version[at - VERSION_TAG.len()];
        assert!(byte != 0);
        entry[at] = byte;
        at += 1;
    }
    entry
}

/// The order in which a [`Scope`] undoes its entries. Within a phase the last one registered comes
/// first.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    /// Hooks through which users and tunnel devices reach the module. `undo` waits for calls of a hook,
    /// except for netlink dumps, which hold a reference to the module.
    EntryPoint,
    /// State of network namespaces, which entry points use. Its sockets have hooks of their own.
    State,
}

/// A registration that stays until its module is unloaded.
pub(crate) trait Undo: Send + Sync + 'static {
    /// The phase in which the scope undoes this registration.
    const PHASE: Phase;

    /// Unregisters. Called once. Process context, may sleep.
    fn undo(&self);
}

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
        // After the call was counted. `end` clears `module` before it reads the number of calls, so
        // either this sees null or `end` sees the call.
        self.module()?;
        Ok(call)
    }

    /// Waits until there is no call. Polls, because a call that ends signals no event.
    fn wait_for_calls(&self) {
        while self.calls.load(Ordering::SeqCst) != 0 {
            fsleep(POLL_INTERVAL);
        }
    }

    /// Calls `work` while the module's `init` runs. BPF programs, for example, cannot find the module
    /// yet. Process context, may sleep. Fails with `EBUSY` at another time.
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
        // SAFETY: `end` frees states after the last use by code of the module: its hooks and RCU
        // callbacks have ended, and destructors of the module's data and of entry points have run.
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
        // SAFETY: The entry is not moved; `free` drops it in its place.
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
    /// Must be called once, when the module is unloaded or its `init` has failed.
    unsafe fn end(&self) {
        let module = self.module.swap(ptr::null_mut(), Ordering::SeqCst);
        // A hook may be registering something. A registration after `undo_all` would stay.
        self.wait_for_calls();
        let mut hooks = Queue::new();
        self.entry_points.undo_all(&mut hooks);
        // SAFETY: The module is being unloaded or its `init` has failed, so its memory is not freed yet.
        while unsafe { bindings::module_is_used(module) } {
            // A dump runs in a module whose `init` has failed. Its end signals no event to wait for.
            fsleep(POLL_INTERVAL);
        }
        // Before the states, because destructors of hooks may close sockets, which uses states and RCU.
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
                // SAFETY: `init` has failed, and the scope has not ended before.
                unsafe { scope.end() };
                Err(error)
            }
        }
    }
}

impl<M: Module> Drop for Guard<M> {
    fn drop(&mut self) {
        // SAFETY: `module` is not used after this. The caller of `new` has promised that the module is
        // being unloaded.
        unsafe {
            ManuallyDrop::drop(&mut self.module);
            self.scope.end();
        }
    }
}

/// The head of an [`Entry`], without the entry's type.
struct Node {
    /// The next node in the [`Stack`] or [`Queue`] that holds this one.
    next: UnsafeCell<*mut Node>,
    undo: unsafe fn(NonNull<Node>),
    free: unsafe fn(NonNull<Node>),
}

/// A registration in a [`Scope`]. `node` comes first, so that a pointer to the node is a pointer to the
/// entry.
#[repr(C)]
#[pin_data]
struct Entry<U> {
    node: Node,
    #[pin]
    value: U,
}

/// # Safety
///
/// `node` must be the node of a valid `Entry<U>` that has not been undone.
unsafe fn undo<U: Undo>(node: NonNull<Node>) {
    // SAFETY: Promised by the caller.
    unsafe { node.cast::<Entry<U>>().as_ref() }.value.undo();
}

/// # Safety
///
/// `node` must be the node of a valid `Entry<U>` that has been undone and is not used afterwards.
unsafe fn free<U: Undo>(node: NonNull<Node>) {
    // SAFETY: Promised by the caller. Entries come from a `KBox` and are dropped in their place.
    drop(unsafe { KBox::from_raw(node.cast::<Entry<U>>().as_ptr()) });
}

/// Entries, the last one pushed first. Pushing takes no lock, so that a stack can be a `static`.
struct Stack(AtomicPtr<Node>);

impl Stack {
    const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn push(&self, node: NonNull<Node>) {
        let mut next = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: The node is not in the stack yet, so no other code has it.
            unsafe { *node.as_ref().next.get() = next };
            // Release: `undo_all` must see the entry's content once it sees the entry.
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
            // SAFETY: After the swap no other code has these valid entries.
            unsafe {
                next = NonNull::new(*node.as_ref().next.get());
                (node.as_ref().undo)(node);
                to.append(node);
            }
        }
    }
}

/// Entries that have been undone, in the order in which they were.
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
    /// `node` must be a valid entry that has been undone and that no other code uses.
    unsafe fn append(&mut self, node: NonNull<Node>) {
        // SAFETY: Promised by the caller, for this node and for the last one when it was appended.
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
            // SAFETY: An appended entry is valid and undone, and no other code uses it.
            unsafe {
                self.first = *node.as_ref().next.get();
                (node.as_ref().free)(node);
            }
        }
    }
}
