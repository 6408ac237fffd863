// SPDX-License-Identifier: GPL-2.0

//! Hash tables that hooks read under RCU.
//!
//! A lookup takes no lock and costs the same for any number of entries: the table grows with them. The kernel's
//! own `rhashtable` would need C code for each type of key, resizes in a worker that may run after the module's
//! end, and can refuse an insertion because a resize is under way (`EBUSY`). An array of lists is enough here,
//! because few writers with time to spare replace the array as a whole.
//!
//! ```
//! use net::rcu_table::Key;
//!
//! #[derive(Clone, PartialEq, Eq)]
//! struct Number(u32);
//!
//! impl Key for Number {
//!     fn hash(&self) -> u64 {
//!         u64::from(self.0)
//!     }
//! }
//! ```

use crate::rcu::{RcuBox, RcuReader};
use core::{
    mem,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::{new_mutex, prelude::*, sync::Mutex};

/// A key of an [`RcuTable`].
pub trait Key: Eq + Clone + Send + Sync + 'static {
    /// Returns a number that differs between keys where possible. The table mixes the number's bits.
    fn hash(&self) -> u64;
}

/// A hash table that hooks read under RCU.
///
/// The table is dropped in softirq context if its owner is, so dropping a `V` must not sleep.
///
/// # Invariants
///
/// `buckets` is null or points to an array from `RcuBox::new`. The nodes of its lists come from
/// `RcuBox::new` too, and are in no other list. An array or a node that was taken out of the table is
/// dropped after a grace period. Only the holder of `count`'s lock changes the lists and `buckets`.
#[pin_data(PinnedDrop)]
pub struct RcuTable<K: Key, V: Clone + Send + Sync + 'static> {
    buckets: AtomicPtr<RcuBox<Buckets<K, V>>>,
    /// The number of entries.
    #[pin]
    count: Mutex<usize>,
}

type Link<K, V> = AtomicPtr<RcuBox<Node<K, V>>>;

struct Node<K, V> {
    next: Link<K, V>,
    key: K,
    value: V,
}

/// An array of lists, which owns the nodes of its lists.
struct Buckets<K, V> {
    lists: KVVec<Link<K, V>>,
    /// Number of bits by which a mixed hash is shifted to the right to get an index of `lists`.
    shift: u32,
}

/// Number of bits of the index of a table's first array.
const FIRST_BITS: u32 = 4;
/// Number of bits of the index of the largest array. More entries make its lists longer.
const MOST_BITS: u32 = 20;

impl<K, V> Buckets<K, V> {
    fn new(bits: u32) -> Result<Self> {
        let mut lists = KVVec::with_capacity(1 << bits, GFP_KERNEL)?;
        for _ in 0..1u32 << bits {
            lists.push(Link::new(ptr::null_mut()), GFP_KERNEL)?;
        }
        Ok(Self {
            lists,
            shift: u64::BITS - bits,
        })
    }

    fn bits(&self) -> u32 {
        u64::BITS - self.shift
    }

    #[inline]
    fn list(&self, hash: u64) -> Option<&Link<K, V>> {
        // Fibonacci hashing: the product's upper bits depend on all bits of the hash.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.lists.get((mixed >> self.shift) as usize)
    }
}

impl<K, V> Drop for Buckets<K, V> {
    fn drop(&mut self) {
        for list in &mut self.lists {
            let mut next = *list.get_mut();
            while let Some(node) = NonNull::new(next) {
                // SAFETY: The array owns the nodes of its lists, which come from `RcuBox::new` by the table's
                // invariant. No reader is left: nothing borrows a table that is dropped, a replaced array is
                // dropped after a grace period, and a copy that failed was in no table.
                unsafe {
                    next = node.as_ref().value().next.load(Ordering::Relaxed);
                    RcuBox::drop_now(node);
                }
            }
        }
    }
}

/// A place in a list, for writers.
struct Place<'a, K, V> {
    link: &'a Link<K, V>,
    node: NonNull<RcuBox<Node<K, V>>>,
}

