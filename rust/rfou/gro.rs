// SPDX-License-Identifier: GPL-2.0

//! Generic receive offload: packets of a flow are merged before they are decapsulated.

use crate::receive::{checksum_place, FouDecapsulator, GueDecapsulator};
use gue::{walk, Linux, Prefix};
use kernel::prelude::*;
use net::{
    gro::{GroTunnel, Merged, NoMerge, Packet},
    ip_proto::{ChecksumPlace, InnerProtocol},
};

impl GroTunnel for FouDecapsulator {
    #[inline]
    fn gro_receive(&self, _packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        Ok(self.protocol)
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
