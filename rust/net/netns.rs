// SPDX-License-Identifier: GPL-2.0

//! Network namespaces, and state that exists once in each.
//!
//! C headers: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h),
//! [`include/net/netns/generic.h`](srctree/include/net/netns/generic.h)

mod bare;
mod life;
mod sockets;

pub use bare::BareNetns;
pub(crate) use life::{Life, Tenant};
pub(crate) use sockets::{Socket, Sockets};

use crate::module::{Phase, Scope, Undo};
use core::{
    cell::UnsafeCell,
    ffi::c_uint,
    marker::PhantomData,
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicU8, Ordering},
};
use kernel::{error::to_result, prelude::*, types::Opaque};
use net_bindings as bindings;

/// A network namespace (`struct net`).
///
/// A reference is borrowed from a hook of the module, and cannot be stored. The type is not
/// [`AlwaysRefCounted`](kernel::sync::aref::AlwaysRefCounted): the destructor of a state or of a tunnel could hold
/// a counted reference, and through it reach the states of a namespace while they are being unregistered. A module
/// that stores something for a namespace uses [`PerNetns`], which does not keep the namespace from ending.
///
/// # Invariants
///
/// A reference to this points to a `struct net` that is valid for the reference's lifetime.
#[repr(transparent)]
pub struct Netns(Opaque<bindings::net>);

// SAFETY: A shared reference only gives out C's pointer. C functions that take the pointer may be called
// from any thread.
unsafe impl Sync for Netns {}

impl Netns {
    /// Borrows a namespace from C.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for the chosen lifetime.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *const bindings::net) -> &'a Self {
        // SAFETY: The caller promises a pointer that is valid for the lifetime. The type is a transparent
        // wrapper of an `Opaque`, so C may change the namespace meanwhile.
        unsafe { &*ptr.cast() }
    }

    /// Returns C's pointer.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::net {
        self.0.get()
    }

    /// Returns the namespace's number: the inode number of `/proc/PID/ns/net`.
    #[inline]
    pub fn inum(&self) -> u32 {
        // SAFETY: By the type invariant the namespace is valid. C does not change the number of a valid namespace.
        unsafe { bindings::net_inum(self.as_raw()) }
    }

    /// Returns the namespace's cookie: no other namespace has it until the next boot.
    #[inline]
    pub fn cookie(&self) -> u64 {
        // SAFETY: As in `inum`.
        unsafe { bindings::net_cookie(self.as_raw()) }
    }
}

/// A namespace to open sockets in, which may not have all of its states yet.
#[derive(Clone, Copy)]
pub struct Place<'a>(&'a Netns);

impl Place<'_> {
    /// Returns C's pointer.
    pub(crate) fn as_raw(&self) -> *mut bindings::net {
        self.0.as_raw()
    }
}

impl<'a> From<&'a Netns> for Place<'a> {
    #[inline]
    fn from(netns: &'a Netns) -> Self {
        Self(netns)
    }
}

/// State that exists once in each network namespace.
pub trait PerNetns: Send + Sync + Sized + 'static {
    /// The slot for the number under which C keeps the state: a `static` of the implementer's.
    const SLOT: SlotRef<Self>;

    /// The work that is done under RTNL at the end of a namespace, before its state is dropped.
    const EXIT_RTNL: ExitRtnl = ExitRtnl::NONE;

    /// Makes the state of a namespace. Called for each namespace that exists when the state is
    /// registered, and for each one that is created later. May sleep.
    ///
    /// The state is dropped in process context, when the module ends, or when the namespace ends. A
    /// namespace ends after all processes have left it.
    // Not `&Netns`: the namespace may not have the states of other types yet, or no longer.
    fn new(place: Place<'_>) -> impl PinInit<Self, Error>;

    /// `true` if C calls [`Self::pre_exit`].
    const HAS_PRE_EXIT: bool = false;

    /// Called when the namespace or the module is about to end. Hooks still run. A grace period passes between
    /// this and the drop of the state. Process context, may sleep.
    fn pre_exit(&self) {}
}

/// A function that unregisters devices when a namespace ends.
pub struct ExitRtnl(Option<ExitRtnlFn>);

/// Adds devices of a namespace to a list of devices to be unregistered.
type ExitRtnlFn = unsafe extern "C" fn(*mut bindings::net, *mut bindings::list_head);

impl ExitRtnl {
    /// No function: nothing is unregistered.
    pub const NONE: Self = Self(None);

