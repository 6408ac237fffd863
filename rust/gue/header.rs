// SPDX-License-Identifier: GPL-2.0

//! The header of variant 0, and how variant 1 is told from it.
//!
//! ```text
//!  bit  0 1 2 3       8               16                             31
//!      +---+-+---------+---------------+-------------------------------+
//!      |Var|C|  Hlen   |  Proto/ctype  |             flags             |
//!      +---+-+---------+---------------+-------------------------------+
//!      | fields, in the order of their flags, then surplus: 4*Hlen bytes |
//!      +-----------------------------------------------------------------+
//! ```
//!
//! A header is read in two steps, as the second needs what the first has said: [`Start::parse`] from
//! four bytes, then [`Header::parse`] from as many as [`Start`] asks for. Receive, GRO and ICMP errors
//! all come this way.
//!
//! ```
//! use gue::{header, protocol, Header, Start};
//!
//! let payload = [0x00, 4, 0, 0, 0x45, 0];
//! assert_eq!(Start::parse(&payload)?, Start::Header { len_bytes: header::BASE_LEN_BYTES });
//! let header = Header::parse(&payload)?;
//! assert_eq!(header.proto_ctype(), protocol::IPV4);
//! assert_eq!(payload[header.len_bytes()], 0x45, "the inner packet follows");
//! # Ok::<(), gue::Error>(())
//! ```

use crate::{protocol, remcsum, Dialect, Error, RemoteChecksum};
use zerocopy::{byteorder::big_endian::U16, byteorder::big_endian::U32, FromBytes, IntoBytes};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the part that every header has, in bytes.
pub const BASE_LEN_BYTES: usize = size_of::<RawHeader>();

/// Length of the longest header, in bytes: Hlen has five bits.
pub const MAX_LEN_BYTES: usize = BASE_LEN_BYTES + 4 * HLEN_MASK as usize;

/// Length of a header with a remote checksum and nothing else, in bytes: Linux's private word and the
/// field.
pub const REMOTE_CHECKSUM_LEN_BYTES: usize = BASE_LEN_BYTES + size_of::<U32>() + remcsum::LEN_BYTES;

/// The first byte of variant 1 and 2 at least; the variant is its highest two bits.
const VARIANT_1: u8 = 0x40;
const VARIANT_2: u8 = 0x80;
/// Bits of the first byte.
const CONTROL: u8 = 0x20;
const HLEN_MASK: u8 = 0x1f;

/// Linux's private flag: a word of private flags follows the fields.
pub(crate) const FLAG_PRIVATE: u16 = 0x0001;
/// Private flag: remote checksum offload, a field of 4 bytes.
const PRIVATE_REMCSUM: u32 = 0x8000_0000;

/// The part that every header has, as it stands on the wire.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RawHeader {
    variant_control_hlen: u8,
    proto_ctype: u8,
    flags: U16,
}

impl RawHeader {
    #[inline]
    fn len_bytes(&self) -> usize {
        // At most 4 + 4 * 31.
        BASE_LEN_BYTES + 4 * usize::from(self.variant_control_hlen & HLEN_MASK)
    }
}

/// What the first four bytes of a GUE packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Variant 0: a header of this many bytes, the four included.
    Header {
        /// 4 to 128, a multiple of 4.
        len_bytes: usize,
    },
    /// Variant 1: no header. The packet is one of this IP protocol, its first byte included.
    Direct {
        /// [`protocol::IPV4`] or [`protocol::IPV6`].
        protocol: u8,
    },
}

