// SPDX-License-Identifier: GPL-2.0

//! Registrations of a module, and the lists that a scope keeps them in.

use core::{
    cell::UnsafeCell,
    pin::Pin,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::prelude::*;

/// The order in which a [`Scope`](super::Scope) undoes its entries. Within a phase, the entry that was
/// registered last is undone first.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    /// Hooks through which users and tunnel devices reach the module. `undo` waits for calls of a hook,
    /// except for netlink dumps, which hold a reference to the module.
    EntryPoint,
    /// State of network namespaces, which entry points use. Sockets in this state have hooks of their own.
    State,
}

/// A registration that stays until its module is unloaded.
pub(crate) trait Undo: Send + Sync + 'static {
    /// The phase in which the scope undoes this registration.
    const PHASE: Phase;

    /// Unregisters. Called once. Process context, may sleep.
    fn undo(&self);
}

/// The head of an [`Entry`], without the entry's type.
struct Node {
    /// The next node in the [`Stack`] or [`Queue`] that holds this one.
    next: UnsafeCell<*mut Node>,
    undo: unsafe fn(NonNull<Node>),
    free: unsafe fn(NonNull<Node>),
}

/// A registration in a [`Scope`](super::Scope). `node` comes first, so that a pointer to the node is a
/// pointer to the entry.
#[repr(C)]
#[pin_data]
pub(super) struct Entry<U> {
    node: Node,
    #[pin]
    pub(super) value: U,
}

impl<U: Undo> Entry<U> {
    /// Registers: the initializer of the value does so as its last step.
    pub(super) fn new(init: impl PinInit<U, Error>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            node: Node {
                next: UnsafeCell::new(ptr::null_mut()),
                undo: undo::<U>,
                free: free::<U>,
            },
            value <- init,
        }? Error)
    }
}

/// # Safety
///
/// `node` must be the node of a valid `Entry<U>` that has not been undone.
unsafe fn undo<U: Undo>(node: NonNull<Node>) {
    // SAFETY: By the caller's promise this is the node of a valid `Entry<U>`, of which it is the first
    // field. The references that other code has to the entry are shared, too.
    unsafe { node.cast::<Entry<U>>().as_ref() }.value.undo();
}

/// # Safety
///
/// `node` must be the node of a valid `Entry<U>` that has been undone and is not used afterwards.
unsafe fn free<U: Undo>(node: NonNull<Node>) {
    // SAFETY: By the caller's promise this is the node of a valid `Entry<U>`, which no other code uses.
    // `Stack::push` made the pointer from a `KBox`. The entry is dropped in its place, as its pinning asks.
    drop(unsafe { KBox::from_raw(node.cast::<Entry<U>>().as_ptr()) });
}

/// Entries, the last one pushed first. Pushing takes no lock, so that a stack can be a `static`.
pub(super) struct Stack(AtomicPtr<Node>);

impl Stack {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    pub(super) fn push<U: Undo>(&self, entry: Pin<KBox<Entry<U>>>) -> NonNull<Entry<U>> {
        // SAFETY: Nothing moves the entry from here on: the lists have pointers to it, and `free` drops it
        // in its place.
        let entry = NonNull::from(KBox::leak(unsafe { Pin::into_inner_unchecked(entry) }));
        self.push_node(entry.cast());
        entry
    }

    fn push_node(&self, node: NonNull<Node>) {
        let mut next = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: `push` has just leaked the entry, so the node is valid. The node is not in the stack
            // yet, so no other code has it.
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
    pub(super) fn undo_all(&self, to: &mut Queue) {
        let mut next = NonNull::new(self.0.swap(ptr::null_mut(), Ordering::Acquire));
        while let Some(node) = next {
            // SAFETY: `push` leaked the entries, and only `free` frees one, so they are valid. After the swap
            // no other code follows their links. Each is undone by the function of its own type, once,
            // because the loop reaches an entry once. `append` gets the entry after that.
            unsafe {
                next = NonNull::new(*node.as_ref().next.get());
                (node.as_ref().undo)(node);
                to.append(node);
            }
        }
    }
}

/// Entries that have been undone, in the order in which they were undone.
pub(super) struct Queue {
    first: *mut Node,
    last: Option<NonNull<Node>>,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            first: ptr::null_mut(),
            last: None,
        }
    }

    /// # Safety
    ///
    /// `node` must be a valid entry that has been undone and that no other code uses.
    unsafe fn append(&mut self, node: NonNull<Node>) {
        // SAFETY: The caller promises that the node is valid and that no other code follows its link. The
        // last node was appended under the same promise, and the queue's entries are valid until `free_all`.
        unsafe {
            *node.as_ref().next.get() = ptr::null_mut();
            match self.last.replace(node) {
                None => self.first = node.as_ptr(),
                Some(last) => *last.as_ref().next.get() = node.as_ptr(),
            }
        }
    }

    pub(super) fn free_all(mut self) {
        while let Some(node) = NonNull::new(self.first) {
            // SAFETY: `append` was promised that the entry is valid, undone and not used by other code. The
            // link is read before the entry is freed, and each entry is freed by the function of its type.
            unsafe {
                self.first = *node.as_ref().next.get();
                (node.as_ref().free)(node);
            }
        }
    }
}
