// SPDX-License-Identifier: GPL-2.0

//! The fields between the first four bytes of a header and its surplus space.
//!
//! Fields lie in the order of their flags, from bit 0 on, without padding (gue-09). Each
//! [`Dialect`](crate::Dialect) has a [`FieldSet`], which a walk reads. A sender writes [`FieldValues`]. Reading and
//! writing visit the fields in the order of their flags, each with a cursor.
//!
//! To add a field, give it a module with its flag, its length, `parse` and `emit`, as [`private`] has. Then add the
//! field to [`layout`](crate::layout) and to the types that read or write it, in the order of the flags.

use crate::{private, Error, Private, RemoteChecksum};
use core::fmt::Debug;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The fields that a walk reads from the headers of a dialect.
pub trait FieldSet: Copy + Debug + Eq {
    /// No field.
    const NONE: Self;

    /// The flags that [`Self::parse`] understands, in host order.
    const KNOWN_FLAGS: u16;

    /// Returns the checksum that the sender leaves to the receiver, in the drafts' form or in Linux's.
    fn remote_checksum(&self) -> Option<RemoteChecksum>;

    /// Reads the fields of this set that `flags` announces, and skips the others. `bytes` may continue after the
    /// fields.
    ///
    /// The caller must refuse unknown flags first.
    ///
    /// # Errors
    ///
    /// - [`Error::FieldPastHeader`]: `bytes` is too short for the fields.
    /// - [`Error::UnknownFlag`]: two flags exclude each other.
    /// - Errors of the fields: [`Error::ReservedSecurity`], [`Error::UnknownPrivateFlag`],
    ///   [`Error::ChecksumBeforeStart`].
    fn parse(flags: u16, bytes: &[u8]) -> Result<Self, Error>;
}

/// The values of the fields that a sender writes.
pub trait FieldValues: Copy + Debug + Eq {
    /// Returns the flags that announce these fields, in host order.
    fn flags(&self) -> u16;

    /// Returns the length of the fields in bytes, a multiple of 4.
    fn len_bytes(&self) -> usize;

    /// Writes the fields at the writer's position, [`Self::len_bytes`] bytes in all.
    ///
    /// # Errors
    ///
    /// [`Error::BufferTooShort`] if fewer bytes are left.
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

    /// Returns fields with a remote checksum, in Linux's form.
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
    fn remote_checksum(&self) -> Option<RemoteChecksum> {
        self.remote_checksum()
    }

    #[inline(always)]
    fn parse(flags: u16, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        // In flag order: each line moves the reader past its field.
        Ok(Self {
            private: if flags & private::FLAG != 0 {
                Some(Private::parse(&mut reader)?)
            } else {
                None
            },
        })
    }
}

impl FieldValues for Fields {
    #[inline]
    fn flags(&self) -> u16 {
        self.flags()
    }

    #[inline]
    fn len_bytes(&self) -> usize {
        self.len_bytes()
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

/// A cursor over the bytes that are not read yet.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Moves past the next bytes without reading them.
    ///
    /// # Errors
    ///
    /// [`Error::FieldPastHeader`] if fewer bytes are left.
    #[inline]
    pub(crate) fn skip(&mut self, len_bytes: usize) -> Result<(), Error> {
        self.0 = self.0.get(len_bytes..).ok_or(Error::FieldPastHeader)?;
        Ok(())
    }

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

/// A cursor over the bytes that are not written yet.
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
