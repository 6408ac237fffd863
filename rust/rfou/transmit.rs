// SPDX-License-Identifier: GPL-2.0

//! Packets on their way out: what a tunnel device has made of them gets its UDP header, and for GUE
//! the one behind it. And what comes back of them: ICMP errors.
//!
//! Part of both modules: `rfou` has it for devices whose outer header is IPv4, `rfou6` for IPv6.

use gue::{header, protocol, Header, Repr, Start};
use kernel::prelude::*;
use net::{
    icmp::QuotedPacket,
    ip_proto::InnerProtocol,
    ip_tunnel::{EncapConfig, Flow, IpTunnelEncap},
    skb::{GsoType, TxSkb},
    udp::{self, Checksum, Ports},
    udp_xmit,
};

/// The numbers by which tunnels ask for an encapsulation (`enum tunnel_encap_types`).
const TUNNEL_ENCAP_FOU: u32 = 1;
const TUNNEL_ENCAP_GUE: u32 = 2;

/// Foo over UDP: a UDP header and nothing else.
pub(crate) struct Fou;

/// Generic UDP Encapsulation, variant 0.
pub(crate) struct Gue;

impl<F: Flow> IpTunnelEncap<F> for Fou {
    const TYPE: u32 = TUNNEL_ENCAP_FOU;

    fn header_len_bytes(_config: &EncapConfig) -> usize {
        udp::HEADER_LEN_BYTES
    }

    #[inline]
    fn build_header(
        mut skb: Pin<&mut TxSkb>,
        config: &EncapConfig,
        _protocol: u8,
        flow: &F,
    ) -> Result<u8> {
        let (checksum, gso_type) = outer_checksum::<F>(config);
        skb.as_mut().handle_offloads(gso_type)?;
        let ports = ports(skb.as_mut(), config)?;
        udp_xmit::push_headers(skb, ports, checksum, flow, 0, |_| Ok(()))?;
        Ok(protocol::UDP)
    }

    fn find_inner(quoted: &mut QuotedPacket<'_>) -> Result<(usize, InnerProtocol)> {
        // Nothing on the wire says what a FOU packet carries. An IP packet shows by its version. What
        // else tunnel devices send is GRE (RFC 2784, RFC 2890), whose first two bytes are zero but
        // for the bits that say that there is a checksum, a key and a sequence number.
        let inner = match quoted.payload(2)? {
            [first, _] if first >> 4 == 4 => protocol::IPV4,
            [first, _] if first >> 4 == 6 => protocol::IPV6,
            [first, 0] if first & !0xb0 == 0 => protocol::GRE,
            _ => return Err(ENOENT),
        };
        Ok((0, InnerProtocol::new(inner).ok_or(EINVAL)?))
    }
}

impl<F: Flow> IpTunnelEncap<F> for Gue {
    const TYPE: u32 = TUNNEL_ENCAP_GUE;

    fn header_len_bytes(config: &EncapConfig) -> usize {
        let gue_len = if config.remote_checksum() {
            header::REMOTE_CHECKSUM_LEN_BYTES
        } else {
            header::BASE_LEN_BYTES
        };
        udp::HEADER_LEN_BYTES.saturating_add(gue_len)
    }

    #[inline]
    fn build_header(
        skb: Pin<&mut TxSkb>,
        config: &EncapConfig,
        protocol: u8,
        flow: &F,
    ) -> Result<u8> {
        let (_, gso_type) = outer_checksum::<F>(config);
        let mut header = Repr {
            control: false,
            proto_ctype: protocol,
            remote_checksum: None,
        };
        // No device segments packets with remote checksums: the core would segment each GSO packet in
        // software. A device that segments UDP tunnels computes the inner checksums, too. The route
        // decides, not the packet, because the receiver's GRO keeps packets with different GUE headers
        // apart: GSO packets could overtake a packet without GSO that GRO holds.
        if config.remote_checksum() && !flow.device_segments(&skb, protocol, gso_type) {
            // A packet whose checksum is done has nothing to leave to the receiver.
            if let Some(checksum) = skb.partial_checksum()? {
                let remote = gue::RemoteChecksum::new(checksum.start, checksum.field);
                header.remote_checksum = Some(remote.map_err(|_| EINVAL)?);
                return push_gue(skb, config, header, flow);
            }
        }
        push_gue(skb, config, header, flow)
    }

    fn find_inner(quoted: &mut QuotedPacket<'_>) -> Result<(usize, InnerProtocol)> {
        let start = quoted.payload(header::BASE_LEN_BYTES)?;
        let (at, number) = match Start::parse(start).map_err(|_| EOPNOTSUPP)? {
            Start::Direct { protocol } => (0, protocol),
            Start::Header { len_bytes } => {
                let header = Header::parse(quoted.payload(len_bytes)?).map_err(|_| EINVAL)?;
                if header.is_control() {
                    return Err(ENOENT);
                }
                (len_bytes, header.proto_ctype())
            }
        };
        Ok((at, InnerProtocol::new(number).ok_or(EINVAL)?))
    }
}

/// Pushes a GUE header and a UDP header. Compiled once for each form of the header, by its inlining.
#[inline(always)]
fn push_gue<F: Flow>(
    mut skb: Pin<&mut TxSkb>,
    config: &EncapConfig,
    header: Repr,
    flow: &F,
) -> Result<u8> {
    let (checksum, mut gso_type) = outer_checksum::<F>(config);
    if header.remote_checksum.is_some() {
        gso_type = gso_type | GsoType::TUNNEL_REMCSUM;
    }
    skb.as_mut().handle_offloads(gso_type)?;
    let ports = ports(skb.as_mut(), config)?;
    if header.remote_checksum.is_some() {
        skb.as_mut().leave_checksum_to_receiver();
    }
    udp_xmit::push_headers(skb, ports, checksum, flow, header.len_bytes(), |to| {
        header.emit(to).map_err(|_| EINVAL)
    })?;
    Ok(protocol::UDP)
}

/// What the user wants of the outer UDP checksum, and what segmentation must do about it.
#[inline]
fn outer_checksum<F: Flow>(config: &EncapConfig) -> (Checksum, GsoType) {
    match F::udp_checksum(config) {
        Checksum::Full => (Checksum::Full, GsoType::UDP_TUNNEL_CSUM),
        Checksum::Zero => (Checksum::Zero, GsoType::UDP_TUNNEL),
    }
}

/// The ports that the user wants; the source port may be the inner flow's.
#[inline(always)]
fn ports(skb: Pin<&mut TxSkb>, config: &EncapConfig) -> Result<Ports> {
    let source = match config.source_port().specific() {
        Some(_) => config.source_port(),
        None => udp_xmit::flow_source_port(skb)?,
    };
    Ok(Ports {
        source,
        destination: config.destination_port(),
    })
}
