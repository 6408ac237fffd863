// SPDX-License-Identifier: GPL-2.0

//! Reassembly: the pieces of a packet wait in a queue until all are there.
//!
//! A tunnel that implements [`Reassembly`] [registers](register) its queues. Each network namespace then has a
//! [`Directory`] of them, whose [`Pieces`] take received pieces. The memory of all queues of a namespace, the
//! time that a queue waits, and the number of its pieces are limited.
//!
//! C header: [`include/net/inet_frag.h`](srctree/include/net/inet_frag.h)

mod add;
mod directory;
mod queue;

pub use directory::{Directory, Pieces};

use crate::{
    module::{Phase, Scope, Undo},
    netns::{self, Registration, SlotRef},
    skb::{InnerSkb, RxSkb},
    DropReason,
};
use core::{
    marker::PhantomData,
    sync::atomic::{AtomicU8, Ordering},
};
use kernel::{error::to_result, prelude::*, types::Opaque};
use net_bindings as bindings;

/// The memory that the pieces of a namespace may take, in bytes, until its administrator says otherwise. IPv4 has
/// the same.
pub const HIGH_THRESHOLD_BYTES: isize = 4 << 20;

/// The time that a queue waits for its last piece, in seconds, until the administrator says otherwise. IPv4 has
/// the same.
pub const TIMEOUT_SECONDS: u32 = 30;

/// The most pieces of one packet.
pub const MAX_PIECES: u16 = 256;

/// The length of the longest packet, in bytes.
pub const MAX_LEN_BYTES: usize = u16::MAX as usize;

/// A tunnel whose packets arrive in pieces.
pub trait Reassembly: Sized + 'static {
    /// The queues of all namespaces: a `static` of the implementer's.
    const QUEUES: QueuesRef<Self>;

    /// The slot for the directories of the namespaces: a `static` of the implementer's.
    const SLOT: SlotRef<Directory<Self>>;

    /// The name of the queues in `/proc/slabinfo`.
    const NAME: &'static CStr;

    /// The folder of the limits below `/proc/sys`, such as `net/gue`.
    const SYSCTL_FOLDER: &'static CStr;

    /// Returns the reason for dropping the pieces of a packet that did not become whole. Softirq context.
    fn reason(lost: Lost) -> DropReason;
}

/// The name of a packet: pieces with the same bytes here belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Key(pub [u8; KEY_LEN_BYTES]);

/// The length of a [`Key`], in bytes.
pub const KEY_LEN_BYTES: usize = 44;

/// The place of a piece in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The offset of the piece's first byte in the packet, in bytes.
    pub offset: u16,
    /// No piece follows.
    pub is_last: bool,
}

/// The origin of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A peer that has proved itself.
    Peer,
    /// Anyone. The last quarter of the memory is not for these pieces.
    Anyone,
}

/// The reason why all pieces of a packet were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The packet did not become whole in time.
    Timeout,
    /// The ECN fields of the pieces contradict each other: one is Not-ECT, and another is not (RFC 3168 §5.3).
    Ecn,
    /// No memory.
    NoMemory,
}

/// The reason why a piece does not become part of its packet. The other pieces still wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The piece has no byte, or no outer IP header before it.
    Empty,
    /// The piece ends after [`MAX_LEN_BYTES`], or is a GSO packet.
    TooLong,
    /// The piece overlaps another one, or its queue has ended.
    Overlap,
    /// The piece contradicts another one about the packet's end.
    End,
    /// The packet has too many pieces, the pieces of the namespace take too much memory, or the namespace has ended.
    Limit,
}

/// The fate of a piece.
pub enum Added {
    /// The piece waits for others.
    Waits,
    /// The packet is whole.
    Whole(InnerSkb),
    /// The caller must drop the piece.
    Refused(RxSkb, Refused),
    /// All pieces were dropped.
    Lost(Lost),
}

/// The queues of all namespaces (`struct inet_frags`).
pub struct Queues<T> {
    frags: Opaque<bindings::inet_frags>,
    /// One of the constants below.
    state: AtomicU8,
    // Invariant in `T`: another type has other queues.
    _type: PhantomData<fn(T) -> T>,
}

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const READY: u8 = 2;

// SAFETY: `state` is atomic. `Registered::new` writes to `frags` only in the call that has changed `state` from `FREE`
// to `TAKEN`, so no two calls write at a time. After that only C uses `frags`, by functions that any thread may call.
unsafe impl<T> Sync for Queues<T> {}

impl<T: Reassembly> Queues<T> {
    /// Returns queues that are not registered.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self {
            frags: Opaque::uninit(),
            state: AtomicU8::new(FREE),
            _type: PhantomData,
        }
    }
}

/// A reference to static [`Queues`], for use in a constant.
///
/// # Invariants
///
/// The pointer came from a `&'static Queues<T>`.
pub struct QueuesRef<T: 'static>(*const Queues<T>);

impl<T> QueuesRef<T> {
    /// Refers to `queues`.
    pub const fn new(queues: &'static Queues<T>) -> Self {
        // INVARIANT: By the argument's type.
        Self(queues)
    }

    #[inline]
    fn get(self) -> &'static Queues<T> {
        // SAFETY: By the type invariant the pointer came from a reference that is valid for ever, to a type that is
        // `Sync`.
        unsafe { &*self.0 }
    }
}

/// Registers queues, and makes a directory in every namespace. Process context, may sleep.
///
/// Unloading the module frees all pieces and waits until they are gone. Fails with `EBUSY` if the queues are already
/// registered. Fails with `ENOMEM` without memory, or if [`Reassembly::SYSCTL_FOLDER`] already has an entry of the
/// same name.
pub fn register<T: Reassembly>(
    scope: &'static Scope,
) -> Result<&'static Registration<Directory<T>>> {
    scope.register(Registered::<T>::new())?;
    netns::register(scope)
}

/// Queues that are registered.
///
/// # Invariants
///
/// C has initialized `T`'s queues, which this has taken.
struct Registered<T: Reassembly>(PhantomData<fn(T) -> T>);

impl<T: Reassembly> Registered<T> {
    fn new() -> impl Init<Self, Error> {
        let init = |_: *mut Self| {
            let queues = T::QUEUES.get();
            queues
                .state
                .compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed)
                .map_err(|_| EBUSY)?;
            let frags = queues.frags.get();
            // SAFETY: This call has taken the queues, so no other code reads or writes them. The callbacks are for
            // a `Queue<T>`, whose size is given. All that C keeps a pointer to is static.
            let result = unsafe {
                frags.write(queue::frags::<T>());
                to_result(bindings::inet_frags_init(frags))
            };
            let state = if result.is_ok() { READY } else { FREE };
            queues.state.store(state, Ordering::Release);
            // INVARIANT: There is a value only if `result` is `Ok`. Then C has initialized the queues.
            result
        };
        // SAFETY: The type has no size, so it is initialized. The closure leaves nothing behind if it fails.
        unsafe { pin_init::init_from_closure(init) }
    }
}

impl<T: Reassembly> Undo for Registered<T> {
    // The scope undoes the directories first, because they are registered later.
    const PHASE: Phase = Phase::State;

    fn undo(&self) {
        let queues = T::QUEUES.get();
        queues.state.store(TAKEN, Ordering::Release);
        // Waits for the directories, which each namespace has given up, for their queues and for callbacks.
        // SAFETY: By the type invariant C has initialized the queues, and the scope calls `undo` once.
        unsafe { bindings::inet_frags_fini(queues.frags.get()) };
        queues.state.store(FREE, Ordering::Release);
    }
}
