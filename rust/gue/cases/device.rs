// SPDX-License-Identifier: GPL-2.0

//! Examples of headers in the dialect of `gue` devices.

use super::{case, Case, Expected, ALL_FIELDS};
use crate::{
    security::Coverage, Checksum, Crc, Device, DeviceFields, Error, Fragment, Header, Hmac,
    NatChecksum, Private, RemoteChecksum, Repr, Security, Transform,
};

impl Case<DeviceFields> {
    /// Reads the bytes as a `gue` device does. Panics if a field is refused.
    pub fn read(&self) -> Expected<DeviceFields> {
        match Header::parse(self.bytes, Device::ALL) {
            Ok(header) => match header.view(self.bytes) {
                Some(view) => match view.repr() {
                    Ok(repr) => Expected::Header(repr, view.len_bytes()),
                    Err(refusal) => panic!("{}: {refusal:?}", self.name),
                },
                None => Expected::Direct(header.proto_ctype()),
            },
            Err(error) => Expected::Refused(error),
        }
    }
}

const fn device(fields: DeviceFields, len_bytes: usize) -> Expected<DeviceFields> {
    data(4, fields, len_bytes)
}

const fn data(protocol: u8, fields: DeviceFields, len_bytes: usize) -> Expected<DeviceFields> {
    Expected::Header(
        Repr {
            control: false,
            proto_ctype: protocol,
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
        "group identifier before a cookie",
        &[0x03, 4, 0x90, 0, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8],
        device(
            DeviceFields {
                group: Some(7),
                security: Some(Security::Cookie8([1, 2, 3, 4, 5, 6, 7, 8])),
                ..NONE
            },
            16,
        ),
    ),
    case(
        "cookie of 16 bytes",
        &[
            0x04, 4, 0x20, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2,
        ],
        device(
            DeviceFields {
                security: Some(Security::Cookie16([
                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2,
                ])),
                ..NONE
            },
            20,
        ),
    ),
    case(
        "cookie of 32 bytes",
        &[
            0x08, 4, 0x30, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
            3, 3, 3, 3, 3, 3, 3, 3, 3,
        ],
        device(
            DeviceFields {
                security: Some(Security::Cookie32([3; 32])),
                ..NONE
            },
            36,
        ),
    ),
    case(
        "keyed hash",
        &[
            0x0a, 4, 0x40, 0, 0, 0, 0, 9, 0, 8, 0, 20, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
            5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
        ],
        device(
            DeviceFields {
                security: Some(Security::Hmac(Hmac {
                    key_id: 9,
                    coverage: Coverage { offset: 8, len: 20 },
                    digest: [5; 32],
                })),
                ..NONE
            },
            44,
        ),
    ),
    case(
        "cookie without its last word",
        &[0x01, 4, 0x10, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "security of method 5",
        &RESERVED_SECURITY[0],
        Expected::Refused(Error::ReservedSecurity),
    ),
    case(
        "security of method 6",
        &RESERVED_SECURITY[1],
        Expected::Refused(Error::ReservedSecurity),
    ),
    case(
        "security of method 7",
        &RESERVED_SECURITY[2],
        Expected::Refused(Error::ReservedSecurity),
    ),
    case(
        "first fragment",
        &[0x02, 4, 8, 0, 0, 1, 4, 1, 2, 3, 4, 5],
        device(
            DeviceFields {
                fragment: Fragment::new(0, true, 4, [1, 2, 3, 4, 5]),
                ..NONE
            },
            12,
        ),
    ),
    case(
        "last fragment at the greatest offset",
        &[0x02, 59, 8, 0, 0xff, 0xf8, 4, 1, 2, 3, 4, 5],
        data(
            59,
            DeviceFields {
                fragment: Fragment::new(0xfff8, false, 4, [1, 2, 3, 4, 5]),
                ..NONE
            },
            12,
        ),
    ),
    case(
        "payload transform",
        &[0x01, 59, 4, 0, 1, 4, 0, 0],
        data(
            59,
            DeviceFields {
                transform: Some(Transform {
                    kind: 1,
                    proto_ctype: 4,
                    info: 0,
                }),
                ..NONE
            },
            8,
        ),
    ),
    case(
        "checksum",
        &[0x01, 4, 1, 0, 0x12, 0x34, 0, 20],
        device(
            DeviceFields {
                checksum: Some(Checksum {
                    value: 0x1234,
                    coverage: 20,
                }),
                ..NONE
            },
            8,
        ),
    ),
    case(
        "NAT address checksum",
        &[0x01, 6, 0, 0x80, 0x84, 4, 0, 0],
        data(
            6,
            DeviceFields {
                nat: Some(NatChecksum { value: 0x8404 }),
                ..NONE
            },
            8,
        ),
    ),
    case(
        "alternate checksum, low byte first",
        &[0x02, 4, 0, 0x40, 0, 0, 0, 5, 0x46, 0x66, 0xb9, 0xa8],
        device(
            DeviceFields {
                crc: Some(Crc {
                    coverage: 5,
                    value: 0xa8b9_6646,
                }),
                ..NONE
            },
            12,
        ),
    ),
    case(
        "alternate checksum without its last word",
        &[0x01, 4, 0, 0x40, 0, 0, 0, 0],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "remote checksum after a fragment and before a checksum",
        &[
            0x04, 4, 0x0b, 0, 0, 0, 4, 1, 2, 3, 4, 5, 0, 20, 0, 36, 0x12, 0x34, 0, 0,
        ],
        device(
            DeviceFields {
                fragment: Fragment::new(0, false, 4, [1, 2, 3, 4, 5]),
                remcsum: remote(20, 36),
                checksum: Some(Checksum {
                    value: 0x1234,
                    coverage: 0,
                }),
                ..NONE
            },
            20,
        ),
    ),
    case(
        "Linux's private word after an alternate checksum, no room",
        &[0x02, 4, 0, 0x41, 0, 0, 0, 0, 1, 2, 3, 4, 0x80, 0, 0, 0],
        Expected::Refused(Error::FieldPastHeader),
    ),
    case(
        "Linux's remote checksum after an alternate checksum",
        &[
            0x04, 4, 0, 0x41, 0, 0, 0, 0, 1, 2, 3, 4, 0x80, 0, 0, 0, 0, 20, 0, 36,
        ],
        device(
            DeviceFields {
                crc: Some(Crc {
                    coverage: 0,
                    value: 0x0403_0201,
                }),
                private: linux_remcsum(remote(20, 36)),
                ..NONE
            },
            20,
        ),
    ),
    case(
        "unassigned flag",
        &[0x00, 4, 0, 0x20],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "all unassigned flags",
        &[0x00, 4, 0, 0x3e],
        Expected::Refused(Error::UnknownFlag),
    ),
    case(
        "all fields of the drafts",
        &ALL_FIELDS,
        device(
            DeviceFields {
                group: Some(0),
                security: Some(Security::Hmac(Hmac {
                    key_id: 0,
                    coverage: Coverage::NONE,
                    digest: [0; 32],
                })),
                fragment: Fragment::new(0, false, 0, [0; 5]),
                transform: Some(Transform {
                    kind: 0,
                    proto_ctype: 0,
                    info: 0,
                }),
                remcsum: remote(0, 0),
                checksum: Some(Checksum {
                    value: 0,
                    coverage: 0,
                }),
                nat: Some(NatChecksum { value: 0 }),
                crc: Some(Crc {
                    coverage: 0,
                    value: 0,
                }),
                private: None,
            },
            80,
        ),
    ),
    case(
        "all fields of the drafts, one word short",
        &ALL_FIELDS_SHORT,
        Expected::Refused(Error::FieldPastHeader),
    ),
];

const RESERVED_SECURITY: [[u8; 44]; 3] = {
    let mut headers = [[0; 44]; 3];
    [headers[0][0], headers[0][1], headers[0][2]] = [0x0a, 4, 0x50];
    [headers[1][0], headers[1][1], headers[1][2]] = [0x0a, 4, 0x60];
    [headers[2][0], headers[2][1], headers[2][2]] = [0x0a, 4, 0x70];
    headers
};

const ALL_FIELDS_SHORT: [u8; 80] = {
    let mut bytes = ALL_FIELDS;
    bytes[0] = 0x12;
    bytes
};
