// SPDX-License-Identifier: GPL-2.0

//! The header of variant 0, and variant 1, which has none.
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
//! A receiver gets a [`Header`] from [`walk`](crate::walk()). A sender writes a [`Repr`].

use crate::{
    fields::{FieldSet, FieldValues, Fields, Writer},
    private, protocol, remcsum,
    walk::{walk, PayloadEnd, WalkError},
    Dialect, Error,
};
use zerocopy::{byteorder::big_endian::U16, FromBytes};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of the part that every header has, in bytes.
pub const BASE_LEN_BYTES: usize = size_of::<RawHeader>();

/// Length of the longest header, in bytes: Hlen has five bits.
pub const MAX_LEN_BYTES: usize = BASE_LEN_BYTES + 4 * HLEN_MASK as usize;

/// Length of a header whose only field is a remote checksum, in bytes: Linux's private word, then the
/// field.
pub const REMOTE_CHECKSUM_LEN_BYTES: usize =
    BASE_LEN_BYTES + private::WORD_LEN_BYTES + remcsum::LEN_BYTES;

/// The lowest first byte of variants 1 and 2. The two highest bits are the variant.
const VARIANT_1: u8 = 0x40;
const VARIANT_2: u8 = 0x80;
/// Bits of the first byte.
const CONTROL: u8 = 0x20;
const HLEN_MASK: u8 = 0x1f;

/// The layout of the part that every header has.
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

/// The form of a UDP payload, read from its first four bytes.
pub(crate) enum Start {
    /// Variant 0: a header of this many bytes, the four included.
    Header { len_bytes: usize },
    /// Variant 1: no header. The payload is a packet of this IP protocol.
    Direct { protocol: u8 },
}

impl Start {
    /// Reads the first four bytes of a UDP payload.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (raw, _) = RawHeader::ref_from_prefix(bytes).map_err(|_| Error::Truncated)?;
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

/// A checked header: all of its flags are known and all of its fields are there.
///
/// Variant 1 has a header of no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<F = Fields> {
    /// 0 for variant 1.
    len_bytes: usize,
    control: bool,
    proto_ctype: u8,
    fields: F,
}

impl<F: FieldSet> Header<F> {
    /// Reads the header at the start of `bytes`, which may continue after the header.
    ///
    /// # Errors
    ///
    /// The errors of [`walk`](crate::walk()); [`Error::Truncated`] and [`Error::HeaderPastEnd`] if
    /// `bytes` is too short.
    #[inline]
    pub fn parse<D: Dialect<Fields = F>>(bytes: &[u8], dialect: D) -> Result<Self, Error> {
        let mut payload = bytes;
        walk(&mut payload, dialect).map_err(|error| match error {
            WalkError::Prefix {
                cause: PayloadEnd,
                if_short,
            } => if_short,
            WalkError::Header(error) => error,
        })
    }

    /// Returns the header of no bytes before a packet of an IP protocol.
    #[inline]
    pub(crate) fn direct(protocol: u8) -> Self {
        Self {
            len_bytes: 0,
            control: false,
            proto_ctype: protocol,
            fields: F::NONE,
        }
    }

    /// Reads a header of variant 0. [`Start`] has its length in bytes.
    // Inlined into each walk, so that the result stays in registers.
    #[inline(always)]
    pub(crate) fn parse_variant_0<D: Dialect<Fields = F>>(
        bytes: &[u8],
        len_bytes: usize,
        dialect: D,
    ) -> Result<Self, Error> {
        let (raw, _) = RawHeader::ref_from_prefix(bytes).map_err(|_| Error::Truncated)?;
        let fields = bytes
            .get(BASE_LEN_BYTES..len_bytes)
            .ok_or(Error::HeaderPastEnd)?;
        let flags = raw.flags.get();
        if flags & !dialect.known_flags() != 0 {
            return Err(Error::UnknownFlag);
        }
        Ok(Self {
            len_bytes,
            control: raw.variant_control_hlen & CONTROL != 0,
            proto_ctype: raw.proto_ctype,
            fields: F::parse(flags, fields)?,
        })
    }

    /// Returns the length of the header in bytes: 4 to 128, a multiple of 4, for variant 0, and 0 for
    /// variant 1. The payload follows.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Returns `true` for variant 1, which has no header.
    #[inline]
    pub const fn is_direct(&self) -> bool {
        self.len_bytes == 0
    }

