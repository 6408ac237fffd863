// SPDX-License-Identifier: GPL-2.0

//! The fields between the first four bytes of a header and its surplus space.
//!
//! Fields lie in the order of their flags, from bit 0 on, without padding (gue-09). Each
//! [`Dialect`](crate::Dialect) has a [`FieldSet`], which names its fields in this order. `parse` and `emit`
//! visit them in the same order with a cursor: the offset of a field follows from the fields before it and
//! is written down nowhere.
//!
//! To add a field, give it a module with its flag, its length, `parse` and `emit`, as [`private`] has.
//! Then add one line at its place in the order to the sets that have it, and to each of their methods.

use crate::{group, private, remcsum, Error, Private, RemoteChecksum};
use core::fmt::Debug;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The fields of a dialect's headers.
pub trait FieldSet: Copy + Debug + Eq {
    /// No field.
    const NONE: Self;

    /// The flags of all fields, in host order.
    const KNOWN_FLAGS: u16;

    /// Returns the flags that announce these fields, in host order.
    fn flags(&self) -> u16;

    /// Returns the length of the fields in bytes, a multiple of 4.
    fn len_bytes(&self) -> usize;

    /// Returns the checksum that the sender leaves to the receiver, in whichever form.
    fn remote_checksum(&self) -> Option<RemoteChecksum>;

    /// Reads the fields that `flags` announces. `bytes` may continue after them.
    ///
    /// The caller has refused unknown flags.
    ///
    /// # Errors
    ///
    /// - [`Error::FieldPastHeader`]: `bytes` ends within a field.
    /// - [`Error::UnknownFlag`]: two flags exclude each other.
    /// - Errors of the fields: [`Error::UnknownPrivateFlag`], [`Error::ChecksumBeforeStart`].
    fn parse(flags: u16, bytes: &[u8]) -> Result<Self, Error>;

    /// Writes the fields to the first [`Self::len_bytes`] bytes of the writer's buffer.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooShort`].
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error>;
}

/// The fields of Linux's headers, in flag order. `None`: the flag is not set.
///
/// ```
/// use gue::{Fields, RemoteChecksum};
///
/// let remote = RemoteChecksum::new(20, 36).unwrap();
/// let fields = Fields::with_remote_checksum(remote);
/// assert_eq!(fields.remote_checksum(), Some(remote));
/// assert_eq!(fields.flags(), gue::private::FLAG);
/// assert_eq!(fields.len_bytes(), 8);
/// assert_eq!(Fields::NONE.len_bytes(), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Flag bit 15: Linux's private word and the fields that it announces.
    pub private: Option<Private>,
}

impl Fields {
    /// No field.
    pub const NONE: Self = Self { private: None };

    /// Returns the fields of a packet whose checksum the sender leaves to the receiver, in the form
    /// that Linux sends.
    #[inline]
    pub const fn with_remote_checksum(remote: RemoteChecksum) -> Self {
        Self {
            private: Some(Private {
                remote_checksum: Some(remote),
            }),
        }
    }

    /// Returns the checksum that the sender leaves to the receiver.
    #[inline]
    pub const fn remote_checksum(&self) -> Option<RemoteChecksum> {
        match self.private {
            Some(private) => private.remote_checksum,
            None => None,
        }
    }

    /// Returns the flags that announce these fields, in host order.
    #[inline]
    pub const fn flags(&self) -> u16 {
        match self.private {
            Some(_) => private::FLAG,
            None => 0,
        }
    }

    /// Returns the length of the fields in bytes, a multiple of 4.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        match &self.private {
            Some(private) => private.len_bytes(),
            None => 0,
        }
    }
}

impl FieldSet for Fields {
    const NONE: Self = Self::NONE;
    const KNOWN_FLAGS: u16 = private::FLAG;

    #[inline]
    fn flags(&self) -> u16 {
        self.flags()
    }

    #[inline]
    fn len_bytes(&self) -> usize {
        self.len_bytes()
    }

    #[inline]
    fn remote_checksum(&self) -> Option<RemoteChecksum> {
        self.remote_checksum()
    }

    #[inline]
    fn parse(flags: u16, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        // In flag order: each line moves the reader past its field.
        Ok(Self {
            private: if flags & private::FLAG != 0 {
                Some(Private::parse(&mut reader)?)
            } else {
                None
            },
        })
    }

    #[inline(always)]
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        // In flag order, as in `parse`.
        if let Some(private) = &self.private {
            private.emit(writer)?;
        }
        Ok(())
    }
}

