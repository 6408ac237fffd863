// SPDX-License-Identifier: GPL-2.0

//! Headers with a keyed hash, perhaps a group, and no other field.
//!
//! A device whose keyed hash covers payload computes a hash for each packet. The fields of its headers have known
//! places, so neither sender nor receiver walks the flags, and both hash all bytes before the payload as one piece.
//! Other headers go through [`View`](crate::View) and [`Template`].
//!
//! ```
//! use gue::{hashed::{Room, Start}, security::Coverage, DeviceFields, Hmac, Repr, Security, Template};
//!
//! let hmac = Hmac { key_id: 0, coverage: Coverage::NONE, digest: [0; 32] };
//! let fields = DeviceFields { security: Some(Security::Hmac(hmac)), ..DeviceFields::NONE };
//! let template = Template::new(&Repr { control: false, proto_ctype: 4, fields }, &[])?;
//!
//! // The sender.
//! let start = Start::of_template(&template).unwrap();
//! let start = start.with_key(7, Coverage { offset: 0, len: 20 });
//! let (source, destination) = ([192, 0, 2, 1], [192, 0, 2, 2]);
//! let mut room = Room::EMPTY;
//! let covered = start.covered(&source, &destination, &mut room).unwrap();
//! assert_eq!(covered[..8], [192, 0, 2, 1, 192, 0, 2, 2]);
//! assert_eq!(covered[8..20], [10, 4, 0x40, 0, 0, 0, 0, 7, 0, 0, 0, 20]);
//! assert_eq!(covered[20..], [0; 32]);
//! // A keyed hash of `covered` and of 20 bytes of the payload.
//! let digest = [0xda; 32];
//! let header = start.header(&digest, &mut room);
//! assert_eq!(header[..12], [10, 4, 0x40, 0, 0, 0, 0, 7, 0, 0, 0, 20]);
//! assert_eq!(header[12..], digest);
//!
//! // The receiver.
//! let (received, digest) = Start::of_received(template.flags(), header).unwrap();
//! assert_eq!((received.key_id(), digest), (7, &[0xda; 32]));
//! assert!(received.has_coverage(Coverage { offset: 0, len: 20 }));
//! assert!(!received.has_coverage(Coverage { offset: 20, len: 0 }));
//! # Ok::<(), gue::Error>(())
//! ```

use crate::{
    glance, group,
    header::BASE_LEN_BYTES,
    security::{Coverage, Method, DIGEST_LEN_BYTES},
    Template,
};

/// The length of the longest of these headers, in bytes.
pub const MOST_LEN_BYTES: usize = glance::len_bytes(group::FLAG | Method::Hmac.flags());

/// The most bytes before a digest.
const START_LEN_BYTES: usize = MOST_LEN_BYTES - DIGEST_LEN_BYTES;

/// The length of both outer addresses of IPv6, in bytes.
const ADDRESSES_LEN_BYTES: usize = 32;

/// The bytes of a header before the digest: base header, group, key number and coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Without a group, the last four are zero, as the digest is while the hash is computed.
    bytes: [u8; START_LEN_BYTES],
    has_group: bool,
}

/// Room for the outer addresses and a header.
// Addresses of IPv4 are the last of the bytes for addresses, so that the header follows. Aligned for copies by words.
#[repr(align(8))]
pub struct Room([u8; ADDRESSES_LEN_BYTES + MOST_LEN_BYTES]);

impl Start {
    /// Reads a received header with `flags`. Returns the start and the digest, or `None` if the header has other
    /// fields, no keyed hash, or surplus space.
    ///
    /// ```
    /// use gue::{crc, hashed::Start, security::Method};
    ///
    /// let header = [0; 64];
    /// let flags = Method::Hmac.flags();
    /// assert!(Start::of_received(flags, &header[..44]).is_some());
    /// assert_eq!(Start::of_received(flags, &header[..48]), None);
    /// assert_eq!(Start::of_received(flags | crc::FLAG, &header[..52]), None);
    /// assert_eq!(Start::of_received(Method::Cookie32.flags(), &header[..36]), None);
    /// ```
    #[inline(always)]
    pub fn of_received(flags: u16, header: &[u8]) -> Option<(Self, &[u8; DIGEST_LEN_BYTES])> {
        let start = Self::of(flags, header.first_chunk()?)?;
        if start.len_bytes() != header.len() {
            return None;
        }
        Some((start, header.last_chunk()?))
    }

