// SPDX-License-Identifier: GPL-2.0

//! The hash of a packet's flow, for the most common packets.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h), "skb_get_hash"
//!
//! Replaces `skb_get_hash()` for TCP and UDP in plain IP. That call takes 643 of the 5,527 instructions of
//! a transmit over IPv6: 317 for SipHash over 44 bytes, most of them zero, and 326 for the dissector, which
//! knows every protocol. A transmit in GUE takes 5,453 instructions with that call, and 5,049 with this
//! module. With the dissector, but a hash of addresses and ports alone, it takes 5,302; if the dissector
//! also looks for these alone, 5,301. The dissector still hashes all other packets, and all packets where
//! a BPF program takes the dissector's place.
//!
//! Over IPv4 nothing is left to replace, because `ip_tunnel` calls `skb_get_hash()` before the
//! encapsulation. `ip6_tunnel` leaves the hash to the encapsulation.
//!
//! A flow is nearly the same as for the dissector: addresses, protocol and ports, or addresses and the IPv6 flow
//! label if there is one (RFC 6437). Both directions have the same hash, unless their flow labels differ. The
//! secret is this module's own. The kernel's secret is random at each boot, so no user can rely on the source port
//! of a flow in either case.

use crate::SkBuff;
use kernel::{prelude::*, sync::SetOnce};
use net_bindings as bindings;

const TCP: u8 = bindings::IPPROTO_TCP as u8;
const UDP: u8 = bindings::IPPROTO_UDP as u8;

/// The secret of all hashes. Until it is chosen, the dissector makes all hashes.
static SECRET: SetOnce<bindings::siphash_key_t> = SetOnce::new();

/// Chooses the secret, if there is none yet. Any context.
pub(crate) fn choose_secret() {
    let mut secret = bindings::siphash_key_t::default();
    // SAFETY: `secret` is a local variable, so it is valid for writes of its size. It consists of integers,
    // for which any bytes are valid.
    unsafe { bindings::get_random_bytes((&raw mut secret).cast(), size_of_val(&secret)) };
    // If another call was first, its secret stays.
    SECRET.populate(secret);
}

/// Stores the flow hash in a packet that a device sends or would send. The packet must have a device. Does nothing
/// if the packet already has a hash, or if this module cannot read its headers. Any context, RCU read side.
#[inline]
pub(crate) fn provide(skb: Pin<&mut SkBuff>) {
    // SAFETY: By the invariant of `SkBuff` the packet is valid.
    if !unsafe { bindings::skb_has_hash(skb.as_raw()) } {
        compute(skb);
    }
}

/// Does what [`provide`] does, for a packet that has no hash.
#[inline(never)]
fn compute(skb: Pin<&mut SkBuff>) {
    let raw = skb.as_raw();
    let Some(secret) = SECRET.as_ref() else {
        return;
    };
    // SAFETY: By the invariant of `SkBuff` the packet is valid. It has a device, by the contract of `provide`. The
    // caller is an RCU reader: C waits for readers before it frees the device or its namespace, and the look-up of
    // the dissector's program needs a reader.
    if unsafe { bindings::skb_vlan_tag_present(raw) || bindings::skb_has_bpf_flow_dissector(raw) } {
        return;
    }
    let found = match u32::from(u16::from_be(skb.protocol())) {
        bindings::ETH_P_IP => skb.network_header().and_then(|ip| ipv4(ip, secret)),
        bindings::ETH_P_IPV6 => skb.network_header().and_then(|ip| ipv6(ip, secret)),
        _ => None,
    };
    if let Some((hash, has_ports)) = found {
        // SAFETY: By the invariant of `SkBuff` the packet is valid. It is exclusively borrowed, so no other
        // code reads or writes the hash.
        unsafe { bindings::__skb_set_sw_hash(raw, hash, has_ports) };
    }
}

/// Returns the hash of TCP or UDP in an IPv4 packet without options that is not a fragment (RFC 791), and
/// `true` because the hash covers ports.
#[inline]
fn ipv4(ip: &[u8], secret: &bindings::siphash_key_t) -> Option<(u32, bool)> {
    let header: &[u8; 24] = ip.first_chunk()?;
    let [0x45, _, _, _, _, _, f0, f1, _, protocol @ (TCP | UDP), _, _, s0, s1, s2, s3, d0, d1, d2, d3, ports @ ..] =
        *header
    else {
        return None;
    };
    // All bits but "don't fragment".
    if [f0 & 0xbf, f1] != [0, 0] {
        return None;
    }
    let source = u32::from_ne_bytes([s0, s1, s2, s3]);
    let destination = u32::from_ne_bytes([d0, d1, d2, d3]);
    let addresses = u64::from(source.min(destination)) << 32 | u64::from(source.max(destination));
    // SAFETY: `secret` is a reference, so C may read the key through it. C reads nothing else.
    let hash = unsafe { bindings::siphash_2u64(addresses, sorted(ports, protocol), secret) };
    Some((not_zero(hash), true))
}