impl Start {
    /// Reads the first four bytes of a UDP payload.
    ///
    /// # Errors
    ///
    /// - [`Error::Truncated`]: fewer than four bytes.
    /// - [`Error::UnknownVariant`]: variant 2 or 3.
    /// - [`Error::UnknownIpVersion`]: variant 1 with an IP version that is neither 4 nor 6.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (raw, _) = RawHeader::ref_from_prefix(bytes).map_err(|_| Error::Truncated)?;
        // The same comparison as in `Header::parse`, so that it is made once.
        if raw.variant_control_hlen < VARIANT_1 {
            return Ok(Self::Header {
                len_bytes: raw.len_bytes(),
            });
        }
        // The variant is the upper half of the IP version, so the nibble tells both.
        match raw.variant_control_hlen >> 4 {
            4 => Ok(Self::Direct {
                protocol: protocol::IPV4,
            }),
            6 => Ok(Self::Direct {
                protocol: protocol::IPV6,
            }),
            _ if raw.variant_control_hlen < VARIANT_2 => Err(Error::UnknownIpVersion),
            _ => Err(Error::UnknownVariant),
        }
    }
}

/// A header of variant 0 that has been checked: its flags are understood and its fields are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    control: bool,
    proto_ctype: u8,
    flags: u16,
    len_bytes: usize,
    remote_checksum: Option<RemoteChecksum>,
}

impl Header {
    /// Reads a header as Linux does: [`Self::parse_dialect`] of [`Dialect::Linux`].
    ///
    /// # Errors
    ///
    /// Those of [`Self::parse_dialect`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse_dialect(bytes, Dialect::Linux)
    }

    /// Reads a header whose flags are those of `dialect`. `bytes` may go on behind it.
    ///
    /// Bytes between the last field and the header's end, surplus space, are not looked at. Whether a
    /// remote checksum lies within the payload is not known here: see
    /// [`RemoteChecksum::payload_needed`].
    ///
    /// # Errors
    ///
    /// In the order in which they are looked for:
    ///
    /// - [`Error::Truncated`]: fewer than four bytes.
    /// - [`Error::UnknownVariant`]: not variant 0.
    /// - [`Error::HeaderPastEnd`]: fewer bytes than Hlen says.
    /// - [`Error::UnknownFlag`]: a flag that `dialect` does not have.
    /// - [`Error::FieldPastHeader`]: Hlen leaves no room for a field that a flag announces.
    /// - [`Error::UnknownPrivateFlag`]: an unknown flag in Linux's private word.
    /// - [`Error::ChecksumBeforeStart`]: as [`RemoteChecksum::new`].
    #[inline]
    pub fn parse_dialect(bytes: &[u8], dialect: Dialect) -> Result<Self, Error> {
        let (raw, _) = RawHeader::ref_from_prefix(bytes).map_err(|_| Error::Truncated)?;
        if raw.variant_control_hlen >= VARIANT_1 {
            return Err(Error::UnknownVariant);
        }
        let len_bytes = raw.len_bytes();
        let fields = bytes
            .get(BASE_LEN_BYTES..len_bytes)
            .ok_or(Error::HeaderPastEnd)?;
        let flags = raw.flags.get();
        if flags & !dialect.known_flags() != 0 {
            return Err(Error::UnknownFlag);
        }
        let remote_checksum = if flags & FLAG_PRIVATE != 0 {
            parse_private(fields)?
        } else {
            None
        };
        Ok(Self {
            control: raw.variant_control_hlen & CONTROL != 0,
            proto_ctype: raw.proto_ctype,
            flags,
            len_bytes,
            remote_checksum,
        })
    }

    /// Whether this is a control message, for the decapsulator itself.
    #[inline]
    pub const fn is_control(&self) -> bool {
        self.control
    }

    /// The IP protocol of the payload, or the type of a control message.
    #[inline]
    pub const fn proto_ctype(&self) -> u8 {
        self.proto_ctype
    }

    /// The flags as they stood in the header, in host order. All of them are understood.
    #[inline]
    pub const fn flags(&self) -> u16 {
        self.flags
    }

    /// Hlen: length of what follows the first four bytes, in words of four bytes, 0 to 31.
    #[inline]
    pub const fn hlen_words(&self) -> usize {
        // Never below the four: saturating so that no overflow check is compiled in.
        self.len_bytes.saturating_sub(BASE_LEN_BYTES) / 4
    }

    /// Length of the header in bytes, 4 to 128; the payload follows.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// The checksum that the sender left to the receiver, if it did.
    #[inline]
    pub const fn remote_checksum(&self) -> Option<RemoteChecksum> {
        self.remote_checksum
    }
}

