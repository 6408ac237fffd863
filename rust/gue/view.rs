// SPDX-License-Identifier: GPL-2.0

//! A checked header that borrows its bytes.

use crate::{
    checksum, crc,
    device::DeviceNotes,
    fields::Reader,
    fragment, group,
    header::BASE_LEN_BYTES,
    layout, nat, private, remcsum,
    security::{self, SecurityView},
    transform, Checksum, Crc, Device, DeviceFields, Error, Fragment, Header, NatChecksum, Private,
    Refusal, RemoteChecksum, Repr, Transform,
};

/// A checked header of variant 0 that borrows its bytes.
///
/// All flags are known, and the bytes of all fields are there. A field is read when its method is called, so
/// a caller that needs no field pays for none. Each method returns `None` if the header does not have the
/// field.
///
/// ```
/// use gue::{security::SecurityView, Device, View};
///
/// let bytes = [0x03, 4, 0x90, 0, 0, 0xab, 0xcd, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 0x45];
/// let view = View::parse(&bytes, Device::ALL)?.unwrap();
/// assert_eq!(view.len_bytes(), 16);
/// assert_eq!(view.group(), Some(0xabcdef));
/// assert_eq!(view.security(), Some(SecurityView::Cookie(&[1, 2, 3, 4, 5, 6, 7, 8])));
/// assert_eq!(view.checksum(), None);
/// # Ok::<(), gue::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// The header alone, surplus space included.
    bytes: &'a [u8],
    flags: u16,
    control: bool,
    proto_ctype: u8,
}

impl<'a> View<'a> {
    /// Reads the header at the start of `bytes`, which may continue after the header. Returns `None` for
    /// variant 1, which has no header.
    ///
    /// # Errors
    ///
    /// The errors of [`Header::parse`].
    #[inline]
    pub fn parse(bytes: &'a [u8], device: Device) -> Result<Option<Self>, Error> {
        Ok(Header::parse(bytes, device)?.view(bytes))
    }

    /// Returns the length of the header in bytes.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the header's bytes.
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the flags, in host order.
    #[inline]
    pub const fn flags(&self) -> u16 {
        self.flags
    }

    /// Returns `true` for a control message.
    #[inline]
    pub const fn is_control(&self) -> bool {
        self.control
    }

    /// Returns the IP protocol of the payload, or the type of a control message.
    #[inline]
    pub const fn proto_ctype(&self) -> u8 {
        self.proto_ctype
    }

    /// Returns a reader that begins at a field; `None` if the header does not have the field.
    #[inline]
    fn reader(&self, field: u16) -> Option<Reader<'a>> {
        if self.flags & field == 0 {
            return None;
        }
        let at = layout::offset_of(self.flags, field);
        self.bytes.get(at..).map(Reader::new)
    }

    /// Returns G, the group identifier.
    #[inline]
    pub fn group(&self) -> Option<u32> {
        group::parse(&mut self.reader(group::FLAG)?).ok()
    }

    /// Returns SEC, a cookie or a keyed hash.
    #[inline]
    pub fn security(&self) -> Option<SecurityView<'a>> {
        let method = security::Method::of(self.flags).ok()??;
        SecurityView::parse(method, &mut self.reader(security::FLAGS)?).ok()
    }

    /// Returns F, the place of a fragment.
    ///
    /// # Errors
    ///
    /// [`Refusal::FragmentReserved`].
    #[inline]
    pub fn fragment(&self) -> Result<Option<Fragment>, Refusal> {
        self.reader(fragment::FLAG)
            .and_then(|mut reader| fragment::parse(&mut reader).ok())
            .map(Fragment::of)
            .transpose()
    }

    /// Returns T, the payload transform.
    #[inline]
    pub fn transform(&self) -> Option<Transform> {
        Transform::parse(&mut self.reader(transform::FLAG)?).ok()
    }

    /// Returns R, a remote checksum in the drafts' form.
    #[inline]
    pub fn remcsum(&self) -> Option<RemoteChecksum> {
        RemoteChecksum::parse(&mut self.reader(remcsum::FLAG)?).ok()
    }

    /// Returns K, the checksum.
    #[inline]
    pub fn checksum(&self) -> Option<Checksum> {
        Checksum::parse(&mut self.reader(checksum::FLAG)?).ok()
    }

    /// Returns N, the NAT address checksum.
    #[inline]
    pub fn nat(&self) -> Option<NatChecksum> {
        NatChecksum::parse(&mut self.reader(nat::FLAG)?).ok()
    }

    /// Returns A, the alternate checksum.
    #[inline]
    pub fn crc(&self) -> Option<Crc> {
        Crc::parse(&mut self.reader(crc::FLAG)?).ok()
    }

    /// Returns Linux's private word and the fields that it announces.
    #[inline]
    pub fn private(&self) -> Option<Private> {
        Private::parse(&mut self.reader(private::FLAG)?).ok()
    }

    /// Returns the checksum that the sender leaves to the receiver, in whichever form.
    #[inline]
    pub fn remote_checksum(&self) -> Option<RemoteChecksum> {
        self.remcsum()
            .or_else(|| self.private().and_then(|private| private.remote_checksum))
    }

    /// Returns the surplus space: the bytes after the last field. gue-09 forbids interpreting them;
    /// gue-extensions-06 calls them private data, for ends that agree on a meaning.
    #[inline]
    pub fn surplus(&self) -> &'a [u8] {
        let private = self.private().map_or(0, |private| private.len_bytes());
        let at = BASE_LEN_BYTES + layout::len_bytes(self.flags) + private;
        self.bytes.get(at..).unwrap_or_default()
    }

    /// Returns the values of the header without its surplus space.
    ///
    /// # Errors
    ///
    /// [`Refusal::FragmentReserved`]: a [`Repr`] has no reserved bits.
    #[inline]
    pub fn repr(&self) -> Result<Repr<DeviceFields>, Refusal> {
        let security = match security::Method::of(self.flags) {
            Ok(Some(method)) => self
                .reader(security::FLAGS)
                .and_then(|mut reader| security::Security::parse(method, &mut reader).ok()),
            Ok(None) | Err(_) => None,
        };
        Ok(Repr {
            control: self.control,
            proto_ctype: self.proto_ctype,
            fields: DeviceFields {
                group: self.group(),
                security,
                fragment: self.fragment()?,
                transform: self.transform(),
                remcsum: self.remcsum(),
                checksum: self.checksum(),
                nat: self.nat(),
                crc: self.crc(),
                private: self.private(),
            },
        })
    }
}

impl Header<DeviceNotes> {
    /// Returns the header as a view of its bytes, for the fields that the walk does not note. `bytes` begins
    /// with the header that was read, and may continue after it.
    ///
    /// Returns `None` for variant 1, which has no header, and if `bytes` is too short.
    #[inline]
    pub fn view<'a>(&self, bytes: &'a [u8]) -> Option<View<'a>> {
        if self.is_direct() {
            return None;
        }
        Some(View {
            bytes: bytes.get(..self.len_bytes())?,
            flags: self.fields().flags(),
            control: self.is_control(),
            proto_ctype: self.proto_ctype(),
        })
    }
}
