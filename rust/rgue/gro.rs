// SPDX-License-Identifier: GPL-2.0

//! Generic receive offload: packets of a flow are merged before they are decapsulated.

use crate::{
    demux::Receiver,
    glance, guard,
    receive::{after_ether_ip, checksum_place, DIALECT, ETHER_IP},
};
use gue::{protocol, walk, DeviceNotes, Header, Prefix};
use kernel::prelude::*;
use net::{
    gro::{Glance, Glanced, GroTunnel, Handlers, Merged, NoMerge, Packet},
    ip_proto::{ChecksumPlace, InnerProtocol},
    skb::RemcsumMode,
};

// Inlined into the hooks.
impl GroTunnel for Receiver {
    const HANDLERS: Handlers = Handlers::OfDevice;

    // Packets whose headers differ are not merged. So the packets of a merged one have one group, and go to
    // one device, whichever it is.
    #[inline(always)]
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        let header = walk(&mut Payload(packet), DIALECT).map_err(|_| NoMerge)?;
        if header.is_control() {
            return Err(NoMerge);
        }
        if !guard::may_be_merged(&header, || packet.header(header.len_bytes()).ok()) {
            return Err(NoMerge);
        }
        if header.is_direct() {
            // The first byte tells a header from an IP packet.
            packet.compare_held(1)?;
        } else if header.proto_ctype() == protocol::ETHER_IP {
            frame(packet, &header)?;
            return Ok(InnerProtocol::ETHERNET);
        } else {
            packet.pull_header(header.len_bytes())?;
        }
        if let Some(place) = checksum_place(&header.fields()) {
            packet.process_remote_checksum(place, RemcsumMode::Partial)?;
        }
        InnerProtocol::new(header.proto_ctype()).ok_or(NoMerge)
    }

    #[inline(always)]
    fn gro_glance<'a, const IPV6: bool>(&self, packet: Glance<'a, Self, IPV6>) -> Glanced<'a> {
        glance::glance(self, packet)
    }

    #[inline(always)]
    fn gro_remote_checksum(&self, merged: &Merged<'_>) -> Option<ChecksumPlace> {
        let header = walk(&mut MergedPayload(merged), DIALECT).ok()?;
        let place = checksum_place(&header.fields())?;
        if header.proto_ctype() == protocol::ETHER_IP {
            return after_ether_ip(place);
        }
        Some(place)
    }
}

/// Does for a frame what [`GroTunnel::gro_receive`] does for IP.
fn frame(packet: &mut Packet<'_>, header: &Header<DeviceNotes>) -> Result<(), NoMerge> {
    let len_bytes = header.len_bytes().saturating_add(ETHER_IP.len());
    if !packet.header(len_bytes)?.ends_with(&ETHER_IP) {
        return Err(NoMerge);
    }
    packet.pull_header(len_bytes)?;
    if let Some(place) = checksum_place(&header.fields()) {
        let place = after_ether_ip(place).ok_or(NoMerge)?;
        packet.process_remote_checksum(place, RemcsumMode::Partial)?;
    }
    Ok(())
}

/// The payload of a packet in GRO after a pull of the UDP header.
struct Payload<'a, 'b>(&'a mut Packet<'b>);

impl Prefix for Payload<'_, '_> {
    type Error = NoMerge;

    #[inline(always)]
    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8], NoMerge> {
        self.0.header(len_bytes)
    }
}

/// The payload of a merged packet.
struct MergedPayload<'a, 'b>(&'a Merged<'b>);

impl Prefix for MergedPayload<'_, '_> {
    type Error = Error;

    #[inline(always)]
    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8]> {
        self.0.header(len_bytes)
    }
}
