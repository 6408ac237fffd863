// SPDX-License-Identifier: GPL-2.0

//! Why a packet is dropped.
//!
//! By default a drop has the nearest of the core's reasons, which every tool can name. The names here
//! are for the module parameter `own_drop_reasons`.

use gue::WalkError;
use kernel::prelude::*;
use net::{
    drop_reason::{self, Names, Subsystem},
    module::Scope,
    DropReason,
};

/// Declares the reasons, the names that they have in the kernel's traces, and, for when there is no
/// number for them, which of the core's reasons is nearest.
macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal, else $core:ident;)*) => {
        /// Why a packet is dropped.
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
    /// The packet is shorter than UDP's header, or than a GUE packet must be.
    Truncated = c"RFOU_TRUNCATED", else PACKET_TOO_SMALL;
    /// The outer IP header says a length that is less than that of the headers behind it.
    BadOuterLength = c"RFOU_BAD_OUTER_LENGTH", else INVALID_PROTOCOL;
    /// More outer headers than [`receive`](crate::receive) takes off one packet.
    NestedTooDeep = c"RFOU_NESTED_TOO_DEEP", else INVALID_PROTOCOL;
    /// No memory.
    NoMemory = c"RFOU_NO_MEMORY", else NO_MEMORY;
    /// The checksum that is still to be computed is not in the packet.
    StrayChecksum = c"RFOU_STRAY_CHECKSUM", else CHECKSUM;
    /// GUE of variant 2 or 3.
    GueBadVariant = c"RFOU_GUE_BAD_VARIANT", else INVALID_PROTOCOL;
    /// GUE of variant 1 that is neither IPv4 nor IPv6.
    GueBadIpVersion = c"RFOU_GUE_BAD_IP_VERSION", else INVALID_PROTOCOL;
    /// GUE's Hlen is more than there is.
    GueBadHlen = c"RFOU_GUE_BAD_HLEN", else PACKET_TOO_SMALL;
    /// A GUE flag that is not known.
    GueUnknownFlag = c"RFOU_GUE_UNKNOWN_FLAG", else INVALID_PROTOCOL;
    /// A flag in Linux's private word that is not known.
    GueUnknownPrivateFlag = c"RFOU_GUE_UNKNOWN_PRIVATE_FLAG", else INVALID_PROTOCOL;
    /// GUE's Hlen is less than the fields need that its flags announce.
    GueFieldPastHeader = c"RFOU_GUE_FIELD_PAST_HEADER", else INVALID_PROTOCOL;
    /// Remote checksum offload: the checksum is not in what it covers, or not in the packet.
    GueBadRemcsum = c"RFOU_GUE_BAD_REMCSUM", else INVALID_PROTOCOL;
    /// A GUE control message: none is known.
    GueControl = c"RFOU_GUE_CONTROL", else UNHANDLED_PROTOCOL;
    /// GUE of protocol 0.
    GueProtocolZero = c"RFOU_GUE_PROTOCOL_ZERO", else UNHANDLED_PROTOCOL;
}

/// The reasons' place among the kernel's.
static SUBSYSTEM: Subsystem = Subsystem::new(&NAMES);

/// Gives the reasons numbers and names of their own, if `own` says so; otherwise each is the core's
/// nearest. Process context, may sleep.
pub(crate) fn register(scope: &'static Scope, own: bool) -> Result {
    if !own {
        return Ok(());
    }
    match drop_reason::register(scope, &SUBSYSTEM) {
        Err(error) if error == ENOSPC => {
            pr_notice!("no number is free for own_drop_reasons: drops have the core's reasons\n");
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
            EBADMSG => Self::StrayChecksum,
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
            gue::Error::UnknownFlag => Self::GueUnknownFlag,
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