/// The fields of a `gue` device's headers, in flag order. `None`: the flag is not set.
///
/// ```
/// use gue::{DeviceFields, RemoteChecksum};
///
/// let remote = RemoteChecksum::new(20, 36).unwrap();
/// let fields = DeviceFields { group: Some(7), remcsum: Some(remote), ..DeviceFields::NONE };
/// assert_eq!(fields.flags(), gue::group::FLAG | gue::remcsum::FLAG);
/// assert_eq!(fields.len_bytes(), 8);
/// assert_eq!(fields.remote_checksum(), Some(remote));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFields {
    /// Flag bit 0: the group that the packet belongs to.
    pub group: Option<u32>,
    /// Flag bit 6: a remote checksum in the drafts' form. Excludes the one in Linux's.
    pub remcsum: Option<RemoteChecksum>,
    /// Flag bit 15: Linux's private word and the fields that it announces.
    pub private: Option<Private>,
}

impl DeviceFields {
    /// No field.
    pub const NONE: Self = Self {
        group: None,
        remcsum: None,
        private: None,
    };

    /// Returns the checksum that the sender leaves to the receiver, in whichever form.
    #[inline]
    pub const fn remote_checksum(&self) -> Option<RemoteChecksum> {
        match (self.remcsum, self.private) {
            (Some(remote), _) => Some(remote),
            (None, Some(private)) => private.remote_checksum,
            (None, None) => None,
        }
    }

    /// Returns the flags that announce these fields, in host order.
    #[inline]
    pub const fn flags(&self) -> u16 {
        (if self.group.is_some() { group::FLAG } else { 0 })
            | (if self.remcsum.is_some() {
                remcsum::FLAG
            } else {
                0
            })
            | (if self.private.is_some() {
                private::FLAG
            } else {
                0
            })
    }

    /// Returns the length of the fields in bytes, a multiple of 4.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        (if self.group.is_some() {
            group::LEN_BYTES
        } else {
            0
        }) + (if self.remcsum.is_some() {
            remcsum::LEN_BYTES
        } else {
            0
        }) + match &self.private {
            Some(private) => private.len_bytes(),
            None => 0,
        }
    }
}

impl FieldSet for DeviceFields {
    const NONE: Self = Self::NONE;
    const KNOWN_FLAGS: u16 = group::FLAG | remcsum::FLAG | private::FLAG;

    #[inline]
    fn flags(&self) -> u16 {
        self.flags()
    }

    #[inline]
    fn len_bytes(&self) -> usize {
        self.len_bytes()
    }

    #[inline]
    fn remote_checksum(&self) -> Option<RemoteChecksum> {
        self.remote_checksum()
    }

    #[inline(always)]
    fn parse(flags: u16, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        let mut fields = Self::NONE;
        // In flag order: each part moves the reader past its field.
        if flags & group::FLAG != 0 {
            fields.group = Some(group::parse(&mut reader)?);
        }
        if flags & (remcsum::FLAG | private::FLAG) != 0 {
            fields.parse_remcsum(flags, &mut reader)?;
        }
        Ok(fields)
    }

    #[inline(always)]
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Error> {
        // In flag order, as in `parse`.
        if let Some(group) = self.group {
            group::emit(group, writer)?;
        }
        if let Some(remote) = &self.remcsum {
            remote.emit(writer)?;
        }
        if let Some(private) = &self.private {
            private.emit(writer)?;
        }
        Ok(())
    }
}

impl DeviceFields {
    #[inline]
    fn parse_remcsum(&mut self, flags: u16, reader: &mut Reader<'_>) -> Result<(), Error> {
        if flags & remcsum::FLAG != 0 {
            self.remcsum = Some(RemoteChecksum::parse(reader)?);
        }
        if flags & private::FLAG != 0 {
            let private = Private::parse(reader)?;
            // One packet has one checksum that its sender leaves to the receiver.
            if self.remcsum.is_some() && private.remote_checksum.is_some() {
                return Err(Error::UnknownFlag);
            }
            self.private = Some(private);
        }
        Ok(())
    }
}

/// A cursor over the fields that are still to be read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads the next bytes as a `T` and moves past them.
    ///
    /// # Errors
    ///
    /// [`Error::FieldPastHeader`] if fewer bytes are left.
    #[inline]
    pub(crate) fn take<T>(&mut self) -> Result<&'a T, Error>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        let (value, rest) = T::ref_from_prefix(self.0).map_err(|_| Error::FieldPastHeader)?;
        self.0 = rest;
        Ok(value)
    }
}

/// A cursor over the bytes that are still to be written.
pub struct Writer<'a>(&'a mut [u8]);

impl<'a> Writer<'a> {
    #[inline]
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self(buffer)
    }

    /// Writes `value` and moves past it.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooShort`] if fewer bytes are left.
    #[inline(always)]
    pub(crate) fn put<T: IntoBytes + Immutable>(&mut self, value: &T) -> Result<(), Error> {
        let (to, rest) = core::mem::take(&mut self.0)
            .split_at_mut_checked(size_of::<T>())
            .ok_or(Error::BufferTooShort)?;
        self.0 = rest;
        value.write_to(to).map_err(|_| Error::BufferTooShort)
    }
}