    pub(crate) const fn new(function: ExitRtnlFn) -> Self {
        Self(Some(function))
    }
}

/// The number under which each namespace keeps its `T`.
pub struct Slot<T> {
    /// `FREE`, `TAKEN` or `READY`.
    state: AtomicU8,
    id: UnsafeCell<c_uint>,
    // Invariant in `T`: another type has another slot.
    _state: PhantomData<fn(T) -> T>,
}

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const READY: u8 = 2;

// SAFETY: `state` is atomic. C writes `id` only during a registration by the call that has changed `state` from
// `FREE` to `TAKEN`, so no two writes run at a time. Others read `id` only in hooks of a `T` that is registered,
// which begin after the write: C makes the namespaces' states, and the caller registers its hooks, after that.
unsafe impl<T> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// Returns a slot that nothing is registered in.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(FREE),
            id: UnsafeCell::new(0),
            _state: PhantomData,
        }
    }
}

/// A reference to a static [`Slot`], for use in a constant.
///
/// # Invariants
///
/// The pointer came from a `&'static Slot<T>`.
pub struct SlotRef<T: 'static>(*const Slot<T>);

impl<T> SlotRef<T> {
    /// Refers to `slot`.
    pub const fn new(slot: &'static Slot<T>) -> Self {
        // INVARIANT: By the argument's type.
        Self(slot)
    }

    #[inline]
    fn get(self) -> &'static Slot<T> {
        // SAFETY: By the type invariant the pointer came from a reference that is valid for ever, to a type
        // that is `Sync`.
        unsafe { &*self.0 }
    }
}

