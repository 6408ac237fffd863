// SPDX-License-Identifier: GPL-2.0

//! Control messages, which are for the decapsulator itself (gue-09 §3).
//!
//! The header has the C flag, and a type in place of the protocol. The drafts assign two types. Type 0 is a
//! payload that a field of the header describes. Type 255 is experimental: its payload begins with the
//! identifier of the experiment. rfou's experiment has echo requests and replies.

use crate::{refusal::Refusal, Error};
use zerocopy::{
    byteorder::big_endian::{U16, U32, U64},
    FromBytes, IntoBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Type of a message that a field of the header describes: a fragment, or a transformed payload.
pub const OPAQUE: u8 = 0;

/// Type of an experimental message.
pub const EXPERIMENTAL: u8 = 255;

/// Identifier of rfou's experiment: "RFOU".
pub const RFOU: u32 = 0x5246_4f55;

/// An experimental message.
///
/// ```
/// use gue::{control::{Experiment, RFOU}, Refusal};
///
/// let message = Experiment::parse(b"RFOUping")?;
/// assert_eq!(message, Experiment { id: RFOU, body: b"ping" });
/// assert_eq!(Experiment::parse(b"RF"), Err(Refusal::ControlTruncated));
/// # Ok::<(), Refusal>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experiment<'a> {
    /// The experiment's identifier.
    pub id: u32,
    /// The bytes after the identifier.
    pub body: &'a [u8],
}

impl<'a> Experiment<'a> {
    /// Reads the payload of a message of type [`EXPERIMENTAL`].
    ///
    /// # Errors
    ///
    /// [`Refusal::ControlTruncated`]: the payload is shorter than an identifier.
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Result<Self, Refusal> {
        let (id, body) = U32::ref_from_prefix(payload).map_err(|_| Refusal::ControlTruncated)?;
        Ok(Self { id: id.get(), body })
    }
}

/// The kind of one of rfou's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks for a reply with the same token.
    EchoRequest = 1,
    /// Answers a request.
    EchoReply = 2,
}

/// The layout of one of rfou's messages.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct Raw {
    id: U32,
    kind: u8,
    flags: u8,
    /// Sent as 0, ignored by receivers.
    reserved: U16,
    sequence: U64,
    token: U64,
}

/// An echo request or reply.
///
/// ```
/// use gue::control::{Echo, Kind};
///
/// let echo = Echo { kind: Kind::EchoRequest, sequence: 7, token: 0x0102 };
/// let mut payload = [0; Echo::LEN_BYTES];
/// echo.emit(&mut payload).unwrap();
/// assert_eq!(payload[..8], *b"RFOU\x01\0\0\0");
/// assert_eq!(Echo::parse(&payload), Ok(echo));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Request or reply.
    pub kind: Kind,
    /// The sender's sequence number, which increases with each message.
    pub sequence: u64,
    /// Random in a request; a reply copies the token of its request.
    pub token: u64,
}

impl Echo {
    /// Length of a message without padding, in bytes.
    pub const LEN_BYTES: usize = size_of::<Raw>();

    /// Reads the payload of a message of type [`EXPERIMENTAL`]. The payload may continue after the message.
    ///
    /// # Errors
    ///
    /// - [`Refusal::ControlTruncated`]: the payload is shorter than an identifier, or has rfou's identifier and
    ///   is shorter than a message.
    /// - [`Refusal::ControlExperiment`]: the message is of another experiment.
    /// - [`Refusal::ControlMessage`]: the kind is unknown, or a flag is set; no flag is assigned.
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        if Experiment::parse(payload)?.id != RFOU {
            return Err(Refusal::ControlExperiment);
        }
        let (raw, _) = Raw::ref_from_prefix(payload).map_err(|_| Refusal::ControlTruncated)?;
        let kind = match raw.kind {
            1 => Kind::EchoRequest,
            2 => Kind::EchoReply,
            _ => return Err(Refusal::ControlMessage),
        };
        if raw.flags != 0 {
            return Err(Refusal::ControlMessage);
        }
        Ok(Self {
            kind,
            sequence: raw.sequence.get(),
            token: raw.token.get(),
        })
    }

    /// Writes the message to the first [`Self::LEN_BYTES`] bytes of a payload.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooShort`]: nothing is written.
    #[inline]
    pub fn emit(&self, payload: &mut [u8]) -> Result<(), Error> {
        let raw = Raw {
            id: RFOU.into(),
            kind: self.kind as u8,
            flags: 0,
            reserved: 0.into(),
            sequence: self.sequence.into(),
            token: self.token.into(),
        };
        raw.write_to_prefix(payload)
            .map_err(|_| Error::BufferTooShort)
    }
}
