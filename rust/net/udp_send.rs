// SPDX-License-Identifier: GPL-2.0

//! UDP packets that a tunnel device sends: pushes headers before an inner IP packet or frame, and sends the result.
//!
//! C headers: [`include/net/udp_tunnel.h`](srctree/include/net/udp_tunnel.h),
//! [`include/net/ip_tunnels.h`](srctree/include/net/ip_tunnels.h)

mod frame;
mod inner;

pub use inner::InnerIp;

use crate::{
    flow_hash,
    ip_proto::ChecksumPlace,
    metadata::EgressPacket,
    netdev::{DeviceSkb, Operations, Sent, Spent, Xmit},
    route::{version::private::Fields, IpVersion, Route},
    skb::{GsoType, SkBuff, TxSkb, MOST_HEADROOM_BYTES},
    udp::{Checksum, PortNumber, Ports, HEADER_LEN_BYTES},
    Netns,
};
use kernel::{error::to_result, prelude::*};
use net_bindings as bindings;

/// The fields of an outer IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterIp {
    /// DSCP and ECN: the IPv4 TOS or the IPv6 traffic class.
    pub tos: u8,
    /// The IPv4 TTL or the IPv6 hop limit.
    pub hop_limit: u8,
    /// The "don't fragment" flag of IPv4.
    pub dont_fragment: bool,
    /// The IPv6 flow label, in host order: 20 bits. A greater number overwrites the other fields of the header's first
    /// word.
    pub flow_label: u32,
}

/// The UDP header, and properties of the bytes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterUdp {
    /// The ports.
    pub ports: Ports,
    /// The checksum.
    pub checksum: Checksum,
    /// The length of the tunnel's header, in bytes.
    pub header_len: usize,
    /// The receiver computes the packet's partial checksum: the tunnel's header says where.
    pub leaves_checksum: bool,
    /// The packet begins with an Ethernet header, and not with an IP header.
    pub is_frame: bool,
}

/// A packet is longer than this MTU, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    mtu: u32,
}

/// The EtherTypes of IP packets, in network order.
const ETH_P_IP: u16 = (bindings::ETH_P_IP as u16).to_be();
const ETH_P_IPV6: u16 = (bindings::ETH_P_IPV6 as u16).to_be();
/// A packet that was not sent, and the reason.
pub struct Unsent(pub Spent, pub Error);

impl DeviceSkb {
    #[inline]
    fn as_skb(&mut self) -> Pin<&mut SkBuff> {
        self.0.as_pin_mut()
    }

    #[inline]
    fn as_tx(&mut self) -> Pin<&mut TxSkb> {
        // SAFETY: The packet is owned and valid, and used only through the result as long as that lives. A
        // device sends it, in an RCU read side, which lasts until `transmit` returns.
        unsafe { TxSkb::from_raw(self.0.as_raw()) }
    }

    /// Does what [`SkBuff::partial_checksum`] does. Inlined, because each packet that a device sends needs it.
    #[inline(always)]
    pub fn partial_checksum(&self) -> Result<Option<ChecksumPlace>> {
        self.0.find_partial_checksum()
    }

    /// Returns the packet's mark.
    #[inline]
    pub fn mark(&self) -> u32 {
        // SAFETY: The packet is valid, and no other code changes its fields.
        unsafe { bindings::skb_mark(self.0.as_raw()) }
    }

    /// Returns the source port of the packet's inner flow: the same for all packets of the flow, chosen by
    /// the hash of the inner headers from a range, or from the namespace's local ports.
    ///
    /// `range` is the first and the last port. If the first is not less than the last, the namespace's local ports are
    /// used.
    #[inline(always)]
    pub fn flow_port<T: Operations>(
        &mut self,
        xmit: &Xmit<'_, T>,
        range: Option<(PortNumber, PortNumber)>,
    ) -> PortNumber {
        flow_hash::provide(self.as_skb());
        flow_port(self.as_skb(), xmit.device().link_net(), range)
    }

