// SPDX-License-Identifier: GPL-2.0

//! Ethernet devices of kind `geneve_sample`: Geneve (RFC 8926), a whole tunnel on the crate `net`, and a
//! starting point for others. Such a device is a peer of Linux's own `geneve`.
//!
//! [`header`] has the layout of the wire. [`config`] reads and shows the attributes of a [`device`].
//! [`transmit`] encapsulates the frames that the device sends. Devices with the same port share a [`socket`].
//! [`receive`] gets the socket's packets, merges them by GRO, and finds their device.
//!
//! A device has one remote address, learns nothing from packets, and sends no options. It receives packets
//! with options that are not critical, and skips these options. There is no metadata mode (`external`), no
//! local address, and no IP without Ethernet.

#![forbid(unsafe_code)]

mod config;
mod device;
mod header;
mod receive;
mod socket;
mod transmit;

use kernel::prelude::*;
use net::{module::Scope, rtnl_link, udp_send};

net::module! {
    type: GeneveSample,
    name: "geneve_sample",
    authors: ["The rfou developers"],
    description: "Sample: tunnel devices for Geneve",
    license: "GPL v2",
    // The kernel requests the kind of link by this alias.
    alias: ["rtnl-link-geneve_sample"],
}

/// The module. Its registrations belong to the scope.
struct GeneveSample;

impl net::module::Module for GeneveSample {
    fn init(scope: &'static Scope) -> Result<Self> {
        udp_send::prepare();
        rtnl_link::register(scope, device::GeneveKind::new(scope)?)?;
        Ok(Self)
    }
}
