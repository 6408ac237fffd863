// SPDX-License-Identifier: GPL-2.0

//! Foo-over-UDP and Generic UDP Encapsulation: takes the place of Linux's `fou`.
//!
//! A packet's way in: [`receive`], from the UDP socket of a [`port`]. Its way out: [`transmit`], from
//! a tunnel device. Ports are configured by [`netlink`]. There is no `unsafe` code here; what touches
//! the kernel is in the crate `net`.

#![forbid(unsafe_code)]

mod netlink;
mod port;
mod reason;
mod receive;
mod transmit;

use kernel::prelude::*;
use net::{bpf, drop_reason, genetlink, ip_tunnel};

module! {
    type: Rfou,
    name: "rfou",
    authors: ["The rfou developers"],
    description: "Foo over UDP and Generic UDP Encapsulation",
    license: "GPL v2",
    // By which the kernel asks for the netlink family; the name `fou` itself is modprobe's business.
    alias: ["net-pf-16-proto-16-family-fou"],
}

/// All that is registered while the module is loaded. Fields are dropped, that is unregistered, from
/// first to last: no new packet is encapsulated, then no new port is made, then ports are closed, and
/// nothing is dropped any more that needs a reason.
struct Rfou {
    _fou: ip_tunnel::Registration<transmit::Fou>,
    _gue: ip_tunnel::Registration<transmit::Gue>,
    _family: Pin<KBox<genetlink::Registration<netlink::Fou>>>,
    _reasons: drop_reason::Registration,
}

impl kernel::Module for Rfou {
    fn init(module: &'static ThisModule) -> Result<Self> {
        Self::register(module).inspect_err(|error| {
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
    fn register(module: &'static ThisModule) -> Result<Self> {
        let reasons = drop_reason::Registration::new(&reason::SUBSYSTEM);
        let fou = ip_tunnel::Registration::new()?;
        let gue = ip_tunnel::Registration::new()?;
        bpf::register_encap_kfuncs()?;
        // Last: if another fails, nobody may have begun to use it. Nothing waits for a dump of the ports
        // where a module is not loaded after all.
        let family = KBox::pin_init(
            genetlink::Registration::new(netlink::Fou::new()?, module),
            GFP_KERNEL,
        )?;
        Ok(Self {
            _fou: fou,
            _gue: gue,
            _family: family,
            _reasons: reasons,
        })
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
