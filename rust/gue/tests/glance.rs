// SPDX-License-Identifier: GPL-2.0

//! Checks that [`gue::glance`] agrees with a walk.

use gue::{
    glance::{first_bytes, len_bytes, proto_ctype, without_header, Shape},
    group,
    security::Method,
    Device, Error, Header, Linux,
};

const METHODS: [u16; 5] = [
    0,
    Method::Cookie8.flags(),
    Method::Cookie16.flags(),
    Method::Cookie32.flags(),
    Method::Hmac.flags(),
];

/// Parses a header that begins with these four bytes. Zeros follow, as many as the longest header needs.
fn parse_first<D>(first: [u8; 4], dialect: D) -> Result<Header<D::Fields>, Error>
where
    D: gue::Dialect,
{
    let mut bytes = [0; 128];
    bytes[..4].copy_from_slice(&first);
    Header::parse(&bytes, dialect)
}

/// Exactly one pair of first byte and flags has the shape of a data packet with these fields.
#[test]
fn shape_tells_length_and_fields() {
    for fields in METHODS
        .iter()
        .flat_map(|method| [*method, *method | group::FLAG])
    {
        let shape = Shape::of_data(fields);
        let mut of_this_shape = 0;
        for start in 0..=u8::MAX {
            for flags in 0..=u16::MAX {
                let [high, low] = flags.to_be_bytes();
                let first = [start, 4, high, low];
                if Shape::of(first) != shape {
                    continue;
                }
                of_this_shape += 1;
                let header = parse_first(first, Device::ALL).unwrap();
                assert!(!header.is_control() && !header.is_direct());
                assert_eq!(header.len_bytes(), len_bytes(fields));
                assert_eq!(header.proto_ctype(), proto_ctype(first));
                assert_eq!((flags, first), (fields, first_bytes(4, fields)));
            }
        }
        assert_eq!(of_this_shape, 1);
    }
}

/// The IP protocol does not change the shape.
#[test]
fn shape_is_the_same_for_each_protocol() {
    for proto in 0..=u8::MAX {
        assert_eq!(Shape::of([0, proto, 0, 0]), Shape::of_data(0));
        let header = parse_first([0, proto, 0, 0], Linux).unwrap();
        assert_eq!((header.len_bytes(), header.proto_ctype()), (4, proto));
    }
}

#[test]
fn without_header_agrees_with_the_walk() {
    for start in 0..=u8::MAX {
        let first = [start, 0, 0, 0];
        let direct = |header: Header| header.is_direct().then(|| header.proto_ctype());
        let walked = parse_first(first, Linux).ok().and_then(direct);
        assert_eq!(without_header(first), walked);
        assert_eq!(walked.is_some(), matches!(start >> 4, 4 | 6));
    }
}
