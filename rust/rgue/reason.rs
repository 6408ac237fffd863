// SPDX-License-Identifier: GPL-2.0

//! Reasons for dropping a packet.
//!
//! By default a drop shows the nearest of the core's reasons, which every tool can name. With the module
//! parameter `own_drop_reasons` it shows the names here.

use kernel::prelude::*;
use net::{
    drop_reason::{self, Names, Subsystem},
    module::Scope,
    DropReason,
};

/// Declares the reasons, the name of each in the kernel's traces, and the nearest of the core's reasons. A
/// drop shows the core's reason while the reasons have no numbers.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal, else $core:ident;)*) => {
        /// A reason for dropping a packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($(#[$doc])* $reason,)*
        }

        static NAMES: Names<{ [$($name),*].len() }> = Names::new([$($name),*]);

        impl Reason {
            const fn nearest(self) -> DropReason {
                match self {
                    $(Self::$reason => DropReason::$core,)*
                }
            }
        }
    };
}

reasons! {
    /// The device carries IPv4 and IPv6, and the packet is neither.
    NotIp = c"RGUE_NOT_IP", else UNHANDLED_PROTO;
    /// No memory.
    NoMemory = c"RGUE_NO_MEMORY", else NOMEM;
    /// The device has no remote address to send to.
    NoRemote = c"RGUE_NO_REMOTE", else IP_OUTNOROUTES;
    /// No route leads to the remote address.
    NoRoute = c"RGUE_NO_ROUTE", else IP_OUTNOROUTES;
    /// The route to the remote address leads through the device itself.
    Loop = c"RGUE_LOOP", else RECURSION_LIMIT;
    /// The partial checksum lies outside the packet.
    BadCsumStart = c"RGUE_BAD_CSUM_START", else SKB_CSUM;
}

/// The reasons as a subsystem of the kernel's drop reasons.
static SUBSYSTEM: Subsystem = Subsystem::new(&NAMES);

/// Registers the reasons with numbers and names of their own if `own` is `true`. Otherwise each shows
/// the nearest of the core's reasons. Process context, may sleep.
pub(crate) fn register(scope: &'static Scope, own: bool) -> Result {
    if !own {
        return Ok(());
    }
    match drop_reason::register(scope, &SUBSYSTEM) {
        Err(error) if error == ENOSPC => {
            pr_notice!(
                "own_drop_reasons: no subsystem number is free; drops show the core's reasons\n"
            );
            Ok(())
        }
        result => result,
    }
}

impl Reason {
    /// Returns the kernel's number. Any context.
    #[cold]
    pub(crate) fn number(self) -> DropReason {
        SUBSYSTEM.reason(self as u16, self.nearest())
    }
}
