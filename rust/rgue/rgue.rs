// SPDX-License-Identifier: GPL-2.0

//! Tunnel devices of kind `gue`: Generic UDP Encapsulation with a device of its own.
//!
//! [`config`] reads and shows the configuration of a [`device`]. [`transmit`] encapsulates the packets that
//! the device sends. Devices share a [`socket`], which finds by [`demux`] the device that [`receive`]s a
//! packet. By messages of [`control`] a device learns whether its peer lives, and the address and port that
//! the peer sends from. This crate has no `unsafe` code; the crate `net` wraps the kernel's API.

#![forbid(unsafe_code)]

mod config;
mod control;
mod demux;
mod device;
mod family;
mod glance;
mod gro;
mod guard;
mod keys;
mod kind;
mod prepared;
mod reason;
mod reassembly;
mod receive;
mod socket;
mod transmit;
mod verified;

use kernel::prelude::*;
use net::{bpf, module::Scope, rtnl_link, udp_send};

net::module! {
    type: Rgue,
    version: include_str!("../../VERSION"),
    name: "rgue",
    authors: ["The rfou developers"],
    description: "Tunnel devices for Generic UDP Encapsulation",
    license: "GPL v2",
    // The kernel requests the kind of link by this alias.
    alias: ["rtnl-link-gue"],
    params: {
        own_drop_reasons: bool {
            default: false,
            description: "Show drops under rgue's own names (RGUE_...) in dropwatch. rgue then borrows the subsystem number of mac80211 or openvswitch while that module is not loaded, and tools that map numbers by BTF show the wrong subsystem. Default: off, drops show the nearest of the core's reasons",
        },
    },
}

/// The module. Its registrations belong to the scope.
struct Rgue;

impl net::module::Module for Rgue {
    fn init(scope: &'static Scope) -> Result<Self> {
        // First, so that it is unregistered last: the devices drop packets.
        reason::register(scope, parameters::own_drop_reasons.value())?;
        udp_send::prepare();
        bpf::register_tc_kfuncs(scope, net::kfunc_set!(private_data))?;
        let kind = rtnl_link::register(scope, kind::GueKind::new(scope)?)?;
        family::register(scope, kind)?;
        Ok(Self)
    }
}
