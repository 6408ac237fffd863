// SPDX-License-Identifier: GPL-2.0

//! Foo-over-UDP and Generic UDP Encapsulation: takes the place of Linux's `fou`.
//!
//! A packet's way in: [`receive`], from the UDP socket of a [`port`]. Its way out: [`transmit`], from
//! a tunnel device. Ports are configured by [`netlink`]. There is no `unsafe` code here; what touches
//! the kernel is in the crate `net`.

#![forbid(unsafe_code)]

mod gro;
mod netlink;
mod port;
mod reason;
mod receive;
mod transmit;

use kernel::prelude::*;
use net::{bpf, genetlink, ip_tunnel, module::Scope};

net::module! {
    type: Rfou,
    name: "rfou",
    authors: ["The rfou developers"],
    description: "Foo over UDP and Generic UDP Encapsulation",
    license: "GPL v2",
    // By which the kernel asks for the netlink family; the name `fou` itself is modprobe's business.
    alias: ["net-pf-16-proto-16-family-fou"],
    params: {
        own_drop_reasons: bool {
            default: false,
            description: "Show drops under rfou's own names (RFOU_...) in dropwatch. rfou then borrows the number of mac80211 or openvswitch while that is not loaded, and tools that map numbers by BTF show that subsystem. Default: off, drops have the nearest of the core's reasons",
        },
    },
}

/// The module; the scope has what it registers.
struct Rfou;

impl net::module::Module for Rfou {
    fn init(scope: &'static Scope) -> Result<Self> {
        Self::register(scope).inspect_err(|error| {
            if *error == EEXIST && cfg!(CONFIG_NET_FOU = "y") {
                pr_err!(
                    "this kernel has fou built in: it must be one with CONFIG_NET_FOU=m, or n\n"
                );
            } else if *error == EEXIST {
                pr_err!("another module does FOU already: unload it first (rmmod fou6 fou)\n");
            }
        })
    }
}

impl Rfou {
    fn register(scope: &'static Scope) -> Result<Self> {
        // First, so that it goes last: until then packets are dropped.
        reason::register(scope, module_parameters::own_drop_reasons.value())?;
        ip_tunnel::register::<transmit::Fou>(scope)?;
        ip_tunnel::register::<transmit::Gue>(scope)?;
        bpf::register_encap_kfuncs(scope)?;
        // Last: if another fails, nobody may have begun to use it.
        genetlink::register(scope, netlink::Fou::new(scope)?)?;
        Ok(Self)
    }
}

#[kunit_tests(rfou_gue_header)]
mod header_tests {
    use gue::cases::CASES;

    #[test]
    fn every_header_is_read_as_expected() {
        for case in CASES {
            assert_eq!(case.read(), case.expected);
        }
    }
}
