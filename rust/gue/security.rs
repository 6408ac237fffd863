// SPDX-License-Identifier: GPL-2.0

//! Security: a cookie or a keyed hash (gue-extensions-06 §4).
//!
//! Both ends agree on the method and on the keys by other means. A cookie is a shared value of 8, 16 or
//! 32 bytes. A keyed hash (HMAC, RFC 2104) has the form `key-id:32 | offset:16 | length:16 | digest:256`,
//! and covers the outer addresses, the header and a part of the payload: see
//! [`covered`](crate::covered).

use crate::{
    fields::{Reader, Writer},
    layout,
    refusal::Refusal,
    Error,
};
use core::{hint::black_box, mem::offset_of, ops::Range};
use zerocopy::{
    byteorder::big_endian::{U16, U32},
    FromBytes,
};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The flags that announce the field: three bits that name its [`Method`].
pub const FLAGS: u16 = 0x7000;

/// Length of a digest in the field, in bytes. If a hash is longer, the field has its last bytes.
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

    /// Returns the length in bytes of the field that the flags of a header announce: 0 if they announce none, and, for
    /// a reserved method, more than the length of any header.
    #[inline(always)]
    pub(crate) fn len_bytes_of(flags: u16) -> usize {
        // Indexed by the number of the method. A table costs less than branches.
        const LENS: [u8; 8] = {
            let mut lens = [u8::MAX; 8];
            lens[0] = 0;
            lens[Method::Cookie8 as usize] = Method::Cookie8.len_bytes() as u8;
            lens[Method::Cookie16 as usize] = Method::Cookie16.len_bytes() as u8;
            lens[Method::Cookie32 as usize] = Method::Cookie32.len_bytes() as u8;
            lens[Method::Hmac as usize] = Method::Hmac.len_bytes() as u8;
            lens
        };
        usize::from(LENS[usize::from((flags & FLAGS) >> SHIFT)])
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

/// A keyed hash and the identifier of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hmac {
    /// The number of the key. Both ends agree on the key and its hash function.
    pub key_id: u32,
    /// The part of the payload that the hash covers.
    pub coverage: Coverage,
    /// The last bytes of the hash.
    pub digest: [u8; DIGEST_LEN_BYTES],
}

/// The values of a security field that a sender writes.
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
                    coverage: raw.coverage.coverage(),
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

impl RawCoverage {
    #[inline]
    fn coverage(&self) -> Coverage {
        Coverage {
            offset: self.offset.get(),
            len: self.len.get(),
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
    /// The number of the key.
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
                    coverage: raw.coverage.coverage(),
                    digest: &raw.digest,
                })
            }
        })
    }

    /// Refuses a cookie that equals none of the accepted cookies. Refuses every keyed hash.
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
        // Compare all of them, so that the time does not reveal which one is equal.
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
    /// Returns the key with the field's id.
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

    /// Refuses a digest that differs from the last 32 bytes of the computed hash.
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

/// Reads the coverage of a keyed hash from a header with these flags. Returns `None` if `flags` announces no
/// keyed hash, or if `header` ends before the coverage does.
///
/// ```
/// use gue::security::{coverage_of, Coverage, Method};
///
/// let mut header = [0; 44];
/// header[8..12].copy_from_slice(&[0, 1, 0, 2]);
/// let flags = Method::Hmac.flags();
/// assert_eq!(coverage_of(flags, &header), Some(Coverage { offset: 1, len: 2 }));
/// assert_eq!(coverage_of(Method::Cookie32.flags(), &header), None);
/// ```
#[inline(always)]
pub fn coverage_of(flags: u16, header: &[u8]) -> Option<Coverage> {
    if flags & FLAGS != Method::Hmac.flags() {
        return None;
    }
    let at = layout::offset_of(flags, FLAGS) + offset_of!(RawHmac, coverage);
    let (raw, _) = RawCoverage::ref_from_prefix(header.get(at..)?).ok()?;
    Some(raw.coverage())
}

/// Returns `true` if two values are equal. The time depends on their lengths alone.
///
/// ```
/// use gue::security::equal;
///
/// assert!(equal(b"cookie", b"cookie"));
/// assert!(!equal(b"cookie", b"cookiE"));
/// assert!(!equal(b"cookie", b"cookies"));
/// assert!(!equal(b"a cookie", b"a cookiE"));
/// assert!(!equal(b"longer cookie", b"longer cookiE"));
/// ```
// Inlined, so that values of a length that the compiler knows are compared without a loop.
#[inline(always)]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    equal_with(a, b, black_box)
}

/// Does what [`equal`] does. `opaque` returns its argument in a way that the compiler cannot see through, as
/// [`black_box`] does. Otherwise the compiler might stop at the first word that differs.
///
/// ```
/// use core::hint::black_box;
/// use gue::security::equal_with;
///
/// assert!(equal_with(b"longer cookie", b"longer cookie", black_box));
/// assert!(!equal_with(b"longer cookie", b"longer cookiE", black_box));
/// assert!(!equal_with(b"longer cookie", b"longer cookies", black_box));
/// ```
#[inline(always)]
pub fn equal_with(a: &[u8], b: &[u8], opaque: impl FnOnce(u64) -> u64) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.len() <= size_of::<u64>() {
        // One comparison takes the same time for all values.
        return difference(a, b) == 0;
    }
    opaque(difference(a, b)) == 0
}

/// Returns `true` if the values of both pairs are equal. The time depends on the lengths alone. `opaque` is as for
/// [`equal_with`].
///
/// ```
/// use core::hint::black_box;
/// use gue::security::both_equal_with;
///
/// assert!(both_equal_with((b"one", b"one"), (b"two", b"two"), black_box));
/// assert!(!both_equal_with((b"one", b"ome"), (b"two", b"two"), black_box));
/// assert!(!both_equal_with((b"one", b"one"), (b"two", b"twos"), black_box));
/// ```
#[inline(always)]
pub fn both_equal_with(
    (a, b): (&[u8], &[u8]),
    (c, d): (&[u8], &[u8]),
    opaque: impl FnOnce(u64) -> u64,
) -> bool {
    a.len() == b.len() && c.len() == d.len() && opaque(difference(a, b) | difference(c, d)) == 0
}

/// Returns 0 if two values of the same length are equal, and another number if they differ.
#[inline(always)]
fn difference(mut a: &[u8], mut b: &[u8]) -> u64 {
    let mut difference = 0;
    // Compare words, and use no iterators: their methods are compiled to calls.
    while let (Some((word_a, rest_a)), Some((word_b, rest_b))) =
        (a.split_first_chunk(), b.split_first_chunk())
    {
        difference |= u64::from_ne_bytes(*word_a) ^ u64::from_ne_bytes(*word_b);
        (a, b) = (rest_a, rest_b);
    }
    if let (Some((word_a, rest_a)), Some((word_b, rest_b))) =
        (a.split_first_chunk(), b.split_first_chunk())
    {
        difference |= u64::from(u32::from_ne_bytes(*word_a) ^ u32::from_ne_bytes(*word_b));
        (a, b) = (rest_a, rest_b);
    }
    for (a, b) in a.iter().zip(b) {
        difference |= u64::from(a ^ b);
    }
    difference
}
