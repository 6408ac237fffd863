// SPDX-License-Identifier: GPL-2.0

//! The tunnels of single packets: outer addresses and a key. For a packet that a device sends, tc, BPF programs,
//! Open vSwitch or a route set them. For a packet that a device received, the module sets them, and these programs
//! read them.
//!
//! C headers: [`include/net/dst_metadata.h`](srctree/include/net/dst_metadata.h),
//! [`include/net/ip_tunnels.h`](srctree/include/net/ip_tunnels.h)

use crate::{
    skb::{InnerSkb, RxSkb, SkBuff},
    udp::{Checksum, PortNumber, Ports, HEADER_LEN_BYTES},
    udp_tunnel::Addresses,
};
use core::{
    mem,
    ops::DerefMut,
    ptr::{self, NonNull},
};
use kernel::prelude::*;
use net_bindings as bindings;

/// The tunnel that a packet is sent through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelInfo {
    /// The outer addresses. Routing chooses the local address if it is zero.
    pub addresses: Addresses,
    /// The key, or 0.
    pub id: u64,
    /// The tunnel has a key, even if `id` is 0.
    pub has_key: bool,
    /// The IPv4 TOS or the IPv6 traffic class.
    pub tos: u8,
    /// The IPv4 TTL or the IPv6 hop limit, or 0.
    pub ttl: u8,
    /// The IPv6 flow label, in host order.
    pub flow_label: u32,
    /// The UDP port to send to, or "any".
    pub destination_port: PortNumber,
    /// The UDP checksum.
    pub checksum: Checksum,
    /// The "don't fragment" flag of IPv4.
    pub dont_fragment: bool,
    /// The local address need not be one of this host's.
    pub any_source: bool,
    /// The route must be looked up for each packet, and not be cached.
    no_cache: bool,
    /// The number of option bytes after the information, or 0 if they belong to another kind of tunnel.
    options_len: u8,
}

impl TunnelInfo {
    /// Returns the tunnel through which a packet must be sent; `None` if no such tunnel was set for the packet.
    pub fn of_sent(skb: &SkBuff) -> Option<Self> {
        let info = tunnel_info(skb)?.as_ptr();
        // Read each field once: a BPF program on another CPU may reuse the same metadata for a later packet. The
        // fields are plain words.
        // SAFETY: The pointer is valid: the packet has a reference to the information or, without a reference, does
        // not leave the RCU read side.
        let (key, mode, options_len) = unsafe {
            (
                (&raw const (*info).key).read_volatile(),
                (&raw const (*info).mode).read_volatile(),
                (&raw const (*info).options_len).read_volatile(),
            )
        };
        // SAFETY: The flags have C's type.
        let is_foreign = unsafe { bindings::ip_tunnel_is_options_present(key.tun_flags.as_ptr()) };
        let mode = u32::from(mode);
        if mode & bindings::IP_TUNNEL_INFO_TX == 0 {
            return None;
        }
        let has = |bit: u32| key.tun_flags[0] >> bit & 1 != 0;
        Some(Self {
            addresses: addresses(&key, mode),
            id: u64::from_be(key.tun_id),
            has_key: has(bindings::IP_TUNNEL_KEY_BIT),
            tos: key.tos,
            ttl: key.ttl,
            flow_label: u32::from_be(key.label) & FLOW_LABEL_MASK,
            destination_port: PortNumber::from_be(key.tp_dst),
            checksum: if has(bindings::IP_TUNNEL_CSUM_BIT) {
                Checksum::Full
            } else {
                Checksum::Zero
            },
            dont_fragment: has(bindings::IP_TUNNEL_DONT_FRAGMENT_BIT),
            any_source: u32::from(key.flow_flags) & bindings::FLOWI_FLAG_ANYSRC != 0,
            no_cache: has(bindings::IP_TUNNEL_NOCACHE_BIT),
            options_len: if is_foreign { 0 } else { options_len },
        })
    }

    /// Returns the number of option bytes after the tunnel information; 0 if they belong to another kind of tunnel.
    #[inline]
    pub fn options_len(&self) -> usize {
        self.options_len.into()
    }

    /// Copies the option bytes of the packet that `self` was read from. Fails with `EINVAL` if the packet has no
    /// information any more, or information with fewer option bytes.
    pub fn read_options(&self, skb: &SkBuff, to: &mut [u8; MAX_OPTIONS_LEN_BYTES]) -> Result {
        let info = tunnel_info(skb).ok_or(EINVAL)?.as_ptr();
        // SAFETY: The pointer is valid, as in `of_sent`, and as many bytes follow the information as the length
        // says: C writes the length after it has allocated them. A program may still write to the bytes, so each is
        // read once, by a volatile read.
        unsafe {
            if (&raw const (*info).options_len).read_volatile() < self.options_len {
                return Err(EINVAL);
            }
            let from = bindings::ip_tunnel_info_opts(info).cast::<u8>();
            for (index, byte) in to.iter_mut().take(self.options_len()).enumerate() {
                *byte = from.add(index).read_volatile();
            }
        }
        Ok(())
    }

