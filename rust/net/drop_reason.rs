// SPDX-License-Identifier: GPL-2.0

//! Reasons for dropping packets, for tracing and dropwatch.
//!
//! C header: [`include/net/dropreason.h`](srctree/include/net/dropreason.h)

use crate::module::{Phase, Scope, Undo};
use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};
use kernel::{ffi::c_char, prelude::*};
use net_bindings as bindings;

/// A reason for dropping a packet, which tracing and dropwatch show (`enum skb_drop_reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropReason(bindings::skb_drop_reason);

impl DropReason {
    /// The reason is unknown.
    pub const NOT_SPECIFIED: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED);
    /// The packet is shorter than its headers.
    pub const PKT_TOO_SMALL: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_PKT_TOO_SMALL);
    /// The packet is longer than the path's MTU.
    pub const PKT_TOO_BIG: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_PKT_TOO_BIG);
    /// There is no memory.
    pub const NOMEM: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM);
    /// The protocol of the payload cannot be delivered.
    pub const UNHANDLED_PROTO: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_UNHANDLED_PROTO);
    /// A checksum is wrong, or lies outside the packet.
    pub const SKB_CSUM: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_SKB_CSUM);
    /// A header breaks the rules of its protocol.
    pub const INVALID_PROTO: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_INVALID_PROTO);

    /// No socket or device receives the packet.
    pub const NO_SOCKET: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_NO_SOCKET);
    /// A UDP checksum is wrong.
    pub const UDP_CSUM: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_UDP_CSUM);
    /// The outer header says "congestion experienced", which the inner header cannot say (RFC 6040).
    pub const IP_TUNNEL_ECN: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_IP_TUNNEL_ECN);
    /// No route.
    pub const IP_OUTNOROUTES: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_IP_OUTNOROUTES);
    /// A packet passes through too many tunnels of this host.
    pub const RECURSION_LIMIT: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_RECURSION_LIMIT);
    /// A packet of a device in external mode has no tunnel metadata, or metadata that the device cannot
    /// use.
    pub const TUNNEL_TXINFO: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_TUNNEL_TXINFO);

    /// Some pieces of a packet did not arrive in time.
    pub const FRAG_REASM_TIMEOUT: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_FRAG_REASM_TIMEOUT);
    /// A piece of a packet overlaps a piece that arrived before.
    pub const DUP_FRAG: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_DUP_FRAG);

    /// A security rule forbids the packet.
    pub const SECURITY_HOOK: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_SECURITY_HOOK);

    /// Returns C's number.
    #[inline]
    pub(crate) const fn as_raw(self) -> bindings::skb_drop_reason {
        self.0
    }
}

/// Names of a module's own drop reasons, in the order of their numbers.
pub struct Names<const N: usize>([*const c_char; N]);

// SAFETY: `new` is the only constructor, and takes `&'static CStr`s: the pointers are valid for ever, and
// nothing writes to the strings.
unsafe impl<const N: usize> Sync for Names<N> {}

impl<const N: usize> Names<N> {
    /// Makes a table of these names.
    // `as_char_ptr` returns unsigned characters but cannot be called in a constant.
    #[allow(clippy::disallowed_methods)]
    pub const fn new(names: [&'static CStr; N]) -> Self {
        let mut table = [ptr::null(); N];
        let mut index = 0;
        while index < N {
            table[index] = names[index].as_ptr().cast();
            index += 1;
        }
        Self(table)
    }
}

/// A module's own drop reasons: a `static` of the module, in use from [`register`] on.
///
/// `enum skb_drop_reason_subsys` numbers the subsystems that have reasons of their own. A module cannot
/// extend it, so [`register`] borrows the number of a subsystem that is not loaded (mac80211, Open
/// vSwitch). The drop monitor shows the right names, because it looks them up in the core's table. Tools
/// that take names from the kernel's BTF show the number's owner instead, so borrow a number only if the
/// user asks for it. An owner that is loaded later overwrites the table's entry. From then on
/// [`Self::reason`] returns its argument `otherwise`.
///
/// # Invariants
///
/// `number` is 0, which is the core's number, or one of `LENDERS`. It is 0 unless the subsystem is
/// acquired.
pub struct Subsystem {
    list: bindings::drop_reason_list,
    acquired: AtomicBool,
    number: AtomicU32,
}

// SAFETY: `new` makes the list of a `&'static Names`, and nothing writes to either afterwards. The other
// fields are atomic.
unsafe impl Sync for Subsystem {}

/// Subsystems whose numbers may be borrowed. A host with tunnels needs mac80211 less often than Open
/// vSwitch.
const LENDERS: [u32; 2] = [
    bindings::skb_drop_reason_subsys_SKB_DROP_REASON_SUBSYS_MAC80211_UNUSABLE,
    bindings::skb_drop_reason_subsys_SKB_DROP_REASON_SUBSYS_OPENVSWITCH,
];

// The core's table has an entry for each lender.
const _: () = {
    let len = bindings::skb_drop_reason_subsys_SKB_DROP_REASON_SUBSYS_NUM;
    assert!(LENDERS[0] < len && LENDERS[1] < len);
};

impl Subsystem {
    /// Makes a subsystem with these reasons, without a number.
    pub const fn new<const N: usize>(names: &'static Names<N>) -> Self {
        // INVARIANT: `number` is 0.
        Self {
            list: bindings::drop_reason_list {
                reasons: names.0.as_ptr(),
                n_reasons: N,
            },
            acquired: AtomicBool::new(false),
            number: AtomicU32::new(0),
        }
    }

