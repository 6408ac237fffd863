// SPDX-License-Identifier: GPL-2.0

//! Encapsulation hooks of the tunnel devices, which push the headers between the outer IP header and the
//! inner packet. This module has the part that the devices of both IP versions share, and the flows and
//! the registration of the devices whose outer header is IPv4 (ipip, sit, gre). The devices of IPv6 are in
//! [`ip6_tunnel`](crate::ip6_tunnel).
//!
//! C header: [`include/net/ip_tunnels.h`](srctree/include/net/ip_tunnels.h)

mod hooks;

pub(crate) use hooks::{build_header, encap_hlen, register_hooks, Hooks};

use crate::{
    icmp::QuotedPacket,
    ip_proto::InnerProtocol,
    module::Scope,
    segmentation,
    skb::{GsoType, TxSkb},
    udp::{Checksum, PortNumber},
    SkBuff,
};
use kernel::prelude::*;
use net_bindings as bindings;

/// A tunnel device's encapsulation, as its user configured it (`ip link ... encap`).
///
/// A copy, because `ip link change` may rewrite the device's configuration at any time. A length and the
/// bytes that it counts, for example, must come from one state of the configuration.
pub struct EncapConfig {
    flags: u16,
    /// In network byte order.
    source_port: u16,
    /// In network byte order.
    destination_port: u16,
}

impl EncapConfig {
    /// Reads a device's configuration, each field once.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid during the call. C may write to it.
    #[inline]
    unsafe fn read(ptr: *const bindings::ip_tunnel_encap) -> Self {
        // SAFETY: The caller promises a valid pointer. C may write to the fields at the same time: the
        // reads are volatile, as the kernel's READ_ONCE(), and of words that C writes at once.
        unsafe {
            Self {
                flags: (&raw const (*ptr).flags).read_volatile(),
                source_port: (&raw const (*ptr).sport).read_volatile(),
                destination_port: (&raw const (*ptr).dport).read_volatile(),
            }
        }
    }

    /// Returns [`Checksum::Full`] if the configuration has `flag`.
    #[inline]
    pub(crate) fn checksum_if(&self, flag: u32) -> Checksum {
        if u32::from(self.flags) & flag != 0 {
            Checksum::Full
        } else {
            Checksum::Zero
        }
    }

    /// Returns `encap-remcsum`: `true` if the tunnel leaves the inner checksum to the receiver.
    #[inline]
    pub fn remote_checksum(&self) -> bool {
        u32::from(self.flags) & bindings::TUNNEL_ENCAP_FLAG_REMCSUM != 0
    }

    /// Returns `encap-sport`; "any" stands for `auto`.
    #[inline]
    pub fn source_port(&self) -> PortNumber {
        PortNumber::from_be(self.source_port)
    }

    /// Returns `encap-dport`.
    #[inline]
    pub fn destination_port(&self) -> PortNumber {
        PortNumber::from_be(self.destination_port)
    }
}

/// The outer flow that a tunnel device sends a packet in: the differences between IPv4 and IPv6.
///
/// A reference to a flow exists only in a hook of a device for flows of this type, together with the
/// packet that the device sends in the flow.
pub trait Flow: private::Sealed {
    /// Returns the outer UDP checksum that the user configured: `encap-csum` for IPv4, `encap-csum6` for
    /// IPv6.
    fn udp_checksum(config: &EncapConfig) -> Checksum;

    /// Returns `true` if the device that the route leads to segments the tunnel's TCP packets, to which
    /// the encapsulation adds `gso_type`; the core segments them in software otherwise.
    ///
    /// Takes the arguments of [`IpTunnelEncap::build_header`]. The packet need not be a GSO packet: the
    /// result is the same for all packets of a tunnel to one destination with the same IP version
    /// inside. For IPv4 it may be up to a second old.
    fn device_segments(&self, skb: &TxSkb, protocol: u8, gso_type: GsoType) -> bool;