impl<K: Key, V: Clone + Send + Sync + 'static> RcuTable<K, V> {
    /// Returns an initializer of an empty table.
    pub fn new() -> impl PinInit<Self> {
        // INVARIANT: There is no array.
        pin_init!(Self {
            buckets: AtomicPtr::new(ptr::null_mut()),
            count <- new_count(),
        })
    }

    /// Finds the value of a key. Any context.
    #[inline]
    pub fn find<'a>(&'a self, key: &K, _rcu: RcuReader<'a>) -> Option<&'a V> {
        // SAFETY: By the type invariant the array is valid, or null. A writer that takes the array or a node
        // out of the table drops it after a grace period, and the caller is in an RCU read side for `'a`. The
        // table itself is borrowed for `'a`, so it is not dropped. Acquire: the content was written before
        // the pointer to it was stored.
        let buckets = unsafe { self.buckets.load(Ordering::Acquire).as_ref() }?.value();
        let mut next = buckets.list(key.hash())?.load(Ordering::Acquire);
        loop {
            // SAFETY: As above.
            let node = unsafe { next.as_ref() }?.value();
            if node.key == *key {
                return Some(&node.value);
            }
            next = node.next.load(Ordering::Acquire);
        }
    }

    /// Inserts a value. May sleep. Fails with `EEXIST` if the key has a value, with `ENOMEM`.
    pub fn insert(&self, key: K, value: V) -> Result {
        let mut count = self.count.lock();
        if self.place_of(&key).is_some() {
            return Err(EEXIST);
        }
        self.grow(*count)?;
        let node = RcuBox::new(Node {
            next: Link::new(ptr::null_mut()),
            key,
            value,
        })?;
        // SAFETY: The node is new, so no list has it. This function holds the lock, so it is the only writer.
        let linked = self.array().map(|array| unsafe { link(array, node) });
        if linked.is_none() {
            // SAFETY: `node` came from `new`, and is in no list.
            unsafe { RcuBox::drop_now(node) };
            return Err(ENOMEM);
        }
        *count = count.saturating_add(1);
        Ok(())
    }

    /// Removes a key and its value, which is dropped after a grace period. Returns `false` if the key has no
    /// value. May sleep.
    pub fn remove(&self, key: &K) -> bool {
        let mut count = self.count.lock();
        let Some(Place { link, node }) = self.place_of(key) else {
            return false;
        };
        // SAFETY: The node was found in the table, under the lock.
        let next = unsafe { node.as_ref() }
            .value()
            .next
            .load(Ordering::Relaxed);
        link.store(next, Ordering::Release);
        // SAFETY: The node came from `new`, by the type invariant. It is in no list any more, so no new
        // reader finds it.
        unsafe { RcuBox::drop_after_readers(node) };
        *count = count.saturating_sub(1);
        true
    }

    /// Replaces the value of a key: a lookup finds the old value or the new one. The old value is dropped
    /// after a grace period. May sleep. Fails with `ENOENT` if the key has no value, with `ENOMEM`.
    pub fn replace(&self, key: &K, value: V) -> Result {
        let new = Replacement::new(key.clone(), value)?;
        if self.put(new) {
            Ok(())
        } else {
            Err(ENOENT)
        }
    }

    /// Does what [`Self::replace`] does, without allocating. Returns `false` if the key has no value. May sleep.
    pub fn put(&self, new: Replacement<K, V>) -> bool {
        let _count = self.count.lock();
        // SAFETY: The replacement owns the node, which is in no list.
        let node = unsafe { new.0.as_ref() }.value();
        let Some(Place { link, node: old }) = self.place_of(&node.key) else {
            return false;
        };
        // SAFETY: The node was found in the table, under the lock.
        let next = unsafe { old.as_ref() }.value().next.load(Ordering::Relaxed);
        node.next.store(next, Ordering::Relaxed);
        // Release: a reader that finds the node sees its content.
        link.store(new.0.as_ptr(), Ordering::Release);
        mem::forget(new);
        // SAFETY: As in `remove`.
        unsafe { RcuBox::drop_after_readers(old) };
        true
    }

    /// Returns the array, for the holder of the lock.
    fn array(&self) -> Option<&Buckets<K, V>> {
        // SAFETY: By the type invariant the array is valid or null, and only the holder of the lock, which
        // the caller is, takes it out of the table.
        Some(unsafe { self.buckets.load(Ordering::Relaxed).as_ref() }?.value())
    }

    /// Finds the place of a key, for the holder of the lock.
    fn place_of(&self, key: &K) -> Option<Place<'_, K, V>> {
        let mut link = self.array()?.list(key.hash())?;
        loop {
            let node = NonNull::new(link.load(Ordering::Relaxed))?;
            // SAFETY: The node is in the table, from which only the holder of the lock takes it.
            let found = unsafe { node.as_ref() }.value();
            if found.key == *key {
                return Some(Place { link, node });
            }
            link = &found.next;
        }
    }

    /// Makes room for another entry, for the holder of the lock. Fails with `ENOMEM` if the table has no array
    /// yet, and there is no memory for one.
    fn grow(&self, count: usize) -> Result {
        let bits = match self.array() {
            None => FIRST_BITS,
            Some(array) if count < array.lists.len() || array.bits() >= MOST_BITS => return Ok(()),
            Some(array) => array.bits() + 1,
        };
        match self.copy(bits).and_then(RcuBox::new) {
            Ok(new) => {
                let old = self.buckets.swap(new.as_ptr(), Ordering::AcqRel);
                if let Some(old) = NonNull::new(old) {
                    // SAFETY: The array came from `new`, by the type invariant, and no new reader finds it.
                    unsafe { RcuBox::drop_after_readers(old) };
                }
                Ok(())
            }
            // Longer lists are no error.
            Err(_) if self.array().is_some() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Copies the table's entries into a new array, for the holder of the lock.
    fn copy(&self, bits: u32) -> Result<Buckets<K, V>> {
        let new = Buckets::new(bits)?;
        for list in self.array().map_or(&[][..], |old| &old.lists) {
            let mut next = list.load(Ordering::Relaxed);
            // SAFETY: The nodes are in the table, from which only the holder of the lock takes them.
            while let Some(node) = unsafe { next.as_ref() }.map(RcuBox::value) {
                let copy = RcuBox::new(Node {
                    next: Link::new(ptr::null_mut()),
                    key: node.key.clone(),
                    value: node.value.clone(),
                })?;
                // SAFETY: The node and the array are new: no list has the node, and no other code the array.
                unsafe { link(&new, copy) };
                next = node.next.load(Ordering::Relaxed);
            }
        }
        Ok(new)
    }
}

/// A value that replaces another in a table, with the memory for it: see [`RcuTable::put`].
///
/// # Invariants
///
/// We own the node, which comes from `RcuBox::new` and is in no list.
pub struct Replacement<K, V>(NonNull<RcuBox<Node<K, V>>>);

impl<K, V> Replacement<K, V> {
    /// Allocates a replacement for the value of a key. May sleep. Fails with `ENOMEM`.
    pub fn new(key: K, value: V) -> Result<Self> {
        let node = RcuBox::new(Node {
            next: Link::new(ptr::null_mut()),
            key,
            value,
        })?;
        // INVARIANT: The node is new.
        Ok(Self(node))
    }
}

impl<K, V> Drop for Replacement<K, V> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the node is ours, and no reader has found it.
        unsafe { RcuBox::drop_now(self.0) };
    }
}

