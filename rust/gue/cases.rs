// SPDX-License-Identifier: GPL-2.0

//! Examples of headers and their meaning, for host tests and for KUnit.

use crate::{
    Device, DeviceFields, Dialect, Error, FieldSet, Fields, Header, Linux, Private, RemoteChecksum,
    Repr,
};

/// The result of reading a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<F = Fields> {
    /// Variant 0 with these values and this length in bytes.
    Header(Repr<F>, usize),
    /// Variant 1 with a packet of this IP protocol.
    Direct(u8),
    /// An error.
    Refused(Error),
}

/// One header.
#[derive(Clone, Copy, Debug)]
pub struct Case<F = Fields> {
    /// The rule that the header shows.
    pub name: &'static str,
    /// The first bytes of a UDP payload.
    pub bytes: &'static [u8],
    /// The result of reading them.
    pub expected: Expected<F>,
}

impl Case {
    /// Reads the bytes as Linux does.
    pub fn read(&self) -> Expected {
        read(self.bytes, Linux)
    }
}

impl Case<DeviceFields> {
    /// Reads the bytes as a `gue` device does.
    pub fn read(&self) -> Expected<DeviceFields> {
        read(self.bytes, Device)
    }
}

fn read<D: Dialect>(bytes: &[u8], dialect: D) -> Expected<D::Fields> {
    match Header::parse(bytes, dialect) {
        Ok(header) => match header.repr() {
            Some(repr) => Expected::Header(repr, header.len_bytes()),
            None => Expected::Direct(header.proto_ctype()),
        },
        Err(error) => Expected::Refused(error),
    }
}

const fn case<F: FieldSet>(
    name: &'static str,
    bytes: &'static [u8],
    expected: Expected<F>,
) -> Case<F> {
    Case {
        name,
        bytes,
        expected,
    }
}

const fn header(control: bool, proto_ctype: u8, fields: Fields, len_bytes: usize) -> Expected {
    Expected::Header(
        Repr {
            control,
            proto_ctype,
            fields,
        },
        len_bytes,
    )
}

const fn data(protocol: u8, len_bytes: usize) -> Expected {
    header(false, protocol, Fields::NONE, len_bytes)
}

const fn control(ctype: u8) -> Expected {
    header(true, ctype, Fields::NONE, 4)
}

/// A header with a private word and no field of the word.
const fn private_word(protocol: u8, len_bytes: usize) -> Expected {
    let fields = Fields {
        private: Some(Private {
            remote_checksum: None,
        }),
    };
    header(false, protocol, fields, len_bytes)
}

const fn remcsum(protocol: u8, start: u16, offset: u16) -> Expected {
    match RemoteChecksum::new(start, offset) {
        Ok(remote) => header(false, protocol, Fields::with_remote_checksum(remote), 12),
        Err(error) => Expected::Refused(error),
    }
}

