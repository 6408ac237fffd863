// SPDX-License-Identifier: GPL-2.0

//! The fields of a `gue` device's headers.
//!
//! A walk notes the two fields that a receiver needs for every packet: the group, which names the device, and
//! a remote checksum. The other fields stay in the header's bytes, which a [`View`](crate::View) reads. A
//! sender writes [`DeviceFields`].

use crate::{
    fields::{FieldSet, FieldValues, Reader, Writer},
    fragment, group, layout, nat, private, remcsum,
    security::{self, Method},
    transform, Checksum, Crc, Error, Fragment, NatChecksum, Private, RemoteChecksum, Security,
    Transform,
};

/// The fields that a walk notes.
///
/// ```
/// use gue::{Device, Header};
///
/// let header = Header::parse(&[0x02, 4, 0x82, 0, 0, 0, 0, 7, 0, 20, 0, 36], Device::ALL)?;
/// assert_eq!(header.fields().group, Some(7));
/// assert_eq!(header.fields().remote_checksum().map(|remote| remote.start()), Some(20));
/// # Ok::<(), gue::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceNotes {
    flags: u16,
    /// Flag bit 0: the group that the packet belongs to.
    pub group: Option<u32>,
    remote_checksum: Option<RemoteChecksum>,
}

/// The flags of fields before and after a remote checksum in the drafts' form, without the group.
const BEFORE_REMCSUM: u16 = security::FLAGS | fragment::FLAG | transform::FLAG;
const AFTER_REMCSUM: u16 = crate::checksum::FLAG | nat::FLAG | crate::crc::FLAG;

impl DeviceNotes {
    /// Returns the flags, in host order.
    #[inline]
    pub const fn flags(&self) -> u16 {
        self.flags
    }

    /// Returns the checksum that the sender leaves to the receiver, in whichever form.
    #[inline]
    pub const fn remote_checksum(&self) -> Option<RemoteChecksum> {
        self.remote_checksum
    }
}

/// Reads the fields after the group, and returns the remote checksum.
// Not inlined: other headers should not save registers for it.
#[inline(never)]
fn remcsum_after_group(
    flags: u16,
    mut reader: Reader<'_>,
) -> Result<Option<RemoteChecksum>, Error> {
    let mut remote_checksum = None;
    // In flag order: each part moves the reader past its fields.
    Method::of(flags)?;
    reader.skip(layout::len_bytes(flags & BEFORE_REMCSUM))?;
    if flags & remcsum::FLAG != 0 {
        remote_checksum = Some(RemoteChecksum::parse(&mut reader)?);
    }
    reader.skip(layout::len_bytes(flags & AFTER_REMCSUM))?;
    if flags & private::FLAG != 0 {
        if let Some(remote) = Private::parse(&mut reader)?.remote_checksum {
            // A sender may leave only one checksum of a packet to the receiver.
            if remote_checksum.is_some() {
                return Err(Error::UnknownFlag);
            }
            remote_checksum = Some(remote);
        }
    }
    Ok(remote_checksum)
}

impl FieldSet for DeviceNotes {
    const NONE: Self = Self {
        flags: 0,
        group: None,
        remote_checksum: None,
    };
    const KNOWN_FLAGS: u16 = layout::DRAFT_FLAGS | private::FLAG;

    #[inline]
    fn remote_checksum(&self) -> Option<RemoteChecksum> {
        self.remote_checksum
    }

    #[inline(always)]
    fn parse(flags: u16, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let mut notes = Self {
            flags,
            ..Self::NONE
        };
        if flags & group::FLAG != 0 {
            notes.group = Some(group::parse(&mut reader)?);
        }
        // Most headers have no other field, or only a cookie or a keyed hash.
        match flags & !group::FLAG {
            0 => {}
            security if security & !security::FLAGS == 0 => reader
                .skip(Method::len_bytes_of(security))
                .map_err(|past_header| Method::of(security).err().unwrap_or(past_header))?,
            // A remote checksum alone, in either form.
            remcsum::FLAG => notes.remote_checksum = Some(RemoteChecksum::parse(&mut reader)?),
            private::FLAG => notes.remote_checksum = Private::parse(&mut reader)?.remote_checksum,
            _ => notes.remote_checksum = remcsum_after_group(flags, reader)?,
        }
        Ok(notes)
    }
}

