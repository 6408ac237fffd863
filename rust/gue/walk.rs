// SPDX-License-Identifier: GPL-2.0

//! The header walk: the only way from a UDP payload to a checked [`Header`].
//!
//! Receive, GRO and ICMP errors hold packets in different ways. Each implements [`Prefix`] to return the first
//! bytes of its packet, and maps [`WalkError`] to an error of its own.

use crate::{
    header::{Start, BASE_LEN_BYTES},
    Dialect, Error, Header,
};

/// A UDP payload whose first bytes can be read.
///
/// ```
/// use gue::{walk, Error, Linux, Prefix, WalkError};
///
/// /// A payload in pieces, which are joined as they are asked for.
/// struct Pieces {
///     linear: Vec<u8>,
///     rest: Vec<u8>,
/// }
///
/// impl Prefix for Pieces {
///     type Error = &'static str;
///
///     fn prefix(&mut self, len_bytes: usize) -> Result<&[u8], Self::Error> {
///         while self.linear.len() < len_bytes {
///             if self.rest.is_empty() {
///                 return Err("no more bytes");
///             }
///             self.linear.push(self.rest.remove(0));
///         }
///         Ok(&self.linear[..len_bytes])
///     }
/// }
///
/// let mut payload = Pieces { linear: vec![0x01, 47, 0], rest: vec![0, 0xde, 0xad, 0xbe, 0xef] };
/// let header = walk(&mut payload, Linux).unwrap();
/// assert_eq!((header.proto_ctype(), header.len_bytes()), (47, 8));
/// assert!(payload.rest.is_empty());
///
/// let mut payload = Pieces { linear: vec![0x01, 47, 0, 0], rest: vec![0xde] };
/// let error = WalkError::Prefix { cause: "no more bytes", if_short: Error::HeaderPastEnd };
/// assert_eq!(walk(&mut payload, Linux), Err(error));
/// ```
pub trait Prefix {
    /// The reason why bytes cannot be read.
    type Error;

    /// Returns the first `len_bytes` bytes of the payload.
    ///
    /// # Errors
    ///
    /// Fails if the payload is shorter, or for a reason specific to the implementation.
    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8], Self::Error>;
}

/// A payload is shorter than its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadEnd;

impl Prefix for &[u8] {
    type Error = PayloadEnd;

    #[inline]
    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8], PayloadEnd> {
        self.get(..len_bytes).ok_or(PayloadEnd)
    }
}

/// The reason why [`walk`] returns no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkError<E> {
    /// The [`Prefix`] failed.
    Prefix {
        /// The error of the [`Prefix`].
        cause: E,
        /// The error to report if the payload is too short: [`Error::Truncated`] or
        /// [`Error::HeaderPastEnd`].
        if_short: Error,
    },
    /// The bytes are no header that a receiver accepts.
    Header(Error),
}

impl<E> From<Error> for WalkError<E> {
    #[inline]
    fn from(error: Error) -> Self {
        Self::Header(error)
    }
}

/// Reads the header at the start of a UDP payload. Accepts the flags of a dialect.
///
/// Asks for four bytes, then for the whole header. The walk reads neither surplus space nor payload, so
/// it accepts a remote checksum that lies past the payload: see
/// [`RemoteChecksum::payload_needed`](crate::RemoteChecksum::payload_needed).
///
/// # Errors
///
/// In the order of the checks:
///
/// - [`WalkError::Prefix`] with [`Error::Truncated`]: the first four bytes cannot be read.
/// - [`Error::UnknownVariant`]: variant 2 or 3.
/// - [`Error::UnknownIpVersion`]: variant 1 with an IP version that is neither 4 nor 6.
/// - [`WalkError::Prefix`] with [`Error::HeaderPastEnd`]: the bytes that Hlen counts cannot be read.
/// - [`Error::UnknownFlag`]: a flag that the dialect does not have.
/// - [`Error::ReservedSecurity`]: a reserved method of security.
/// - [`Error::FieldPastHeader`]: Hlen leaves no room for a field that a flag announces.
/// - [`Error::UnknownPrivateFlag`]: an unknown flag in Linux's private word.
/// - [`Error::ChecksumBeforeStart`]: see [`RemoteChecksum::new`](crate::RemoteChecksum::new).
// Inlined into each caller, so that a `prefix` that finds its bytes costs a comparison.
#[inline(always)]
pub fn walk<P: Prefix, D: Dialect>(
    payload: &mut P,
    dialect: D,
) -> Result<Header<D::Fields>, WalkError<P::Error>> {
    let first = prefix(payload, BASE_LEN_BYTES, Error::Truncated)?;
    match Start::parse(first)? {
        Start::Direct { protocol } => Ok(Header::direct(protocol)),
        Start::Header { len_bytes } => {
            // The second call may move the bytes, so the walk keeps only the length from the first call.
            let bytes = prefix(payload, len_bytes, Error::HeaderPastEnd)?;
            Ok(Header::parse_variant_0(bytes, len_bytes, dialect)?)
        }
    }
}

#[inline(always)]
fn prefix<P: Prefix>(
    payload: &mut P,
    len_bytes: usize,
    if_short: Error,
) -> Result<&[u8], WalkError<P::Error>> {
    payload
        .prefix(len_bytes)
        .map_err(|cause| WalkError::Prefix { cause, if_short })
}
