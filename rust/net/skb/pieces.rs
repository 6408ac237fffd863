// SPDX-License-Identifier: GPL-2.0

//! Received packets that are pieces of a packet.

use super::RxSkb;
use crate::{ecn, ip_proto::ChecksumPlace};
use core::mem;
use kernel::prelude::*;
use net_bindings as bindings;

/// The most bytes between an outer IP header and a piece: IP, UDP and a tunnel's header with all options.
const MOST_OUTER_BYTES: usize = 0x1000;

impl RxSkb {
    /// Pulls `len` bytes of outer headers as [`Self::decapsulate_with_remote_checksum`] does, but always computes and
    /// writes the checksum that the sender has left to the receiver.
    ///
    /// Softirq context. Fails with the same errors. The packet must not be delivered after an error.
    pub fn decapsulate_computing_checksum(&mut self, len: usize, place: ChecksumPlace) -> Result {
        if place.field < place.start {
            return Err(EINVAL);
        }
        self.decapsulate(len)?;
        self.as_pin_mut().compute_remote_checksum(place)
    }

    /// Returns the ECN field of the outer IP header, of IPv6 or of IPv4; `None` if the header does not lie before
    /// the packet.
    #[inline]
    pub(crate) fn outer_ecn<const IPV6: bool>(&self) -> Option<u8> {
        self.outer_dsfield::<IPV6>().map(|byte| byte & ecn::MASK)
    }

    /// Marks the outer IP header, of IPv6 or of IPv4, as "congestion experienced". Fails with `EINVAL` if the header
    /// does not lie before the packet, with `E2BIG` if it lies more than [`MOST_OUTER_BYTES`] before, with `ENOMEM`.
    pub(crate) fn set_outer_ce<const IPV6: bool>(&mut self) -> Result {
        let (headers, _) = self.as_pin_mut().outer_headers_mut(MOST_OUTER_BYTES)?;
        // IPv4's TOS is the second byte; the low bits of IPv6's traffic class are in the upper half of the second
        // byte.
        let mask = if IPV6 { ecn::MASK << 4 } else { ecn::MASK };
        *headers.get_mut(1).ok_or(EINVAL)? |= mask;
        Ok(())
    }

    /// Gives up a checksum over the whole packet (`CHECKSUM_COMPLETE`): the receiver computes the sum again.
    pub(crate) fn forget_checksum(&mut self) {
        self.as_pin_mut().forget_complete_checksum();
    }

    /// Gives up the packet's socket, connection and extensions, and takes its route, so that the packet can be kept
    /// for any time.
    pub(crate) fn forget_origin(&mut self) -> TakenRoute {
        let raw = self.as_pin_mut().as_raw();
        // SAFETY: By the type invariant the packet is valid, and it is exclusively borrowed.
        // INVARIANT: The packet does not have the route any more.
        unsafe {
            bindings::skb_forget_origin(raw);
            TakenRoute(bindings::skb_dstref_steal(raw))
        }
    }

    /// Gives the packet the route by which it came. Receive functions of protocols rely on it.
    pub(crate) fn return_route(&mut self, route: TakenRoute) {
        // SAFETY: By the type invariant the packet is valid, and it is exclusively borrowed. It has no route, because
        // `forget_origin` took the route.
        unsafe { bindings::skb_dstref_restore(self.as_pin_mut().as_raw(), route.0) };
        mem::forget(route);
    }
}

/// The route of a received packet that was taken from it.
///
/// # Invariants
///
/// We own what a packet has of a route: null, a reference, or a pointer that is valid in the RCU read side in which
/// the packet was received.
pub(crate) struct TakenRoute(usize);

impl Drop for TakenRoute {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own the reference, if it is one.
        unsafe { bindings::refdst_drop(self.0) };
    }
}
