// SPDX-License-Identifier: GPL-2.0

//! GRO receive of packets whose header is recognized by its first bytes.

use super::{
    receive::{call, receive_any},
    skb::GroSkb,
    GroTunnel,
};
use crate::ip_proto::InnerProtocol;
use core::{marker::PhantomData, ptr::NonNull};
use net_bindings as bindings;

/// A packet that GRO may merge with held packets, before its tunnel has read it. The tunnel's header begins at the
/// packet's GRO offset.
///
/// Each method that takes `self` ends in the call of the inner layer, so the compiler can make that a tail call.
///
/// # Invariants
///
/// `held` and `skb` are what GRO passed for a socket of a `T`. The socket is of IPv6 if `IPV6` is `true`, and of IPv4
/// otherwise, unless `T`'s handlers are [`Handlers::OfDevice`](super::Handlers::OfDevice). The packet is in no tunnel.
/// GRO's RCU read side outlives `'a`. Each call has one value, with a lifetime of its own.
pub struct Glance<'a, T, const IPV6: bool> {
    held: *mut bindings::list_head,
    skb: NonNull<bindings::sk_buff>,
    _call: Brand<'a>,
    _tunnel: PhantomData<fn(T) -> T>,
}

/// The answer to GRO. Only the methods of the call's [`Glance`] return it.
pub struct Glanced<'a> {
    /// What C's `gro_receive` returns.
    raw: *mut bindings::sk_buff,
    _call: Brand<'a>,
}

/// Makes a lifetime invariant, so that an answer for one packet is none for another.
type Brand<'a> = PhantomData<fn(&'a ()) -> &'a ()>;

impl Glanced<'_> {
    #[inline(always)]
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        self.raw
    }
}

impl<'a, T: GroTunnel, const IPV6: bool> Glance<'a, T, IPV6> {
    /// # Safety
    ///
    /// The arguments must keep the type's invariants.
    #[inline(always)]
    pub(super) unsafe fn new(
        held: *mut bindings::list_head,
        skb: NonNull<bindings::sk_buff>,
    ) -> Self {
        // INVARIANT: Promised by the caller.
        Self {
            held,
            skb,
            _call: PhantomData,
            _tunnel: PhantomData,
        }
    }

    #[inline(always)]
    fn packet(&self) -> &GroSkb {
        // SAFETY: By the type invariant the packet is valid and in GRO. Nothing changes it while `self` is
        // borrowed.
        unsafe { GroSkb::ref_from_raw(self.skb.as_ptr()) }
    }

    /// Returns the first `LEN` bytes of the header, if they are linear.
    #[inline(always)]
    pub fn first<const LEN: usize>(&self) -> Option<&[u8; LEN]> {
        self.packet().linear_first()
    }

    /// Clears `same_flow` of the held packets whose header of `LEN` bytes differs, pulls the header, and passes the
    /// packet on to the inner layer of `protocol`. Leaves a packet whose header is not linear to
    /// [`GroTunnel::gro_receive`].
    #[inline(always)]
    pub fn pull<const LEN: usize>(self, tunnel: &T, protocol: InnerProtocol) -> Glanced<'a> {
        let len = const {
            assert!(LEN <= u8::MAX as usize);
            LEN as u8
        };
        if self.first::<LEN>().is_none() {
            return self.other(tunnel);
        }
        // SAFETY: By the type invariant the packet is valid and in GRO, and `held` its list. The header is linear, as
        // was just checked.
        unsafe { GroSkb::from_raw(self.skb.as_ptr()).pull_linear(self.held, LEN) };
        self.enter(protocol, len)
    }

    /// Clears `same_flow` of the held packets whose first byte differs, and passes the packet on to the inner layer of
    /// `protocol`. For packets without a header, in a tunnel whose headers begin with another byte.
    #[inline(always)]
    pub fn compare_first(self, tunnel: &T, protocol: InnerProtocol) -> Glanced<'a> {
        if self.first::<1>().is_none() {
            return self.other(tunnel);
        }
        // SAFETY: By the type invariant the packet is valid and in GRO, and `held` its list. There is a linear byte, as
        // was just checked.
        unsafe { self.packet().compare_linear(self.held, 1) };
        self.enter(protocol, 0)
    }

    /// Passes the packet on to the inner layer of `protocol`. For tunnels without a header.
    #[inline(always)]
    pub fn pass(self, protocol: InnerProtocol) -> Glanced<'a> {
        self.enter(protocol, 0)
    }

    #[inline(always)]
    fn enter(self, protocol: InnerProtocol, pulled: u8) -> Glanced<'a> {
        let skb = self.skb.as_ptr();
        // SAFETY: By the type invariant the packet is valid and in GRO, `held` is its list, and the RCU read side
        // continues until the inner layer has been called. The layer is for the protocol at the packet's GRO offset.
        let raw = unsafe {
            let inner = GroSkb::from_raw(skb).enter::<T>(protocol, pulled, IPV6);
            call(inner, self.held, skb)
        };
        Glanced {
            raw,
            _call: PhantomData,
        }
    }

    /// Leaves the packet to [`GroTunnel::gro_receive`] of this tunnel.
    #[inline(always)]
    pub fn other(self, tunnel: &T) -> Glanced<'a> {
        // SAFETY: By the type invariant the pointers are what GRO has passed, in an RCU read side that continues, and
        // the packet is in no tunnel.
        let raw = unsafe { receive_any::<T>(tunnel, self.held, self.skb.as_ptr(), IPV6) };
        Glanced {
            raw,
            _call: PhantomData,
        }
    }
}
