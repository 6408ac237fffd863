// SPDX-License-Identifier: GPL-2.0

//! The differences between IPv4 and IPv6 for the outer packets of a tunnel.

use super::Flow;
use crate::{
    ecn,
    errno::{EAFNOSUPPORT, ENETUNREACH},
    netns::BareNetns,
};
use core::{mem, ptr::NonNull};
use kernel::{error::from_err_ptr, prelude::*};
use net_bindings as bindings;

/// An outer IP version: [`Ipv4`] or [`Ipv6`].
pub trait IpVersion: private::Sealed + Sized + 'static {
    /// The bytes of an address.
    type Address: Copy + Eq + Send + Sync + AsRef<[u8]>;

    /// The length of an IP header without options, in bytes.
    const HEADER_LEN_BYTES: usize;

    /// The EtherType of the packets, in host order.
    #[doc(hidden)]
    const ETHER_TYPE: u16;
    /// `true` for IPv6.
    const IS_IPV6: bool;

    /// `true` if routers fragment packets that may be fragmented.
    const ROUTERS_FRAGMENT: bool;

    /// Looks up a route. Returns a reference to it, and the source address.
    #[doc(hidden)]
    fn look_up(
        netns: BareNetns<'_>,
        flow: &Flow<Self::Address>,
    ) -> Result<(NonNull<bindings::dst_entry>, Self::Address)>;

    /// Returns a reference to a cached route, and its source address.
    ///
    /// # Safety
    ///
    /// `cache` must be initialized and have routes of this version alone, and softirqs must be off.
    #[doc(hidden)]
    unsafe fn cached(
        cache: *mut bindings::dst_cache,
    ) -> Option<(NonNull<bindings::dst_entry>, Self::Address)>;

    /// Stores a route.
    ///
    /// # Safety
    ///
    /// As for [`Self::cached`]. `dst` must be a valid route of this version.
    #[doc(hidden)]
    unsafe fn store(
        cache: *mut bindings::dst_cache,
        dst: *mut bindings::dst_entry,
        source: &Self::Address,
    );

    /// Returns the hop limit of a route.
    ///
    /// # Safety
    ///
    /// `dst` must be a valid route of this version.
    #[doc(hidden)]
    unsafe fn hop_limit(dst: *mut bindings::dst_entry) -> u8;

    /// Sets the checksum of a UDP header. The checksum is 0 before the call.
    ///
    /// # Safety
    ///
    /// `skb` must be a valid packet that no other code uses, and its transport header a UDP header in its
    /// linear part, `len` bytes before its end. A partial checksum must lie after it, in the linear part,
    /// and begin an even number of bytes from it.
    #[doc(hidden)]
    unsafe fn set_checksum(
        skb: *mut bindings::sk_buff,
        source: &Self::Address,
        destination: &Self::Address,
        len: i32,
    );

    /// Pushes an IP header before a UDP header, and sends the packet. Counts the packet as sent by `dev`.
    ///
    /// # Safety
    ///
    /// `skb` must be a valid packet that the caller gives up, and begin with a UDP header. It must have
    /// headroom for an IP header, which no clone shares. `dst` must be a route of this version, of which the
    /// caller gives up a reference. `dev` must be the packet's device, which has statistics by CPU, or null if
    /// the packet has none. Softirqs must be off.
    #[doc(hidden)]
    unsafe fn send(
        skb: *mut bindings::sk_buff,
        dst: *mut bindings::dst_entry,
        dev: *mut bindings::net_device,
        addresses: (&Self::Address, &Self::Address),
        fields: &private::Fields,
    );
}

pub(crate) mod private {
    /// Seals [`IpVersion`](super::IpVersion).
    pub trait Sealed {}

    /// Fields of an outer IP header.
    pub struct Fields {
        pub(crate) tos: u8,
        pub(crate) hop_limit: u8,
        pub(crate) dont_fragment: bool,
        pub(crate) flow_label: u32,
        /// The packet crosses from one namespace to another.
        pub(crate) crosses_netns: bool,
    }
}

const UDP: u8 = bindings::IPPROTO_UDP as u8;

/// IPv4.
pub struct Ipv4;

impl private::Sealed for Ipv4 {}

impl IpVersion for Ipv4 {
    type Address = [u8; 4];

    const HEADER_LEN_BYTES: usize = 20;
    const ETHER_TYPE: u16 = bindings::ETH_P_IP as u16;
    const IS_IPV6: bool = false;
    const ROUTERS_FRAGMENT: bool = true;