    /// Returns the reason with an index in the table of names, or `otherwise` while the core's table has no
    /// entry for the subsystem. Any context.
    pub fn reason(&'static self, index: u16, otherwise: DropReason) -> DropReason {
        let number = self.number.load(Ordering::Relaxed);
        if number == 0 || !self.is_listed_as(number) {
            return otherwise;
        }
        DropReason(number << bindings::SKB_DROP_REASON_SUBSYS_SHIFT | u32::from(index))
    }

    /// Returns `true` if the table's entry for `number`, 0 or one of [`LENDERS`], is this subsystem.
    fn is_listed_as(&'static self, number: u32) -> bool {
        // SAFETY: 0 and all of `LENDERS` are below the table's length. The pointer is only compared, so the
        // list may be freed at any time.
        let listed = unsafe { bindings::drop_reasons_of_subsys(number) };
        ptr::eq(listed, &self.list)
    }

    /// Borrows a number that no loaded subsystem uses. Any context.
    ///
    /// Fails with `EBUSY` if the subsystem is acquired already, and with `ENOSPC` if no number is free.
    fn acquire(&'static self) -> Result {
        if self.acquired.swap(true, Ordering::Acquire) {
            return Err(EBUSY);
        }
        let Some(number) = LENDERS.into_iter().find(|&number| self.take(number)) else {
            self.acquired.store(false, Ordering::Release);
            return Err(ENOSPC);
        };
        // INVARIANT: One of `LENDERS`, and the subsystem is acquired.
        self.number.store(number, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the number to its owner and waits for readers of the names. Called once after
    /// [`Self::acquire`]. May sleep.
    fn release(&'static self) {
        // INVARIANT: `number` becomes 0.
        self.give_back(self.number.swap(0, Ordering::Relaxed));
        // Cleared last. Otherwise another caller could acquire the subsystem and take the same entry, and
        // this call would empty that entry.
        self.acquired.store(false, Ordering::Release);
    }

    /// Writes this subsystem into the table's entry for `number`, one of [`LENDERS`], if the entry is
    /// empty.
    fn take(&'static self, number: u32) -> bool {
        // SAFETY: All of `LENDERS` are below the table's length. The list is static, and the caller calls
        // `give_back` before the module that has the list is unloaded.
        unsafe { bindings::drop_reasons_cmpxchg(number, ptr::null(), &self.list) }
    }

    /// Empties the table's entry for `number`, 0 or one of [`LENDERS`], if the entry is this subsystem,
    /// and waits for readers of the list. May sleep.
    fn give_back(&'static self, number: u32) {
        // SAFETY: 0 and all of `LENDERS` are below the table's length. The call writes null, which is valid
        // in the table, and only compares the pointer to the list.
        unsafe { bindings::drop_reasons_cmpxchg(number, &self.list, ptr::null()) };
        // Waits for readers even if the entry has another owner, because an owner that overwrites our
        // pointer does not wait for readers that have loaded it. After the cmpxchg no reader can load our
        // pointer, because only `take` writes it, so this grace period covers all of them.
        //
        // SAFETY: C only requires that the task may sleep.
        unsafe { bindings::synchronize_rcu() };
    }
}

/// Borrows a number for a subsystem until the module is unloaded. Process context, may sleep.
///
/// Fails with `EBUSY` if the subsystem has a number already, with `ENOSPC` if no number is free, with
/// `ENOMEM`, or with `ENODEV` when the scope has ended.
pub fn register(scope: &'static Scope, subsystem: &'static Subsystem) -> Result {
    scope.register(try_init!(Registered {
        subsystem: {
            subsystem.acquire()?;
            subsystem
        },
    }? Error))?;
    Ok(())
}

/// # Invariants
///
/// The subsystem is acquired, and only this releases it.
struct Registered {
    subsystem: &'static Subsystem,
}

impl Undo for Registered {
    // Undone after the entry points, which drop packets for these reasons.
    const PHASE: Phase = Phase::State;

    fn undo(&self) {
        self.subsystem.release();
    }
}

#[kunit_tests(rfou_net_drop_reason)]
mod tests {
    use super::*;

    static NAMES: Names<2> = Names::new([c"FIRST", c"SECOND"]);
    static OTHER_NAMES: Names<1> = Names::new([c"OTHER"]);
    const OTHERWISE: DropReason = DropReason::SKB_CSUM;

    /// Counts the entries of the table that are this subsystem.
    fn entries(subsystem: &'static Subsystem) -> usize {
        let all = LENDERS.into_iter();
        all.filter(|&number| subsystem.is_listed_as(number)).count()
    }

    #[test]
    fn acquired_subsystem_has_numbers_until_it_is_released() -> Result {
        static SUBSYSTEM: Subsystem = Subsystem::new(&NAMES);
        assert_eq!(SUBSYSTEM.reason(1, OTHERWISE), OTHERWISE);
        SUBSYSTEM.acquire()?;
        let DropReason(raw) = SUBSYSTEM.reason(1, OTHERWISE);
        assert!(LENDERS.contains(&(raw >> bindings::SKB_DROP_REASON_SUBSYS_SHIFT)));
        assert_eq!(raw & 0xffff, 1);
        SUBSYSTEM.release();
        assert_eq!(SUBSYSTEM.reason(1, OTHERWISE), OTHERWISE);
        assert_eq!(entries(&SUBSYSTEM), 0);
        Ok(())
    }

    #[test]
    fn acquiring_twice_is_refused_and_leaves_nothing() -> Result {
        static SUBSYSTEM: Subsystem = Subsystem::new(&NAMES);
        SUBSYSTEM.acquire()?;
        let reason = SUBSYSTEM.reason(0, OTHERWISE);
        assert_eq!(SUBSYSTEM.acquire(), Err(EBUSY));
        assert_eq!(entries(&SUBSYSTEM), 1);
        assert_eq!(SUBSYSTEM.reason(0, OTHERWISE), reason);
        SUBSYSTEM.release();
        assert_eq!(entries(&SUBSYSTEM), 0);
        SUBSYSTEM.acquire()?;
        SUBSYSTEM.release();
        Ok(())
    }

    #[test]
    fn owner_that_comes_later_keeps_its_number() -> Result {
        static SUBSYSTEM: Subsystem = Subsystem::new(&NAMES);
        static OWNER: Subsystem = Subsystem::new(&OTHER_NAMES);
        SUBSYSTEM.acquire()?;
        let number = SUBSYSTEM.number.load(Ordering::Relaxed);
        // SAFETY: `number` is one of `LENDERS`, below the table's length. Its entry is `SUBSYSTEM`, so its
        // owner is not loaded. `OWNER.list` is static, and `give_back` removes the list below.
        unsafe { bindings::drop_reasons_register_subsys(number, &OWNER.list) };
        assert_eq!(SUBSYSTEM.reason(0, OTHERWISE), OTHERWISE);
        SUBSYSTEM.release();
        let kept = OWNER.is_listed_as(number);
        OWNER.give_back(number);
        assert!(kept);
        assert_eq!(entries(&OWNER) + entries(&SUBSYSTEM), 0);
        Ok(())
    }

    #[test]
    fn number_in_use_is_not_taken() {
        static SUBSYSTEM: Subsystem = Subsystem::new(&NAMES);
        static OWNERS: [Subsystem; 2] = [const { Subsystem::new(&OTHER_NAMES) }; 2];
        let owners = || OWNERS.iter().zip(LENDERS);
        for (owner, number) in owners() {
            owner.take(number);
        }
        let refused = SUBSYSTEM.acquire();
        let kept = owners()
            .filter(|(owner, number)| owner.is_listed_as(*number))
            .count();
        for (owner, number) in owners() {
            owner.give_back(number);
        }
        assert_eq!(refused, Err(ENOSPC));
        assert_eq!(kept, 2);
        assert_eq!(entries(&SUBSYSTEM), 0);
        assert_eq!(SUBSYSTEM.acquire(), Ok(()));
        SUBSYSTEM.release();
    }
}
