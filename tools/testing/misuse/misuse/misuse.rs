// SPDX-License-Identifier: GPL-2.0

//! A module of safe code that misuses the crate `net`, to show that misuse causes no undefined
//! behaviour. `tools/testing/guest/robustness/test_misuse.py` loads it, once for each case.

#![forbid(unsafe_code)]

mod devices;
mod packets;
mod registrations;
mod sockets;

use kernel::prelude::*;
use net::module::Scope;

net::module! {
    type: Misuse,
    name: "misuse",
    authors: ["The rfou developers"],
    description: "Test: misuses of the crate net",
    license: "GPL v2",
    params: {
        case: u32 { default: 0, description: "the interface to misuse: see misuse.rs", },
    },
}

/// The module's own data.
struct Misuse {
    /// Dropped before the registrations.
    _kept: Option<sockets::Kept>,
}

impl net::module::Module for Misuse {
    fn init(scope: &'static Scope) -> Result<Self> {
        let mut kept = None;
        // As in test_misuse.py.
        match module_parameters::case.value() {
            1 => kept = Some(sockets::register(scope)?),
            2 => packets::register(scope)?,
            3 => registrations::fail_during_a_dump(scope)?,
            4 => registrations::register_all_twice(scope)?,
            5 => registrations::register_the_family_alone(scope)?,
            6 => registrations::register_late(scope)?,
            7 => devices::register(scope)?,
            case @ 100.. => registrations::fail_after(scope, case.saturating_sub(100))?,
            _ => return Err(EINVAL),
        }
        Ok(Self { _kept: kept })
    }
}