/// Registers a [`PerNetns`] state and makes it in every namespace. Process context, may sleep.
///
/// The module's end drops the state in every namespace. Fails with `EBUSY` if the state is registered
/// already. If the state cannot be made in one namespace, it is dropped in all others, and the error
/// is returned.
pub fn register<T: PerNetns>(scope: &'static Scope) -> Result<&'static Registration<T>> {
    // Registered before any other state, so that each namespace has the table of sockets when the other state is
    // made.
    register_once::<Sockets>(scope)?;
    scope.register_state(Registration::new())
}

/// Registers a state that this crate itself needs, unless it is registered already. Process context, may sleep.
/// Fails with `EBUSY` while another call registers it.
pub(crate) fn register_once<T: PerNetns>(scope: &'static Scope) -> Result {
    match T::SLOT.get().state.load(Ordering::Acquire) {
        READY => Ok(()),
        // Another call is registering it.
        TAKEN => Err(EBUSY),
        _ => scope.register(Registration::<T>::new()),
    }
}

/// A [`PerNetns`] state that is registered.
///
/// # Invariants
///
/// `ops` is registered with C, for `T` and its slot, which this has taken.
#[repr(transparent)]
pub struct Registration<T: PerNetns> {
    ops: Opaque<bindings::pernet_operations>,
    // Invariant in `T`, as `Slot`.
    _state: PhantomData<fn(T) -> T>,
}

// SAFETY: Any thread may register and unregister: C does both under its own lock, and writes to `ops` only
// then. `get` does not read `ops`. The states are `Send` and `Sync`, by `PerNetns`.
unsafe impl<T: PerNetns> Send for Registration<T> {}
// SAFETY: As above.
unsafe impl<T: PerNetns> Sync for Registration<T> {}

/// A slot that was taken. Dropping this gives the slot back, unless it is ready.
struct Taken(&'static AtomicU8);

impl Drop for Taken {
    fn drop(&mut self) {
        let _ = self
            .0
            .compare_exchange(TAKEN, FREE, Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl<T: PerNetns> Registration<T> {
    fn new() -> impl PinInit<Self, Error> {
        const {
            assert!(
                align_of::<T>() <= align_of::<u64>(),
                "C allocates the state with kmalloc's least alignment"
            )
        };
        let init = move |this: *mut Self| {
            let slot = T::SLOT.get();
            slot.state
                .compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
                .map_err(|_| EBUSY)?;
            let taken = Taken(&slot.state);
            // SAFETY: `pin_init_from_closure` passes memory for a `Self`, so the field's place can be
            // computed.
            let ops = unsafe { Opaque::cast_into(&raw const (*this).ops) };
            // SAFETY: `ops` is valid for writes, as above. The operations stay where they are until `undo`
            // has unregistered them, because the memory is pinned and the scope undoes what it has
            // registered. The slot is static. The callbacks are for the `T` whose size is given, and the
            // assertion above has checked its alignment. C serializes the call by its own lock.
            unsafe {
                ops.write(bindings::pernet_operations {
                    init: Some(init::<T>),
                    pre_exit: if T::HAS_PRE_EXIT {
                        Some(pre_exit::<T>)
                    } else {
                        None
                    },
                    exit: Some(exit::<T>),
                    exit_rtnl: T::EXIT_RTNL.0,
                    id: slot.id.get(),
                    // C allocates no state of size 0.
                    size: size_of::<T>().max(1),
                    ..Default::default()
                });
                to_result(bindings::register_pernet_device(ops))?;
            }
            slot.state.store(READY, Ordering::Release);
            drop(taken);
            Ok(())
        };
        // SAFETY: The closure initializes `ops`, the only field that has a size, or fails and leaves
        // nothing to drop: C has unregistered the operations then. It does not move the memory.
        unsafe { pin_init::pin_init_from_closure(init) }
    }

    /// Returns the state of a namespace. Any context.
    #[inline]
    pub fn get<'a>(&'a self, netns: &'a Netns) -> &'a T {
        // SAFETY: By the type invariant `T` is registered, and stays so while a hook of the module runs that has a
        // `Netns`. `init` made the namespace's state before a hook could get a `Netns` for it, and the state lives
        // until the namespace's end, which comes after the last reference: a hook that may run later gets a
        // `BareNetns`.
        unsafe { &*state::<T>(netns.as_raw()) }
    }
}

impl<T: PerNetns> Undo for Registration<T> {
    const PHASE: Phase = Phase::State;

    fn undo(&self) {
        let slot = T::SLOT.get();
        // Done first, because another module may get the number once C has it back.
        slot.state.store(TAKEN, Ordering::Release);
        // SAFETY: By the type invariant the operations are registered, and the scope calls `undo` once.
        unsafe { bindings::unregister_pernet_device(self.ops.get()) };
        slot.state.store(FREE, Ordering::Release);
    }
}

/// Returns the pointer to a namespace's `T`.
///
/// # Safety
///
/// `net` must be valid, and `T` registered or about to be.
#[inline]
pub(crate) unsafe fn state<T: PerNetns>(net: *const bindings::net) -> *mut T {
    // SAFETY: The slot is static. By the caller's promise C has written the id, which it does before it
    // calls `init` for the first time, and the id does not change until `T` is unregistered.
    let id = unsafe { *T::SLOT.get().id.get() };
    // SAFETY: The caller promises a valid namespace. The id is one that C has given out for `T` and not
    // taken back, so C keeps `size_of::<T>()` bytes under it in each namespace.
    unsafe { bindings::net_generic(net, id).cast() }
}

/// # Safety
///
/// Only C may call this, while it sets up a namespace or registers `T`.
unsafe extern "C" fn init<T: PerNetns>(net: *mut bindings::net) -> c_int {
    // SAFETY: C passes a namespace that is valid during the call. It calls this because `T`'s operations
    // are registered or about to be, and has written the id and allocated the state before.
    let (netns, slot) = unsafe { (Netns::from_raw(net), state::<T>(net)) };
    // SAFETY: C has allocated `size_of::<T>()` bytes at `slot`, aligned for `T` as `new` asserts. No other
    // code has a pointer to the state yet, and C does not move it. On an error C frees it without a call of
    // `exit`. The reference lives as long as the state; it does not leave this function.
    let slot: &'static mut MaybeUninit<T> = unsafe { &mut *slot.cast() };
    match slot.write_pin_init(T::new(Place(netns))) {
        Ok(_) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Only C may call this, for a namespace that `init` succeeded for, before `exit`.
unsafe extern "C" fn pre_exit<T: PerNetns>(net: *mut bindings::net) {
    // SAFETY: `init` made the state, and `exit`, which drops it, comes later. References to it are shared.
    unsafe { &*state::<T>(net) }.pre_exit();
}

/// # Safety
///
/// Only C may call this, once for each namespace that `init` succeeded for.
unsafe extern "C" fn exit<T: PerNetns>(net: *mut bindings::net) {
    // SAFETY: `init` made the state, and no code can reach it any more: the namespace is at its end, or
    // the module is, and only hooks of the module that have ended by then get a `Netns`.
    unsafe { ptr::drop_in_place(state::<T>(net)) };
}
