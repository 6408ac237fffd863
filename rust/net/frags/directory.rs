// SPDX-License-Identifier: GPL-2.0

//! The queues of one network namespace.

use super::{Reassembly, HIGH_THRESHOLD_BYTES, READY, TIMEOUT_SECONDS};
use crate::{
    netns::{PerNetns, Place, SlotRef},
    rcu::{self, RcuReader},
    sysctl::{Entry, Settings},
};
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicIsize, Ordering},
};
use kernel::{error::to_result, prelude::*, sync::Arc};
use net_bindings as bindings;

/// The queues of a namespace, and the settings of their limits. Ends with the namespace.
pub struct Directory<T: Reassembly> {
    // Dropped in this order: the settings point into what comes after them.
    _settings: Settings<4>,
    _fqdir: Owned,
    shared: Arc<Shared>,
    // Invariant in `T`: another type has other queues.
    _type: PhantomData<fn(T) -> T>,
}

/// A handle to the queues of a namespace. Takes pieces until the namespace ends, and may outlive the namespace.
pub struct Pieces<T: Reassembly> {
    pub(super) shared: Arc<Shared>,
    _type: PhantomData<fn(T) -> T>,
}

impl<T: Reassembly> Clone for Pieces<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            _type: PhantomData,
        }
    }
}

/// The part of a directory that queues and [`Pieces`] share.
///
/// # Invariants
///
/// `fqdir` is valid until a grace period has passed since `ended` became `true`.
pub(super) struct Shared {
    fqdir: NonNull<bindings::fqdir>,
    ended: AtomicBool,
    /// The number of packets that did not become whole in time.
    pub(super) timeouts: AtomicIsize,
}

// SAFETY: Any thread may call C's functions for a directory.
unsafe impl Send for Shared {}
// SAFETY: As above. The other fields are atomic.
unsafe impl Sync for Shared {}

impl Shared {
    /// Returns C's directory; `None` if the namespace has ended.
    #[inline]
    pub(super) fn fqdir<'a>(&self, _rcu: RcuReader<'a>) -> Option<&'a Fqdir> {
        if self.ended.load(Ordering::SeqCst) {
            return None;
        }
        // SAFETY: By the type invariant the directory is valid until the reader's end. `Fqdir` is a transparent
        // wrapper of an `Opaque`.
        Some(unsafe { self.fqdir.cast().as_ref() })
    }

    /// Ends the directory: C makes no new queues, and drops the pieces of existing queues.
    fn end(&self) {
        if !self.ended.swap(true, Ordering::SeqCst) {
            // SAFETY: `Directory` owns the directory, and calls this before it gives the directory up. Only this
            // call ends it.
            unsafe { bindings::fqdir_pre_exit(self.fqdir.as_ptr()) };
        }
    }
}

/// C's directory, of which a reader has a reference.
#[repr(transparent)]
pub(super) struct Fqdir(kernel::types::Opaque<bindings::fqdir>);

impl Fqdir {
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::fqdir {
        self.0.get()
    }

    /// Returns `true` if the pieces take more than three quarters of the memory that they may take.
    pub(super) fn is_short_of_memory(&self) -> bool {
        // SAFETY: A reader has a reference, so the directory is valid.
        let (taken, most) = unsafe {
            (
                bindings::frag_mem_limit(self.as_raw()),
                bindings::fqdir_high_thresh(self.as_raw()),
            )
        };
        taken > most / 4 * 3
    }
}

/// A directory of C's that this owns. Dropped when a grace period has passed since [`Shared`] has ended.
///
/// # Invariants
///
/// The pointer is valid.
struct Owned(NonNull<bindings::fqdir>);

// SAFETY: Any thread may call C's functions for a directory.
unsafe impl Send for Owned {}
// SAFETY: A shared reference gives nothing out.
unsafe impl Sync for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // Ends the queues, also if `Shared` was not made.
        // SAFETY: By the type invariant the directory is valid. No reader uses it any more: a grace period has passed
        // since `Shared` has ended, or no `Shared` was ever given out. `Settings` are removed before. C frees the
        // directory later, after its queues.
        unsafe {
            bindings::fqdir_pre_exit(self.0.as_ptr());
            bindings::fqdir_exit(self.0.as_ptr());
        }
    }
}

impl<T: Reassembly> Directory<T> {
    /// Returns a handle to the queues.
    pub fn pieces(&self) -> Pieces<T> {
        Pieces {
            shared: self.shared.clone(),
            _type: PhantomData,
        }
    }

    fn make(place: Place<'_>) -> Result<Self> {
        let queues = T::QUEUES.get();
        if queues.state.load(Ordering::Acquire) != READY {
            return Err(EINVAL);
        }
        let mut raw = ptr::null_mut();
        // SAFETY: The queues are registered. They stay so until this directory is given up: the scope
        // unregisters directories first, and then waits for them. The place is a valid namespace.
        to_result(unsafe { bindings::fqdir_init(&mut raw, queues.frags.get(), place.as_raw()) })?;
        // INVARIANT: C has made a directory.
        let owned = Owned(NonNull::new(raw).ok_or(ENOMEM)?);
        let seconds = c_int::try_from(TIMEOUT_SECONDS)?;
        // SAFETY: The directory is new, so no other code reads or writes it.
        unsafe {
            (*raw).high_thresh = HIGH_THRESHOLD_BYTES;
            // The kernel no longer uses this field.
            (*raw).low_thresh = HIGH_THRESHOLD_BYTES / 4 * 3;
            (*raw).timeout = seconds.saturating_mul(bindings::HZ as c_int);
        }
        let shared = Arc::new(
            Shared {
                fqdir: owned.0,
                ended: AtomicBool::new(false),
                timeouts: AtomicIsize::new(0),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The directory is valid, so the fields have places.
        let (high, timeout, mem) = unsafe {
            (
                &raw mut (*raw).high_thresh,
                &raw mut (*raw).timeout,
                (&raw mut (*raw).mem).cast(),
            )
        };
        let entries = [
            Entry::number(c"frag_high_thresh", high),
            Entry::seconds(c"frag_time", timeout),
            Entry::read_only(c"frag_mem", mem),
            Entry::read_only(c"frag_timeouts", shared.timeouts.as_ptr()),
        ];
        // SAFETY: The fields are words of C's directory, which is given up after the settings, and of `shared`, which
        // outlives them. C reads and writes them as words. `mem` is an atomic number of C's type `long`.
        let settings = unsafe { Settings::new(place, T::SYSCTL_FOLDER, entries) }?;
        // INVARIANT (of `Shared`): `owned` is dropped after the grace period.
        Ok(Self {
            _settings: settings,
            _fqdir: owned,
            shared,
            _type: PhantomData,
        })
    }
}

impl<T: Reassembly> PerNetns for Directory<T> {
    const SLOT: SlotRef<Self> = T::SLOT;
    const HAS_PRE_EXIT: bool = true;

    fn new(place: Place<'_>) -> impl PinInit<Self, Error> {
        Self::make(place)
    }

    fn pre_exit(&self) {
        self.shared.end();
    }
}

impl<T: Reassembly> Drop for Directory<T> {
    fn drop(&mut self) {
        if !self.shared.ended.load(Ordering::SeqCst) {
            // C has not called `pre_exit`.
            self.shared.end();
            rcu::wait_for_readers();
        }
    }
}
