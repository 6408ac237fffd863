// SPDX-License-Identifier: GPL-2.0

//! Packets on their way out: a packet of a tunnel device gets a GUE header, if the encapsulation is GUE,
//! and a UDP header before it. ICMP errors about such packets come back here.
//!
//! Both modules compile this file: `rfou` for devices whose outer header is IPv4, `rfou6` for IPv6.

use crate::trace;
use gue::{header, protocol, walk, Fields, Linux, Prefix, Repr, WalkError};
use kernel::prelude::*;
use net::{
    errno::EOPNOTSUPP,
    icmp::QuotedPacket,
    ip_proto::InnerProtocol,
    ip_tunnel::{EncapConfig, Flow, IpTunnelEncap},
    skb::{GsoType, TxSkb},
    udp::{self, Checksum, Ports},
    udp_xmit,
};

/// The numbers of the encapsulations in a tunnel's configuration (`enum tunnel_encap_types`).
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

    #[inline(always)]
    fn observe(skb: &TxSkb, protocol: &u8) {
        if trace::Transmit::is_on() {
            hit_tracepoint(skb, *protocol);
        }
    }

    fn find_inner(quoted: &mut QuotedPacket<'_>) -> Result<(usize, InnerProtocol)> {
        // Nothing on the wire names the protocol of a FOU packet. An IP packet is recognized by its version.
        // The only other protocol that tunnel devices send is GRE (RFC 2784, RFC 2890). The first two
        // bytes of GRE are zero, except for the bits that announce a checksum, a key and a sequence
        // number.
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
            fields: Fields::NONE,
        };
        // No device segments packets with remote checksums: the core would segment each GSO packet in
        // software. A device that segments UDP tunnels computes the inner checksums, too. The route
        // decides, not the packet, because the receiver's GRO keeps packets with different GUE headers
        // apart: GSO packets could overtake a packet without GSO that GRO holds.
        if config.remote_checksum() && !flow.device_segments(&skb, protocol, gso_type) {
            // A packet whose checksum is already computed leaves nothing to the receiver.
            if let Some(checksum) = skb.partial_checksum()? {
                let remote = gue::RemoteChecksum::new(checksum.start, checksum.field);
                header.fields = Fields::with_remote_checksum(remote.map_err(|_| EINVAL)?);
                return push_gue::<F, { header::REMOTE_CHECKSUM_LEN_BYTES }>(
                    skb, config, header, flow,
                );
            }
        }
        push_gue::<F, { header::BASE_LEN_BYTES }>(skb, config, header, flow)
    }

    #[inline(always)]
    fn observe(skb: &TxSkb, protocol: &u8) {
        if trace::Transmit::is_on() {
            hit_tracepoint(skb, *protocol);
        }
    }

    fn find_inner(quoted: &mut QuotedPacket<'_>) -> Result<(usize, InnerProtocol)> {
        let header = walk(&mut Payload(quoted), Linux).map_err(|error| match error {
            WalkError::Prefix { cause, .. } => cause,
            WalkError::Header(gue::Error::UnknownVariant | gue::Error::UnknownIpVersion) => {
                EOPNOTSUPP
            }
            WalkError::Header(_) => EINVAL,
        })?;
        if header.is_control() {
            return Err(ENOENT);
        }
        let inner = InnerProtocol::new(header.proto_ctype()).ok_or(EINVAL)?;
        Ok((header.len_bytes(), inner))
    }
}

/// The payload of a quoted packet.
struct Payload<'a, 'b>(&'a mut QuotedPacket<'b>);

impl Prefix for Payload<'_, '_> {
    type Error = Error;

    #[inline]
    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8]> {
        self.0.payload(len_bytes)
    }
}

/// Pushes a GUE header of `LEN` bytes and a UDP header.
// Each form of the header has code of its own, in which nearly all of its bytes are constants.
#[inline(always)]
fn push_gue<F: Flow, const LEN: usize>(
    mut skb: Pin<&mut TxSkb>,
    config: &EncapConfig,
    header: Repr,
    flow: &F,
) -> Result<u8> {
    let (checksum, mut gso_type) = outer_checksum::<F>(config);
    let remcsum = header.fields.remote_checksum().is_some();
    if remcsum {
        gso_type = gso_type | GsoType::TUNNEL_REMCSUM;
    }
    skb.as_mut().handle_offloads(gso_type)?;
    let ports = ports(skb.as_mut(), config)?;
    if remcsum {
        skb.as_mut().leave_checksum_to_receiver();
    }
    let mut bytes = [0; LEN];
    if header.len_bytes() != LEN {
        return Err(EINVAL);
    }
    header.emit(&mut bytes).map_err(|_| EINVAL)?;
    udp_xmit::push_headers(skb, ports, checksum, flow, LEN, |to| {
        *to.first_chunk_mut().ok_or(EINVAL)? = bytes;
        Ok(())
    })?;
    Ok(protocol::UDP)
}

/// Returns the outer UDP checksum that the tunnel is configured for, and the GSO type that tells
/// segmentation about it.
#[inline]
fn outer_checksum<F: Flow>(config: &EncapConfig) -> (Checksum, GsoType) {
    match F::udp_checksum(config) {
        Checksum::Full => (Checksum::Full, GsoType::UDP_TUNNEL_CSUM),
        Checksum::Zero => (Checksum::Zero, GsoType::UDP_TUNNEL),
    }
}

/// Returns the tunnel's ports. If no source port is configured, the hash of the inner flow chooses one.
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

/// Makes the trace event of a packet that begins with its UDP header.
#[cold]
fn hit_tracepoint(skb: &TxSkb, protocol: u8) {
    let ports = udp_xmit::ports(skb);
    let len_bytes = skb.len().saturating_sub(udp::HEADER_LEN_BYTES);
    trace::Transmit::hit(
        skb.netns_inum(),
        skb.ifindex(),
        trace::TRANSMIT_FAMILY,
        u16::from_be_bytes(ports.destination.to_be_bytes()),
        u16::from_be_bytes(ports.source.to_be_bytes()),
        protocol,
        skb.segments(),
        len_bytes as u32,
    );
}
