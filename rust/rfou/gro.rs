// SPDX-License-Identifier: GPL-2.0

//! Generic receive offload: packets of a flow are merged before they are decapsulated.

use crate::receive::{checksum_place, FouDecapsulator, GueDecapsulator};
use gue::{glance, walk, Linux, Prefix};
use kernel::prelude::*;
use net::{
    gro::{Glance, Glanced, GroTunnel, Merged, NoMerge, Packet},
    ip_proto::{ChecksumPlace, InnerProtocol},
};

impl GroTunnel for FouDecapsulator {
    // Never called: `gro_glance` passes each packet on.
    #[inline]
    fn gro_receive(&self, _packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        Ok(self.protocol)
    }

    #[inline(always)]
    fn gro_glance<'a, const IPV6: bool>(&self, packet: Glance<'a, Self, IPV6>) -> Glanced<'a> {
        packet.pass(self.protocol)
    }
}

// Inlined into the hooks.
impl GroTunnel for GueDecapsulator {
    #[inline(always)]
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        let header = walk(&mut Payload(packet), Linux).map_err(|_| NoMerge)?;
        if header.is_control() {
            return Err(NoMerge);
        }
        if header.is_direct() {
            // The first byte tells a header from an IP packet.
            packet.compare_held(1)?;
        } else {
            packet.pull_header(header.len_bytes())?;
        }
        if let Some(remote) = header.fields().remote_checksum() {
            packet.process_remote_checksum(checksum_place(remote), self.remote_checksum)?;
        }
        InnerProtocol::new(header.proto_ctype()).ok_or(NoMerge)
    }

    #[inline(always)]
    fn gro_glance<'a, const IPV6: bool>(&self, packet: Glance<'a, Self, IPV6>) -> Glanced<'a> {
        let Some(&first) = packet.first() else {
            return packet.other(self);
        };
        if glance::Shape::of(first) == glance::Shape::of_data(0) {
            return match InnerProtocol::new(glance::proto_ctype(first)) {
                Some(protocol) => packet.pull::<{ glance::len_bytes(0) }>(self, protocol),
                None => packet.other(self),
            };
        }
        match glance::without_header(first).and_then(InnerProtocol::new) {
            // The first byte tells a header from an IP packet.
            Some(protocol) => packet.compare_first(self, protocol),
            None => packet.other(self),
        }
    }

    #[inline(always)]
    fn gro_remote_checksum(&self, merged: &Merged<'_>) -> Option<ChecksumPlace> {
        let header = walk(&mut MergedPayload(merged), Linux).ok()?;
        header.fields().remote_checksum().map(checksum_place)
    }
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
