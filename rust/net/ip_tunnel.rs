// SPDX-License-Identifier: GPL-2.0

//! Encapsulation hooks of the IPv4 tunnel devices (ipip, sit, gre): what is put between the outer
//! IP header and the tunnelled packet.
//!
//! C header: [`include/net/ip_tunnels.h`](srctree/include/net/ip_tunnels.h)

use crate::{udp::PortNumber, Skb};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{bindings, prelude::*};
use net_bindings as extra;

/// What a tunnel's user asked for (`ip link ... encap`), as the device keeps it.
#[repr(transparent)]
pub struct EncapConfig(extra::ip_tunnel_encap);

impl EncapConfig {
    /// Borrows a device's configuration from C.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for the chosen lifetime.
    #[inline]
    unsafe fn from_raw<'a>(ptr: *const extra::ip_tunnel_encap) -> &'a Self {
        // SAFETY: Promised by the caller; the type is a transparent wrapper.
        unsafe { &*ptr.cast() }
    }

    /// `encap-csum`: the outer UDP checksum is to be set when the outer header is IPv4.
    #[inline]
    pub fn checksum(&self) -> bool {
        u32::from(self.0.flags) & extra::TUNNEL_ENCAP_FLAG_CSUM != 0
    }

    /// `encap-remcsum`: the inner checksum is to be left to the receiver.
    #[inline]
    pub fn remote_checksum(&self) -> bool {
        u32::from(self.0.flags) & extra::TUNNEL_ENCAP_FLAG_REMCSUM != 0
    }

    /// `encap-sport`; "any" stands for `auto`.
    #[inline]
    pub fn source_port(&self) -> PortNumber {
        PortNumber::from_be(self.0.sport)
    }

    /// `encap-dport`.
    #[inline]
    pub fn destination_port(&self) -> PortNumber {
        PortNumber::from_be(self.0.dport)
    }
}

/// The outer IPv4 flow that a packet is being sent in.
#[repr(transparent)]
pub struct FlowIpv4(bindings::flowi4);

impl FlowIpv4 {
    /// Borrows a flow from C.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for the chosen lifetime.
    #[inline]
    unsafe fn from_raw<'a>(ptr: *const bindings::flowi4) -> &'a Self {
        // SAFETY: Promised by the caller; the type is a transparent wrapper.
        unsafe { &*ptr.cast() }
    }

    /// Outer source address, as C's `__be32`. All zero if routing has yet to choose it.
    #[inline]
    pub(crate) fn source_be(&self) -> u32 {
        self.0.saddr
    }

    /// Outer destination address, as C's `__be32`.
    #[inline]
    pub(crate) fn destination_be(&self) -> u32 {
        self.0.daddr
    }
}

/// An encapsulation for the IPv4 tunnel devices.
pub trait IpTunnelEncap: 'static {
    /// The number under which a tunnel's configuration asks for it (`enum tunnel_encap_types`).
    const TYPE: u32;

    /// Bytes that [`Self::build_header`] will push at most under a configuration. RCU read side.
    fn header_len_bytes(config: &EncapConfig) -> usize;

    /// Pushes the encapsulation's headers in front of a packet of IP protocol `protocol`, and
    /// returns the IP protocol that the result is.
    ///
    /// Transmit path of the device, RCU read side, no sleeping. On an error the device drops the
    /// packet and counts a transmit error.
    fn build_header(
        skb: &mut Skb<'_>,
        config: &EncapConfig,
        protocol: u8,
        flow: &FlowIpv4,
    ) -> Result<u8>;
}

/// The registration of an [`IpTunnelEncap`]. Dropping it waits until no packet is in its hooks.
///
/// Devices that are configured for the encapsulation stay; until it is registered again, what they
/// send is dropped and counted as a transmit error.
///
/// # Invariants
///
/// `ops` is registered under `T::TYPE`.
pub struct Registration<T: IpTunnelEncap> {
    ops: &'static extra::ip_tunnel_encap_ops,
    _encap: PhantomData<T>,
}

impl<T: IpTunnelEncap> Registration<T> {
    const OPS: &'static extra::ip_tunnel_encap_ops = &extra::ip_tunnel_encap_ops {
        encap_hlen: Some(encap_hlen::<T>),
        build_header: Some(build_header::<T>),
        err_handler: None,
    };

    /// Registers the encapsulation. Fails with `EEXIST` if another module has its number.
    pub fn new() -> Result<Self> {
        // C compares addresses on removal; a constant may have more than one.
        let ops = Self::OPS;
        // SAFETY: The operations are static, and `Drop` unregisters them before the code goes.
        match unsafe { extra::ip_tunnel_encap_add_ops(ops, T::TYPE) } {
            0 => Ok(Self {
                ops,
                _encap: PhantomData,
            }),
            // C says -1 for a number that is taken: no errno.
            -1 => Err(EEXIST),
            errno => Err(Error::from_errno(errno)),
        }
    }
}

impl<T: IpTunnelEncap> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant these operations are registered under this number.
        unsafe { extra::ip_tunnel_encap_del_ops(self.ops, T::TYPE) };
    }
}

/// # Safety
///
/// To be called by C alone, with a valid configuration.
unsafe extern "C" fn encap_hlen<T: IpTunnelEncap>(config: *mut extra::ip_tunnel_encap) -> usize {
    // SAFETY: C passes a configuration that is valid during the call.
    T::header_len_bytes(unsafe { EncapConfig::from_raw(config) })
}

/// # Safety
///
/// To be called by C alone, with a packet that is the caller's and is on its way out of a device.
unsafe extern "C" fn build_header<T: IpTunnelEncap>(
    skb: *mut bindings::sk_buff,
    config: *mut extra::ip_tunnel_encap,
    protocol: *mut u8,
    flow: *mut bindings::flowi4,
) -> c_int {
    // SAFETY: C passes a valid packet.
    let skb = unsafe { NonNull::new_unchecked(skb) };
    // SAFETY: The packet is the caller's, who does not touch it during the call, and the rest is
    // valid during the call.
    let (mut skb, config, flow) = unsafe {
        (
            Skb::from_raw(skb),
            EncapConfig::from_raw(config),
            FlowIpv4::from_raw(flow),
        )
    };
    // SAFETY: As above.
    match T::build_header(&mut skb, config, unsafe { *protocol }, flow) {
        Ok(outer) => {
            // SAFETY: As above.
            unsafe { *protocol = outer };
            0
        }
        Err(error) => error.to_errno(),
    }
}