    /// Copies the start of a template's header; `None` if that has other fields, no keyed hash, or surplus space.
    pub fn of_template(template: &Template) -> Option<Self> {
        let start = Self::of(template.flags(), template.as_bytes().first_chunk()?)?;
        (start.len_bytes() == template.len_bytes()).then_some(start)
    }

    #[inline(always)]
    fn of(flags: u16, bytes: &[u8; START_LEN_BYTES]) -> Option<Self> {
        if flags & !group::FLAG != Method::Hmac.flags() {
            return None;
        }
        let mut start = Self {
            bytes: *bytes,
            has_group: flags & group::FLAG != 0,
        };
        if !start.has_group {
            let [.., a, b, c, d] = &mut start.bytes;
            [*a, *b, *c, *d] = [0; 4];
        }
        Some(start)
    }

    /// Returns the place of the key's number.
    #[inline(always)]
    fn key_at(&self) -> usize {
        BASE_LEN_BYTES + usize::from(self.has_group) * group::LEN_BYTES
    }

    /// Returns the place of the digest.
    #[inline(always)]
    fn digest_at(&self) -> usize {
        self.key_at() + size_of::<u32>() + 2 * size_of::<u16>()
    }

    /// Returns the length of the header in bytes.
    #[inline(always)]
    pub fn len_bytes(&self) -> usize {
        self.digest_at() + DIGEST_LEN_BYTES
    }

    /// Returns `N` bytes at an offset from the key's number.
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> [u8; N] {
        let bytes = self.bytes.get(self.key_at() + offset..);
        // The bytes are there, with and without a group.
        bytes
            .and_then(<[u8]>::first_chunk)
            .copied()
            .unwrap_or([0; N])
    }

    /// Returns the number of the key.
    #[inline(always)]
    pub fn key_id(&self) -> u32 {
        u32::from_be_bytes(self.read(0))
    }

    /// Returns `true` if the hash covers exactly this part of the payload.
    // One comparison, of offset and length.
    #[inline(always)]
    pub fn has_coverage(&self, coverage: Coverage) -> bool {
        let number = u32::from(coverage.offset) << 16 | u32::from(coverage.len);
        u32::from_be_bytes(self.read(4)) == number
    }

    /// Sets the number of the key, and the part of the payload that the hash covers.
    #[inline(always)]
    #[must_use]
    pub fn with_key(mut self, id: u32, coverage: Coverage) -> Self {
        let number =
            u64::from(id) << 32 | u64::from(coverage.offset) << 16 | u64::from(coverage.len);
        let at = self.key_at();
        if let Some(bytes) = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *bytes = number.to_be_bytes();
        }
        self
    }

    /// Writes the bytes before the payload that the hash covers, and returns them: the outer addresses, and the header
    /// with a digest of zero. Returns `None` unless the addresses have 4 bytes each, or 16 bytes each.
    #[inline(always)]
    pub fn covered<'r>(
        &self,
        source: &[u8],
        destination: &[u8],
        room: &'r mut Room,
    ) -> Option<&'r [u8]> {
        *room = Room::EMPTY;
        let begin =
            if let (Ok(source), Ok(destination)) = (source.try_into(), destination.try_into()) {
                room.put::<4>(24, source);
                room.put::<4>(28, destination);
                24
            } else {
                room.put::<16>(0, source.try_into().ok()?);
                room.put::<16>(16, destination.try_into().ok()?);
                0
            };
        room.put(ADDRESSES_LEN_BYTES, &self.bytes);
        room.0.get(begin..ADDRESSES_LEN_BYTES + self.len_bytes())
    }

    /// Writes the digest after [`Self::covered`], and returns the header.
    #[inline(always)]
    pub fn header<'r>(&self, digest: &[u8; DIGEST_LEN_BYTES], room: &'r mut Room) -> &'r [u8] {
        room.put(ADDRESSES_LEN_BYTES + self.digest_at(), digest);
        let end = ADDRESSES_LEN_BYTES + self.len_bytes();
        room.0.get(ADDRESSES_LEN_BYTES..end).unwrap_or_default()
    }
}

impl Room {
    /// Unused room.
    pub const EMPTY: Self = Self([0; ADDRESSES_LEN_BYTES + MOST_LEN_BYTES]);

    #[inline(always)]
    fn put<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) {
        if let Some(to) = self.0.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *to = *bytes;
        }
    }
}