    /// Compares the packet's length, or that of the segments of a GSO packet, with the path MTU that is left after
    /// `overhead` bytes. If the packet is longer, stores that MTU in the packet's route, for a sender on this host,
    /// and fails with it.
    #[inline(always)]
    pub fn check_path_mtu<V: IpVersion>(
        &mut self,
        route: &Route<V>,
        overhead: u32,
    ) -> Result<(), TooLong> {
        let mtu = route.path_mtu().saturating_sub(overhead);
        if self.0.len() > mtu as usize && self.is_longer(mtu) {
            let overhead = i32::try_from(overhead).unwrap_or(i32::MAX);
            // SAFETY: The packet and the route are valid. C may change the packet's own route.
            unsafe {
                bindings::skb_tunnel_check_pmtu(self.0.as_raw(), route.as_raw(), overhead, false)
            };
            return Err(TooLong { mtu });
        }
        Ok(())
    }

    /// Returns `true` if the packet, or a segment of a GSO packet, is longer than `mtu` after `link` bytes of a link's
    /// header.
    #[inline]
    pub fn is_longer_than(&self, mtu: u32, link: u32) -> bool {
        self.0.len() > mtu.saturating_add(link) as usize && self.is_longer(mtu)
    }

    /// Returns `false` for a GSO packet whose segments are not longer than `mtu`, and `true` for all other packets.
    #[inline]
    fn is_longer(&self, mtu: u32) -> bool {
        let raw = self.0.as_raw();
        // SAFETY: The packet is valid.
        unsafe { !bindings::skb_is_gso(raw) || !bindings::skb_gso_validate_network_len(raw, mtu) }
    }

    /// Answers the packet's sender, on this host or another, with an ICMP error: "packet too big", and the MTU.
    ///
    /// Returns `false` without an answer if the packet is IPv6 and the MTU is below the minimum of IPv6 (RFC 8200 §5),
    /// if the packet is not IP, or if it has metadata instead of a route. The packet stays valid. The core limits the
    /// rate of answers.
    #[cold]
    pub fn answer_too_long(&mut self, TooLong { mtu }: TooLong) -> bool {
        let raw = self.0.as_raw();
        // SAFETY: The packet is valid and owned, in a device's transmit function, which is where C's functions may be
        // called. They check the place of the packet's IP header, and that the packet has a route. The packet's dst is
        // not metadata, as is checked here. The route is of the packet's protocol, because IP output and forwarding
        // set both together.
        unsafe {
            if bindings::skb_has_metadata(raw) {
                return false;
            }
            match self.0.protocol() {
                ETH_P_IP => bindings::icmp_ndo_send_frag_needed(raw, mtu),
                ETH_P_IPV6 if mtu >= bindings::IPV6_MIN_MTU => {
                    bindings::icmpv6_ndo_send_too_big(raw, mtu)
                }
                _ => return false,
            }
        }
        true
    }
}

impl EgressPacket<'_> {
    /// Does what [`DeviceSkb::flow_port`] does, for the namespace that the packet would be sent to.
    pub fn flow_port(
        &mut self,
        netns: &Netns,
        range: Option<(PortNumber, PortNumber)>,
    ) -> PortNumber {
        let raw = self.as_skb().as_raw();
        // SAFETY: The packet is valid.
        if !unsafe { bindings::skb_dev(raw) }.is_null() {
            flow_hash::provide(self.as_skb());
        }
        flow_port(self.as_skb(), netns, range)
    }
}

/// Returns a port for a packet's flow.
#[inline(always)]
fn flow_port(
    skb: Pin<&mut SkBuff>,
    netns: &Netns,
    range: Option<(PortNumber, PortNumber)>,
) -> PortNumber {
    let (low, high) = match range {
        Some((low, high)) => (low.to_be_bytes(), high.to_be_bytes()),
        None => ([0; 2], [0; 2]),
    };
    // SAFETY: The packet is valid and exclusively borrowed, so that C may note its hash. The namespace is valid.
    let be = unsafe {
        bindings::udp_flow_src_port(
            netns.as_raw(),
            skb.as_raw(),
            u16::from_be_bytes(low).into(),
            u16::from_be_bytes(high).into(),
            false,
        )
    };
    PortNumber::from_be(be)
}

