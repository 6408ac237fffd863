// SPDX-License-Identifier: GPL-2.0

//! FOU and GUE for tunnel devices whose outer header is IPv6: replaces Linux's `fou6`.
//!
//! A module of its own, as in Linux, because it needs `ip6_tunnel`, which makes a device `ip6tnl0` in
//! every network namespace. Users of FOU over IPv4 alone do not want that device. (`symbol_get()` cannot
//! find `ip6_tnl_encap_add_ops()` at run time, because the symbol is not exported as GPL-only.) `rfou`
//! receives over both versions of IP.

#![forbid(unsafe_code)]

mod trace;
#[path = "../rfou/transmit.rs"]
mod transmit;

use kernel::prelude::*;
use net::{ip6_tunnel, module::Scope};

net::module! {
    type: Rfou6,
    version: include_str!("../../VERSION"),
    name: "rfou6",
    authors: ["The rfou developers"],
    description: "Foo over UDP and Generic UDP Encapsulation over IPv6",
    license: "GPL v2",
}

struct Rfou6;

impl net::module::Module for Rfou6 {
    fn init(scope: &'static Scope) -> Result<Self> {
        Self::register(scope).inspect_err(|error| {
            if *error == EEXIST {
                pr_err!("another module provides FOU over IPv6; unload it first (rmmod fou6)\n");
            }
        })
    }
}

impl Rfou6 {
    fn register(scope: &'static Scope) -> Result<Self> {
        ip6_tunnel::register::<transmit::Fou>(scope)?;
        ip6_tunnel::register::<transmit::Gue>(scope)?;
        Ok(Self)
    }
}