/// Returns an initializer of a table's lock.
// Neither generic nor inlined, because lockdep wants one name for one class of locks.
#[inline(never)]
fn new_count() -> impl PinInit<Mutex<usize>> {
    new_mutex!(0, "RcuTable::count")
}

/// Puts a node at the beginning of its list.
///
/// # Safety
///
/// The node must come from [`RcuBox::new`] and be in no list. The caller must be the only writer of the array.
unsafe fn link<K: Key, V>(array: &Buckets<K, V>, node: NonNull<RcuBox<Node<K, V>>>) {
    // SAFETY: The caller promises a valid node.
    let new = unsafe { node.as_ref() }.value();
    // A mixed hash of 64 bits always has a list.
    if let Some(list) = array.list(new.key.hash()) {
        new.next
            .store(list.load(Ordering::Relaxed), Ordering::Relaxed);
        // Release: a reader that finds the node sees its content.
        list.store(node.as_ptr(), Ordering::Release);
    }
}

#[pinned_drop]
impl<K: Key, V: Clone + Send + Sync + 'static> PinnedDrop for RcuTable<K, V> {
    fn drop(self: Pin<&mut Self>) {
        if let Some(buckets) = NonNull::new(self.buckets.load(Ordering::Acquire)) {
            // SAFETY: The array came from `new`, by the type invariant. Nothing borrows the table, so no
            // reader has a reference to an entry, and no writer runs.
            unsafe { RcuBox::drop_now(buckets) };
        }
    }
}

#[kunit_tests(rfou_net_rcu_table)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;
    use kernel::sync::Arc;

    /// All numbers have one of two hashes.
    #[derive(Clone, PartialEq, Eq)]
    struct Number(u32);

    impl Key for Number {
        fn hash(&self) -> u64 {
            u64::from(self.0 & 1)
        }
    }

    static DROPPED: AtomicUsize = AtomicUsize::new(0);

    struct Counted;

    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_inserted_is_found_until_it_is_removed() -> Result {
        let table = KBox::pin_init(RcuTable::<Number, u32>::new(), GFP_KERNEL)?;
        let find =
            |number| crate::rcu::RcuReader::with(|rcu| table.find(&Number(number), rcu).copied());
        assert_eq!(find(0), None);
        for number in 0..200 {
            table.insert(Number(number), number + 1)?;
            assert!(table.insert(Number(number), 0) == Err(EEXIST));
        }
        for number in 0..200 {
            assert_eq!(find(number), Some(number + 1));
        }
        for number in (0..200).step_by(3) {
            assert!(table.remove(&Number(number)));
            assert!(!table.remove(&Number(number)));
        }
        for number in 0..200 {
            assert_eq!(find(number).is_some(), number % 3 != 0);
        }
        Ok(())
    }

    #[test]
    fn each_value_is_dropped_once() -> Result {
        let value = Arc::new(Counted, GFP_KERNEL)?;
        let table = KBox::pin_init(RcuTable::<Number, Arc<Counted>>::new(), GFP_KERNEL)?;
        for number in 0..100 {
            table.insert(Number(number), value.clone())?;
        }
        for number in 0..50 {
            table.remove(&Number(number));
        }
        drop(table);
        drop(value);
        crate::rcu::wait_for_callbacks();
        assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
        Ok(())
    }
}