    /// Sets the checksum of the UDP header before a packet. The checksum is 0 before the call.
    ///
    /// # Safety
    ///
    /// `skb`'s transport header must be a UDP header in its linear part, `len` bytes before its end. A
    /// partial checksum must lie after it, in the linear part, and begin an even number of bytes from
    /// it.
    unsafe fn set_udp_checksum(&self, skb: Pin<&mut SkBuff>, len: i32);
}

pub(crate) mod private {
    /// Seals [`Flow`](super::Flow): only C's types of flows implement it.
    ///
    /// # Safety
    ///
    /// The type must be a transparent wrapper of `Raw`.
    pub unsafe trait Sealed {
        /// C's type.
        type Raw;
    }
}

/// An encapsulation for the tunnel devices whose outer flows are of type `F`.
pub trait IpTunnelEncap<F: Flow>: 'static {
    /// The number of the encapsulation in a device's configuration (`enum tunnel_encap_types`).
    const TYPE: u32;

    /// Returns the greatest number of bytes that [`Self::build_header`] pushes under a configuration. The
    /// device is told 1 KiB at most. RCU read side.
    fn header_len_bytes(config: &EncapConfig) -> usize;

    /// Pushes the encapsulation's headers before a packet of IP protocol `protocol`, and returns the
    /// IP protocol of the result.
    ///
    /// Transmit path of the device, RCU read side, must not sleep. On an error the device drops the
    /// packet and counts a transmit error.
    fn build_header(
        skb: Pin<&mut TxSkb>,
        config: &EncapConfig,
        protocol: u8,
        flow: &F,
    ) -> Result<u8>;

    /// Observes a packet for which [`Self::build_header`] has succeeded: it begins with the UDP header.
    /// `protocol` is the inner packet's IP protocol. It is a reference, because most observers do not read
    /// it.
    #[inline(always)]
    fn observe(_skb: &TxSkb, _protocol: &u8) {}

    /// Finds the inner packet of an encapsulated packet that an ICMP error quotes. Returns the inner
    /// packet's offset from the end of the quoted UDP header, in bytes, and its IP protocol. The error
    /// handler of that protocol is called then, unless the protocol is UDP.
    ///
    /// The hook gets all quoted UDP packets that no socket of this host sent, so most of them are not of
    /// this encapsulation. Softirq context, RCU read side. On an error the packet is offered to other
    /// encapsulations.
    fn find_inner(quoted: &mut QuotedPacket<'_>) -> Result<(usize, InnerProtocol)>;
}

/// Registers an [`IpTunnelEncap`] for IPv4, until the module's end. Process context, may sleep.
///
/// Devices that are configured for the encapsulation stay after the module's end. They drop what they send
/// and count transmit errors, until the encapsulation is registered again. Fails with `EEXIST` if another
/// module has its number.
pub fn register<T: IpTunnelEncap<FlowIpv4>>(scope: &'static Scope) -> Result {
    register_hooks::<T, FlowIpv4>(scope)
}

/// The GSO types of the devices that tunnels' routes lead to.
static ROUTES: segmentation::Cache = segmentation::Cache::new();

/// The outer IPv4 flow that a tunnel device sends a packet in.
#[repr(transparent)]
pub struct FlowIpv4(bindings::flowi4);

impl FlowIpv4 {
    /// Looks up the route of the flow, and stores the GSO types of its device under `key`.
    // Not inlined: C's helper copies the flow, and the copy would take stack space for every packet.
    #[cold]
    fn look_up_segmentation(&self, skb: &SkBuff, key: u64) -> GsoType {
        // SAFETY: The packet is valid, and on its way out of an `ip_tunnel` device, because there is a
        // flow. So the packet has a device whose private data is an `ip_tunnel`. C copies the flow.
        let types = unsafe { bindings::ip_tunnel_gso_types(skb.as_raw(), &self.0) };
        if types < 0 {
            // The tunnel device drops a packet without a route.
            return GsoType::from_raw(0);
        }
        let types = GsoType::from_raw(types);
        ROUTES.set(key, types);
        types
    }

