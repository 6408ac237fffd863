// SPDX-License-Identifier: GPL-2.0

//! The Geneve header (RFC 8926 §3.4) and its options (§3.5).

use zerocopy::{byteorder::big_endian::U16, FromBytes, IntoBytes};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The EtherType of an Ethernet frame as payload ("transparent Ethernet bridging").
const ETHERNET: u16 = 0x6558;

/// The greatest virtual network identifier, which has 24 bits.
pub(crate) const MAX_VNI: u32 = 0xff_ffff;

/// The length of a header without options, in bytes.
pub(crate) const BASE_LEN_BYTES: usize = size_of::<Header>();

/// A header without its options. Reserved bits are not read.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(crate) struct Header {
    /// Two bits of version, and the length of the options in words of four bytes.
    version_and_length: u8,
    flags: u8,
    protocol: U16,
    vni: [u8; 3],
    reserved: u8,
}

/// The packet is a control message for the tunnel's end (O).
const CONTROL: u8 = 0x80;
/// An option is critical (C).
const CRITICAL: u8 = 0x40;

impl Header {
    /// Returns the header before a frame of a virtual network, without options.
    pub(crate) fn new(vni: u32) -> Self {
        let [_, vni @ ..] = vni.to_be_bytes();
        Self {
            version_and_length: 0,
            flags: 0,
            protocol: U16::new(ETHERNET),
            vni,
            reserved: 0,
        }
    }

    /// Reads the header at the start of `bytes`, or returns `None` if there are too few bytes.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        Self::read_from_prefix(bytes).ok().map(|(header, _)| header)
    }

    /// Writes the header to memory of its length.
    #[inline]
    pub(crate) fn write(&self, to: &mut [u8]) {
        // To an array, because a copy of unknown length is a function call.
        if let Ok(to) = <&mut [u8; BASE_LEN_BYTES]>::try_from(to) {
            to.copy_from_slice(self.as_bytes());
        }
    }

    /// Returns `true` for the only version that there is, 0.
    #[inline]
    pub(crate) fn is_of_known_version(&self) -> bool {
        self.version_and_length >> 6 == 0
    }

    /// Returns the length of the header with its options, in bytes.
    #[inline]
    pub(crate) fn len_bytes(&self) -> usize {
        BASE_LEN_BYTES + usize::from(self.version_and_length & 0x3f) * 4
    }

    #[inline]
    pub(crate) fn vni(&self) -> u32 {
        let [v0, v1, v2] = self.vni;
        u32::from_be_bytes([0, v0, v1, v2])
    }

    #[inline]
    pub(crate) fn is_control(&self) -> bool {
        self.flags & CONTROL != 0
    }

    /// Returns `true` if the options must be read, because one of them is critical.
    #[inline]
    pub(crate) fn has_critical_option(&self) -> bool {
        self.flags & CRITICAL != 0
    }

    #[inline]
    pub(crate) fn carries_ethernet(&self) -> bool {
        self.protocol.get() == ETHERNET
    }
}

/// The first word of an option.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct OptionHeader {
    class: U16,
    kind: u8,
    /// Three reserved bits, and the length of the data in words of four bytes.
    length: u8,
}

/// The reason why a packet's options are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionError {
    /// An option is longer than the rest of the header.
    Truncated,
    /// An option is critical, and the device knows no option.
    Critical,
}

/// Checks the options of a header with a critical one.
#[cold]
pub(crate) fn check_options(mut options: &[u8]) -> Result<(), OptionError> {
    while !options.is_empty() {
        let (option, rest) =
            OptionHeader::ref_from_prefix(options).map_err(|_| OptionError::Truncated)?;
        options = rest
            .get(usize::from(option.length & 0x1f) * 4..)
            .ok_or(OptionError::Truncated)?;
        if option.kind & 0x80 != 0 {
            return Err(OptionError::Critical);
        }
    }
    Ok(())
}
