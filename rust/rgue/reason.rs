// SPDX-License-Identifier: GPL-2.0

//! Reasons for dropping a packet.
//!
//! By default a drop shows the nearest of the core's reasons, which every tool can name. With the module
//! parameter `own_drop_reasons` it shows the names here.

use gue::{Refusal, WalkError};
use kernel::prelude::*;
use net::errno::EBADMSG;
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
    /// The device carries Ethernet, and the packet is no frame.
    NotEthernet = c"RGUE_NOT_ETHERNET", else UNHANDLED_PROTO;
    /// The EtherIP header is not of version 3, or has other bits.
    BadEtherIp = c"RGUE_BAD_ETHERIP", else INVALID_PROTO;
    /// A frame that the device itself has sent has come back.
    OwnFrame = c"RGUE_OWN_FRAME", else RECURSION_LIMIT;
    /// The packet is shorter than its headers.
    Truncated = c"RGUE_TRUNCATED", else PKT_TOO_SMALL;
    /// GUE of variant 2 or 3.
    BadVariant = c"RGUE_BAD_VARIANT", else INVALID_PROTO;
    /// GUE of variant 1 with an inner packet that is neither IPv4 nor IPv6.
    BadIpVersion = c"RGUE_BAD_IP_VERSION", else INVALID_PROTO;
    /// GUE's Hlen is greater than the packet's length.
    BadHlen = c"RGUE_BAD_HLEN", else PKT_TOO_SMALL;
    /// An unknown GUE flag, flags that exclude each other, or a reserved method of security.
    UnknownFlag = c"RGUE_UNKNOWN_FLAG", else INVALID_PROTO;
    /// An unknown flag in Linux's private flags field.
    UnknownPrivateFlag = c"RGUE_UNKNOWN_PRIVATE_FLAG", else INVALID_PROTO;
    /// GUE's Hlen is less than the length of the fields that the flags announce.
    FieldPastHeader = c"RGUE_FIELD_PAST_HEADER", else INVALID_PROTO;
    /// Remote checksum offload: the checksum field lies before the checksum's start or outside the packet.
    BadRemcsum = c"RGUE_BAD_REMCSUM", else INVALID_PROTO;
    /// A GUE control message of an unknown type.
    Control = c"RGUE_CONTROL", else UNHANDLED_PROTO;
    /// A GUE control message that is shorter than its type demands.
    ControlTruncated = c"RGUE_CONTROL_TRUNCATED", else PKT_TOO_SMALL;
    /// An experimental GUE control message of another experiment.
    ControlExperiment = c"RGUE_CONTROL_EXID", else UNHANDLED_PROTO;
    /// A GUE control message of an unknown kind, or with an unknown flag.
    ControlMessage = c"RGUE_CONTROL_KIND", else UNHANDLED_PROTO;
    /// A GUE control message to a multicast address.
    ControlMulticast = c"RGUE_CONTROL_MULTICAST", else UNHANDLED_PROTO;
    /// A GUE control message whose sequence number is not above that of an earlier one.
    Replay = c"RGUE_REPLAY", else SECURITY_HOOK;
    /// An echo reply that the device has not asked for.
    UnaskedReply = c"RGUE_UNASKED_REPLY", else UNHANDLED_PROTO;
    /// An echo request that the device itself has sent has come back.
    OwnMessage = c"RGUE_OWN_MESSAGE", else RECURSION_LIMIT;
    /// The device has a method of security, and has no key to check the packet with, or to send it with.
    NoKey = c"RGUE_NO_KEY", else SECURITY_HOOK;
    /// The device demands a cookie or a keyed hash, and the header has none.
    AuthMissing = c"RGUE_AUTH_MISSING", else SECURITY_HOOK;
    /// The header has a cookie or a keyed hash, and the device has no method of security.
    AuthUnexpected = c"RGUE_AUTH_UNEXPECTED", else SECURITY_HOOK;
    /// The header has another method of security than the device demands, or a cookie of another length.
    AuthMethod = c"RGUE_AUTH_METHOD", else SECURITY_HOOK;
    /// The cookie or the keyed hash is wrong.
    AuthWrong = c"RGUE_AUTH_WRONG", else SECURITY_HOOK;
    /// The keyed hash names a key that the device does not accept.
    UnknownKey = c"RGUE_UNKNOWN_KEY", else SECURITY_HOOK;
    /// The keyed hash covers another part of the payload than the device demands.
    AuthCoverage = c"RGUE_AUTH_COVERAGE", else SECURITY_HOOK;
    /// The device demands a header checksum, and the header has none.
    ChecksumMissing = c"RGUE_CSUM_MISSING", else INVALID_PROTO;
    /// The header checksum is wrong, or covers more than the packet has.
    BadChecksum = c"RGUE_BAD_CSUM", else SKB_CSUM;
    /// The device demands a CRC, and the header has none.
    CrcMissing = c"RGUE_CRC_MISSING", else INVALID_PROTO;
    /// The CRC is wrong, or covers more than the packet has.
    BadCrc = c"RGUE_BAD_CRC", else SKB_CSUM;
    /// A fragment whose reserved bits are not 0.
    FragmentReserved = c"RGUE_FRAGMENT_RESERVED", else INVALID_PROTO;
    /// A fragment whose header has the wrong protocol for its offset: the header must have the packet's protocol
    /// at offset 0, and "no next header" elsewhere.
    FragmentProtocol = c"RGUE_FRAGMENT_PROTOCOL", else INVALID_PROTO;
    /// A fragment that is not the last, and whose payload is not a multiple of 8 bytes long.
    FragmentUnaligned = c"RGUE_FRAGMENT_UNALIGNED", else INVALID_PROTO;
    /// A fragment that ends beyond 65535 bytes of its packet.
    FragmentTooLong = c"RGUE_FRAGMENT_TOO_LONG", else PKT_TOO_BIG;
    /// A fragment without a payload.
    FragmentEmpty = c"RGUE_FRAGMENT_EMPTY", else PKT_TOO_SMALL;
    /// A fragment that overlaps with another one, such as a duplicate.
    FragmentOverlap = c"RGUE_FRAGMENT_OVERLAP", else DUP_FRAG;
    /// A fragment that contradicts another one about the packet's end.
    FragmentEnd = c"RGUE_FRAGMENT_END", else INVALID_PROTO;
    /// A fragment of a packet with too many fragments, or beyond the memory for fragments.
    FragmentLimit = c"RGUE_FRAGMENT_LIMIT", else NOMEM;
    /// The fragments of a packet whose other fragments have not come in time.
    FragmentTimeout = c"RGUE_FRAGMENT_TIMEOUT", else FRAG_REASM_TIMEOUT;
    /// The fragments of a packet, of which some are Not-ECT and others are not.
    FragmentEcn = c"RGUE_FRAGMENT_ECN", else IP_TUNNEL_ECN;
    /// A fragment for a device in external mode, which joins none.
    FragmentExternal = c"RGUE_FRAGMENT_EXTERNAL", else UNHANDLED_PROTO;
    /// A transformed payload: the kernel has no DTLS to hand it to.
    Transform = c"RGUE_TRANSFORM", else UNHANDLED_PROTO;
    /// A NAT address checksum, which is for transport protocols directly in GUE.
    NatChecksum = c"RGUE_NAT_CSUM", else UNHANDLED_PROTO;
    /// No device that is up has this group and this remote address.
    NoDevice = c"RGUE_NO_DEVICE", else NO_SOCKET;
    /// The UDP checksum is zero, over IPv6, and the device does not accept that.
    ZeroChecksum = c"RGUE_ZERO_CHECKSUM", else UDP_CSUM;
    /// The outer header is marked "congestion experienced" (CE), and the inner packet is Not-ECT.
    Ecn = c"RGUE_ECN", else IP_TUNNEL_ECN;
    /// No memory.
    NoMemory = c"RGUE_NO_MEMORY", else NOMEM;
    /// Neither the device nor the tunnel that was set for the packet has a remote address.
    NoRemote = c"RGUE_NO_REMOTE", else IP_OUTNOROUTES;
    /// The device is external, and nothing has set a tunnel for the packet.
    NoMetadata = c"RGUE_NO_METADATA", else TUNNEL_TXINFO;
    /// The key of the tunnel that was set for the packet is longer than a group.
    BadKey = c"RGUE_BAD_KEY", else TUNNEL_TXINFO;
    /// The private data that were set for the packet are longer than a header has room for.
    BadPrivateData = c"RGUE_BAD_PRIVATE_DATA", else TUNNEL_TXINFO;
    /// No route leads to the remote address.
    NoRoute = c"RGUE_NO_ROUTE", else IP_OUTNOROUTES;
    /// The route to the remote address leads through the device itself.
    Loop = c"RGUE_LOOP", else RECURSION_LIMIT;
    /// The partial checksum lies outside the packet.
    BadCsumStart = c"RGUE_BAD_CSUM_START", else SKB_CSUM;
    /// The packet is longer than the path MTU allows, and may not be fragmented, or is too long to be sent in
    /// fragments.
    TooLong = c"RGUE_TOO_LONG", else PKT_TOO_BIG;
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
    /// Returns the reason for an error of receive. `ENOMEM` and `EBADMSG` have one meaning each; `otherwise`
    /// is the meaning of every other error.
    #[cold]
    #[inline(never)]
    pub(crate) fn of(error: Error, otherwise: Self) -> Self {
        match error {
            ENOMEM => Self::NoMemory,
            EBADMSG => Self::BadCsumStart,
            _ => otherwise,
        }
    }

    /// Returns `true` if the packet was refused for its cookie or its keyed hash.
    pub(crate) fn is_of_auth(self) -> bool {
        matches!(
            self,
            Self::NoKey
                | Self::AuthMissing
                | Self::AuthUnexpected
                | Self::AuthMethod
                | Self::AuthWrong
                | Self::UnknownKey
                | Self::AuthCoverage
        )
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
            gue::Error::HeaderPastEnd => Self::BadHlen,
            gue::Error::UnknownVariant => Self::BadVariant,
            gue::Error::UnknownIpVersion => Self::BadIpVersion,
            gue::Error::UnknownFlag | gue::Error::ReservedSecurity => Self::UnknownFlag,
            gue::Error::UnknownPrivateFlag => Self::UnknownPrivateFlag,
            gue::Error::FieldPastHeader => Self::FieldPastHeader,
            gue::Error::ChecksumBeforeStart => Self::BadRemcsum,
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

impl From<Refusal> for Reason {
    #[cold]
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SecurityMissing => Self::AuthMissing,
            Refusal::SecurityUnexpected => Self::AuthUnexpected,
            Refusal::SecurityMethod => Self::AuthMethod,
            Refusal::SecurityMismatch => Self::AuthWrong,
            Refusal::UnknownKey => Self::UnknownKey,
            Refusal::HmacCoverage | Refusal::HmacPastPayload => Self::AuthCoverage,
            Refusal::ChecksumMissing => Self::ChecksumMissing,
            Refusal::ChecksumPastPayload | Refusal::ChecksumMismatch => Self::BadChecksum,
            Refusal::CrcMissing => Self::CrcMissing,
            Refusal::CrcPastPayload | Refusal::CrcMismatch => Self::BadCrc,
            Refusal::NatWithoutUdpChecksum => Self::NatChecksum,
            Refusal::RemcsumPastPayload | Refusal::RemcsumWithoutUdpChecksum => Self::BadRemcsum,
            Refusal::FragmentReserved => Self::FragmentReserved,
            Refusal::FragmentProtocol => Self::FragmentProtocol,
            Refusal::FragmentUnaligned => Self::FragmentUnaligned,
            Refusal::FragmentEmpty => Self::FragmentEmpty,
            Refusal::FragmentTooLong => Self::FragmentTooLong,
            Refusal::TransformType | Refusal::TransformProtocol => Self::Transform,
            Refusal::ProtocolZero | Refusal::NoNextHeader => Self::NotIp,
            Refusal::ControlType => Self::Control,
            Refusal::ControlTruncated => Self::ControlTruncated,
            Refusal::ControlExperiment => Self::ControlExperiment,
            Refusal::ControlMessage => Self::ControlMessage,
        }
    }
}
