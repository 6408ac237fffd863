// SPDX-License-Identifier: GPL-2.0

//! Packets on their way out: what a tunnel device has made of them gets its UDP header.

use kernel::prelude::*;
use net::{
    ip_tunnel::{EncapConfig, FlowIpv4, IpTunnelEncap},
    skb::GsoType,
    udp::{self, Checksum},
    Skb,
};

/// The number by which tunnels ask for FOU (`enum tunnel_encap_types`).
const TUNNEL_ENCAP_FOU: u32 = 1;

/// What a FOU packet is to the IP header in front of it.
const IPPROTO_UDP: u8 = 17;

/// Foo over UDP: a UDP header and nothing else.
pub(crate) struct Fou;

impl IpTunnelEncap for Fou {
    const TYPE: u32 = TUNNEL_ENCAP_FOU;

    fn header_len_bytes(_config: &EncapConfig) -> usize {
        udp::HEADER_LEN_BYTES
    }

    fn build_header(
        skb: &mut Skb<'_>,
        config: &EncapConfig,
        _protocol: u8,
        flow: &FlowIpv4,
    ) -> Result<u8> {
        let (checksum, gso_type) = if config.checksum() {
            (Checksum::Full, GsoType::UDP_TUNNEL_CSUM)
        } else {
            (Checksum::Zero, GsoType::UDP_TUNNEL)
        };
        skb.handle_offloads(gso_type)?;
        let source = match config.source_port().specific() {
            Some(_) => config.source_port(),
            None => udp::flow_source_port(skb)?,
        };
        udp::push_header_ipv4(skb, source, config.destination_port(), checksum, flow)?;
        Ok(IPPROTO_UDP)
    }
}
