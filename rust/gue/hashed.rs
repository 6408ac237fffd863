// SPDX-License-Identifier: GPL-2.0

//! Headers with a keyed hash, perhaps a group, and no other field.
//!
//! A device whose keyed hash covers payload computes a hash for each packet. The fields of its headers have known
//! places, so neither sender nor receiver looks for them, and both hash all bytes before the payload as one piece.
//! Other headers go through [`View`](crate::View) and [`Template`].
//!
//! ```
//! use gue::{
//!     hashed::{Header, Label},
//!     security::Coverage,
//!     DeviceFields, Hmac, Repr, Security, Template,
//! };
//!
//! let hmac = Hmac { key_id: 0, coverage: Coverage::NONE, digest: [0; 32] };
//! let fields = DeviceFields { security: Some(Security::Hmac(hmac)), ..DeviceFields::NONE };
//! let template = Template::new(&Repr { control: false, proto_ctype: 4, fields }, &[])?;
//!
//! // The sender.
//! let label = Label::new(7, Coverage { offset: 0, len: 20 });
//! let header = Header::<0>::of_template(&template).unwrap().with_label(label);
//! let covered = header.covered([&[192, 0, 2, 1], &[192, 0, 2, 2]]);
//! assert_eq!(covered.as_bytes()[..8], [192, 0, 2, 1, 192, 0, 2, 2]);
//! assert_eq!(covered.as_bytes()[8..20], [10, 4, 0x40, 0, 0, 0, 0, 7, 0, 0, 0, 20]);
//! assert_eq!(covered.as_bytes()[20..], [0; 32]);
//! // A keyed hash of `covered` and of 20 bytes of the payload.
//! let sent = header.with_digest([0xda; 32]);
//!
//! // The receiver.
//! let received = Header::<0>::at_start_of(sent.as_bytes()).unwrap();
//! assert_eq!(received.label(), label);
//! assert_eq!(received.covered([&[192, 0, 2, 1], &[192, 0, 2, 2]]), covered);
//! assert_eq!(received.digest(), &[0xda; 32]);
//! # Ok::<(), gue::Error>(())
//! ```

use crate::{
    group,
    header::BASE_LEN_BYTES,
    security::{Coverage, Method, DIGEST_LEN_BYTES},
    Template,
};
use zerocopy::{byteorder::big_endian::U64, FromBytes, IntoBytes};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A header. `GROUP` is the length of the group field in bytes: 0 or [`group::LEN_BYTES`].
#[derive(
    FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Header<const GROUP: usize> {
    base: [u8; BASE_LEN_BYTES],
    group: [u8; GROUP],
    /// Identifier of the key, offset and length of the coverage.
    label: U64,
    digest: [u8; DIGEST_LEN_BYTES],
}

/// The bytes before the payload that a hash covers: the outer addresses, of `ADDRESS` bytes each, and the header with a
/// digest of zero.
#[derive(IntoBytes, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CoveredStart<const ADDRESS: usize, const GROUP: usize> {
    source: [u8; ADDRESS],
    destination: [u8; ADDRESS],
    header: Header<GROUP>,
}

/// The identifier of a key, and the part of the payload that the hash covers.
///
/// Both are one number, so a receiver compares all of it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u64);

/// The identifier of a key, in its place in a [`Label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLabel(u64);

/// Splits outer addresses into source and destination. Returns `None` unless each has `ADDRESS` bytes.
///
/// ```
/// use gue::hashed::address_pair;
///
/// let addresses = [192, 0, 2, 1, 192, 0, 2, 2];
/// assert_eq!(address_pair(&addresses), Some(&[[192, 0, 2, 1], [192, 0, 2, 2]]));
/// assert_eq!(address_pair::<16>(&addresses), None);
/// ```
#[inline(always)]
pub fn address_pair<const ADDRESS: usize>(addresses: &[u8]) -> Option<&[[u8; ADDRESS]; 2]> {
    FromBytes::ref_from_bytes(addresses).ok()
}

impl<const GROUP: usize> Header<GROUP> {
    /// The length of the header in bytes.
    pub const LEN_BYTES: usize = size_of::<Self>();

    /// Reads the header at the start of `bytes`. Returns `None` if there are fewer bytes.
    ///
    /// The flags are not read: the header must have the fields of this type.
    #[inline(always)]
    pub fn at_start_of(bytes: &[u8]) -> Option<&Self> {
        Some(Self::ref_from_prefix(bytes).ok()?.0)
    }

    /// Copies the header of a template. Returns `None` if that has other fields, no keyed hash, or surplus space.
    ///
    /// ```
    /// use gue::{hashed::Header, security::Coverage, DeviceFields, Hmac, Repr, Security, Template};
    ///
    /// let hmac = Hmac { key_id: 0, coverage: Coverage::NONE, digest: [0; 32] };
    /// let security = Some(Security::Hmac(hmac));
    /// let fields = DeviceFields { group: Some(1), security, ..DeviceFields::NONE };
    /// let template = Template::new(&Repr { control: false, proto_ctype: 4, fields }, &[])?;
    /// assert_eq!(Header::<0>::of_template(&template), None);
    /// assert_eq!(Header::<4>::of_template(&template).unwrap().as_bytes(), template.as_bytes());
    /// # Ok::<(), gue::Error>(())
    /// ```
    pub fn of_template(template: &Template) -> Option<Self> {
        let group = if GROUP == 0 { 0 } else { group::FLAG };
        if template.flags() != group | Method::Hmac.flags() {
            return None;
        }
        Self::read_from_bytes(template.as_bytes()).ok()
    }

    /// Returns the header's bytes.
    #[inline(always)]
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }

    /// Returns the label.
    #[inline(always)]
    pub fn label(&self) -> Label {
        Label(self.label.get())
    }

    /// Returns the digest.
    #[inline(always)]
    pub fn digest(&self) -> &[u8; DIGEST_LEN_BYTES] {
        &self.digest
    }

    /// Returns the header with another label.
    #[inline(always)]
    #[must_use]
    pub fn with_label(self, label: Label) -> Self {
        Self {
            label: U64::new(label.0),
            ..self
        }
    }

    /// Returns the header with another digest.
    #[inline(always)]
    #[must_use]
    pub fn with_digest(self, digest: [u8; DIGEST_LEN_BYTES]) -> Self {
        Self { digest, ..self }
    }

    /// Returns the bytes before the payload that the hash covers. The arguments are the outer addresses, source first.
    #[inline(always)]
    pub fn covered<const ADDRESS: usize>(
        &self,
        [source, destination]: [&[u8; ADDRESS]; 2],
    ) -> CoveredStart<ADDRESS, GROUP> {
        CoveredStart {
            source: *source,
            destination: *destination,
            header: self.with_digest([0; DIGEST_LEN_BYTES]),
        }
    }
}

impl<const ADDRESS: usize, const GROUP: usize> CoveredStart<ADDRESS, GROUP> {
    /// Returns the bytes.
    #[inline(always)]
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }
}

impl Label {
    /// Makes a label.
    #[inline(always)]
    pub const fn new(key_id: u32, coverage: Coverage) -> Self {
        KeyLabel::new(key_id).with(coverage)
    }
}

impl KeyLabel {
    /// Makes the label of a key.
    #[inline(always)]
    pub const fn new(key_id: u32) -> Self {
        Self((key_id as u64) << 32)
    }

    /// Adds a coverage.
    #[inline(always)]
    pub const fn with(self, coverage: Coverage) -> Label {
        Label(self.0 | (coverage.offset as u64) << 16 | coverage.len as u64)
    }
}