/// Reads the word of private flags and the fields that it announces.
#[inline]
fn parse_private(fields: &[u8]) -> Result<Option<RemoteChecksum>, Error> {
    let (word, fields) = U32::ref_from_prefix(fields).map_err(|_| Error::FieldPastHeader)?;
    let word = word.get();
    if word & !PRIVATE_REMCSUM != 0 {
        return Err(Error::UnknownPrivateFlag);
    }
    if word & PRIVATE_REMCSUM == 0 {
        return Ok(None);
    }
    let (raw, _) = remcsum::Raw::ref_from_prefix(fields).map_err(|_| Error::FieldPastHeader)?;
    RemoteChecksum::from_raw(raw).map(Some)
}

/// The values of a header of variant 0 without surplus space, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Whether this is a control message.
    pub control: bool,
    /// The IP protocol of the payload, or the type of the control message.
    pub proto_ctype: u8,
    /// The checksum that is left to the receiver.
    pub remote_checksum: Option<RemoteChecksum>,
}

impl Repr {
    /// The values of a header; its surplus space is not kept.
    #[inline]
    pub const fn of(header: &Header) -> Self {
        Self {
            control: header.control,
            proto_ctype: header.proto_ctype,
            remote_checksum: header.remote_checksum,
        }
    }

    /// Length of the header in bytes.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        match self.remote_checksum {
            Some(_) => REMOTE_CHECKSUM_LEN_BYTES,
            None => BASE_LEN_BYTES,
        }
    }

    /// Writes the header to the first [`Self::len_bytes`] bytes of `buffer`.
    ///
    /// ```
    /// use gue::{protocol, Header, Repr};
    ///
    /// let repr = Repr { control: false, proto_ctype: protocol::GRE, remote_checksum: None };
    /// let mut buffer = [0; 4];
    /// repr.emit(&mut buffer)?;
    /// assert_eq!(buffer, [0, 47, 0, 0]);
    /// assert_eq!(Repr::of(&Header::parse(&buffer)?), repr);
    /// # Ok::<(), gue::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::BufferTooShort`]: `buffer` is shorter than that; nothing is written.
    /// - [`Error::HeaderTooLong`]: more fields than Hlen can count. No [`Repr`] of today is.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let len_bytes = self.len_bytes();
        let header = buffer.get_mut(..len_bytes).ok_or(Error::BufferTooShort)?;
        let hlen_words = u8::try_from((len_bytes - BASE_LEN_BYTES) / 4)
            .ok()
            .filter(|words| *words <= HLEN_MASK)
            .ok_or(Error::HeaderTooLong)?;
        let raw = RawHeader {
            variant_control_hlen: if self.control { CONTROL } else { 0 } | hlen_words,
            proto_ctype: self.proto_ctype,
            flags: if self.remote_checksum.is_some() {
                FLAG_PRIVATE
            } else {
                0
            }
            .into(),
        };
        let rest = emit_prefix(&raw, header)?;
        if let Some(remote) = self.remote_checksum {
            let rest = emit_prefix(&U32::new(PRIVATE_REMCSUM), rest)?;
            emit_prefix(&remote.to_raw(), rest)?;
        }
        Ok(())
    }
}

/// Writes a field and returns what is left of the buffer.
#[inline]
fn emit_prefix<'a, T: IntoBytes + zerocopy::Immutable>(
    field: &T,
    buffer: &'a mut [u8],
) -> Result<&'a mut [u8], Error> {
    let (to, rest) = buffer
        .split_at_mut_checked(size_of::<T>())
        .ok_or(Error::BufferTooShort)?;
    field.write_to(to).map_err(|_| Error::BufferTooShort)?;
    Ok(rest)
}
