// SPDX-License-Identifier: GPL-2.0

//! A header that is prepared once and copied before each packet.

use crate::{
    checksum, crc, fragment, group,
    header::MAX_LEN_BYTES,
    layout, nat, private, remcsum,
    security::{self, Coverage, RawCoverage, RawHmac, DIGEST_LEN_BYTES},
    surplus, Device, DeviceFields, Error, Fragment, Header, RemoteChecksum, Repr, View,
};
use core::mem::offset_of;
use zerocopy::{
    byteorder::{
        big_endian::{U16, U32 as BigU32},
        little_endian::U32,
    },
    Immutable, IntoBytes,
};

/// The bytes of a header that do not change between packets. Values that do change are set in each copy, at
/// offsets that follow from the flags.
///
/// ```
/// use gue::{checksum, protocol, Checksum, DeviceFields, Repr, Template};
///
/// let repr = Repr {
///     control: false,
///     proto_ctype: protocol::IPV4,
///     fields: DeviceFields {
///         group: Some(7),
///         checksum: Some(Checksum { value: 0, coverage: 0 }),
///         ..DeviceFields::NONE
///     },
/// };
/// let template = Template::new(&repr, &[])?;
///
/// let mut packet = [0; 12];
/// let mut header = template.start(&mut packet)?;
/// header.set_checksum(0x2129).unwrap();
/// assert_eq!(packet, [0x02, 4, 0x81, 0, 0, 0, 0, 7, 0x21, 0x29, 0, 0]);
/// # Ok::<(), gue::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    bytes: [u8; MAX_LEN_BYTES],
    /// At most [`MAX_LEN_BYTES`].
    len_bytes: u8,
    flags: u16,
}

impl Template {
    /// Prepares a header, with surplus space after its fields.
    ///
    /// # Errors
    ///
    /// [`Error::HeaderTooLong`].
    #[inline]
    pub fn new(repr: &Repr<DeviceFields>, surplus: &[[u8; 4]]) -> Result<Self, Error> {
        let mut bytes = [0; MAX_LEN_BYTES];
        let len_bytes = repr.emit_with_surplus(surplus, &mut bytes)?;
        Ok(Self {
            bytes,
            len_bytes: u8::try_from(len_bytes).map_err(|_| Error::HeaderTooLong)?,
            flags: repr.fields.flags(),
        })
    }

    /// Returns the length of the header in bytes.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes as usize
    }

    /// Returns the flags, in host order.
    #[inline]
    pub const fn flags(&self) -> u16 {
        self.flags
    }

    /// Returns the header's bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len_bytes()).unwrap_or(&self.bytes)
    }

    /// Copies the header to the start of a packet.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooShort`]: nothing is written.
    #[inline]
    pub fn start<'a>(&self, packet: &'a mut [u8]) -> Result<Started<'a>, Error> {
        let bytes = packet
            .get_mut(..self.len_bytes())
            .ok_or(Error::BufferTooShort)?;
        bytes.copy_from_slice(self.as_bytes());
        Ok(Started {
            bytes,
            flags: self.flags,
        })
    }
}

impl Template {
    /// Copies the header to the start of a packet, as [`Self::start`] does, and appends surplus space.
    ///
    /// # Errors
    ///
    /// The errors of [`surplus::append`].
    #[inline]
    pub fn start_with_surplus<'a>(
        &self,
        packet: &'a mut [u8],
        surplus: &[u8],
    ) -> Result<Started<'a>, Error> {
        let len = self.start(packet)?.bytes.len();
        let len = surplus::append(packet, len, surplus)?;
        Ok(Started {
            bytes: packet.get_mut(..len).ok_or(Error::BufferTooShort)?,
            flags: self.flags,
        })
    }
}

/// The header does not have the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent;

/// A copy of a [`Template`] at the start of a packet. The sender sets the values that differ between packets.
///
/// The sender sets digest, CRC and checksum last, in this order: see [`covered`](crate::covered).
#[derive(Debug)]
pub struct Started<'a> {
    bytes: &'a mut [u8],
    flags: u16,
}