/// An example for every rule of the header, in Linux's dialect.
pub const CASES: &[Case] = &[
    case("plain IPv4", &[0x00, 4, 0, 0, 0x45], data(4, 4)),
    case(
        "plain GRE, nothing after it",
        &[0x00, 47, 0, 0],
        data(47, 4),
    ),
    case(
        "protocol 0 is for the receiver to refuse",
        &[0x00, 0, 0, 0],
        data(0, 4),
    ),
    case("control message", &[0x20, 0xff, 0, 0], control(0xff)),
    case("control message of type 0", &[0x20, 0, 0, 0], control(0)),
    case("variant 1, IPv4", &[0x45, 0, 0, 28], Expected::Direct(4)),
    case("variant 1, IPv6", &[0x60, 0, 0, 0], Expected::Direct(41)),
    case(
        "variant 1, IP version 5",
        &[0x50, 0, 0, 0],
        Expected::Refused(Error::UnknownIpVersion),
    ),
    case(
        "variant 1, IP version 7",
        &[0x70, 0, 0, 0],
        Expected::Refused(Error::UnknownIpVersion),
    ),
    case(
        "variant 2",
        &[0x80, 4, 0, 0],
        Expected::Refused(Error::UnknownVariant),
    ),
    case(
        "variant 3",
        &[0xc0, 4, 0, 0],
        Expected::Refused(Error::UnknownVariant),
    ),
    case("no byte", &[], Expected::Refused(Error::Truncated)),
    case(
        "three bytes",
        &[0x00, 4, 0],
        Expected::Refused(Error::Truncated),
    ),
    case(
        "three bytes of IPv4",
        &[0x45, 0, 0],
        Expected::Refused(Error::Truncated),
    ),
    case(
        "surplus space is skipped",
        &[
            0x02, 4, 0, 0, 0xde, 0xad, 0xbe, 0xef, 0xca, 0xfe, 0xf0, 0x0d,
        ],
        data(4, 12),
    ),
    case("longest header", &LONGEST, data(4, 128)),
    case(
        "one byte short of its length",
        &LONGEST_CUT,
        Expected::Refused(Error::HeaderPastEnd),
    ),
    case(
        "Hlen past the end",
        &[0x01, 4, 0, 0, 0, 0, 0],
        Expected::Refused(Error::HeaderPastEnd),
    ),
    case(
        "longest Hlen, 100 bytes in all",
        &LONGEST_OF_100,
        Expected::Refused(Error::HeaderPastEnd),
    ),
    case(
        "Hlen past the end comes before the flags",
        &[0x01, 4, 0x80, 0, 0, 0, 0],
        Expected::Refused(Error::HeaderPastEnd),
    ),
    case(
        "no next header is for the receiver to refuse",
        &[0x00, 59, 0, 0],
        data(59, 4),
    ),
    case(
        "experimental control message",
        &[
            0x20, 0xff, 0, 0, 0x52, 0x46, 0x4f, 0x55, 0x70, 0x69, 0x6e, 0x67,
        ],
        control(0xff),
    ),
    case(
        "a short experiment identifier is for the receiver to refuse",
        &[0x20, 0xff, 0, 0, 0x52, 0x46],
        control(0xff),
    ),
    case(
        "reserved kind of security field",
        &[
            0x05, 4, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "first fragment, not understood yet",
        &[0x02, 4, 8, 0, 0, 3, 4, 1, 2, 3, 4, 5],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "fragment of no next header, not understood yet",
        &[0x02, 59, 8, 0, 0, 1, 4, 1, 2, 3, 4, 5],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "all fields of the drafts, not understood yet",
        &ALL_FIELDS,
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "group identifier, not understood yet",
        &[0x01, 4, 0x80, 0, 0, 0, 0, 7],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "remote checksum of the drafts, not understood yet",
        &[0x01, 4, 0x02, 0, 0, 20, 0, 36],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "unassigned flag",
        &[0x00, 4, 0, 0x20],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "private flag without its word",
        &[0x00, 4, 0, 1],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "private word with no flag set",
        &[0x01, 4, 0, 1, 0, 0, 0, 0],
        private_word(4, 8),
    ),
    case(
        "private word with no flag set, and surplus space",
        &[0x02, 4, 0, 1, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef],
        private_word(4, 12),
    ),
    case(
        "private flag beside a flag of the drafts",
        &[0x02, 4, 0x80, 1, 0, 0, 0, 7, 0, 0, 0, 0],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "remcsum without its field",
        &[0x01, 4, 0, 1, 0x80, 0, 0, 0],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "unknown private flag",
        &[0x02, 4, 0, 1, 0x40, 0, 0, 0, 0, 0, 0, 0],
        Expected::Refused(Error::UnknownPrivateFlag),
    ),
    case(
        "remcsum of a TCP packet",
        &[0x02, 4, 0, 1, 0x80, 0, 0, 0, 0, 20, 0, 36],
        remcsum(4, 20, 36),
    ),
    case(
        "remcsum whose checksum comes first",
        &[0x02, 4, 0, 1, 0x80, 0, 0, 0, 0, 36, 0, 20],
        Expected::Refused(Error::ChecksumBeforeStart),
    ),
    case(
        "remcsum whose checksum is the start",
        &[0x02, 4, 0, 1, 0x80, 0, 0, 0, 0, 20, 0, 20],
        remcsum(4, 20, 20),
    ),
];

const fn device(fields: DeviceFields, len_bytes: usize) -> Expected<DeviceFields> {
    Expected::Header(
        Repr {
            control: false,
            proto_ctype: 4,
            fields,
        },
        len_bytes,
    )
}

const NONE: DeviceFields = DeviceFields::NONE;

const fn remote(start: u16, offset: u16) -> Option<RemoteChecksum> {
    match RemoteChecksum::new(start, offset) {
        Ok(remote) => Some(remote),
        Err(_) => None,
    }
}

const fn linux_remcsum(remote_checksum: Option<RemoteChecksum>) -> Option<Private> {
    Some(Private { remote_checksum })
}

/// An example for every rule of the header that the dialect of `gue` devices adds or changes.
pub const DEVICE_CASES: &[Case<DeviceFields>] = &[
    case("no field", &[0x00, 4, 0, 0, 0x45], device(NONE, 4)),
    case("variant 1, IPv4", &[0x45, 0, 0, 28], Expected::Direct(4)),
    case("variant 1, IPv6", &[0x60, 0, 0, 0], Expected::Direct(41)),
    case(
        "variant 1, IP version 5",
        &[0x50, 0, 0, 0],
        Expected::Refused(Error::UnknownIpVersion),
    ),
    case(
        "variant 2",
        &[0x80, 4, 0, 0],
        Expected::Refused(Error::UnknownVariant),
    ),
    case(
        "surplus space is skipped",
        &[
            0x02, 4, 0, 0, 0xde, 0xad, 0xbe, 0xef, 0xca, 0xfe, 0xf0, 0x0d,
        ],
        device(NONE, 12),
    ),
    case(
        "group identifier",
        &[0x01, 4, 0x80, 0, 0, 0, 0, 7],
        device(
            DeviceFields {
                group: Some(7),
                ..NONE
            },
            8,
        ),
    ),
    case(
        "group identifier of all bits, and surplus space",
        &[
            0x02, 4, 0x80, 0, 0xff, 0xff, 0xff, 0xff, 0xde, 0xad, 0xbe, 0xef,
        ],
        device(
            DeviceFields {
                group: Some(u32::MAX),
                ..NONE
            },
            12,
        ),
    ),
    case(
        "group identifier 0 is one",
        &[0x01, 4, 0x80, 0, 0, 0, 0, 0],
        device(
            DeviceFields {
                group: Some(0),
                ..NONE
            },
            8,
        ),
    ),
    case(
        "group identifier without its field",
        &[0x00, 4, 0x80, 0, 0, 0, 0, 7],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "remote checksum of the drafts",
        &[0x01, 4, 0x02, 0, 0, 20, 0, 36],
        device(
            DeviceFields {
                remcsum: remote(20, 36),
                ..NONE
            },
            8,
        ),
    ),
    case(
        "remote checksum of the drafts, offset before start",
        &[0x01, 4, 0x02, 0, 0, 36, 0, 20],
        Expected::Refused(Error::ChecksumBeforeStart),
    ),
    case(
        "remote checksum of the drafts without its field",
        &[0x00, 4, 0x02, 0, 0, 20, 0, 36],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "group identifier before the remote checksum",
        &[0x02, 4, 0x82, 0, 0, 0, 0, 7, 0, 20, 0, 36],
        device(
            DeviceFields {
                group: Some(7),
                remcsum: remote(20, 36),
                ..NONE
            },
            12,
        ),
    ),
    case(
        "group identifier and remote checksum, room for one",
        &[0x01, 4, 0x82, 0, 0, 0, 0, 7, 0, 20, 0, 36],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "remote checksum in Linux's form",
        &[0x02, 4, 0, 1, 0x80, 0, 0, 0, 0, 20, 0, 36],
        device(
            DeviceFields {
                private: linux_remcsum(remote(20, 36)),
                ..NONE
            },
            12,
        ),
    ),
    case(
        "group identifier before Linux's private word",
        &[0x03, 4, 0x80, 1, 0, 0, 0, 7, 0x80, 0, 0, 0, 0, 20, 0, 36],
        device(
            DeviceFields {
                group: Some(7),
                private: linux_remcsum(remote(20, 36)),
                ..NONE
            },
            16,
        ),
    ),
    case(
        "remote checksum of the drafts beside a private word without one",
        &[0x02, 4, 0x02, 1, 0, 20, 0, 36, 0, 0, 0, 0],
        device(
            DeviceFields {
                remcsum: remote(20, 36),
                private: linux_remcsum(None),
                ..NONE
            },
            12,
        ),
    ),
    case(
        "remote checksums in both forms",
        &[0x03, 4, 0x02, 1, 0, 20, 0, 36, 0x80, 0, 0, 0, 0, 20, 0, 36],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "private flag without its word",
        &[0x00, 4, 0, 1],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "private flag after a group identifier, without its word",
        &[0x01, 4, 0x80, 1, 0, 0, 0, 7],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "unknown private flag",
        &[0x02, 4, 0, 1, 0x40, 0, 0, 0, 0, 0, 0, 0],
        Expected::Refused(Error::UnknownPrivateFlag),
    ),
    case(
        "security field, not understood yet",
        &[0x03, 4, 0x90, 0, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "fragment, not understood yet",
        &[0x02, 4, 8, 0, 0, 1, 4, 1, 2, 3, 4, 5],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "payload transform, not understood yet",
        &[0x01, 59, 4, 0, 1, 4, 0, 0],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "checksum, not understood yet",
        &[0x01, 4, 1, 0, 0, 0, 0, 0],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "NAT address checksum, not understood yet",
        &[0x01, 6, 0, 0x80, 0x84, 4, 0, 0],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "alternate checksum, not understood yet",
        &[0x02, 4, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "unassigned flag",
        &[0x00, 4, 0, 0x20],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "all fields of the drafts, not understood yet",
        &ALL_FIELDS,
        Expected::Refused(Error::UnknownFlag),
    ),
];

const LONGEST: [u8; 128] = {
    let mut bytes = [0xaa; 128];
    [bytes[0], bytes[1], bytes[2], bytes[3]] = [0x1f, 4, 0, 0];
    bytes
};

const LONGEST_CUT: [u8; 127] = {
    let mut bytes = [0xaa; 127];
    [bytes[0], bytes[1], bytes[2], bytes[3]] = [0x1f, 4, 0, 0];
    bytes
};

const LONGEST_OF_100: [u8; 100] = {
    let mut bytes = [0xaa; 100];
    [bytes[0], bytes[1], bytes[2], bytes[3]] = [0x1f, 4, 0, 0];
    bytes
};

const ALL_FIELDS: [u8; 80] = {
    let mut bytes = [0; 80];
    [bytes[0], bytes[1], bytes[2], bytes[3]] = [0x13, 4, 0xcf, 0xc0];
    bytes
};
