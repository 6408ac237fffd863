// SPDX-License-Identifier: GPL-2.0

//! The test vectors of the drafts' fields: each header is read, checked, and written again.

mod sums;

use gue::{
    checksum::Sum,
    control::{Experiment, RFOU},
    layout, protocol,
    security::{Coverage, SecurityView},
    Addresses, Checksum, Content, Crc, Device, DeviceFields, Error, Fields, Fragment, Header, Hmac,
    Linux, NatChecksum, Outer, Refusal, RemoteChecksum, Repr, Security, Template, Transform, View,
};

/// ICMP echo from 10.1.1.1 to 10.1.1.2.
const INNER: [u8; 28] = [
    0x45, 0, 0, 0x1c, 0, 1, 0x40, 0, 0x40, 1, 0x24, 0xdc, 10, 1, 1, 1, 10, 1, 1, 2, 8, 0, 0xe5,
    0xca, 0x12, 0x34, 0, 1,
];
const ADDRESSES: Addresses = Addresses::V4([192, 0, 2, 1], [192, 0, 2, 2]);
const OUTER: Outer = Outer {
    addresses: ADDRESSES,
    source_port: 0xc006,
    destination_port: 6080,
};
const KEY: &[u8] = b"rfou-test-key";
const NONE: DeviceFields = DeviceFields::NONE;

/// Returns the bytes of hexadecimal digits; spaces separate words.
fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn view(bytes: &[u8]) -> View<'_> {
    View::parse(bytes, Device::ALL).unwrap().unwrap()
}

/// Checks that `bytes` is the header of these values, read and written.
fn is_header(bytes: &[u8], protocol: u8, fields: DeviceFields) {
    let repr = Repr {
        control: false,
        proto_ctype: protocol,
        fields,
    };
    assert_eq!(view(bytes).repr(), Ok(repr));
    let mut written = [0; 128];
    repr.emit(&mut written).unwrap();
    assert_eq!(written[..repr.len_bytes()], *bytes);
    assert_eq!(Template::new(&repr, &[]).unwrap().as_bytes(), bytes);
}

#[test]
fn vector_4_plain() {
    is_header(&hex("00040000"), protocol::IPV4, NONE);
    assert_eq!(view(&hex("00040000")).content(28), Ok(Content::Packet(4)));
}

#[test]
fn vector_5_variant_1() {
    let header = Header::parse(&INNER, Device::ALL).unwrap();
    assert_eq!((header.len_bytes(), header.proto_ctype()), (0, 4));
    assert_eq!(View::parse(&INNER, Device::ALL), Ok(None));
}

#[test]
fn vector_6_group_and_cookie() {
    let bytes = hex("03049000 00abcdef 01234567 89abcdef");
    let cookie = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    is_header(
        &bytes,
        protocol::IPV4,
        DeviceFields {
            group: Some(0xabcdef),
            security: Some(Security::Cookie8(cookie)),
            ..NONE
        },
    );
    assert_eq!(
        view(&bytes).security(),
        Some(SecurityView::Cookie(&cookie[..]))
    );
}

