// SPDX-License-Identifier: GPL-2.0

//! Encapsulation hooks of the tunnel devices whose outer header is IPv6 (ip6tnl, ip6gre).
//!
//! A module that uses this needs `ip6_tunnel`, which makes a device in every namespace when it is
//! loaded; so who can do without IPv6 should have this in a module of its own.
//!
//! C header: [`include/net/ip6_tunnel.h`](srctree/include/net/ip6_tunnel.h)

use crate::{
    flow_hash,
    icmp::{Icmp6Error, QuotedPacket},
    ip_tunnel::{private, EncapConfig, Flow, IpTunnelEncap, MAX_HEADER_LEN_BYTES},
    module::{Phase, Scope, Undo},
    segmentation,
    skb::GsoType,
    udp::Checksum,
    Outgoing, Skb,
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{bindings, prelude::*};
use net_bindings as extra;

/// The outer IPv6 flow that a packet is being sent in.
#[repr(transparent)]
pub struct FlowIpv6(bindings::flowi6);

impl FlowIpv6 {
    /// Borrows a flow from C.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for the chosen lifetime.
    #[inline]
    unsafe fn from_raw<'a>(ptr: *const bindings::flowi6) -> &'a Self {
        // SAFETY: Promised by the caller; the type is a transparent wrapper.
        unsafe { &*ptr.cast() }
    }
}

impl private::Sealed for FlowIpv6 {}

impl Flow for FlowIpv6 {
    #[inline]
    fn udp_checksum(config: &EncapConfig) -> Checksum {
        config.checksum_if(extra::TUNNEL_ENCAP_FLAG_CSUM6)
    }

    #[inline]
    fn device_segments(&self, skb: &Outgoing<'_>, protocol: u8, gso_type: GsoType) -> bool {
        let needed = segmentation::of_tcp(skb, protocol, GsoType::IPXIP6) | gso_type;
        // SAFETY: The packet is on its way out of one of the devices that these hooks are for, which
        // have given it its route.
        let types = unsafe { extra::ip6_tunnel_gso_types(skb.as_raw()) };
        GsoType::from_raw(types).contains(needed)
    }

    #[inline]
    unsafe fn set_udp_checksum(&self, skb: &mut Skb<'_>, len: i32) {
        // SAFETY: Promised by the caller; the packet is valid and ours to change.
        unsafe {
            extra::udp6_set_csum(false, skb.as_raw(), &self.0.saddr, &self.0.daddr, len);
        }
    }
}

/// Registers an [`IpTunnelEncap`] for IPv6, until the module's end. Process context, may sleep.
///
/// Devices that are configured for the encapsulation stay at the module's end; until it is registered
/// again, they drop what they send and count transmit errors. Fails with `EEXIST` if another module has
/// its number.
pub fn register<T: IpTunnelEncap<FlowIpv6>>(scope: &'static Scope) -> Result {
    flow_hash::choose_secret();
    let init = |this: *mut Registered<T>| {
        let registered = Registered {
            // C compares addresses on removal; a constant may have more than one.
            ops: Registered::<T>::OPS,
            _encap: PhantomData,
        };
        // SAFETY: The operations are static, and are unregistered before the code goes.
        match unsafe { extra::ip6_tnl_encap_add_ops(registered.ops, T::TYPE) } {
            // SAFETY: The caller has this initialized.
            0 => unsafe { this.write(registered) },
            // C says -1 for a number that is taken: no errno.
            -1 => return Err(EEXIST),
            errno => return Err(Error::from_errno(errno)),
        }
        Ok(())
    };
    // SAFETY: The closure initializes the value or fails and leaves nothing to be dropped.
    scope.register(unsafe { pin_init::pin_init_from_closure(init) })?;
    Ok(())
}

/// A registered [`IpTunnelEncap`] for IPv6.
///
/// # Invariants
///
/// `ops` is registered under `T::TYPE`.
struct Registered<T: IpTunnelEncap<FlowIpv6>> {
    ops: &'static extra::ip6_tnl_encap_ops,
    _encap: PhantomData<fn() -> T>,
}

impl<T: IpTunnelEncap<FlowIpv6>> Registered<T> {
    const OPS: &'static extra::ip6_tnl_encap_ops = &extra::ip6_tnl_encap_ops {
        encap_hlen: Some(encap_hlen::<T>),
        build_header: Some(build_header::<T>),
        err_handler: Some(err_handler::<T>),
    };
}

impl<T: IpTunnelEncap<FlowIpv6>> Undo for Registered<T> {
    const PHASE: Phase = Phase::EntryPoint;

    fn undo(&self) {
        // Waits until no packet is in the hooks.
        // SAFETY: By the type invariant these operations are registered under this number.
        unsafe { extra::ip6_tnl_encap_del_ops(self.ops, T::TYPE) };
    }
}

/// # Safety
///
/// To be called by C alone, with a valid configuration.
unsafe extern "C" fn encap_hlen<T: IpTunnelEncap<FlowIpv6>>(
    config: *mut extra::ip_tunnel_encap,
) -> usize {
    // SAFETY: C passes a configuration that is valid during the call.
    T::header_len_bytes(&unsafe { EncapConfig::read(config) }).min(MAX_HEADER_LEN_BYTES)
}

/// # Safety
///
/// To be called by C alone, with a packet that is the caller's and is on its way out of a device.
unsafe extern "C" fn build_header<T: IpTunnelEncap<FlowIpv6>>(
    skb: *mut bindings::sk_buff,
    config: *mut extra::ip_tunnel_encap,
    protocol: *mut u8,
    flow: *mut bindings::flowi6,
) -> c_int {
    // SAFETY: C passes a valid packet.
    let skb = unsafe { NonNull::new_unchecked(skb) };
    // SAFETY: The packet is the caller's, who does not touch it during the call, and the rest is
    // valid during the call.
    let (mut skb, config, flow) = unsafe {
        (
            Outgoing::from_raw(skb),
            EncapConfig::read(config),
            FlowIpv6::from_raw(flow),
        )
    };
    // SAFETY: As above.
    match T::build_header(&mut skb, &config, unsafe { *protocol }, flow) {
        Ok(outer) => {
            // SAFETY: As above.
            unsafe { *protocol = outer };
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// To be called by C alone, with a packet that begins with the IPv6 header that an ICMPv6 error
/// quotes, right behind the ICMPv6 header in the linear part, and whose transport header is the
/// quoted UDP header's place.
unsafe extern "C" fn err_handler<T: IpTunnelEncap<FlowIpv6>>(
    skb: *mut bindings::sk_buff,
    parameters: *mut extra::inet6_skb_parm,
    kind: u8,
    code: u8,
    _offset: c_int,
    info: u32,
) -> c_int {
    let error = Icmp6Error {
        parameters,
        kind,
        code,
        info,
    };
    // SAFETY: C passes a valid packet.
    let skb = unsafe { NonNull::new_unchecked(skb) };
    // SAFETY: Promised by the caller, who does not touch the packet during the call.
    let mut quoted = unsafe { QuotedPacket::from_raw(skb) };
    match T::find_inner(&mut quoted)
        .and_then(|(at, protocol)| quoted.handle_ipv6(at, protocol, &error))
    {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