    /// Returns `true` for a control message, which is for the decapsulator itself.
    #[inline]
    pub const fn is_control(&self) -> bool {
        self.control
    }

    /// Returns the IP protocol of the payload, or the type of a control message.
    #[inline]
    pub const fn proto_ctype(&self) -> u8 {
        self.proto_ctype
    }

    /// Returns the fields.
    #[inline]
    pub const fn fields(&self) -> F {
        self.fields
    }
}

impl<F: FieldSet + FieldValues> Header<F> {
    /// Returns the values of the header without its surplus space; `None` for variant 1.
    #[inline]
    pub const fn repr(&self) -> Option<Repr<F>> {
        if self.is_direct() {
            return None;
        }
        Some(Repr {
            control: self.control,
            proto_ctype: self.proto_ctype,
            fields: self.fields,
        })
    }
}

/// The values of a header of variant 0 without surplus space, for [`Repr::emit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr<F = Fields> {
    /// `true` for a control message.
    pub control: bool,
    /// The IP protocol of the payload, or the type of the control message.
    pub proto_ctype: u8,
    /// The fields.
    pub fields: F,
}

impl<F: FieldValues> Repr<F> {
    /// Returns the length of the header in bytes.
    #[inline]
    pub fn len_bytes(&self) -> usize {
        BASE_LEN_BYTES + self.fields.len_bytes()
    }

    /// Writes the header to the first [`Self::len_bytes`] bytes of `buffer`.
    ///
    /// ```
    /// use gue::{protocol, Fields, Header, Linux, Repr};
    ///
    /// let repr = Repr { control: false, proto_ctype: protocol::GRE, fields: Fields::NONE };
    /// let mut buffer = [0; 4];
    /// repr.emit(&mut buffer)?;
    /// assert_eq!(buffer, [0, 47, 0, 0]);
    /// assert_eq!(Header::parse(&buffer, Linux)?.repr(), Some(repr));
    /// # Ok::<(), gue::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::BufferTooShort`]: `buffer` is shorter than the header. Nothing is written.
    /// - [`Error::HeaderTooLong`]: the fields have more words than Hlen can count. No [`Repr`] of this crate
    ///   has that many.
    #[inline(always)]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let len_bytes = self.len_bytes();
        let header = buffer.get_mut(..len_bytes).ok_or(Error::BufferTooShort)?;
        let hlen_words = u8::try_from((len_bytes - BASE_LEN_BYTES) / 4)
            .ok()
            .filter(|words| *words <= HLEN_MASK)
            .ok_or(Error::HeaderTooLong)?;
        let mut writer = Writer::new(header);
        writer.put(&RawHeader {
            variant_control_hlen: if self.control { CONTROL } else { 0 } | hlen_words,
            proto_ctype: self.proto_ctype,
            flags: self.fields.flags().into(),
        })?;
        self.fields.emit(&mut writer)
    }
    /// Writes the header and surplus space after its fields. Returns the length of both in bytes.
    ///
    /// gue-09 requires receivers to skip surplus space. Ends that agree on a meaning use it for private data.
    ///
    /// # Errors
    ///
    /// - [`Error::BufferTooShort`]: `buffer` is shorter than both. Nothing is written.
    /// - [`Error::HeaderTooLong`]: fields and surplus space have more words than Hlen can count. Nothing is
    ///   written.
    #[inline]
    pub fn emit_with_surplus(
        &self,
        surplus: &[[u8; 4]],
        buffer: &mut [u8],
    ) -> Result<usize, Error> {
        let fields_end = self.len_bytes();
        let surplus_words = u8::try_from(surplus.len()).map_err(|_| Error::HeaderTooLong)?;
        let len_bytes = fields_end + 4 * surplus.len();
        if len_bytes > MAX_LEN_BYTES {
            return Err(Error::HeaderTooLong);
        }
        let header = buffer.get_mut(..len_bytes).ok_or(Error::BufferTooShort)?;
        self.emit(header)?;
        let to = header.iter_mut().skip(fields_end);
        for (to, from) in to.zip(surplus.as_flattened()) {
            *to = *from;
        }
        if let Some(variant_control_hlen) = header.first_mut() {
            // No carry into C: the sum is at most HLEN_MASK.
            *variant_control_hlen += surplus_words;
        }
        Ok(len_bytes)
    }
}
