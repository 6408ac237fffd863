// SPDX-License-Identifier: GPL-2.0

//! The queue of one packet's pieces, and the callbacks by which C makes, ends and frees queues.

use super::{directory::Shared, Key, Lost, Piece, Reassembly, Refused, KEY_LEN_BYTES, MAX_PIECES};
use crate::{ecn, rcu::RcuReader};
use core::{mem::offset_of, sync::atomic::Ordering};
use kernel::{
    ffi::{c_int, c_void},
    prelude::*,
    sync::Arc,
};
use net_bindings as bindings;

/// A queue. C allocates it, as zeros, and frees it after a grace period.
#[repr(C)]
struct Queue {
    /// The first field, so that a pointer to it is also a pointer to the `Queue`.
    frag: bindings::inet_frag_queue,
    /// `Some` from the constructor to the destructor.
    shared: Option<Arc<Shared>>,
    pieces: u16,
    /// The values of the pieces' ECN fields: bit 0 is set if a piece has the value 0 (Not-ECT), bit 3 for 3 (CE).
    ecn: u8,
}

/// The bits of [`Queue::ecn`].
pub(super) const NOT_ECT: u8 = 1 << 0;
pub(super) const CE: u8 = 1 << 3;

const FIRST_IN: u8 = bindings::INET_FRAG_FIRST_IN as u8;
const LAST_IN: u8 = bindings::INET_FRAG_LAST_IN as u8;
const COMPLETE: u8 = bindings::INET_FRAG_COMPLETE as u8;
const DROP: u8 = bindings::INET_FRAG_DROP as u8;

/// The argument of C's search, which reads the key, and passes the pointer to [`construct`].
#[repr(C)]
pub(super) struct Search<'a> {
    pub(super) key: Key,
    pub(super) shared: &'a Arc<Shared>,
}