/// The values of the fields, in flag order, to be written. `None`: the flag is not set.
///
/// ```
/// use gue::{DeviceFields, RemoteChecksum};
///
/// let remote = RemoteChecksum::new(20, 36).unwrap();
/// let fields = DeviceFields { group: Some(7), remcsum: Some(remote), ..DeviceFields::NONE };
/// assert_eq!(fields.flags(), gue::group::FLAG | gue::remcsum::FLAG);
/// assert_eq!(fields.len_bytes(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFields {
    /// G, flag bit 0: the group that the packet belongs to.
    pub group: Option<u32>,
    /// SEC, flag bits 1 to 3: a cookie or a keyed hash.
    pub security: Option<Security>,
    /// F, flag bit 4: the place of a fragment.
    pub fragment: Option<Fragment>,
    /// T, flag bit 5: a payload transform.
    pub transform: Option<Transform>,
    /// R, flag bit 6: a remote checksum in the drafts' form. Receivers refuse a header that also has a remote
    /// checksum in Linux's form.
    pub remcsum: Option<RemoteChecksum>,
    /// K, flag bit 7: a checksum.
    pub checksum: Option<Checksum>,
    /// N, flag bit 8: a NAT address checksum.
    pub nat: Option<NatChecksum>,
    /// A, flag bit 9: an alternate checksum.
    pub crc: Option<Crc>,
    /// Flag bit 15: Linux's private word and the fields that it announces.
    pub private: Option<Private>,
}

impl DeviceFields {
    /// No field.
    pub const NONE: Self = Self {
        group: None,
        security: None,
        fragment: None,
        transform: None,
        remcsum: None,
        checksum: None,
        nat: None,
        crc: None,
        private: None,
    };

    /// Returns the flags that announce these fields, in host order.
    #[inline]
    pub const fn flags(&self) -> u16 {
        const fn flag(present: bool, flag: u16) -> u16 {
            if present {
                flag
            } else {
                0
            }
        }
        let security = match &self.security {
            Some(security) => security.method().flags(),
            None => 0,
        };
        security
            | flag(self.group.is_some(), group::FLAG)
            | flag(self.fragment.is_some(), fragment::FLAG)
            | flag(self.transform.is_some(), transform::FLAG)
            | flag(self.remcsum.is_some(), remcsum::FLAG)
            | flag(self.checksum.is_some(), crate::checksum::FLAG)
            | flag(self.nat.is_some(), nat::FLAG)
            | flag(self.crc.is_some(), crate::crc::FLAG)
            | flag(self.private.is_some(), private::FLAG)
    }

    /// Returns the length of the fields in bytes, a multiple of 4.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        let private = match &self.private {
            Some(private) => private.len_bytes(),
            None => 0,
        };
        layout::len_bytes(self.flags()) + private
    }
}

impl FieldValues for DeviceFields {
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
        // In flag order.
        if let Some(group) = self.group {
            group::emit(group, writer)?;
        }
        if let Some(security) = &self.security {
            security.emit(writer)?;
        }
        if let Some(fragment) = &self.fragment {
            fragment.emit(writer)?;
        }
        if let Some(transform) = &self.transform {
            transform.emit(writer)?;
        }
        if let Some(remote) = &self.remcsum {
            remote.emit(writer)?;
        }
        if let Some(checksum) = &self.checksum {
            checksum.emit(writer)?;
        }
        if let Some(nat) = &self.nat {
            nat.emit(writer)?;
        }
        if let Some(crc) = &self.crc {
            crc.emit(writer)?;
        }
        if let Some(private) = &self.private {
            private.emit(writer)?;
        }
        Ok(())
    }
}
