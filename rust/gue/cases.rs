// SPDX-License-Identifier: GPL-2.0

//! Examples of headers and their meaning, for host tests and for KUnit.

mod device;

pub use device::DEVICE_CASES;

use crate::{Error, Fields, Header, Linux, Private, RemoteChecksum, Repr};

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
        match Header::parse(self.bytes, Linux) {
            Ok(header) => match header.repr() {
                Some(repr) => Expected::Header(repr, header.len_bytes()),
                None => Expected::Direct(header.proto_ctype()),
            },
            Err(error) => Expected::Refused(error),
        }
    }
}

const fn case<F: Copy>(name: &'static str, bytes: &'static [u8], expected: Expected<F>) -> Case<F> {
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
        "first fragment, unknown to Linux",
        &[0x02, 4, 8, 0, 0, 3, 4, 1, 2, 3, 4, 5],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "fragment of no next header, unknown to Linux",
        &[0x02, 59, 8, 0, 0, 1, 4, 1, 2, 3, 4, 5],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "all fields of the drafts, unknown to Linux",
        &ALL_FIELDS,
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "group identifier, unknown to Linux",
        &[0x01, 4, 0x80, 0, 0, 0, 0, 7],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "remote checksum of the drafts, unknown to Linux",
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