/// Returns C's description of the queues of a `T`.
pub(super) fn frags<T: Reassembly>() -> bindings::inet_frags {
    const {
        assert!(key_room_bytes() >= KEY_LEN_BYTES);
        assert!(offset_of!(bindings::inet_frag_queue, key) % align_of::<Key>() == 0);
    }
    bindings::inet_frags {
        qsize: size_of::<Queue>() as c_uint,
        constructor: Some(construct),
        destructor: Some(destroy),
        frag_expire: Some(expire::<T>),
        frags_cache_name: T::NAME.as_char_ptr(),
        rhash_params: bindings::rhashtable_params {
            key_len: KEY_LEN_BYTES as u16,
            key_offset: offset_of!(bindings::inet_frag_queue, key) as u16,
            head_offset: offset_of!(bindings::inet_frag_queue, node) as u16,
            hashfn: Some(hash_key),
            obj_hashfn: Some(hash_queue),
            obj_cmpfn: Some(compare),
            automatic_shrinking: true,
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Returns the length of the place for a key in C's queue, in bytes.
const fn key_room_bytes() -> usize {
    offset_of!(bindings::inet_frag_queue, timer) - offset_of!(bindings::inet_frag_queue, key)
}

/// Hashes a key.
///
/// # Safety
///
/// `key` must be valid.
unsafe fn hash(key: *const Key, seed: u32) -> u32 {
    // SAFETY: The caller promises a key, which is aligned as words are, and has as many bytes as these words.
    unsafe { bindings::jhash2(key.cast(), KEY_LEN_BYTES as u32 / 4, seed) }
}

/// Returns the place of a queue's key.
fn key_of(queue: *const c_void) -> *const Key {
    queue
        .wrapping_byte_add(offset_of!(bindings::inet_frag_queue, key))
        .cast()
}

/// # Safety
///
/// Only C's table may call this, with the argument of `inet_frag_find`.
unsafe extern "C" fn hash_key(key: *const c_void, _len: u32, seed: u32) -> u32 {
    // SAFETY: The argument is a `Search`, which begins with a key.
    unsafe { hash(key.cast(), seed) }
}

/// # Safety
///
/// Only C's table may call this, with a queue that [`construct`] was called for.
unsafe extern "C" fn hash_queue(queue: *const c_void, _len: u32, seed: u32) -> u32 {
    // SAFETY: `construct` has written the key.
    unsafe { hash(key_of(queue), seed) }
}

/// Returns 0 if a queue has the key that is searched for.
///
/// # Safety
///
/// As for [`hash_queue`], and with the argument of `inet_frag_find`.
unsafe extern "C" fn compare(
    arg: *mut bindings::rhashtable_compare_arg,
    queue: *const c_void,
) -> c_int {
    // SAFETY: `construct` has written the key, which does not change. The argument begins with a key.
    let equal = unsafe { *key_of(queue) == *(*arg).key.cast::<Key>() };
    c_int::from(!equal)
}

/// # Safety
///
/// Only C may call this, with a queue that it has allocated as zeros, and the argument of `inet_frag_find`, which
/// is a [`Search`].
unsafe extern "C" fn construct(queue: *mut bindings::inet_frag_queue, search: *const c_void) {
    let queue = queue.cast::<Queue>();
    // SAFETY: `Pieces::add` passes a valid `Search`, which outlives the call.
    let search = unsafe { &*search.cast::<Search<'_>>() };
    // SAFETY: C has allocated `qsize` bytes, which no other code has yet. The key's place has room for it, as `frags`
    // asserts.
    unsafe {
        (&raw mut (*queue).shared).write(Some(search.shared.clone()));
        (&raw mut (*queue).frag.key)
            .cast::<[u8; KEY_LEN_BYTES]>()
            .write(search.key.0);
    }
}

/// # Safety
///
/// Only C may call this, once for a queue of [`construct`], when no code uses the queue any more.
unsafe extern "C" fn destroy(queue: *mut bindings::inet_frag_queue) {
    // SAFETY: `construct` has written a `Some`. The caller promises that no other code uses the queue.
    unsafe { (*queue.cast::<Queue>()).shared = None };
}

/// Ends a queue whose packet has not become whole in time.
///
/// # Safety
///
/// Only C may call this, with the timer of a queue, to which the timer has a reference.
unsafe extern "C" fn expire<T: Reassembly>(timer: *mut bindings::timer_list) {
    // SAFETY: The timer is a field of a queue, which is the first field of a `Queue`.
    let raw = unsafe { timer.byte_sub(offset_of!(bindings::inet_frag_queue, timer)) }.cast();
    RcuReader::with(|_| {
        // SAFETY: The queue is valid as long as its timer has a reference, which `Locked` gives up.
        let mut queue = unsafe { Locked::new(raw, 1) };
        if queue.is_complete() {
            return;
        }
        queue.lose::<T>(Lost::Timeout);
        queue.count_timeout();
    });
}

/// A queue whose lock is held.
///
/// C changes some fields without the lock, such as the timer. So no reference to a whole queue exists.
///
/// # Invariants
///
/// The queue is valid as long as the value lives, and this holds its lock.
pub(super) struct Locked {
    raw: *mut Queue,
    /// The number of references to give up.
    refs: c_int,
}

impl Locked {
    /// Takes a queue's lock.
    ///
    /// # Safety
    ///
    /// The queue must be valid and a [`Queue`], and the caller be in an RCU read side as long as the value lives, or
    /// have a reference to the queue. The caller gives `refs` references to it up.
    #[inline]
    pub(super) unsafe fn new(raw: *mut bindings::inet_frag_queue, refs: c_int) -> Self {
        // SAFETY: The caller promises a valid queue.
        unsafe { bindings::inet_frag_lock(raw) };
        // INVARIANT: C frees a queue only after its last reference was given up and a grace period has passed. The lock
        // was just taken.
        Self {
            raw: raw.cast(),
            refs,
        }
    }

    /// Returns C's pointer.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut bindings::inet_frag_queue {
        self.raw.cast()
    }

    /// Returns the flags (`INET_FRAG_*`).
    #[inline]
    fn flags(&self) -> u8 {
        // SAFETY: By the type invariant the queue is valid, and its lock, which guards the field, is held.
        unsafe { (*self.raw).frag.flags }
    }

    #[inline]
    fn set_flags(&mut self, flags: u8) {
        // SAFETY: As in `flags`.
        unsafe { (*self.raw).frag.flags |= flags };
    }

    /// Returns the end of the packet as far as it is known, in bytes.
    #[inline]
    fn end(&self) -> c_int {
        // SAFETY: As in `flags`.
        unsafe { (*self.raw).frag.len }
    }

    /// Returns the bits of the ECN fields of all pieces.
    #[inline]
    pub(super) fn ecn(&self) -> u8 {
        // SAFETY: As in `flags`.
        unsafe { (*self.raw).ecn }
    }

    /// Returns the last piece in the packet's order, or null.
    #[inline]
    pub(super) fn tail(&self) -> *mut bindings::sk_buff {
        // SAFETY: As in `flags`.
        unsafe { (*self.raw).frag.fragments_tail }
    }

    /// Returns `true` if the queue was ended: it takes no piece any more.
    #[inline]
    fn is_complete(&self) -> bool {
        self.flags() & COMPLETE != 0
    }

    /// Returns `true` if all pieces are there.
    #[inline]
    pub(super) fn is_whole(&self) -> bool {
        let ends = FIRST_IN | LAST_IN;
        // SAFETY: As in `flags`.
        self.flags() & ends == ends && unsafe { (*self.raw).frag.meat } == self.end()
    }

    /// Counts a packet that did not become whole in time.
    #[cold]
    fn count_timeout(&self) {
        // SAFETY: By the type invariant the queue is valid. `construct` has written the field, which does not change
        // until `destroy`.
        if let Some(shared) = unsafe { &(*self.raw).shared } {
            shared.timeouts.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the queue: no search finds it any more, and its timer is stopped.
    #[inline]
    pub(super) fn kill(&mut self) {
        // SAFETY: By the type invariant the queue is valid and its lock is held. C adds to `refs` the references that
        // the timer and the table no longer have.
        unsafe { bindings::inet_frag_kill(self.as_raw(), &mut self.refs) };
    }

    /// Ends the queue, and drops all pieces.
    #[cold]
    pub(super) fn lose<T: Reassembly>(&mut self, lost: Lost) {
        self.set_flags(DROP);
        self.kill();
        // SAFETY: By the type invariant the queue is valid and its lock is held. The pieces in it are C's.
        unsafe { bindings::inet_frag_queue_flush(self.as_raw(), T::reason(lost).as_raw()) };
    }

    /// Checks a piece against those in the queue. Returns the end of the packet, as far as it is known with this piece.
    ///
    /// Fails if the queue has ended or is full, or if the piece contradicts another one about the packet's end.
    #[inline]
    pub(super) fn check(&self, piece: &Piece, end: c_int) -> Result<c_int, Refused> {
        if self.is_complete() {
            return Err(Refused::Overlap);
        }
        // SAFETY: As in `flags`.
        if unsafe { (*self.raw).pieces } >= MAX_PIECES {
            return Err(Refused::Limit);
        }
        let has_last = self.flags() & LAST_IN != 0;
        if piece.is_last {
            if end < self.end() || (has_last && end != self.end()) {
                return Err(Refused::End);
            }
        } else if has_last && end > self.end() {
            return Err(Refused::End);
        }
        Ok(self.end().max(end))
    }

    /// Notes a piece of `len` bytes that was added.
    #[inline]
    pub(super) fn note(&mut self, piece: &Piece, len: usize, ecn: u8, known_end: c_int) {
        // SAFETY: As in `flags`. `check` has found fewer than `MAX_PIECES` pieces, none of which overlap.
        unsafe {
            (*self.raw).pieces += 1;
            (*self.raw).ecn |= 1 << ecn;
            (*self.raw).frag.meat += len as c_int;
            (*self.raw).frag.len = known_end;
        }
        if piece.offset == 0 {
            self.set_flags(FIRST_IN);
        }
        if piece.is_last {
            self.set_flags(LAST_IN);
        }
    }
}

impl Drop for Locked {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the lock is held and the queue is valid. The references are those that the
        // creator of the value and C's `inet_frag_kill` have counted.
        unsafe {
            bindings::inet_frag_unlock(self.as_raw());
            bindings::inet_frag_putn(self.as_raw(), self.refs);
        }
    }
}

// An ECN field has two bits, so a piece has one of four bits in `Queue::ecn`.
const _: () = assert!(ecn::MASK == 3);