    fn look_up(
        netns: BareNetns<'_>,
        flow: &Flow<[u8; 4]>,
    ) -> Result<(NonNull<bindings::dst_entry>, [u8; 4])> {
        let mut fl4 = bindings::flowi4::default();
        fl4.__fl_common.flowic_oif = i32::try_from(flow.link).map_err(|_| ENODEV)?;
        fl4.__fl_common.flowic_mark = flow.mark;
        fl4.__fl_common.flowic_proto = UDP;
        fl4.__fl_common.flowic_dscp = flow.tos & !ecn::MASK;
        if flow.any_source {
            fl4.__fl_common.flowic_flags = bindings::FLOWI_FLAG_ANYSRC as u8;
        }
        fl4.saddr = u32::from_ne_bytes(flow.source);
        fl4.daddr = u32::from_ne_bytes(flow.destination);
        fl4.uli.ports = ports(flow);
        // SAFETY: The namespace is valid. `fl4` is a local variable, which C completes. There is no socket.
        let rt = from_err_ptr(unsafe {
            bindings::ip_route_output_flow(netns.as_raw(), &mut fl4, core::ptr::null())
        })?;
        // SAFETY: C has returned a valid route with a reference for the caller; its address is not null.
        let dst = unsafe { NonNull::new_unchecked(bindings::rtable_dst(rt)) };
        Ok((dst, fl4.saddr.to_ne_bytes()))
    }

    #[inline(always)]
    unsafe fn cached(
        cache: *mut bindings::dst_cache,
    ) -> Option<(NonNull<bindings::dst_entry>, [u8; 4])> {
        let mut source = 0;
        // SAFETY: The caller promises an initialized cache with routes of IPv4, and that softirqs are off.
        let rt = unsafe { bindings::dst_cache_get_ip4(cache, &mut source) };
        if rt.is_null() {
            return None;
        }
        // SAFETY: C has returned a valid route with a reference for the caller; its address is not null.
        let dst = unsafe { NonNull::new_unchecked(bindings::rtable_dst(rt)) };
        Some((dst, source.to_ne_bytes()))
    }

    unsafe fn store(
        cache: *mut bindings::dst_cache,
        dst: *mut bindings::dst_entry,
        source: &[u8; 4],
    ) {
        // SAFETY: Promised by the caller.
        unsafe { bindings::dst_cache_set_ip4(cache, dst, u32::from_ne_bytes(*source)) };
    }

    #[inline]
    unsafe fn hop_limit(dst: *mut bindings::dst_entry) -> u8 {
        // SAFETY: Promised by the caller. C's limit fits a byte.
        unsafe { bindings::ip4_dst_hoplimit(dst) as u8 }
    }

    #[inline(always)]
    unsafe fn set_checksum(
        skb: *mut bindings::sk_buff,
        source: &[u8; 4],
        destination: &[u8; 4],
        len: i32,
    ) {
        let (source, destination) = (
            u32::from_ne_bytes(*source),
            u32::from_ne_bytes(*destination),
        );
        // SAFETY: The caller promises a valid packet with a UDP header, which C writes to, and the place of a
        // partial checksum, which C reads.
        unsafe {
            if bindings::skb_is_checksum_partial(skb) && !bindings::skb_is_gso(skb) {
                bindings::udp_set_lco_csum(skb, source, destination, len);
            } else {
                bindings::udp_set_csum(false, skb, source, destination, len);
            }
        }
    }

    #[inline(always)]
    unsafe fn send(
        skb: *mut bindings::sk_buff,
        dst: *mut bindings::dst_entry,
        _dev: *mut bindings::net_device,
        (source, destination): (&[u8; 4], &[u8; 4]),
        fields: &private::Fields,
    ) {
        // SAFETY: The caller promises a packet and a route to give up, headroom, and that softirqs are off.
        // C counts the packet by the packet's device, if it has one.
        unsafe {
            bindings::iptunnel_xmit(
                core::ptr::null_mut(),
                bindings::dst_rtable(dst),
                skb,
                u32::from_ne_bytes(*source),
                u32::from_ne_bytes(*destination),
                UDP,
                fields.tos,
                fields.hop_limit,
                if fields.dont_fragment {
                    (bindings::IP_DF as u16).to_be()
                } else {
                    0
                },
                fields.crosses_netns,
                0,
            );
        }
    }
}

/// IPv6.
pub struct Ipv6;

impl private::Sealed for Ipv6 {}

impl IpVersion for Ipv6 {
    type Address = [u8; 16];

    const HEADER_LEN_BYTES: usize = 40;
    const ETHER_TYPE: u16 = bindings::ETH_P_IPV6 as u16;
    const IS_IPV6: bool = true;
    const ROUTERS_FRAGMENT: bool = false;

