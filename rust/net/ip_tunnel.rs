// SPDX-License-Identifier: GPL-2.0

//! Encapsulation hooks of the tunnel devices: what is put between the outer IP header and the
//! tunnelled packet. Here those of the devices whose outer header is IPv4 (ipip, sit, gre), and what
//! they share with those of [`ip6_tunnel`](crate::ip6_tunnel).
//!
//! C header: [`include/net/ip_tunnels.h`](srctree/include/net/ip_tunnels.h)

use crate::{
    flow_hash,
    icmp::QuotedPacket,
    ip_proto::InnerProtocol,
    module::{Phase, Scope, Undo},
    segmentation,
    skb::GsoType,
    udp::{Checksum, PortNumber},
    Outgoing, Skb,
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{bindings, prelude::*};
use net_bindings as extra;

/// A tunnel's encapsulation as its user configured it (`ip link ... encap`).
///
/// A copy: `ip link change` may rewrite the device's own at any time, and a packet's headers must not be
/// made of two of its states where that matters, such as a length and what is written there.
pub struct EncapConfig {
    flags: u16,
    /// Network byte order, as the next.
    source_port: u16,
    destination_port: u16,
}

impl EncapConfig {
    /// Reads a device's configuration, each field once.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid during the call. C may write to it.
    #[inline]
    pub(crate) unsafe fn read(ptr: *const extra::ip_tunnel_encap) -> Self {
        // SAFETY: Promised by the caller. The reads are volatile, as the kernel's READ_ONCE(), and of
        // words that C writes at once.
        unsafe {
            Self {
                flags: (&raw const (*ptr).flags).read_volatile(),
                source_port: (&raw const (*ptr).sport).read_volatile(),
                destination_port: (&raw const (*ptr).dport).read_volatile(),
            }
        }
    }

    #[inline]
    pub(crate) fn checksum_if(&self, flag: u32) -> Checksum {
        if u32::from(self.flags) & flag != 0 {
            Checksum::Full
        } else {
            Checksum::Zero
        }
    }

    /// `encap-remcsum`: the inner checksum is to be left to the receiver.
    #[inline]
    pub fn remote_checksum(&self) -> bool {
        u32::from(self.flags) & extra::TUNNEL_ENCAP_FLAG_REMCSUM != 0
    }

    /// `encap-sport`; "any" stands for `auto`.
    #[inline]
    pub fn source_port(&self) -> PortNumber {
        PortNumber::from_be(self.source_port)
    }

    /// `encap-dport`.
    #[inline]
    pub fn destination_port(&self) -> PortNumber {
        PortNumber::from_be(self.destination_port)
    }
}

/// The outer flow that a packet is being sent in: what differs between IPv4 and IPv6.
pub trait Flow: private::Sealed {
    /// What the user wants the outer UDP checksum to be: `encap-csum` for IPv4, `encap-csum6` for
    /// IPv6.
    fn udp_checksum(config: &EncapConfig) -> Checksum;

    /// Returns `true` if the device that the route leads to segments the tunnel's TCP packets, to which
    /// the encapsulation adds `gso_type`; the core segments them in software otherwise.
    ///
    /// Takes the arguments of [`IpTunnelEncap::build_header`]. The packet need not be a GSO packet: the
    /// result is the same for all packets of a tunnel to one destination with the same IP version
    /// inside. For IPv4 it may be up to a second old.
    fn device_segments(&self, skb: &Outgoing<'_>, protocol: u8, gso_type: GsoType) -> bool;

    /// Sets the checksum of the UDP header in front of a packet, which is 0 before.
    ///
    /// # Safety
    ///
    /// `skb`'s transport header must be a UDP header in its linear part, `len` bytes before its end. A
    /// partial checksum must lie behind it, in the linear part, and begin an even number of bytes from
    /// it.
    unsafe fn set_udp_checksum(&self, skb: &mut Skb<'_>, len: i32);
}

pub(crate) mod private {
    /// A flow is C's; there are no others.
    pub trait Sealed {}
}

/// The GSO types of the devices that tunnels' routes lead to.
static ROUTES: segmentation::Cache = segmentation::Cache::new();

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
}

impl private::Sealed for FlowIpv4 {}

impl Flow for FlowIpv4 {
    #[inline]
    fn udp_checksum(config: &EncapConfig) -> Checksum {
        config.checksum_if(extra::TUNNEL_ENCAP_FLAG_CSUM)
    }

    #[inline]
    fn device_segments(&self, skb: &Outgoing<'_>, protocol: u8, gso_type: GsoType) -> bool {
        let needed = segmentation::of_tcp(skb, protocol, GsoType::IPXIP4) | gso_type;
        let key = segmentation::key(skb.device(), &self.0);
        let types = match ROUTES.get(key) {
            Some(types) => types,
            // SAFETY: The packet is on its way out of one of the devices that these hooks are for.
            None => unsafe { look_up_segmentation(skb.as_raw(), &self.0, key) },
        };
        types.contains(needed)
    }

    #[inline]
    unsafe fn set_udp_checksum(&self, skb: &mut Skb<'_>, len: i32) {
        let (mut source, destination) = (self.0.saddr, self.0.daddr);
        let skb = skb.as_raw();
        if source == 0 {
            // Devices without a local address have it chosen by routing, later than this; but the
            // sum needs it now. Where there is no route the packet goes nowhere anyway.
            // SAFETY: The packet is on its way out of one of the devices that these hooks are for.
            source = unsafe { source_of_route(skb, &self.0) };
        }
        // SAFETY: Promised by the caller; the packet is valid and ours to change.
        unsafe {
            if extra::skb_is_checksum_partial(skb) && !extra::skb_is_gso(skb) {
                extra::udp_set_lco_csum(skb, source, destination, len);
            } else {
                extra::udp_set_csum(false, skb, source, destination, len);
            }
        };
    }
}

// Slow paths are not inlined: they have a flow of their own, which takes room from all.

/// Looks up the route of a flow, and stores the GSO types of its device under `key`.
///
/// # Safety
///
/// As for [`source_of_route`].
#[cold]
unsafe fn look_up_segmentation(
    skb: *const bindings::sk_buff,
    flow: &bindings::flowi4,
    key: u64,
) -> GsoType {
    // SAFETY: Promised by the caller.
    let types = unsafe { extra::ip_tunnel_gso_types(skb, flow) };
    if types < 0 {
        // The tunnel device drops a packet without a route.
        return GsoType::from_raw(0);
    }
    let types = GsoType::from_raw(types);
    ROUTES.set(key, types);
    types
}

/// The source address that routing will choose for a packet, or 0.
///
/// # Safety
///
/// `skb` must be a valid packet on its way out of an `ip_tunnel` device.
#[cold]
unsafe fn source_of_route(skb: *const bindings::sk_buff, flow: &bindings::flowi4) -> u32 {
    // SAFETY: Promised by the caller.
    unsafe { extra::ip_tunnel_source(skb, flow) }
}

/// The most that an encapsulation announces to push: C adds that to the headroom as a signed number.
pub(crate) const MAX_HEADER_LEN_BYTES: usize = 1024;

/// An encapsulation for the tunnel devices whose outer flows are of type `F`.
pub trait IpTunnelEncap<F: Flow>: 'static {
    /// The number under which a tunnel's configuration asks for it (`enum tunnel_encap_types`).
    const TYPE: u32;

    /// Bytes that [`Self::build_header`] will push at most under a configuration; more than 1 KiB is
    /// not announced to the device. RCU read side.
    fn header_len_bytes(config: &EncapConfig) -> usize;

    /// Pushes the encapsulation's headers in front of a packet of IP protocol `protocol`, and
    /// returns the IP protocol that the result is.
    ///
    /// Transmit path of the device, RCU read side, no sleeping. On an error the device drops the
    /// packet and counts a transmit error.
    fn build_header(
        skb: &mut Outgoing<'_>,
        config: &EncapConfig,
        protocol: u8,
        flow: &F,
    ) -> Result<u8>;

    /// Finds the tunnelled packet in one of ours that an ICMP error quotes: where it begins, in bytes
    /// after the quoted UDP header, and its IP protocol, whose own error handler is called then, unless
    /// it is UDP.
    ///
    /// Any packet of UDP from no socket of this host comes here, so most are not ours. Softirq
    /// context, RCU read side. On an error the packet is offered to others.
    fn find_inner(quoted: &mut QuotedPacket<'_>) -> Result<(usize, InnerProtocol)>;
}

/// Registers an [`IpTunnelEncap`] for IPv4, until the module's end. Process context, may sleep.
///
/// Devices that are configured for the encapsulation stay at the module's end; until it is registered
/// again, they drop what they send and count transmit errors. Fails with `EEXIST` if another module has
/// its number.
pub fn register<T: IpTunnelEncap<FlowIpv4>>(scope: &'static Scope) -> Result {
    flow_hash::choose_secret();
    let init = |this: *mut Registered<T>| {
        let registered = Registered {
            // C compares addresses on removal; a constant may have more than one.
            ops: Registered::<T>::OPS,
            _encap: PhantomData,
        };
        // SAFETY: The operations are static, and are unregistered before the code goes.
        match unsafe { extra::ip_tunnel_encap_add_ops(registered.ops, T::TYPE) } {
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

/// A registered [`IpTunnelEncap`] for IPv4.
///
/// # Invariants
///
/// `ops` is registered under `T::TYPE`.
struct Registered<T: IpTunnelEncap<FlowIpv4>> {
    ops: &'static extra::ip_tunnel_encap_ops,
    _encap: PhantomData<fn() -> T>,
}

impl<T: IpTunnelEncap<FlowIpv4>> Registered<T> {
    const OPS: &'static extra::ip_tunnel_encap_ops = &extra::ip_tunnel_encap_ops {
        encap_hlen: Some(encap_hlen::<T>),
        build_header: Some(build_header::<T>),
        err_handler: Some(err_handler::<T>),
    };
}

impl<T: IpTunnelEncap<FlowIpv4>> Undo for Registered<T> {
    const PHASE: Phase = Phase::EntryPoint;

    fn undo(&self) {
        // Waits until no packet is in the hooks.
        // SAFETY: By the type invariant these operations are registered under this number.
        unsafe { extra::ip_tunnel_encap_del_ops(self.ops, T::TYPE) };
    }
}

/// # Safety
///
/// To be called by C alone, with a valid configuration.
unsafe extern "C" fn encap_hlen<T: IpTunnelEncap<FlowIpv4>>(
    config: *mut extra::ip_tunnel_encap,
) -> usize {
    // SAFETY: C passes a configuration that is valid during the call.
    T::header_len_bytes(&unsafe { EncapConfig::read(config) }).min(MAX_HEADER_LEN_BYTES)
}

/// # Safety
///
/// To be called by C alone, with a packet that is the caller's and is on its way out of a device.
unsafe extern "C" fn build_header<T: IpTunnelEncap<FlowIpv4>>(
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
            Outgoing::from_raw(skb),
            EncapConfig::read(config),
            FlowIpv4::from_raw(flow),
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
/// To be called by C alone, with a packet that begins with the IPv4 header that an ICMP error quotes,
/// right behind the ICMP header in the linear part, and whose transport header is the quoted UDP
/// header's place.
unsafe extern "C" fn err_handler<T: IpTunnelEncap<FlowIpv4>>(
    skb: *mut bindings::sk_buff,
    info: u32,
) -> c_int {
    // SAFETY: C passes a valid packet.
    let skb = unsafe { NonNull::new_unchecked(skb) };
    // SAFETY: Promised by the caller, who does not touch the packet during the call.
    let mut quoted = unsafe { QuotedPacket::from_raw(skb) };
    match T::find_inner(&mut quoted)
        .and_then(|(at, protocol)| quoted.handle_ipv4(at, protocol, info))
    {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