    /// Returns `true` if a route may be kept in the information's cache.
    #[inline]
    pub(crate) fn allows_cache(&self) -> bool {
        !self.no_cache
    }
}

/// The greatest number of option bytes.
pub const MAX_OPTIONS_LEN_BYTES: usize = u8::MAX as usize;

/// The bits of a flow label (RFC 8200).
const FLOW_LABEL_MASK: u32 = 0xf_ffff;

fn tunnel_info(skb: &SkBuff) -> Option<NonNull<bindings::ip_tunnel_info>> {
    // SAFETY: By the invariant of `SkBuff` the packet is valid, and no other code changes its fields.
    NonNull::new(unsafe { bindings::skb_tunnel_info(skb.as_raw()) })
}

/// Returns the route cache of a packet's tunnel, or `None` without a tunnel of this IP version. C stores only routes
/// of this version there. The cache may be unallocated; C's functions check for that.
///
/// The pointer is valid as long as the packet is.
pub(crate) fn route_cache(skb: &SkBuff, is_ipv6: bool) -> Option<*mut bindings::dst_cache> {
    let info = tunnel_info(skb)?.as_ptr();
    // SAFETY: As in `of_sent`.
    let mode = u32::from(unsafe { (&raw const (*info).mode).read_volatile() });
    if (mode & bindings::IP_TUNNEL_INFO_IPV6 != 0) != is_ipv6 {
        return None;
    }
    // SAFETY: The pointer is valid, as above. Only the address is computed.
    Some(unsafe { &raw mut (*info).dst_cache })
}

fn addresses(key: &bindings::ip_tunnel_key, mode: u32) -> Addresses {
    // SAFETY: The addresses are plain bytes, and all of the union is initialized.
    unsafe {
        if mode & bindings::IP_TUNNEL_INFO_IPV6 != 0 {
            Addresses::V6 {
                local: key.u.ipv6.src.in6_u.u6_addr8,
                peer: key.u.ipv6.dst.in6_u.u6_addr8,
            }
        } else {
            Addresses::V4 {
                local: key.u.ipv4.src.to_ne_bytes(),
                peer: key.u.ipv4.dst.to_ne_bytes(),
            }
        }
    }
}

/// The tunnel that a packet was received through.
///
/// # Invariants
///
/// We own the metadata, which no packet has yet.
pub struct RxMetadata(NonNull<bindings::metadata_dst>);

impl RxMetadata {
    /// Makes metadata from the packet's outer headers, `key` and `options`. The packet's data must begin at its UDP
    /// header. No flag assigns the options to a kind of tunnel. Softirq context.
    ///
    /// Fails with `EINVAL` if the packet's headers are not where UDP found them, or if `options` is longer than
    /// [`MAX_OPTIONS_LEN_BYTES`]. Fails with `ENOMEM` if there is no memory.
    pub fn new<const IPV6: bool>(skb: &RxSkb, key: Option<u32>, options: &[u8]) -> Result<Self> {
        let options_len = u8::try_from(options.len()).map_err(|_| EINVAL)?;
        let (family, ip_len) = if IPV6 {
            (bindings::AF_INET6, 40)
        } else {
            (bindings::AF_INET, 20)
        };
        skb.linear_header(HEADER_LEN_BYTES).ok_or(EINVAL)?;
        // SAFETY: By the invariant of `SkBuff` the packet is valid, and no other code changes its fields.
        let udp_at = unsafe { bindings::skb_transport_offset(skb.as_raw()) };
        if udp_at != 0
            || skb
                .network_header()
                .is_none_or(|bytes| bytes.len() < ip_len)
        {
            return Err(EINVAL);
        }
        let mut all = bindings::ip_tunnel_key::default();
        if key.is_some() {
            all.tun_flags[0] = 1 << bindings::IP_TUNNEL_KEY_BIT;
        }
        // SAFETY: The packet is valid. Its IP header and its UDP header are linear, as was just checked. C copies
        // the flags, which have C's type.
        let metadata = unsafe {
            bindings::udp_tun_rx_dst(
                skb.as_raw(),
                family as u16,
                all.tun_flags.as_ptr(),
                u64::from(key.unwrap_or(0)).to_be(),
                options_len.into(),
            )
        };
        // INVARIANT: C gives the metadata to the caller.
        let metadata = NonNull::new(metadata).map(Self).ok_or(ENOMEM)?;
        if options_len != 0 {
            // SAFETY: The metadata are a tunnel's and ours alone, and have room for `options_len` bytes.
            unsafe {
                let info = bindings::metadata_dst_tunnel_info(metadata.0.as_ptr());
                let to = bindings::ip_tunnel_info_opts(info).cast::<u8>();
                ptr::copy_nonoverlapping(options.as_ptr(), to, options.len());
                (*info).options_len = options_len;
            }
        }
        Ok(metadata)
    }
}