    fn look_up(
        netns: BareNetns<'_>,
        flow: &Flow<[u8; 16]>,
    ) -> Result<(NonNull<bindings::dst_entry>, [u8; 16])> {
        // Without IPv6, C has no IPv6 routing tables.
        if !super::ipv6_is_available() {
            return Err(EAFNOSUPPORT);
        }
        let mut fl6 = bindings::flowi6::default();
        fl6.__fl_common.flowic_oif = i32::try_from(flow.link).map_err(|_| ENODEV)?;
        fl6.__fl_common.flowic_mark = flow.mark;
        fl6.__fl_common.flowic_proto = UDP;
        fl6.saddr = to_in6(flow.source);
        fl6.daddr = to_in6(flow.destination);
        fl6.flowlabel = (u32::from(flow.tos) << 20 | flow.flow_label).to_be();
        fl6.uli.ports = ports(flow);
        // SAFETY: The namespace is valid. `fl6` is a local variable, which C completes. There is no socket,
        // and no final destination other than `fl6.daddr`.
        let dst = from_err_ptr(unsafe {
            bindings::ip6_dst_lookup_flow(
                netns.as_raw(),
                core::ptr::null(),
                &mut fl6,
                core::ptr::null(),
            )
        })?;
        // C returns a valid route with a reference for the caller.
        let dst = NonNull::new(dst).ok_or(ENETUNREACH)?;
        Ok((dst, from_in6(fl6.saddr)))
    }

    #[inline(always)]
    unsafe fn cached(
        cache: *mut bindings::dst_cache,
    ) -> Option<(NonNull<bindings::dst_entry>, [u8; 16])> {
        let mut source = to_in6([0; 16]);
        // SAFETY: The caller promises an initialized cache with routes of IPv6, and that softirqs are off.
        let dst = NonNull::new(unsafe { bindings::dst_cache_get_ip6(cache, &mut source) })?;
        Some((dst, from_in6(source)))
    }

    unsafe fn store(
        cache: *mut bindings::dst_cache,
        dst: *mut bindings::dst_entry,
        source: &[u8; 16],
    ) {
        // SAFETY: Promised by the caller. The address is a local variable, which C copies.
        unsafe { bindings::dst_cache_set_ip6(cache, dst, &to_in6(*source)) };
    }

    #[inline]
    unsafe fn hop_limit(dst: *mut bindings::dst_entry) -> u8 {
        // SAFETY: Promised by the caller. C's limit fits a byte.
        unsafe { bindings::ip6_dst_hoplimit(dst) as u8 }
    }

    #[inline(always)]
    unsafe fn set_checksum(
        skb: *mut bindings::sk_buff,
        source: &[u8; 16],
        destination: &[u8; 16],
        len: i32,
    ) {
        // SAFETY: The caller promises a valid packet with a UDP header, which C writes to, and the place of a
        // partial checksum, which C reads. The addresses are references to as many bytes as C's type has.
        unsafe {
            bindings::udp6_set_csum(
                false,
                skb,
                source.as_ptr().cast(),
                destination.as_ptr().cast(),
                len,
            );
        }
    }

    #[inline(always)]
    unsafe fn send(
        skb: *mut bindings::sk_buff,
        dst: *mut bindings::dst_entry,
        dev: *mut bindings::net_device,
        (source, destination): (&[u8; 16], &[u8; 16]),
        fields: &private::Fields,
    ) {
        let word = 6 << 28 | u32::from(fields.tos) << 20 | fields.flow_label;
        // SAFETY: The caller promises a packet and a route to give up, that softirqs are off, and headroom
        // for an IP header that no clone shares: the bytes before the data may be written. After that `len`
        // counts them. C counts the packet by `dev`, unless that is null.
        unsafe {
            bindings::skb_scrub_packet(skb, fields.crosses_netns);
            bindings::skb_dst_set(skb, dst);
            // A GSO packet of 64 KiB or more has no length; segmentation sets the lengths of the segments.
            let payload_len = u16::try_from((*skb).len).unwrap_or(0);
            let data = (*skb).data.sub(Self::HEADER_LEN_BYTES);
            let header = &mut *data.cast::<[u8; 40]>();
            header[0..4].copy_from_slice(&word.to_be_bytes());
            header[4..6].copy_from_slice(&payload_len.to_be_bytes());
            header[6] = UDP;
            header[7] = fields.hop_limit;
            header[8..24].copy_from_slice(source);
            header[24..40].copy_from_slice(destination);
            (*skb).data = data;
            (*skb).len += Self::HEADER_LEN_BYTES as u32;
            bindings::skb_reset_network_header(skb);
            bindings::ip6tunnel_xmit(skb, dev);
        }
    }
}

/// Returns C's ports of a flow.
fn ports<A>(flow: &Flow<A>) -> bindings::flowi_uli__bindgen_ty_1 {
    bindings::flowi_uli__bindgen_ty_1 {
        dport: flow.ports.destination.to_be(),
        sport: flow.ports.source.to_be(),
    }
}

#[inline]
fn to_in6(address: [u8; 16]) -> bindings::in6_addr {
    // SAFETY: C's type consists of 16 bytes, and any bytes are valid.
    unsafe { mem::transmute(address) }
}

#[inline]
fn from_in6(address: bindings::in6_addr) -> [u8; 16] {
    // SAFETY: As in `to_in6`; all of C's type is initialized.
    unsafe { mem::transmute(address) }
}
