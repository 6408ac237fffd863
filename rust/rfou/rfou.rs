// SPDX-License-Identifier: GPL-2.0

//! Foo-over-UDP and Generic UDP Encapsulation: replaces Linux's `fou`.
//!
//! [`receive`] decapsulates packets from the UDP socket of a [`port`]. [`transmit`] encapsulates packets
//! from a tunnel device. [`netlink`] configures ports, and [`family`] shows them with their counters. This
//! crate has no `unsafe` code; the crate `net` wraps the kernel's API.

#![forbid(unsafe_code)]

mod counters;
mod family;
mod gro;
mod netlink;
mod port;
mod reason;
mod receive;
mod records;
mod trace;
mod transmit;

use kernel::prelude::*;
use net::{bpf, ip_tunnel, module::Scope, netns};

net::module! {
    type: Rfou,
    version: include_str!("../../VERSION"),
    name: "rfou",
    authors: ["The rfou developers"],
    description: "Foo over UDP and Generic UDP Encapsulation",
    license: "GPL v2",
    // The kernel requests the netlink families by these aliases. For the name `fou`, modprobe loads rfou by the
    // file that `make install` installs.
    alias: ["net-pf-16-proto-16-family-fou", "net-pf-16-proto-16-family-rfou"],
    params: {
        own_drop_reasons: bool {
            default: false,
            description: "Show drops under rfou's own names (RFOU_...) in dropwatch. rfou then borrows the subsystem number of mac80211 or openvswitch while that module is not loaded, and tools that map numbers by BTF show the wrong subsystem. Default: off, drops show the nearest of the core's reasons",
        },
    },
}

/// The module. Its registrations belong to the scope.
struct Rfou;

impl net::module::Module for Rfou {
    fn init(scope: &'static Scope) -> Result<Self> {
        Self::register(scope).inspect_err(|error| {
            if *error == EEXIST && cfg!(CONFIG_NET_FOU = "y") {
                pr_err!("fou is built in; use a kernel with CONFIG_NET_FOU=m or =n\n");
            } else if *error == EEXIST {
                pr_err!("another module provides FOU; unload it first (rmmod fou6 fou)\n");
            }
        })
    }
}

impl Rfou {
    fn register(scope: &'static Scope) -> Result<Self> {
        // First, so that it is unregistered last: the other registrations drop packets.
        reason::register(scope, parameters::own_drop_reasons.value())?;
        ip_tunnel::register::<transmit::Fou>(scope)?;
        ip_tunnel::register::<transmit::Gue>(scope)?;
        bpf::register_tc_kfuncs(scope, net::kfunc_set!(encap))?;
        let ports = netns::register(scope)?;
        // Last, so that no program has begun to use the families if another registration fails.
        let family = family::Family { ports };
        net::netlink::register_with_notifier(scope, family, &family::NOTIFIER)?;
        net::netlink::register(scope, netlink::Fou { ports })?;
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