impl Drop for RxMetadata {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the metadata are ours, and no other code has a pointer to them.
        unsafe { bindings::metadata_dst_free(self.0.as_ptr()) };
    }
}

impl InnerSkb {
    /// Attaches the metadata to the packet.
    pub(crate) fn set_metadata(&mut self, metadata: RxMetadata) {
        // SAFETY: By the type invariants the packet is valid, and the metadata are ours. The packet takes them over.
        unsafe { bindings::skb_set_metadata(self.as_raw(), metadata.0.as_ptr()) };
        mem::forget(metadata);
    }
}

/// Swaps the outer addresses in a packet's tunnel metadata, for an ICMP error. C made the error from a packet that
/// would have been sent from `local`, and the error must seem to come from the other end. Does nothing if the packet
/// has no tunnel metadata. Fails with `ENOMEM`.
pub(crate) fn turn_round(skb: Pin<&mut SkBuff>, local: &[u8]) -> Result {
    let raw = skb.as_raw();
    // SAFETY: By the invariant of `SkBuff` the packet is valid.
    if !unsafe { bindings::skb_has_metadata(raw) } || tunnel_info(&skb).is_none() {
        return Ok(());
    }
    // SAFETY: The packet is valid and exclusively borrowed, so that C may give it a copy.
    let info = NonNull::new(unsafe { bindings::skb_tunnel_info_unclone(raw) }).ok_or(ENOMEM)?;
    // SAFETY: C has made the copy, which no other packet has.
    let info = unsafe { &mut *info.as_ptr() };
    let is_ipv6 = u32::from(info.mode) & bindings::IP_TUNNEL_INFO_IPV6 != 0;
    let key = &mut info.key.u;
    if let (false, Ok(local)) = (is_ipv6, <[u8; 4]>::try_from(local)) {
        // SAFETY: Both members of the union are plain words, and all of it is initialized.
        let addresses = unsafe { key.ipv4.deref_mut() };
        addresses.src = addresses.dst;
        addresses.dst = u32::from_ne_bytes(local);
    }
    if let (true, Ok(local)) = (is_ipv6, <[u8; 16]>::try_from(local)) {
        // SAFETY: As above.
        let addresses = unsafe { key.ipv6.deref_mut() };
        addresses.src = addresses.dst;
        addresses.dst.in6_u.u6_addr8 = local;
    }
    Ok(())
}

/// A packet whose tunnel metadata a device completes without sending the packet (`ndo_fill_metadata_dst`).
///
/// # Invariants
///
/// The packet is valid, and has metadata that no other packet has.
pub struct EgressPacket<'a> {
    skb: Pin<&'a mut SkBuff>,
}

impl<'a> EgressPacket<'a> {
    /// # Safety
    ///
    /// As for [`SkBuff::from_raw`]; and the packet must have metadata of its own.
    pub(crate) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        // INVARIANT: Promised by the caller.
        Self {
            // SAFETY: Promised by the caller.
            skb: unsafe { SkBuff::from_raw(skb) },
        }
    }

    /// Borrows the packet.
    pub(crate) fn as_skb(&mut self) -> Pin<&mut SkBuff> {
        self.skb.as_mut()
    }

    /// Returns the packet's mark.
    pub fn mark(&self) -> u32 {
        // SAFETY: By the type invariant the packet is valid, and no other code changes its fields.
        unsafe { bindings::skb_mark(self.skb.as_raw()) }
    }

    /// Returns the tunnel that the packet would be sent through.
    pub fn tunnel_info(&self) -> Option<TunnelInfo> {
        TunnelInfo::of_sent(&self.skb)
    }

    /// Writes the source address, which is the local address of `addresses`, and the ports that the packet would be
    /// sent with. Fails with `EINVAL` if the packet has no tunnel, or a tunnel of the other IP version.
    pub fn complete(&mut self, addresses: Addresses, ports: Ports) -> Result {
        let info = tunnel_info(&self.skb).ok_or(EINVAL)?.as_ptr();
        // SAFETY: By the type invariant the packet has the metadata alone, so no other code reads or writes them.
        let info = unsafe { &mut *info };
        let key = &mut info.key.u;
        let is_ipv6 = u32::from(info.mode) & bindings::IP_TUNNEL_INFO_IPV6 != 0;
        match addresses {
            Addresses::V4 { local, .. } if !is_ipv6 => {
                // SAFETY: Both members of the union are plain words, and all of it is initialized.
                unsafe { key.ipv4.deref_mut() }.src = u32::from_ne_bytes(local);
            }
            Addresses::V6 { local, .. } if is_ipv6 => {
                let mut address = bindings::in6_addr::default();
                address.in6_u.u6_addr8 = local;
                // SAFETY: As above.
                unsafe { key.ipv6.deref_mut() }.src = address;
            }
            _ => return Err(EINVAL),
        }
        info.key.tp_src = ports.source.to_be();
        info.key.tp_dst = ports.destination.to_be();
        Ok(())
    }
}
