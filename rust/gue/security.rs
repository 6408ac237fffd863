// SPDX-License-Identifier: GPL-2.0

//! Security: a cookie or a keyed hash (gue-extensions-06 §4).
//!
//! Both ends agree on the method and on the keys by other means. A cookie is a shared value of 8, 16 or
//! 32 bytes. A keyed hash (HMAC, RFC 2104) has the form `key-id:32 | offset:16 | length:16 | digest:256`,
//! and covers the outer addresses, the header and a part of the payload: see
//! [`covered`](crate::covered).

use crate::{
    fields::{Reader, Writer},
    refusal::Refusal,
    Error,
};
use core::{hint::black_box, ops::Range};
use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flags that announce the field: three bits that name its [`Method`].
pub const FLAGS: u16 = 0x7000;

/// Length of a digest in the field, in bytes. A longer hash gives its last bytes.
pub const DIGEST_LEN_BYTES: usize = 32;

const SHIFT: u32 = FLAGS.trailing_zeros();

/// A method of security, which fixes the length of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A cookie of 8 bytes.
    Cookie8 = 1,
    /// A cookie of 16 bytes.
    Cookie16 = 2,
    /// A cookie of 32 bytes.
    Cookie32 = 3,
    /// A keyed hash.
    Hmac = 4,
}

impl Method {
    /// Returns the method that the flags of a header name.
    ///
    /// # Errors
    ///
    /// [`Error::ReservedSecurity`]: the method is reserved, so the offsets of later fields are unknown.
    #[inline]
    pub const fn of(flags: u16) -> Result<Option<Self>, Error> {
        match (flags & FLAGS) >> SHIFT {
            0 => Ok(None),
            1 => Ok(Some(Self::Cookie8)),
            2 => Ok(Some(Self::Cookie16)),
            3 => Ok(Some(Self::Cookie32)),
            4 => Ok(Some(Self::Hmac)),
            _ => Err(Error::ReservedSecurity),
        }
    }

    /// Returns the flags that name the method.
    #[inline]
    pub const fn flags(self) -> u16 {
        (self as u16) << SHIFT
    }

    /// Returns the length of the field in bytes.
    #[inline]
    pub const fn len_bytes(self) -> usize {
        match self {
            Self::Cookie8 => 8,
            Self::Cookie16 => 16,
            Self::Cookie32 => 32,
            Self::Hmac => size_of::<RawHmac>(),
        }
    }
}

/// The part of the payload that a keyed hash covers. Both numbers count bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// The first covered byte, counted from the first byte of the payload.
    pub offset: u16,
    /// The number of covered bytes.
    pub len: u16,
}

impl Coverage {
    /// No byte of the payload.
    pub const NONE: Self = Self { offset: 0, len: 0 };

    /// Returns the covered bytes of a payload.
    ///
    /// # Errors
    ///
    /// [`Refusal::HmacPastPayload`]: the payload is shorter.
    #[inline]
    pub fn range(self, payload_len: usize) -> Result<Range<usize>, Refusal> {
        let start = usize::from(self.offset);
        // No overflow: both have 16 bits.
        let end = start + usize::from(self.len);
        if end > payload_len {
            return Err(Refusal::HmacPastPayload);
        }
        Ok(start..end)
    }
}

/// The layout of a keyed hash on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct RawHmac {
    pub(crate) key_id: U32,
    pub(crate) coverage: RawCoverage,
    pub(crate) digest: [u8; DIGEST_LEN_BYTES],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct RawCoverage {
    offset: U16,
    len: U16,
}

impl From<Coverage> for RawCoverage {
    #[inline]
    fn from(coverage: Coverage) -> Self {
        Self {
            offset: coverage.offset.into(),
            len: coverage.len.into(),
        }
    }
}

/// A keyed hash and what identifies its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// The name of the key and its hash, which both ends agree on.
    pub key_id: u32,
    /// The part of the payload that the hash covers.
    pub coverage: Coverage,
    /// The last bytes of the hash.
    pub digest: [u8; DIGEST_LEN_BYTES],
}

/// The values of a security field, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// A cookie of 8 bytes.
    Cookie8([u8; 8]),
    /// A cookie of 16 bytes.
    Cookie16([u8; 16]),
    /// A cookie of 32 bytes.
    Cookie32([u8; 32]),
    /// A keyed hash.
    Hmac(Hmac),
}

impl Security {
    /// Returns the method.
    #[inline]
    pub const fn method(&self) -> Method {
        match self {
            Self::Cookie8(_) => Method::Cookie8,
            Self::Cookie16(_) => Method::Cookie16,
            Self::Cookie32(_) => Method::Cookie32,
            Self::Hmac(_) => Method::Hmac,
        }
    }