/// A tunnel's header, to be written.
pub trait Fill {
    /// Writes the header, which has as many bytes as `to`.
    fn fill(self, to: &mut [u8]);
}

impl<F: FnOnce(&mut [u8])> Fill for F {
    #[inline(always)]
    fn fill(self, to: &mut [u8]) {
        self(to);
    }
}

/// Pushes an IP header, a UDP header and a tunnel's header, which `fill` writes, before a packet, and sends
/// the packet. The device counts it.
///
/// A GSO packet is segmented by the route's device, or in software; each segment gets the same tunnel
/// header. Fails with `ENOMEM`; with `EINVAL` if the packet or a header is too long, or, under
/// [`Checksum::Full`], if the packet's partial checksum does not lie in the packet at an even offset.
#[inline(always)]
pub fn send<V: IpVersion, T: Operations>(
    xmit: &Xmit<'_, T>,
    mut skb: DeviceSkb,
    route: Route<V>,
    destination: &V::Address,
    ip: &OuterIp,
    udp: &OuterUdp,
    fill: impl Fill,
) -> Result<Sent, Unsent> {
    let dev = xmit.device().as_raw();
    let (source, raw) = (*route.source(), skb.0.as_raw());
    if let Err(error) = push::<V, T>(xmit, &mut skb, &route, &source, destination, udp, fill) {
        return Err(Unsent(skb.into(), error));
    }
    let fields = Fields {
        tos: ip.tos,
        hop_limit: ip.hop_limit,
        dont_fragment: ip.dont_fragment,
        flow_label: ip.flow_label,
        // SAFETY: The device is valid. Namespaces are compared by their addresses.
        crosses_netns: unsafe { bindings::dev_net(dev) } != xmit.device().link_net().as_raw(),
    };
    core::mem::forget(skb);
    // SAFETY: The packet is ours, and is given up: `skb` was just forgotten. `push` has made room for an IP
    // header before the UDP header that it has pushed. The route is given up, too. The device is the
    // packet's, because it sends the packet, and `setup` has asked for statistics by CPU. Softirqs are off as
    // long as `xmit` lives.
    unsafe { V::send(raw, route.into_raw(), dev, (&source, destination), &fields) };
    Ok(Sent(()))
}

/// Prepares the packet's offloads, and pushes a UDP header and a tunnel's header. Leaves room for an IP
/// header.
#[inline(always)]
fn push<V: IpVersion, T: Operations>(
    xmit: &Xmit<'_, T>,
    skb: &mut DeviceSkb,
    route: &Route<V>,
    source: &V::Address,
    destination: &V::Address,
    udp: &OuterUdp,
    fill: impl Fill,
) -> Result {
    let raw = skb.0.as_raw();
    let len = HEADER_LEN_BYTES.checked_add(udp.header_len).ok_or(EINVAL)?;
    let total = skb.0.len().checked_add(len).ok_or(EINVAL)?;
    let total_c = i32::try_from(total).map_err(|_| EINVAL)?;
    // The outer checksum is computed from the place of the inner one, by whole words.
    if let Some(partial) = skb.partial_checksum()? {
        if udp.checksum == Checksum::Full && (partial.start | partial.field) & 1 != 0 {
            return Err(EINVAL);
        }
    }
    let all = V::HEADER_LEN_BYTES.checked_add(len).ok_or(EINVAL)?;
    let headroom = route
        .headroom(xmit.reader())
        .checked_add(u32::try_from(all).map_err(|_| EINVAL)?)
        .ok_or(EINVAL)?;
    // SAFETY: The packet is valid and exclusively borrowed, so no reference points into the head.
    if unsafe { bindings::skb_headroom(raw) < headroom || bindings::skb_header_cloned(raw) } {
        make_headroom(xmit.device().as_raw(), skb, headroom)?;
    }
    handle_offloads(skb, udp)?;
    let (header, tunnel) = skb
        .as_tx()
        .push(len)?
        .split_first_chunk_mut::<HEADER_LEN_BYTES>()
        .ok_or(EINVAL)?;
    header[0..2].copy_from_slice(&udp.ports.source.to_be_bytes());
    header[2..4].copy_from_slice(&udp.ports.destination.to_be_bytes());
    header[4..6].copy_from_slice(&u16::try_from(total).unwrap_or(0).to_be_bytes());
    header[6..8].fill(0);
    fill.fill(tunnel);
    skb.as_tx().reset_transport_header();
    if udp.checksum == Checksum::Full {
        // SAFETY: The packet's transport header is the UDP header that was just pushed, so the checksum field
        // is linear, and `total` is its length. A partial checksum lies in what the header was pushed to, as
        // was checked above.
        unsafe { V::set_checksum(raw, source, destination, total_c) };
    }
    Ok(())
}

