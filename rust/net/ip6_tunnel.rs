// SPDX-License-Identifier: GPL-2.0

//! Encapsulation hooks of the tunnel devices whose outer header is IPv6 (ip6tnl, ip6gre).
//!
//! A module that uses this depends on `ip6_tunnel`, which makes a device in every namespace when it is
//! loaded. So use this in a module of its own, which only users of tunnels over IPv6 load.
//!
//! C header: [`include/net/ip6_tunnel.h`](srctree/include/net/ip6_tunnel.h)

use crate::{
    icmp::{Icmp6Error, QuotedPacket},
    ip_tunnel::{
        build_header, encap_hlen, private, register_hooks, EncapConfig, Flow, Hooks, IpTunnelEncap,
    },
    module::Scope,
    segmentation,
    skb::{GsoType, TxSkb},
    udp::Checksum,
    SkBuff,
};
use kernel::prelude::*;
use net_bindings as bindings;

/// Registers an [`IpTunnelEncap`] for IPv6, until the module's end. Context and errors as for
/// [`ip_tunnel::register`](crate::ip_tunnel::register).
pub fn register<T: IpTunnelEncap<FlowIpv6>>(scope: &'static Scope) -> Result {
    register_hooks::<T, FlowIpv6>(scope)
}

/// The outer IPv6 flow that a tunnel device sends a packet in.
#[repr(transparent)]
pub struct FlowIpv6(bindings::flowi6);

// SAFETY: `FlowIpv6` is a `repr(transparent)` wrapper of `flowi6`.
unsafe impl private::Sealed for FlowIpv6 {
    type Raw = bindings::flowi6;
}

impl Flow for FlowIpv6 {
    #[inline]
    fn udp_checksum(config: &EncapConfig) -> Checksum {
        config.checksum_if(bindings::TUNNEL_ENCAP_FLAG_CSUM6)
    }

    #[inline]
    fn device_segments(&self, skb: &TxSkb, protocol: u8, gso_type: GsoType) -> bool {
        let needed = segmentation::of_tcp(skb, protocol, GsoType::IPXIP6) | gso_type;
        // SAFETY: The packet is on its way out of an `ip6_tunnel` device, because there is a flow, and the
        // device has given the packet its route.
        let types = unsafe { bindings::ip6_tunnel_gso_types(skb.as_raw()) };
        GsoType::from_raw(types).contains(needed)
    }

    #[inline]
    unsafe fn set_udp_checksum(&self, skb: Pin<&mut SkBuff>, len: i32) {
        let (source, destination) = (&self.0.saddr, &self.0.daddr);
        // SAFETY: The packet is valid and exclusively borrowed. The caller promises the UDP header, which C
        // writes to, and the place of a partial checksum, which C reads. The addresses are fields of the
        // flow, which is borrowed during the call.
        unsafe { bindings::udp6_set_csum(false, skb.as_raw(), source, destination, len) };
    }
}

// SAFETY: `ip6_tnl_encap_add_ops` registers for the devices with flows of IPv6 alone.
// `ip6_tnl_encap_del_ops` unregisters, and ends with `synchronize_net()`: packets are in the hooks only in
// RCU read sides.
unsafe impl<T: IpTunnelEncap<Self>> Hooks<T> for FlowIpv6 {
    type Ops = bindings::ip6_tnl_encap_ops;

    const OPS: &'static Self::Ops = &bindings::ip6_tnl_encap_ops {
        encap_hlen: Some(encap_hlen::<T, Self>),
        build_header: Some(build_header::<T, Self>),
        err_handler: Some(err_handler::<T>),
    };

    unsafe fn add(ops: &'static Self::Ops) -> c_int {
        // SAFETY: `ops` is static, and the caller promises to unregister it before its functions go.
        unsafe { bindings::ip6_tnl_encap_add_ops(ops, T::TYPE) }
    }

    unsafe fn delete(ops: &'static Self::Ops) {
        // SAFETY: The caller promises that `ops` is registered under this number. C compares the pointer.
        unsafe { bindings::ip6_tnl_encap_del_ops(ops, T::TYPE) };
    }
}

/// # Safety
///
/// Only C may call this, with a packet that begins with the IPv6 header that an ICMPv6 error quotes.
/// The ICMPv6 header must lie right before it in the linear part. The packet's transport header must be
/// the quoted UDP header.
unsafe extern "C" fn err_handler<T: IpTunnelEncap<FlowIpv6>>(
    skb: *mut bindings::sk_buff,
    parameters: *mut bindings::inet6_skb_parm,
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
    // SAFETY: C passes a valid packet and does not touch it during the call. The caller promises that the
    // ICMP header lies in the linear part, right before the packet's data.
    let mut quoted = unsafe { QuotedPacket::from_raw(skb) };
    match T::find_inner(&mut quoted)
        .and_then(|(at, protocol)| quoted.handle_ipv6(at, protocol, &error))
    {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
