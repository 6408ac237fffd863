// SPDX-License-Identifier: GPL-2.0

//! Reasons to refuse a packet whose header has been read.
//!
//! [`Error`](crate::Error) says why bytes are no header. A [`Refusal`] says why a receiver drops a packet
//! with a valid header: a field contradicts the packet, the receiver's configuration or another field.

/// The reason why a receiver drops a packet whose header is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A cookie or a keyed hash is demanded, and the header has none (gue-extensions-06 §4).
    SecurityMissing,
    /// The header has a cookie or a keyed hash, and the receiver has nothing to compare it with.
    SecurityUnexpected,
    /// The header has another method of security than the demanded one, or a cookie of another length.
    SecurityMethod,
    /// The cookie or the digest is wrong.
    SecurityMismatch,
    /// Keyed hash: no key has the field's key id.
    UnknownKey,
    /// Keyed hash: the covered part of the payload is not the demanded one.
    HmacCoverage,
    /// Keyed hash: the covered part ends after the payload.
    HmacPastPayload,
    /// A checksum is demanded, and the header has none (gue-extensions-06 §8).
    ChecksumMissing,
    /// The checksum covers more bytes than the payload has.
    ChecksumPastPayload,
    /// The checksum is wrong.
    ChecksumMismatch,
    /// An alternate checksum is demanded, and the header has none (gue-extensions-06 §10).
    CrcMissing,
    /// The alternate checksum covers more bytes than the payload has.
    CrcPastPayload,
    /// The alternate checksum is wrong.
    CrcMismatch,
    /// A NAT address checksum needs a UDP checksum, which is zero (gue-extensions-06 §9).
    NatWithoutUdpChecksum,
    /// The payload ends before the remote checksum's field (gue-extensions-06 §7).
    RemcsumPastPayload,
    /// A remote checksum needs a UDP checksum, which is zero.
    RemcsumWithoutUdpChecksum,
    /// Fragment: a reserved bit is set (gue-extensions-06 §5).
    FragmentReserved,
    /// Fragment: the header of the first one does not have the original protocol or type, or the header of a
    /// later one does not say "no next header" (type 0 in a control message).
    FragmentProtocol,
    /// Fragment: it is not the last, and its length is not a multiple of eight bytes.
    FragmentUnaligned,
    /// Fragment: it is not the last, and it is empty.
    FragmentEmpty,
    /// Fragment: the joined packet would be longer than 65535 bytes.
    FragmentTooLong,
    /// Payload transform: type 0 is reserved (gue-extensions-06 §6).
    TransformType,
    /// Payload transform: the header does not say "no next header" (type 0 in a control message).
    TransformProtocol,
    /// The packet has protocol 0. Linux drops it, and so do devices.
    ProtocolZero,
    /// The packet has "no next header", and no field says what the payload is.
    NoNextHeader,
    /// A control message of unassigned type, or of type 0 without a field that says what it is.
    ControlType,
    /// An experimental control message is too short for its identifier, or a message of rfou's for its layout.
    ControlTruncated,
    /// An experimental control message of another experiment.
    ControlExperiment,
    /// A control message of rfou's with an unknown kind or an unknown flag.
    ControlMessage,
}
