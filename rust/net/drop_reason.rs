// SPDX-License-Identifier: GPL-2.0

//! Why packets are dropped, for tracing and dropwatch.
//!
//! C header: [`include/net/dropreason.h`](srctree/include/net/dropreason.h)

use core::sync::atomic::{AtomicU32, Ordering};
use kernel::{bindings, ffi::c_char, prelude::*};
use net_bindings as extra;

/// Why a packet was dropped, as tracing and dropwatch show it (`enum skb_drop_reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropReason(bindings::skb_drop_reason);

impl DropReason {
    /// No reason is known.
    pub const NOT_SPECIFIED: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED);
    /// The packet is shorter than the headers it must have.
    pub const PACKET_TOO_SMALL: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_PKT_TOO_SMALL);
    /// Memory for a private copy could not be had.
    pub const NO_MEMORY: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM);
    /// The protocol of the payload is not one that can be delivered.
    pub const UNHANDLED_PROTOCOL: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_UNHANDLED_PROTO);
    /// A checksum is wrong, or not where it is said to be.
    pub const CHECKSUM: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_SKB_CSUM);
    /// A header is not as its protocol demands.
    pub const INVALID_PROTOCOL: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_INVALID_PROTO);

    #[inline]
    pub(crate) const fn as_raw(self) -> bindings::skb_drop_reason {
        self.0
    }
}

/// Names of a module's own drop reasons, in the order of their numbers.
pub struct Names<const N: usize>([*const c_char; N]);

// SAFETY: The pointers are to constant strings.
unsafe impl<const N: usize> Sync for Names<N> {}

impl<const N: usize> Names<N> {
    /// A table of these names.
    // The method that gives unsigned characters at once cannot be called in a constant.
    #[allow(clippy::disallowed_methods)]
    pub const fn new(names: [&'static CStr; N]) -> Self {
        let mut table = [core::ptr::null(); N];
        let mut index = 0;
        while index < N {
            table[index] = names[index].as_ptr().cast();
            index += 1;
        }
        Self(table)
    }
}

/// A module's own drop reasons: a `static` of the module's, of use while a [`Registration`] lives.
///
/// The kernel numbers the subsystems that have reasons of their own in an enum, which a module
/// cannot be added to. Until there is an entry for it, a module borrows the number of a subsystem
/// that is not there (mac80211, Open vSwitch). When that one is loaded later it takes its number
/// back, and the module's reasons become the nearest of the core's.
pub struct Subsystem {
    list: extra::drop_reason_list,
    /// The number that was borrowed, or 0, the core's, for none.
    number: AtomicU32,
}

// SAFETY: The list points to static data and is only read.
unsafe impl Sync for Subsystem {}

/// Whose numbers may be borrowed, the one that is least often needed beside a tunnel first.
const LENDERS: [u32; 2] = [
    extra::skb_drop_reason_subsys_SKB_DROP_REASON_SUBSYS_MAC80211_UNUSABLE,
    extra::skb_drop_reason_subsys_SKB_DROP_REASON_SUBSYS_OPENVSWITCH,
];

impl Subsystem {
    /// A subsystem with these reasons, not registered.
    pub const fn new<const N: usize>(names: &'static Names<N>) -> Self {
        Self {
            list: extra::drop_reason_list {
                reasons: names.0.as_ptr(),
                n_reasons: N,
            },
            number: AtomicU32::new(0),
        }
    }

    /// The reason with an index in the table of names, or `otherwise` while there is no number for
    /// it. Any context.
    pub fn reason(&'static self, index: u16, otherwise: DropReason) -> DropReason {
        let number = self.number.load(Ordering::Relaxed);
        if number == 0 || !self.is_listed_as(number) {
            return otherwise;
        }
        DropReason(number << bindings::SKB_DROP_REASON_SUBSYS_SHIFT | u32::from(index))
    }

    fn is_listed_as(&'static self, number: u32) -> bool {
        // SAFETY: The numbers we use are below the table's length; the pointer is compared only.
        core::ptr::eq(unsafe { extra::drop_reasons_of_subsys(number) }, &self.list)
    }
}

/// The registration of a [`Subsystem`]. Dropping it gives the number back.
pub struct Registration(&'static Subsystem);

impl Registration {
    /// Borrows a number, if one is free; there is no harm if none is. May sleep.
    ///
    /// C has no way to take a number only if it is free: an owner that registers at the same moment
    /// may lose its names to ours until it is loaded again.
    pub fn new(subsystem: &'static Subsystem) -> Self {
        for number in LENDERS {
            // SAFETY: As in `is_listed_as`.
            if unsafe { extra::drop_reasons_of_subsys(number) }.is_null() {
                // SAFETY: The list is static, and `Drop` unregisters it before the module goes.
                unsafe { extra::drop_reasons_register_subsys(number, &subsystem.list) };
                subsystem.number.store(number, Ordering::Relaxed);
                break;
            }
        }
        Self(subsystem)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let number = self.0.number.swap(0, Ordering::Relaxed);
        // If its owner has come and taken the number, it is not ours to clear.
        if number != 0 && self.0.is_listed_as(number) {
            // SAFETY: The number is one of the table's. C waits until nobody reads the list.
            unsafe { extra::drop_reasons_unregister_subsys(number) };
        }
    }
}
