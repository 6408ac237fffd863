// SPDX-License-Identifier: GPL-2.0

//! Reasons for dropping a packet.
//!
//! By default a drop shows the nearest of the core's reasons, which every tool can name. With the module
//! parameter `own_drop_reasons` it shows the names here.

use gue::WalkError;
use kernel::prelude::*;
use net::{
    drop_reason::{self, Names, Subsystem},
    errno::EBADMSG,
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

        static NAMES: Names<{ Reason::COUNT }> = Names::new([$($name),*]);

        impl Reason {
            /// The number of reasons.
            pub(crate) const COUNT: usize = [$($name),*].len();

            /// The names, in the order of the reasons, without the prefix `RFOU_`.
            pub(crate) const NAMES: [&'static CStr; Self::COUNT] = [$(without_prefix($name)),*];

            /// Returns the name without the prefix.
            pub(crate) fn name(self) -> &'static CStr {
                match self {
                    $(Self::$reason => const { without_prefix($name) },)*
                }
            }

            const fn nearest(self) -> DropReason {
                match self {
                    $(Self::$reason => DropReason::$core,)*
                }
            }
        }
    };
}

reasons! {
    /// The packet is shorter than a UDP header, or than the shortest GUE packet.
    Truncated = c"RFOU_TRUNCATED", else PKT_TOO_SMALL;
    /// The length in the outer IP header is less than the length of the headers after it.
    BadOuterLength = c"RFOU_BAD_OUTER_LENGTH", else INVALID_PROTO;
    /// The packet has more outer headers than [`receive`](crate::receive) pulls from one packet.
    NestedTooDeep = c"RFOU_NESTED_TOO_DEEP", else INVALID_PROTO;
    /// No memory.
    NoMemory = c"RFOU_NO_MEMORY", else NOMEM;
    /// The partial checksum starts or lies outside the packet.
    BadCsumStart = c"RFOU_BAD_CSUM_START", else SKB_CSUM;
    /// GUE of variant 2 or 3.
    GueBadVariant = c"RFOU_GUE_BAD_VARIANT", else INVALID_PROTO;
    /// GUE of variant 1 with an inner packet that is neither IPv4 nor IPv6.
    GueBadIpVersion = c"RFOU_GUE_BAD_IP_VERSION", else INVALID_PROTO;
    /// GUE's Hlen is greater than the packet's length.
    GueBadHlen = c"RFOU_GUE_BAD_HLEN", else PKT_TOO_SMALL;
    /// An unknown GUE flag.
    GueUnknownFlag = c"RFOU_GUE_UNKNOWN_FLAG", else INVALID_PROTO;
    /// An unknown flag in Linux's private flags field.
    GueUnknownPrivateFlag = c"RFOU_GUE_UNKNOWN_PRIVATE_FLAG", else INVALID_PROTO;
    /// GUE's Hlen is less than the length of the fields that the flags announce.
    GueFieldPastHeader = c"RFOU_GUE_FIELD_PAST_HEADER", else INVALID_PROTO;
    /// Remote checksum offload: the checksum field lies before the checksum's start or outside the packet.
    GueBadRemcsum = c"RFOU_GUE_BAD_REMCSUM", else INVALID_PROTO;
    /// A GUE control message. All types are unknown.
    GueControl = c"RFOU_GUE_CONTROL", else UNHANDLED_PROTO;
    /// GUE with protocol 0.
    GueProtocolZero = c"RFOU_GUE_PROTOCOL_ZERO", else UNHANDLED_PROTO;
}

/// Returns a name without `RFOU_`.
const fn without_prefix(name: &'static CStr) -> &'static CStr {
    let mut name = name.to_bytes_with_nul();
    let mut prefix: &[u8] = b"RFOU_";
    while let ([first, rest @ ..], [expected, more @ ..]) = (name, prefix) {
        assert!(*first == *expected);
        (name, prefix) = (rest, more);
    }
    match CStr::from_bytes_with_nul(name) {
        Ok(name) => name,
        Err(_) => panic!(),
    }
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
    /// Returns the reason for an error of receive. `ENOMEM`, `EBADMSG` and `E2BIG` have one meaning
    /// each; `otherwise` is the meaning of every other error.
    #[cold]
    #[inline(never)]
    pub(crate) fn of(error: Error, otherwise: Self) -> Self {
        match error {
            ENOMEM => Self::NoMemory,
            EBADMSG => Self::BadCsumStart,
            E2BIG => Self::NestedTooDeep,
            _ => otherwise,
        }
    }

    /// Returns the kernel's number. Any context.
    #[cold]
    pub(crate) fn number(self) -> DropReason {
        SUBSYSTEM.reason(self as u16, self.nearest())
    }
}

impl From<gue::Error> for Reason {
    fn from(error: gue::Error) -> Self {
        match error {
            gue::Error::Truncated => Self::Truncated,
            gue::Error::HeaderPastEnd => Self::GueBadHlen,
            gue::Error::UnknownVariant => Self::GueBadVariant,
            gue::Error::UnknownIpVersion => Self::GueBadIpVersion,
            gue::Error::UnknownFlag | gue::Error::ReservedSecurity => Self::GueUnknownFlag,
            gue::Error::UnknownPrivateFlag => Self::GueUnknownPrivateFlag,
            gue::Error::FieldPastHeader => Self::GueFieldPastHeader,
            gue::Error::ChecksumBeforeStart => Self::GueBadRemcsum,
            // Errors of writing a header, which receive never does.
            gue::Error::BufferTooShort | gue::Error::HeaderTooLong => Self::Truncated,
        }
    }
}

impl From<WalkError<Error>> for Reason {
    #[cold]
    fn from(error: WalkError<Error>) -> Self {
        match error {
            WalkError::Prefix { cause, if_short } => Self::of(cause, if_short.into()),
            WalkError::Header(error) => error.into(),
        }
    }
}
