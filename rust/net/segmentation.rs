// SPDX-License-Identifier: GPL-2.0

//! Segmentation offload of tunnels: the features that a tunnel needs from a device, and a cache of the
//! features of the devices that routes lead to.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h), "net_gso_ok"

use crate::{
    skb::{GsoType, TxSkb},
    SkBuff,
};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use net_bindings as bindings;

/// Returns the GSO type that a TCP packet of a tunnel would have before the encapsulation adds its type:
/// the type of TCP, and the type that the tunnel device adds, which is `ip_in_ip` or a type of GRE.
///
/// `skb` may be any packet of the tunnel, with or without GSO; `protocol` is its IP protocol.
#[inline]
pub(crate) fn of_tcp(skb: &TxSkb, protocol: u8, ip_in_ip: GsoType) -> GsoType {
    match u32::from(protocol) {
        bindings::IPPROTO_IPIP => ip_in_ip | GsoType::TCPV4,
        bindings::IPPROTO_IPV6 => ip_in_ip | GsoType::TCPV6,
        _ => of_tcp_in_other(skb, protocol, ip_in_ip),
    }
}

/// Returns the result of [`of_tcp`] for GRE (RFC 2784), and for protocols that carry no TCP. A packet of
/// GRE starts with the GRE header.
///
/// Assumes IPv4 inside a VLAN tag.
#[inline(never)]
fn of_tcp_in_other(skb: &SkBuff, protocol: u8, ip_in_ip: GsoType) -> GsoType {
    const ETH_P_IPV6: u16 = (bindings::ETH_P_IPV6 as u16).to_be();
    const CHECKSUM_PRESENT: u8 = 0x80;

    let carrier = if u32::from(protocol) != bindings::IPPROTO_GRE {
        ip_in_ip
    } else if matches!(skb.linear_header(1), Some([flags]) if flags & CHECKSUM_PRESENT != 0) {
        GsoType::GRE_CSUM
    } else {
        GsoType::GRE
    };
    carrier
        | if skb.protocol() == ETH_P_IPV6 {
            GsoType::TCPV6
        } else {
            GsoType::TCPV4
        }
}

/// Number of entries, a power of two.
const LEN: usize = 64;

/// A lock-free cache of GSO types by [`key`]. Any context.
///
/// An entry is a single word, the key combined with the value, so that CPUs may read and write it at
/// any time. A flow that finds the key of another flow in its entry looks up its route again.
pub(crate) struct Cache([AtomicU64; LEN]);

impl Cache {
    /// Makes an empty cache.
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; LEN])
    }

    #[inline]
    fn entry(&self, key: u64) -> &AtomicU64 {
        &self.0[(key >> (u64::BITS - LEN.ilog2())) as usize]
    }

    /// Returns the value of a key, if the entry is this key's.
    #[inline]
    pub(crate) fn get(&self, key: u64) -> Option<GsoType> {
        let types = self.entry(key).load(Ordering::Relaxed) ^ key;
        // The result for the entry of another key is greater than `ALL`, because keys differ in more than
        // these bits; for the exception see `key`.
        (types <= ALL as u64).then_some(GsoType::from_raw(types as i32))
    }

    /// Stores the value of a key in place of another key's.
    pub(crate) fn set(&self, key: u64, types: GsoType) {
        let types = (types.as_raw() & ALL) as u64;
        self.entry(key).store(key ^ types, Ordering::Relaxed);
    }
}

/// The bits that an entry has room for: all that [`of_tcp`] and UDP tunnels use.
const ALL: i32 = 0xfff;

const _: () = {
    let all = GsoType::from_raw(ALL);
    assert!(all.contains(GsoType::TCPV4) && all.contains(GsoType::TCPV6));
    assert!(all.contains(GsoType::GRE) && all.contains(GsoType::GRE_CSUM));
    assert!(all.contains(GsoType::IPXIP4) && all.contains(GsoType::IPXIP6));
    assert!(all.contains(GsoType::UDP_TUNNEL) && all.contains(GsoType::UDP_TUNNEL_CSUM));
};