    /// Returns the source address that routing will choose for a packet, or 0.
    // Not inlined, for the same reason.
    #[cold]
    fn source_of_route(&self, skb: &SkBuff) -> u32 {
        // SAFETY: As in `look_up_segmentation`.
        unsafe { bindings::ip_tunnel_source(skb.as_raw(), &self.0) }
    }
}

// SAFETY: `FlowIpv4` is a `repr(transparent)` wrapper of `flowi4`.
unsafe impl private::Sealed for FlowIpv4 {
    type Raw = bindings::flowi4;
}

impl Flow for FlowIpv4 {
    #[inline]
    fn udp_checksum(config: &EncapConfig) -> Checksum {
        config.checksum_if(bindings::TUNNEL_ENCAP_FLAG_CSUM)
    }

    #[inline]
    fn device_segments(&self, skb: &TxSkb, protocol: u8, gso_type: GsoType) -> bool {
        let needed = segmentation::of_tcp(skb, protocol, GsoType::IPXIP4) | gso_type;
        let key = segmentation::key(skb.device(), &self.0);
        let types = match ROUTES.get(key) {
            Some(types) => types,
            None => self.look_up_segmentation(skb, key),
        };
        types.contains(needed)
    }

    #[inline]
    unsafe fn set_udp_checksum(&self, skb: Pin<&mut SkBuff>, len: i32) {
        let (mut source, destination) = (self.0.saddr, self.0.daddr);
        if source == 0 {
            // The device has no local address. Routing chooses one later than this, but the checksum needs
            // it now. Without a route the device drops the packet anyway.
            source = self.source_of_route(&skb);
        }
        let raw = skb.as_raw();
        // SAFETY: The packet is valid and exclusively borrowed. The caller promises the UDP header, which C
        // writes to, and the place of a partial checksum, which C reads.
        unsafe {
            if bindings::skb_is_checksum_partial(raw) && !bindings::skb_is_gso(raw) {
                bindings::udp_set_lco_csum(raw, source, destination, len);
            } else {
                bindings::udp_set_csum(false, raw, source, destination, len);
            }
        };
    }
}

// SAFETY: `ip_tunnel_encap_add_ops` registers for the devices with flows of IPv4 alone.
// `ip_tunnel_encap_del_ops` unregisters, and ends with `synchronize_net()`: packets are in the hooks only
// in RCU read sides.
unsafe impl<T: IpTunnelEncap<Self>> Hooks<T> for FlowIpv4 {
    type Ops = bindings::ip_tunnel_encap_ops;

    const OPS: &'static Self::Ops = &bindings::ip_tunnel_encap_ops {
        encap_hlen: Some(encap_hlen::<T, Self>),
        build_header: Some(build_header::<T, Self>),
        err_handler: Some(err_handler::<T>),
    };

    unsafe fn add(ops: &'static Self::Ops) -> c_int {
        // SAFETY: `ops` is static, and the caller promises to unregister it before its functions go.
        unsafe { bindings::ip_tunnel_encap_add_ops(ops, T::TYPE) }
    }

    unsafe fn delete(ops: &'static Self::Ops) {
        // SAFETY: The caller promises that `ops` is registered under this number. C compares the pointer.
        unsafe { bindings::ip_tunnel_encap_del_ops(ops, T::TYPE) };
    }
}

/// # Safety
///
/// Only C may call this, with a packet that begins with the IPv4 header that an ICMP error quotes. The
/// ICMP header must lie right before it in the linear part. The packet's transport header must be the
/// quoted UDP header.
unsafe extern "C" fn err_handler<T: IpTunnelEncap<FlowIpv4>>(
    skb: *mut bindings::sk_buff,
    info: u32,
) -> c_int {
    // SAFETY: C passes a valid packet and does not touch it during the call. The caller promises that the
    // ICMP header lies in the linear part, right before the packet's data.
    let mut quoted = unsafe { QuotedPacket::from_raw(skb) };
    match T::find_inner(&mut quoted)
        .and_then(|(at, protocol)| quoted.handle_ipv4(at, protocol, info))
    {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