impl Started<'_> {
    /// Returns the header as a receiver sees it; `None` if a receiver would refuse it.
    #[inline]
    pub fn view(&self) -> Option<View<'_>> {
        Header::parse(self.bytes, Device::ALL)
            .ok()?
            .view(self.bytes)
    }

    #[inline]
    fn set<T: IntoBytes + Immutable>(
        &mut self,
        field: u16,
        offset: usize,
        value: &T,
    ) -> Result<(), Absent> {
        if self.flags & field == 0 {
            return Err(Absent);
        }
        let at = layout::offset_of(self.flags, field) + offset;
        let to = self.bytes.get_mut(at..).ok_or(Absent)?;
        value.write_to_prefix(to).map_err(|_| Absent)
    }

    /// Returns the header's bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Overwrites the header with `bytes`, another copy of the template. Returns `false`, and writes nothing, if the
    /// lengths differ.
    #[inline]
    pub fn set_all(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() != self.bytes.len() {
            return false;
        }
        self.bytes.copy_from_slice(bytes);
        true
    }

    /// Sets the IP protocol of the payload, or the type of a control message.
    #[inline]
    pub fn set_proto_ctype(&mut self, proto_ctype: u8) {
        if let Some(byte) = self.bytes.get_mut(1) {
            *byte = proto_ctype;
        }
    }

    /// Sets the group identifier.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_group(&mut self, group: u32) -> Result<(), Absent> {
        self.set(group::FLAG, 0, &BigU32::new(group))
    }

    /// Sets the cookie.
    ///
    /// # Errors
    ///
    /// [`Absent`]: the header has no cookie, or one of another length.
    #[inline]
    pub fn set_cookie(&mut self, cookie: &[u8]) -> Result<(), Absent> {
        match security::Method::of(self.flags) {
            Ok(Some(method))
                if method != security::Method::Hmac && method.len_bytes() == cookie.len() => {}
            _ => return Err(Absent),
        }
        let at = layout::offset_of(self.flags, security::FLAGS);
        let to = self.bytes.get_mut(at..at + cookie.len()).ok_or(Absent)?;
        to.copy_from_slice(cookie);
        Ok(())
    }

    /// Sets the number of the keyed hash's key.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_key_id(&mut self, key_id: u32) -> Result<(), Absent> {
        self.hmac_value(offset_of!(RawHmac, key_id), &BigU32::new(key_id))
    }

    /// Sets a value of the keyed hash. Fails with [`Absent`] if the header has a cookie, or no security field.
    #[inline]
    fn hmac_value<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: &T,
    ) -> Result<(), Absent> {
        if self.flags & security::FLAGS != security::Method::Hmac.flags() {
            return Err(Absent);
        }
        self.set(security::Method::Hmac.flags(), offset, value)
    }

    /// Sets the part of the payload that the keyed hash covers.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_hmac_coverage(&mut self, coverage: Coverage) -> Result<(), Absent> {
        let raw = RawCoverage::from(coverage);
        self.hmac_value(offset_of!(RawHmac, coverage), &raw)
    }

    /// Sets the digest of the keyed hash.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_digest(&mut self, digest: &[u8; DIGEST_LEN_BYTES]) -> Result<(), Absent> {
        self.hmac_value(offset_of!(RawHmac, digest), digest)
    }

    /// Sets the fragment field.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_fragment(&mut self, fragment: &Fragment) -> Result<(), Absent> {
        self.set(fragment::FLAG, 0, &fragment.raw())
    }

    /// Sets the place of a remote checksum, in the form that the header has.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_remote_checksum(&mut self, remote: &RemoteChecksum) -> Result<(), Absent> {
        if self.flags & remcsum::FLAG != 0 {
            return self.set(remcsum::FLAG, 0, &remote.raw());
        }
        self.set(private::FLAG, private::WORD_LEN_BYTES, &remote.raw())
    }

    /// Sets the value of the checksum.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_checksum(&mut self, value: u16) -> Result<(), Absent> {
        self.set(
            checksum::FLAG,
            offset_of!(checksum::Raw, value),
            &U16::new(value),
        )
    }

    /// Sets the number of payload bytes that the checksum covers.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_checksum_coverage(&mut self, coverage: u16) -> Result<(), Absent> {
        self.set(
            checksum::FLAG,
            offset_of!(checksum::Raw, coverage),
            &U16::new(coverage),
        )
    }

    /// Sets the NAT address checksum.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_nat(&mut self, value: u16) -> Result<(), Absent> {
        self.set(nat::FLAG, offset_of!(nat::Raw, value), &U16::new(value))
    }

    /// Sets the value of the alternate checksum.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_crc(&mut self, value: u32) -> Result<(), Absent> {
        self.set(crc::FLAG, offset_of!(crc::Raw, value), &U32::new(value))
    }

    /// Sets the number of payload bytes that the alternate checksum covers.
    ///
    /// # Errors
    ///
    /// [`Absent`].
    #[inline]
    pub fn set_crc_coverage(&mut self, coverage: u16) -> Result<(), Absent> {
        self.set(
            crc::FLAG,
            offset_of!(crc::Raw, coverage),
            &U16::new(coverage),
        )
    }
}