/// Returns the cache key of the packets that a tunnel device sends in a flow at this time.
///
/// The address of the tunnel device in memory stands for its namespace and its underlying device; routing
/// decides by these and by the mark, the addresses and the DSCP of the outer flow.
///
/// The key changes once or twice a second. Until then an entry may be stale, after a change of routes or
/// of device features, or because a new device has the address of a deleted one. A stale entry chooses
/// the slower form of packets, never a wrong one. The same holds for two flows with equal keys but for
/// the last 12 bits, one case in 2⁵². A sender that provokes this must know addresses of kernel memory.
#[inline]
pub(crate) fn key(device: *const bindings::net_device, flow: &bindings::flowi4) -> u64 {
    // SAFETY: C reads its clock, which may be read in any context.
    let time = unsafe { bindings::coarse_time() };
    let addresses = u64::from(flow.saddr) | u64::from(flow.daddr) << 32;
    mix(
        device as u64,
        addresses,
        (time << 8 | u64::from(flow.__fl_common.flowic_dscp))
            ^ u64::from(flow.__fl_common.flowic_mark) << 32,
    )
}

#[inline]
fn mix(device: u64, addresses: u64, other: u64) -> u64 {
    /// An odd number whose bits look random: 2⁶⁴ divided by the golden ratio.
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(device) * u128::from(addresses);
    // The last multiplication spreads addresses that differ in a few bits over the entries.
    ((product >> 64) as u64 ^ product as u64)
        .wrapping_add(other.wrapping_mul(MULTIPLIER))
        .wrapping_mul(MULTIPLIER)
}

#[kunit_tests(rfou_net_segmentation)]
mod tests {
    use super::*;

    const DEVICE: u64 = 0xffff_8880_0123_4000;
    const ADDRESSES: u64 = 0x0100_000a_0200_000a;

    #[test]
    fn cache_knows_what_was_set_and_nothing_else() {
        let cache = Cache::new();
        let key = mix(DEVICE, ADDRESSES, 7 << 8);
        assert!(cache.get(key).is_none());
        for types in [0, ALL, 0x911] {
            cache.set(key, GsoType::from_raw(types));
            assert_eq!(cache.get(key), Some(GsoType::from_raw(types)));
        }
        // Bits that the cache has no room for are not kept, and do not change the entry's key.
        cache.set(key, GsoType::from_raw(-1));
        assert_eq!(cache.get(key), Some(GsoType::from_raw(ALL)));
        for other in [
            mix(DEVICE + 64, ADDRESSES, 7 << 8),
            mix(DEVICE, ADDRESSES + 1, 7 << 8),
            mix(DEVICE, ADDRESSES + (1 << 32), 7 << 8),
            mix(DEVICE, ADDRESSES, 7 << 8 | 4),
            mix(DEVICE, ADDRESSES, 8 << 8),
        ] {
            assert!(cache.get(other).is_none());
        }
    }

    #[test]
    fn keys_of_many_devices_flows_and_times_differ_and_are_spread() {
        let mut used = [0u8; LEN];
        let cache = Cache::new();
        for number in 0..1000 {
            let key = mix(DEVICE + number % 10 * 4096, ADDRESSES + number / 10, 1 << 8);
            // The entry is empty or holds another key's value.
            assert!(cache.get(key).is_none());
            cache.set(key, GsoType::from_raw(ALL));
            used[(key >> 58) as usize] += 1;
        }
        assert!(used.iter().all(|times| (1..60).contains(times)));
        for time in 0..1000u64 {
            let key = mix(DEVICE, ADDRESSES, time << 8);
            assert!(cache.get(key).is_none());
            cache.set(key, GsoType::from_raw(0));
        }
    }
}