#[test]
fn vector_7_linux_remcsum() {
    let bytes = hex("02040001 80000000 00140024");
    let remote = RemoteChecksum::new(20, 36).unwrap();
    let fields = Fields::with_remote_checksum(remote);
    let linux = Header::parse(&bytes, Linux).unwrap();
    assert_eq!(linux.fields(), fields);
    is_header(
        &bytes,
        protocol::IPV4,
        DeviceFields {
            private: fields.private,
            ..NONE
        },
    );
    let device = Header::parse(&bytes, Device::ALL).unwrap();
    assert_eq!(device.fields().remote_checksum(), Some(remote));
    let payload = hex("45000028 00024000 400624ca 0a010101 0a010102
         9c400050 00000001 00000000 50022000 161f0000");
    assert_eq!(remote.check_payload(payload.len()), Ok(()));
    let sum = Sum::default().with(&payload[usize::from(remote.start())..]);
    assert_eq!((sum.fold(), sum.complement()), (0x22b3, 0xdd4c));
}

#[test]
fn vector_8_draft_remcsum() {
    let bytes = hex("01290200 00280038");
    let remote = RemoteChecksum::new(40, 56).unwrap();
    is_header(
        &bytes,
        protocol::IPV6,
        DeviceFields {
            remcsum: Some(remote),
            ..NONE
        },
    );
    let device = Header::parse(&bytes, Device::ALL).unwrap();
    assert_eq!(device.fields().remote_checksum(), Some(remote));
    let tcp = hex("9c4001bb 00000007 00000000 50182000 fa210000 414243");
    let sum = Sum::default().with(&tcp);
    assert_eq!((sum.fold(), sum.complement()), (0x8c7f, 0x7380));
}

#[test]
fn vector_9_checksum_and_group() {
    for (bytes, value, coverage) in [
        ("02048100 00000007 21290000", 0x2129, 0),
        ("02048100 00000007 dc250003", 0xdc25, 3),
        ("02048100 00000007 210d001c", 0x210d, 28),
    ] {
        let bytes = hex(bytes);
        let checksum = Checksum { value, coverage };
        is_header(
            &bytes,
            protocol::IPV4,
            DeviceFields {
                group: Some(7),
                checksum: Some(checksum),
                ..NONE
            },
        );
        let sum = sums::sum(&view(&bytes), &OUTER, &INNER).unwrap();
        assert_eq!(sum.complement(), value, "coverage {coverage}");
        assert_eq!(checksum.check(sum), Ok(()));
    }
}

#[test]
fn vector_10_alternate_checksum() {
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    for (bytes, value, coverage) in [
        ("02040040 00000000 56165ece", 0xce5e_1656, 0),
        ("02040040 00000005 4666b9a8", 0xa8b9_6646, 5),
    ] {
        let bytes = hex(bytes);
        let crc = Crc { coverage, value };
        is_header(
            &bytes,
            protocol::IPV4,
            DeviceFields {
                crc: Some(crc),
                ..NONE
            },
        );
        assert_eq!(sums::crc(&view(&bytes), &INNER), Ok(value));
        assert_eq!(crc.check(value), Ok(()));
    }
}

#[test]
fn vector_11_fragments() {
    let id = [1, 2, 3, 4, 5];
    for (bytes, protocol, offset, more, len) in [
        ("02040800 00010401 02030405", protocol::IPV4, 0, true, 8),
        ("023b0800 00090401 02030405", protocol::NONE, 8, true, 8),
        ("023b0800 00100401 02030405", protocol::NONE, 16, false, 4),
    ] {
        let bytes = hex(bytes);
        let fragment = Fragment::new(offset, more, protocol::IPV4, id).unwrap();
        is_header(
            &bytes,
            protocol,
            DeviceFields {
                fragment: Some(fragment),
                ..NONE
            },
        );
        assert_eq!(fragment.proto_ctype(false), protocol);
        assert_eq!(view(&bytes).content(len), Ok(Content::Fragment(fragment)));
    }
}

#[test]
fn vector_12_keyed_hash() {
    let bytes = hex("0b04c000 00000007 00000001 00000014
         ab319581 790a8164 7e22019f 6efa78c9 ffc1196d fda8637a da73d59d c2ec9eda");
    let digest: [u8; 32] = bytes[16..].try_into().unwrap();
    let hmac = Hmac {
        key_id: 1,
        coverage: Coverage { offset: 0, len: 20 },
        digest,
    };
    is_header(
        &bytes,
        protocol::IPV4,
        DeviceFields {
            group: Some(7),
            security: Some(Security::Hmac(hmac)),
            ..NONE
        },
    );
    let view = view(&bytes);
    assert_eq!(sums::digest(&view, &ADDRESSES, &INNER, KEY), Ok(digest));
    let Some(SecurityView::Hmac(received)) = view.security() else {
        panic!("no keyed hash");
    };
    assert_eq!(received.check_digest(&digest), Ok(()));
    // Only the last 32 bytes of a longer hash count.
    assert_eq!(
        received.check_digest(&[&[0x55; 16], &digest[..]].concat()),
        Ok(())
    );
}

#[test]
fn vector_13_transform() {
    let bytes = hex("013b0400 01040000");
    let transform = Transform {
        kind: gue::transform::DTLS,
        proto_ctype: protocol::IPV4,
        info: 0,
    };
    is_header(
        &bytes,
        protocol::NONE,
        DeviceFields {
            transform: Some(transform),
            ..NONE
        },
    );
    assert_eq!(
        view(&bytes).content(100),
        Ok(Content::Transformed(transform))
    );
}

/// Hash, CRC and checksum cover each other, so only one order of computation gives these bytes.
#[test]
fn vector_14_order() {
    let bytes = hex("0e04c140 00000007 00000001 00000000
         77e1a62b 579a7644 aa2a9568 4a4b728f fe01cb62 7799ad6b e40d15d1 2f7a16dd
         d0d20000 00000000 a45c48be");
    let digest: [u8; 32] = bytes[16..48].try_into().unwrap();
    let fields = |digest, value, crc| DeviceFields {
        group: Some(7),
        security: Some(Security::Hmac(Hmac {
            key_id: 1,
            coverage: Coverage::NONE,
            digest,
        })),
        checksum: Some(Checksum { value, coverage: 0 }),
        crc: Some(Crc {
            coverage: 0,
            value: crc,
        }),
        ..NONE
    };
    is_header(&bytes, protocol::IPV4, fields(digest, 0xd0d2, 0xbe48_5ca4));

    // A receiver can check the three values in any order.
    let received = view(&bytes);
    let sum = sums::sum(&received, &OUTER, &INNER).unwrap();
    assert_eq!(received.checksum().unwrap().check(sum), Ok(()));
    assert_eq!(sums::crc(&received, &INNER), Ok(0xbe48_5ca4));
    assert_eq!(sums::digest(&received, &ADDRESSES, &INNER, KEY), Ok(digest));

    // A sender computes digest, CRC and checksum in this order.
    let repr = Repr {
        control: false,
        proto_ctype: protocol::IPV4,
        fields: fields([0; 32], 0, 0),
    };
    let mut packet = [0; 60];
    let mut header = Template::new(&repr, &[])
        .unwrap()
        .start(&mut packet)
        .unwrap();
    let digest = sums::digest(&header.view().unwrap(), &ADDRESSES, &INNER, KEY).unwrap();
    header.set_digest(&digest).unwrap();
    let crc = sums::crc(&header.view().unwrap(), &INNER).unwrap();
    header.set_crc(crc).unwrap();
    let sum = sums::sum(&header.view().unwrap(), &OUTER, &INNER).unwrap();
    header.set_checksum(sum.complement()).unwrap();
    assert_eq!(packet[..], bytes);
}

#[test]
fn vector_15_largest_headers() {
    let offsets = |flags: u16| {
        [
            0x8000, 0x7000, 0x0800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040,
        ]
        .map(|field| layout::offset_of(flags, field))
    };
    assert_eq!(offsets(0xcfc0), [4, 8, 48, 56, 60, 64, 68, 72]);
    assert_eq!(offsets(0xbfc0), [4, 8, 40, 48, 52, 56, 60, 64]);
    for (first, flags, len) in [(0x13, 0xcfc0u16, 80), (0x11, 0xbfc0, 72)] {
        let mut bytes = vec![0; len];
        bytes[0] = first;
        bytes[1] = 4;
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        assert_eq!(view(&bytes).len_bytes(), len);
        assert_eq!(view(&bytes).surplus(), []);
        assert_eq!(4 + layout::len_bytes(flags), len);
        let repr = view(&bytes).repr().unwrap();
        let mut written = [0; 128];
        repr.emit(&mut written).unwrap();
        assert_eq!(written[..len], bytes);
    }
}

#[test]
fn vector_16_nat_checksum() {
    let bytes = hex("01060080 84040000");
    let sent = NatChecksum::of(&ADDRESSES);
    is_header(
        &bytes,
        protocol::TCP,
        DeviceFields {
            nat: Some(sent),
            ..NONE
        },
    );
    let source = [198, 51, 100, 7];
    let received = Addresses::V4(source, [192, 0, 2, 2]);
    let difference = view(&bytes).nat().unwrap().difference(&received);
    assert_eq!(difference, 0x97c6);
    let tcp = hex("03e807d0 00000001 00000000 50022000 00260000");
    let sum = Sum::default()
        .with(&source)
        .with(&[192, 0, 2, 2, 0, protocol::TCP, 0, 20])
        .with(&tcp);
    assert_eq!(sum.fold(), 0x6839);
    assert_eq!(sum.with(&difference.to_be_bytes()).fold(), 0xffff);
}

#[test]
fn vector_17_experimental_control_message() {
    let bytes = hex("20ff0000 52464f55 70696e67");
    let view = view(&bytes);
    let payload = &bytes[view.len_bytes()..];
    assert_eq!(view.content(payload.len()), Ok(Content::Experiment));
    assert_eq!(
        Experiment::parse(payload),
        Ok(Experiment {
            id: RFOU,
            body: b"ping"
        })
    );
    let repr = view.repr().unwrap();
    assert!(repr.control);
    let mut written = [0; 4];
    repr.emit(&mut written).unwrap();
    assert_eq!(written[..], bytes[..4]);

    let short = hex("20ff0000 5246");
    assert_eq!(
        Experiment::parse(&short[4..]),
        Err(Refusal::ControlTruncated)
    );
}

#[test]
fn vector_18_surplus() {
    let bytes = hex("02040000 deadbeef cafef00d");
    let view = view(&bytes);
    assert_eq!(view.surplus(), hex("deadbeef cafef00d"));
    let repr = view.repr().unwrap();
    assert_eq!(repr.fields, NONE);
    let mut written = [0; 12];
    let surplus = [[0xde, 0xad, 0xbe, 0xef], [0xca, 0xfe, 0xf0, 0x0d]];
    assert_eq!(repr.emit_with_surplus(&surplus, &mut written), Ok(12));
    assert_eq!(written[..], bytes);
}

/// The table of headers at the end of the vectors: the verdicts of Linux and of the drafts.
#[test]
fn verdicts() {
    let surplus = format!("1f040000 {}", "00".repeat(124));
    let past_end = format!("1f040000 {}", "00".repeat(96));
    let security = format!("05045000 {}", "00".repeat(20));
    let unknown = Err(Error::UnknownFlag);
    for (bytes, linux, draft) in [
        (
            "80040000",
            Err(Error::UnknownVariant),
            Err(Error::UnknownVariant),
        ),
        (
            "c0040000",
            Err(Error::UnknownVariant),
            Err(Error::UnknownVariant),
        ),
        (
            "50000000",
            Err(Error::UnknownIpVersion),
            Err(Error::UnknownIpVersion),
        ),
        (
            "70000000",
            Err(Error::UnknownIpVersion),
            Err(Error::UnknownIpVersion),
        ),
        ("01040200 00140024", unknown, Ok(8)),
        ("01048000 00000007", unknown, Ok(8)),
        ("00040020", unknown, unknown),
        (&security, unknown, Err(Error::ReservedSecurity)),
        (&surplus, Ok(128), Ok(128)),
        (
            &past_end,
            Err(Error::HeaderPastEnd),
            Err(Error::HeaderPastEnd),
        ),
        // Linux's own flag, which a device reads too.
        (
            "00040001",
            Err(Error::FieldPastHeader),
            Err(Error::FieldPastHeader),
        ),
        ("01040001 00000000", Ok(8), Ok(8)),
        (
            "01040001 80000000",
            Err(Error::FieldPastHeader),
            Err(Error::FieldPastHeader),
        ),
        (
            "02040001 40000000 00000000",
            Err(Error::UnknownPrivateFlag),
            Err(Error::UnknownPrivateFlag),
        ),
        (
            "02040001 80000000 00240014",
            Err(Error::ChecksumBeforeStart),
            Err(Error::ChecksumBeforeStart),
        ),
    ] {
        let packet = hex(bytes);
        let len = |header: Header<_>| header.len_bytes();
        assert_eq!(Header::parse(&packet, Linux).map(len), linux, "{bytes}");
        let len = |header: Header<gue::DeviceNotes>| header.len_bytes();
        assert_eq!(
            Header::parse(&packet, Device::ALL).map(len),
            draft,
            "{bytes}"
        );
    }
    // A receiver without Linux's flag follows the drafts to the letter.
    let draft = Device::with_flags(layout::DRAFT_FLAGS);
    assert_eq!(
        Header::parse(&hex("01040001 00000000"), draft),
        Err(Error::UnknownFlag)
    );

    for (bytes, refusal) in [
        ("02040800 00030401 02030405", Refusal::FragmentReserved),
        ("023b0800 00010401 02030405", Refusal::FragmentProtocol),
        ("00000000", Refusal::ProtocolZero),
        ("20000000", Refusal::ControlType),
    ] {
        assert_eq!(view(&hex(bytes)).content(64), Err(refusal), "{bytes}");
    }
}