/// Returns the hash of TCP or UDP in an IPv6 packet without extension headers (RFC 8200), and `true` if the hash
/// covers ports. A flow label takes the place of protocol and ports.
#[inline]
fn ipv6(ip: &[u8], secret: &bindings::siphash_key_t) -> Option<(u32, bool)> {
    let (header, rest) = ip.split_first_chunk::<40>()?;
    let (first, addresses) = header.split_first_chunk::<8>()?;
    let [v0, v1, l0, l1, _, _, protocol @ (TCP | UDP), _] = *first else {
        return None;
    };
    if v0 >> 4 != 6 {
        return None;
    }
    let has_label = [v1 & 0xf, l0, l1] != [0, 0, 0];
    let what = if has_label {
        u64::from(u32::from_ne_bytes([0, v1 & 0xf, l0, l1]))
    } else {
        sorted(*rest.first_chunk()?, protocol)
    };
    let (source, destination) = addresses.split_at(16);
    let (source, destination) = (
        u128::from_ne_bytes(source.try_into().ok()?),
        u128::from_ne_bytes(destination.try_into().ok()?),
    );
    let (low, high) = (source.min(destination), source.max(destination));
    let words = [
        low as u64,
        (low >> 64) as u64,
        high as u64,
        (high >> 64) as u64,
        what,
    ];
    // SAFETY: `words` is a local variable of `size_of_val(&words)` bytes, aligned for `u64`, which is what
    // C asks for. `secret` is a reference to a key. C reads both only during the call.
    let hash = unsafe { bindings::siphash(words.as_ptr().cast(), size_of_val(&words), secret) };
    Some((not_zero(hash), !has_label))
}

/// Returns the ports, the smaller first, and the protocol in one word.
#[inline]
fn sorted([s0, s1, d0, d1]: [u8; 4], protocol: u8) -> u64 {
    let (source, destination) = (u16::from_ne_bytes([s0, s1]), u16::from_ne_bytes([d0, d1]));
    u64::from(protocol) << 32
        | u64::from(source.min(destination)) << 16
        | u64::from(source.max(destination))
}

/// Returns the hash in 32 bits, and never 0, because a hash of 0 in a packet means "none".
#[inline]
fn not_zero(hash: u64) -> u32 {
    (hash as u32).max(1)
}

#[kunit_tests(rfou_net_flow_hash)]
mod tests {
    use super::*;

    const SECRET: bindings::siphash_key_t = bindings::siphash_key_t { key: [1, 2] };

    /// From 10.0.0.1, port 258, to 10.0.0.2, port 772.
    const UDP4: [u8; 24] = [
        0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3, 4,
    ];

    fn udp6() -> [u8; 44] {
        let mut packet = [0; 44];
        packet[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 8, 17, 64]);
        (packet[23], packet[39]) = (1, 2);
        packet[40..].copy_from_slice(&[1, 2, 3, 4]);
        packet
    }

    #[test]
    fn directions_of_a_flow_have_the_same_hash() {
        let mut back = UDP4;
        (back[15], back[19]) = (2, 1);
        back[20..].copy_from_slice(&[3, 4, 1, 2]);
        assert!(ipv4(&UDP4, &SECRET).is_some());
        assert_eq!(ipv4(&UDP4, &SECRET), ipv4(&back, &SECRET));

        let mut back = udp6();
        (back[23], back[39]) = (2, 1);
        back[40..].copy_from_slice(&[3, 4, 1, 2]);
        assert!(ipv6(&udp6(), &SECRET).is_some());
        assert_eq!(ipv6(&udp6(), &SECRET), ipv6(&back, &SECRET));
    }

    #[test]
    fn all_that_makes_a_flow_makes_the_hash() {
        // Protocol, addresses, ports.
        for at in [9, 12, 15, 16, 19, 20, 21, 22, 23] {
            let mut other = UDP4;
            other[at] = if at == 9 { 6 } else { other[at] ^ 0x40 };
            assert!(ipv4(&other, &SECRET).is_some());
            assert!(ipv4(&other, &SECRET) != ipv4(&UDP4, &SECRET));
        }
        for at in [6, 8, 23, 24, 39, 40, 41, 42, 43] {
            let mut other = udp6();
            other[at] = if at == 6 { 6 } else { other[at] ^ 0x40 };
            assert!(ipv6(&other, &SECRET).is_some());
            assert!(ipv6(&other, &SECRET) != ipv6(&udp6(), &SECRET));
        }
    }

    #[test]
    fn a_flow_label_stands_for_the_ports() {
        let mut labelled = udp6();
        labelled[3] = 1;
        let hash = ipv6(&labelled, &SECRET);
        assert!(matches!(hash, Some((_, false))));
        labelled[41] = 9;
        assert_eq!(ipv6(&labelled, &SECRET), hash);
        labelled[1] = 1;
        assert!(ipv6(&labelled, &SECRET) != hash);
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        // Options, a fragment, more fragments, another protocol; IPv4 where IPv6 is said.
        for (at, value) in [(0, 0x46), (0, 0x65), (7, 1), (6, 0x20), (9, 47)] {
            let mut other = UDP4;
            other[at] = value;
            assert!(ipv4(&other, &SECRET).is_none());
        }
        assert!(ipv4(&UDP4[..23], &SECRET).is_none());
        for (at, value) in [(0, 0x40), (6, 44), (6, 0)] {
            let mut other = udp6();
            other[at] = value;
            assert!(ipv6(&other, &SECRET).is_none());
        }
        assert!(ipv6(&udp6()[..43], &SECRET).is_none());
    }
}