    #[inline]
    pub(crate) fn parse(method: Method, reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match method {
            Method::Cookie8 => Self::Cookie8(*reader.take()?),
            Method::Cookie16 => Self::Cookie16(*reader.take()?),
            Method::Cookie32 => Self::Cookie32(*reader.take()?),
            Method::Hmac => {
                let raw: &RawHmac = reader.take()?;
                Self::Hmac(Hmac {
                    key_id: raw.key_id.get(),
                    coverage: raw.coverage(),
                    digest: raw.digest,
                })
            }
        })
    }

    #[inline(always)]
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        match self {
            Self::Cookie8(cookie) => writer.put(cookie),
            Self::Cookie16(cookie) => writer.put(cookie),
            Self::Cookie32(cookie) => writer.put(cookie),
            Self::Hmac(hmac) => writer.put(&RawHmac {
                key_id: hmac.key_id.into(),
                coverage: hmac.coverage.into(),
                digest: hmac.digest,
            }),
        }
    }
}

impl RawHmac {
    #[inline]
    fn coverage(&self) -> Coverage {
        Coverage {
            offset: self.coverage.offset.get(),
            len: self.coverage.len.get(),
        }
    }
}

/// A security field in a received header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityView<'a> {
    /// A cookie of 8, 16 or 32 bytes.
    Cookie(&'a [u8]),
    /// A keyed hash.
    Hmac(HmacView<'a>),
}

/// A keyed hash in a received header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HmacView<'a> {
    /// The name of the key and its hash.
    pub key_id: u32,
    /// The part of the payload that the hash covers.
    pub coverage: Coverage,
    /// The last bytes of the hash.
    pub digest: &'a [u8; DIGEST_LEN_BYTES],
}

impl<'a> SecurityView<'a> {
    #[inline]
    pub(crate) fn parse(method: Method, reader: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(match method {
            Method::Cookie8 => Self::Cookie(reader.take::<[u8; 8]>()?),
            Method::Cookie16 => Self::Cookie(reader.take::<[u8; 16]>()?),
            Method::Cookie32 => Self::Cookie(reader.take::<[u8; 32]>()?),
            Method::Hmac => {
                let raw: &RawHmac = reader.take()?;
                Self::Hmac(HmacView {
                    key_id: raw.key_id.get(),
                    coverage: raw.coverage(),
                    digest: &raw.digest,
                })
            }
        })
    }

    /// Refuses a cookie that equals none of the accepted ones, and a keyed hash.
    ///
    /// # Errors
    ///
    /// [`Refusal::SecurityMismatch`].
    #[inline]
    pub fn check_cookie<'k>(
        &self,
        accepted: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<(), Refusal> {
        let Self::Cookie(cookie) = self else {
            return Err(Refusal::SecurityMismatch);
        };
        // All are compared, so that the time does not tell which of them is current.
        let found = accepted
            .into_iter()
            .fold(false, |found, key| found | equal(cookie, key));
        if !found {
            return Err(Refusal::SecurityMismatch);
        }
        Ok(())
    }
}

impl HmacView<'_> {
    /// Returns the key of the field's id.
    ///
    /// # Errors
    ///
    /// [`Refusal::UnknownKey`]: no key has this id.
    #[inline]
    pub fn key<K>(&self, keys: impl IntoIterator<Item = (u32, K)>) -> Result<K, Refusal> {
        keys.into_iter()
            .find(|(id, _)| *id == self.key_id)
            .map(|(_, key)| key)
            .ok_or(Refusal::UnknownKey)
    }

    /// Refuses a digest that differs from the computed hash, of which the last 32 bytes count.
    ///
    /// # Errors
    ///
    /// [`Refusal::SecurityMismatch`].
    #[inline]
    pub fn check_digest(&self, hash: &[u8]) -> Result<(), Refusal> {
        match hash.last_chunk::<DIGEST_LEN_BYTES>() {
            Some(digest) if equal(digest, self.digest) => Ok(()),
            _ => Err(Refusal::SecurityMismatch),
        }
    }
}

/// Compares two values. The time depends on their lengths alone.
///
/// ```
/// use gue::security::equal;
///
/// assert!(equal(b"cookie", b"cookie"));
/// assert!(!equal(b"cookie", b"cookiE"));
/// assert!(!equal(b"cookie", b"cookies"));
/// ```
#[inline]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a
        .iter()
        .zip(b)
        .fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    difference == 0
}
