// SPDX-License-Identifier: GPL-2.0

//! Ports in messages of the family `rfou`.

use super::{attr, encap, AF_INET, AF_INET6};
use crate::{counters::Totals, port::Settings, reason::Reason, receive::Encapsulation};
use kernel::prelude::*;
use net::{
    netlink::{Buffer, GenlMsg},
    skb::RemcsumMode,
    udp_tunnel::{Addresses, Binding},
};

/// Attribute numbers of counters.
mod counter_attr {
    pub(super) const RX_PACKETS: i32 = 1;
    pub(super) const RX_BYTES: i32 = 2;
    pub(super) const DROPS: i32 = 3;
    pub(super) const DROP: i32 = 4;
}

/// Attribute numbers of the drops for one reason.
mod drop_attr {
    pub(super) const REASON: i32 = 1;
    pub(super) const PACKETS: i32 = 2;
}

/// Appends the attributes of a port. Leaves out addresses, ports and a device that are "any".
pub(super) fn describe(
    binding: &Binding,
    settings: &Settings,
    totals: &Totals,
    message: &mut GenlMsg<impl Buffer>,
) -> Result {
    describe_binding(binding, message)?;
    describe_settings(settings, message)?;
    message.put_nested(attr::COUNTERS, |message| {
        message.put_uint(counter_attr::RX_PACKETS, totals.rx_packets)?;
        message.put_uint(counter_attr::RX_BYTES, totals.rx_bytes)?;
        message.put_uint(counter_attr::DROPS, totals.all_drops())?;
        for (name, packets) in Reason::NAMES.into_iter().zip(totals.drops) {
            if packets != 0 {
                message.put_nested(counter_attr::DROP, |message| {
                    message.put_string(drop_attr::REASON, name)?;
                    message.put_uint(drop_attr::PACKETS, packets)
                })?;
            }
        }
        Ok(())
    })
}

fn describe_binding(binding: &Binding, message: &mut GenlMsg<impl Buffer>) -> Result {
    let family = if binding.addresses.is_ipv6() {
        AF_INET6
    } else {
        AF_INET
    };
    message.put_u8(attr::FAMILY, family)?;
    message.put_be16(attr::PORT, binding.local_port.to_be_bytes())?;
    match binding.addresses {
        Addresses::V4 { local, peer } => {
            if local != [0; 4] {
                message.put_in_addr(attr::LOCAL_V4, &local)?;
            }
            if peer != [0; 4] {
                message.put_in_addr(attr::PEER_V4, &peer)?;
            }
        }
        Addresses::V6 { local, peer } => {
            if local != [0; 16] {
                message.put_in6_addr(attr::LOCAL_V6, &local)?;
            }
            if peer != [0; 16] {
                message.put_in6_addr(attr::PEER_V6, &peer)?;
            }
        }
    }
    if binding.peer_port.specific().is_some() {
        message.put_be16(attr::PEER_PORT, binding.peer_port.to_be_bytes())?;
    }
    match u32::try_from(binding.ifindex) {
        Ok(ifindex @ 1..) => message.put_u32(attr::IFINDEX, ifindex),
        _ => Ok(()),
    }
}

fn describe_settings(settings: &Settings, message: &mut GenlMsg<impl Buffer>) -> Result {
    match settings.encapsulation {
        // A FOU port has no remote checksums, although `fou` keeps the flag for each port.
        Encapsulation::Direct(protocol) => {
            message.put_u8(attr::ENCAP, encap::FOU)?;
            message.put_u8(attr::PROTOCOL, protocol.number())
        }
        Encapsulation::Gue => {
            message.put_u8(attr::ENCAP, encap::GUE)?;
            if settings.remote_checksum == RemcsumMode::Compute {
                message.put_flag(attr::REMCSUM_NOPARTIAL)?;
            }
            Ok(())
        }
    }
}