/// Prepares the packet for encapsulation: notes the places of the inner headers, and tells segmentation what
/// the outer headers are.
#[inline(always)]
fn handle_offloads(skb: &mut DeviceSkb, udp: &OuterUdp) -> Result {
    let raw = skb.0.as_raw();
    if udp.is_frame {
        // Segmentation takes the bytes up to the network header for the header of the link.
        // SAFETY: The packet is valid.
        let offset = unsafe { bindings::skb_network_offset(raw) };
        let within = bindings::ETH_HLEN as usize..=skb.0.headlen();
        if !usize::try_from(offset).is_ok_and(|offset| within.contains(&offset)) {
            return Err(EINVAL);
        }
    }
    let mut gso_type = match udp.checksum {
        Checksum::Full => GsoType::UDP_TUNNEL_CSUM,
        Checksum::Zero => GsoType::UDP_TUNNEL,
    };
    if udp.leaves_checksum {
        gso_type = gso_type | GsoType::TUNNEL_REMCSUM;
    }
    // SAFETY: The packet is valid and exclusively borrowed, so its fields may change.
    unsafe {
        if bindings::skb_encapsulation(raw)
            && !bindings::skb_is_gso(raw)
            && !bindings::skb_is_checksum_partial(raw)
        {
            // The packet comes from another tunnel, whose inner headers nothing needs any more.
            bindings::skb_clear_encapsulation(raw);
        }
        // Segmentation copies all bytes from the UDP header up to the inner MAC header. Without Ethernet the inner MAC
        // header is empty. The network header of a frame lies in the packet, as was checked above.
        bindings::skb_reset_mac_header(raw);
        if !udp.is_frame {
            bindings::skb_reset_network_header(raw);
        }
        to_result(bindings::iptunnel_handle_offloads(raw, gso_type.as_raw()))?;
        let inner_protocol = if udp.is_frame {
            (bindings::ETH_P_TEB as u16).to_be()
        } else {
            bindings::skb_protocol(raw)
        };
        bindings::skb_set_inner_protocol(raw, inner_protocol);
    }
    if udp.leaves_checksum {
        skb.as_tx().leave_checksum_to_receiver();
    }
    Ok(())
}

/// Reallocates the head as a private one with `len` bytes of headroom, and raises the headroom that the device asks
/// for in its next packets.
#[cold]
fn make_headroom(dev: *mut bindings::net_device, skb: &mut DeviceSkb, len: u32) -> Result {
    if len as usize > MOST_HEADROOM_BYTES {
        return Err(EINVAL);
    }
    // SAFETY: The packet is valid and exclusively borrowed, so no reference points into the head, which C
    // replaces. The device is valid.
    unsafe {
        to_result(bindings::skb_cow_head(skb.0.as_raw(), len))?;
        bindings::ip_tunnel_adj_headroom(dev, len);
    }
    Ok(())
}

/// Chooses the secret of [`DeviceSkb::flow_port`]. Any context.
pub fn prepare() {
    flow_hash::choose_secret();
}
