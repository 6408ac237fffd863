// SPDX-License-Identifier: GPL-2.0

//! Packets that the drafts require a receiver to drop, although the header is valid.

mod sums;

use gue::{
    control::Echo,
    security::{equal, Coverage, Method, SecurityView},
    Addresses, Computation, Content, Demands, Device, Fragment, Header, Outer, Refusal, View,
};

const COOKIE8: Demands = Demands {
    security: Some(Method::Cookie8),
    ..Demands::NONE
};
const HMAC: Demands = Demands {
    security: Some(Method::Hmac),
    hmac_coverage: 20,
    ..Demands::NONE
};
const OUTER: Outer = Outer {
    addresses: Addresses::V4([192, 0, 2, 1], [192, 0, 2, 2]),
    source_port: 0xc006,
    destination_port: 6080,
};

fn view(bytes: &[u8]) -> View<'_> {
    View::parse(bytes, Device::ALL).unwrap().unwrap()
}

fn content(bytes: &[u8], payload_len: usize) -> Result<Content, Refusal> {
    view(bytes).content(payload_len)
}

fn hmac(coverage: [u8; 4]) -> [u8; 44] {
    let mut bytes = [0x77; 44];
    bytes[..8].copy_from_slice(&[0x0a, 4, 0x40, 0, 0, 0, 0, 1]);
    bytes[8..12].copy_from_slice(&coverage);
    bytes
}

#[test]
fn security_that_is_demanded_and_missing() {
    for demands in [COOKIE8, HMAC] {
        let plain = [0x00, 4, 0, 0];
        let refused = demands.check(&view(&plain), 28, true);
        assert_eq!(refused, Err(Refusal::SecurityMissing));
        // The bytes of the field are there, but its flag is not set.
        let lost = [0x02, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let refused = demands.check(&view(&lost), 28, true);
        assert_eq!(refused, Err(Refusal::SecurityMissing));
    }
}

#[test]
fn security_that_nobody_can_check() {
    for bytes in [
        &[0x02, 4, 0x10, 0, 1, 2, 3, 4, 5, 6, 7, 8][..],
        &hmac([0; 4]),
    ] {
        let refused = Demands::NONE.check(&view(bytes), 28, true);
        assert_eq!(refused, Err(Refusal::SecurityUnexpected));
    }
}

#[test]
fn cookie_of_another_length_or_method() {
    let cookie16 = [
        0x04, 4, 0x20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let refused = COOKIE8.check(&view(&cookie16), 28, true);
    assert_eq!(refused, Err(Refusal::SecurityMethod));
    let refused = COOKIE8.check(&view(&hmac([0; 4])), 28, true);
    assert_eq!(refused, Err(Refusal::SecurityMethod));
}

#[test]
fn cookie_that_differs_in_one_bit() {
    let bytes = [0x02, 4, 0x10, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let security = view(&bytes).security().unwrap();
    assert_eq!(COOKIE8.check(&view(&bytes), 28, true), Ok(()));
    let cookie = [1, 2, 3, 4, 5, 6, 7, 8];
    let old = [9; 8];
    assert_eq!(security.check_cookie([&cookie[..]]), Ok(()));
    // During a rotation, the receiver accepts two cookies, in either order.
    assert_eq!(security.check_cookie([&cookie[..], &old]), Ok(()));
    assert_eq!(security.check_cookie([&old[..], &cookie]), Ok(()));
    assert_eq!(security.check_cookie([]), Err(Refusal::SecurityMismatch));
    // A prefix of the cookie does not match.
    assert_eq!(
        security.check_cookie([&cookie[..7]]),
        Err(Refusal::SecurityMismatch)
    );
    for bit in 0..64 {
        let mut wrong = cookie;
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(!equal(&wrong, &cookie));
        assert_eq!(
            security.check_cookie([&wrong[..]]),
            Err(Refusal::SecurityMismatch),
            "bit {bit}"
        );
    }
}

#[test]
fn keyed_hash_of_an_unknown_key_or_with_a_wrong_digest() {
    let bytes = hmac([0, 0, 0, 20]);
    assert_eq!(HMAC.check(&view(&bytes), 28, true), Ok(()));
    let Some(SecurityView::Hmac(hmac)) = view(&bytes).security() else {
        panic!("no keyed hash");
    };
    assert_eq!(hmac.key([(2, "two"), (1, "one")]), Ok("one"));
    assert_eq!(hmac.key([(2, "two")]), Err(Refusal::UnknownKey));
    assert_eq!(hmac.check_digest(&[0x77; 32]), Ok(()));
    assert_eq!(
        hmac.check_digest(&[0x77; 31]),
        Err(Refusal::SecurityMismatch)
    );
    for at in 0..32 {
        let mut wrong = [0x77; 32];
        wrong[at] ^= 1;
        assert_eq!(hmac.check_digest(&wrong), Err(Refusal::SecurityMismatch));
    }
    // A digest does not pass as a cookie.
    let security = view(&bytes).security().unwrap();
    assert_eq!(
        security.check_cookie([&[0x77; 32][..]]),
        Err(Refusal::SecurityMismatch)
    );
}

#[test]
fn keyed_hash_of_another_packet() {
    let mut bytes = hmac([0, 0, 0, 4]);
    let payload = [0x45, 0, 0, 0x1c];
    let digest = sums::digest(&view(&bytes), &OUTER.addresses, &payload, b"key").unwrap();
    bytes[12..].copy_from_slice(&digest);
    let check = |addresses, payload: &[u8], key| {
        let view = view(&bytes);
        let Some(SecurityView::Hmac(hmac)) = view.security() else {
            panic!("no keyed hash");
        };
        hmac.check_digest(&sums::digest(&view, addresses, payload, key)?)
    };
    let mismatch = Err(Refusal::SecurityMismatch);
    assert_eq!(check(&OUTER.addresses, &payload, &b"key"[..]), Ok(()));
    let beyond = [0x45, 0, 0, 0x1c, 0xff];
    assert_eq!(check(&OUTER.addresses, &beyond, b"key"), Ok(()));
    assert_eq!(check(&OUTER.addresses, &payload, b"kez"), mismatch);
    assert_eq!(
        check(&OUTER.addresses, &[0x46, 0, 0, 0x1c], b"key"),
        mismatch
    );
    let Addresses::V4(source, destination) = OUTER.addresses else {
        panic!("no IPv4");
    };
    let back = Addresses::V4(destination, source);
    assert_eq!(check(&back, &payload, b"key"), mismatch);
}

#[test]
fn keyed_hash_over_other_bytes_than_demanded() {
    for coverage in [[0, 0, 0, 0], [0, 0, 0, 19], [0, 0, 0, 21], [0, 1, 0, 20]] {
        let refused = HMAC.check(&view(&hmac(coverage)), 28, true);
        assert_eq!(refused, Err(Refusal::HmacCoverage), "{coverage:?}");
    }
    // A payload that is shorter than the demanded coverage is covered as a whole.
    assert_eq!(HMAC.check(&view(&hmac([0, 0, 0, 9])), 9, true), Ok(()));
    let whole = Demands {
        hmac_coverage: Demands::WHOLE_PAYLOAD,
        ..HMAC
    };
    assert_eq!(
        whole.coverage(1500),
        Coverage {
            offset: 0,
            len: 1500
        }
    );
    let refused = whole.check(&view(&hmac([0, 0, 0, 20])), 28, true);
    assert_eq!(refused, Err(Refusal::HmacCoverage));
}

#[test]
fn keyed_hash_past_the_payload() {
    for (coverage, len) in [
        ([0, 0, 0, 29], 28),
        ([0, 9, 0, 20], 28),
        ([0, 29, 0, 0], 28),
        ([0xff, 0xff, 0xff, 0xff], 65_507),
    ] {
        let bytes = hmac(coverage);
        let covered = view(&bytes).covered(Computation::Hmac, len);
        assert_eq!(covered, Err(Refusal::HmacPastPayload), "{coverage:?}");
    }
    let bytes = hmac([0, 8, 0, 20]);
    let covered = view(&bytes).covered(Computation::Hmac, 28);
    assert_eq!(covered.unwrap().unwrap().payload(), 8..28);
}

#[test]
fn checksum_that_is_demanded_and_missing() {
    let demands = Demands {
        checksum: true,
        ..Demands::NONE
    };
    let plain = [0x00, 4, 0, 0];
    assert_eq!(
        demands.check(&view(&plain), 28, true),
        Err(Refusal::ChecksumMissing)
    );
    let checksum = [0x01, 4, 1, 0, 0, 0, 0, 0];
    assert_eq!(demands.check(&view(&checksum), 28, true), Ok(()));
}

#[test]
fn checksum_past_the_payload_or_wrong() {
    let bytes = [0x01, 4, 1, 0, 0, 0, 0, 4];
    assert_eq!(
        view(&bytes).covered(Computation::Checksum, 3),
        Err(Refusal::ChecksumPastPayload)
    );
    let payload = [1, 2, 3, 4];
    let sum = sums::sum(&view(&bytes), &OUTER, &payload).unwrap();
    let mut checksum = view(&bytes).checksum().unwrap();
    assert_eq!(checksum.check(sum), Err(Refusal::ChecksumMismatch));
    checksum.value = sum.complement();
    assert_eq!(checksum.check(sum), Ok(()));
}

#[test]
fn alternate_checksum_that_is_demanded_and_missing() {
    let demands = Demands {
        crc: true,
        ..Demands::NONE
    };
    let checksum = [0x01, 4, 1, 0, 0, 0, 0, 0];
    assert_eq!(
        demands.check(&view(&checksum), 28, true),
        Err(Refusal::CrcMissing)
    );
    let crc = [0x02, 4, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(demands.check(&view(&crc), 28, true), Ok(()));
}

#[test]
fn alternate_checksum_past_the_payload_or_wrong() {
    let bytes = [0x02, 4, 0, 0x40, 0, 0, 0, 5, 0x46, 0x66, 0xb9, 0xa8];
    assert_eq!(
        view(&bytes).covered(Computation::Crc, 4),
        Err(Refusal::CrcPastPayload)
    );
    let crc = view(&bytes).crc().unwrap();
    let payload = [0x45, 0, 0, 0x1c, 0];
    assert_eq!(
        crc.check(sums::crc(&view(&bytes), &payload).unwrap()),
        Ok(())
    );
    let payload = [0x45, 0, 0, 0x1c, 1];
    let computed = sums::crc(&view(&bytes), &payload).unwrap();
    assert_eq!(crc.check(computed), Err(Refusal::CrcMismatch));
}

#[test]
fn nat_checksum_without_udp_checksum() {
    let bytes = [0x01, 6, 0, 0x80, 0x84, 4, 0, 0];
    let none = Demands::NONE;
    assert_eq!(none.check(&view(&bytes), 20, true), Ok(()));
    assert_eq!(
        none.check(&view(&bytes), 20, false),
        Err(Refusal::NatWithoutUdpChecksum)
    );
}

#[test]
fn remote_checksum_without_udp_checksum_where_refused() {
    let demands = Demands {
        remcsum_udp_checksum: true,
        ..Demands::NONE
    };
    for bytes in [
        &[0x01, 4, 2, 0, 0, 20, 0, 36][..],
        &[0x02, 4, 0, 1, 0x80, 0, 0, 0, 0, 20, 0, 36],
    ] {
        // By default, a receiver accepts it, as Linux does.
        assert_eq!(Demands::NONE.check(&view(bytes), 40, false), Ok(()));
        assert_eq!(demands.check(&view(bytes), 40, true), Ok(()));
        assert_eq!(
            demands.check(&view(bytes), 40, false),
            Err(Refusal::RemcsumWithoutUdpChecksum)
        );
    }
}

#[test]
fn remote_checksum_past_the_payload() {
    let bytes = [0x01, 4, 2, 0, 0, 20, 0, 36];
    let header = Header::parse(&bytes, Device::ALL).unwrap();
    let remote = header.fields().remote_checksum().unwrap();
    assert_eq!(remote.check_payload(38), Ok(()));
    assert_eq!(remote.check_payload(37), Err(Refusal::RemcsumPastPayload));
    assert_eq!(remote.check_payload(0), Err(Refusal::RemcsumPastPayload));
}

#[test]
fn fragment_with_reserved_bits() {
    for reserved in [2, 4, 6] {
        let bytes = [0x02, 4, 8, 0, 0, 1 | reserved, 4, 1, 2, 3, 4, 5];
        assert_eq!(content(&bytes, 8), Err(Refusal::FragmentReserved));
        assert_eq!(view(&bytes).repr(), Err(Refusal::FragmentReserved));
    }
}

#[test]
fn fragment_with_another_protocol_than_its_place_demands() {
    let first = |protocol| [0x02, protocol, 8, 0, 0, 1, 4, 1, 2, 3, 4, 5];
    assert!(content(&first(4), 8).is_ok());
    for protocol in [0, 41, 59] {
        assert_eq!(content(&first(protocol), 8), Err(Refusal::FragmentProtocol));
    }
    let later = |control: u8, protocol| [control | 2, protocol, 8, 0, 0, 9, 4, 1, 2, 3, 4, 5];
    assert!(content(&later(0, 59), 8).is_ok());
    assert_eq!(content(&later(0, 4), 8), Err(Refusal::FragmentProtocol));
    assert_eq!(content(&later(0, 0), 8), Err(Refusal::FragmentProtocol));
    // In a control message, type 0 takes the place of "no next header".
    assert!(content(&later(0x20, 0), 8).is_ok());
    assert_eq!(content(&later(0x20, 59), 8), Err(Refusal::FragmentProtocol));
    assert_eq!(content(&later(0x20, 4), 8), Err(Refusal::FragmentProtocol));
}

#[test]
fn fragment_of_a_length_that_its_place_excludes() {
    let fragment = |offset: u16| {
        let [high, low] = offset.to_be_bytes();
        [0x02, 59, 8, 0, high, low, 4, 1, 2, 3, 4, 5]
    };
    assert_eq!(content(&fragment(9), 0), Err(Refusal::FragmentEmpty));
    for len in [1, 7, 9, 1499] {
        assert_eq!(content(&fragment(9), len), Err(Refusal::FragmentUnaligned));
    }
    // The last fragment may have any length.
    assert!(content(&fragment(8), 0).is_ok());
    assert!(content(&fragment(8), 1499).is_ok());
    assert!(content(&fragment(0xfff8), 7).is_ok());
    assert_eq!(content(&fragment(0xfff8), 8), Err(Refusal::FragmentTooLong));
    assert!(content(&fragment(9), 65_520).is_ok());
    assert_eq!(content(&fragment(9), 65_528), Err(Refusal::FragmentTooLong));
}

#[test]
fn transform_of_type_0_or_with_a_protocol() {
    let transform = |control: u8, protocol, kind| [control | 1, protocol, 4, 0, kind, 4, 0, 0];
    assert!(content(&transform(0, 59, 1), 64).is_ok());
    assert!(content(&transform(0x20, 0, 1), 64).is_ok());
    assert_eq!(
        content(&transform(0, 59, 0), 64),
        Err(Refusal::TransformType)
    );
    for (control, protocol) in [(0, 4), (0, 0), (0x20, 59), (0x20, 255)] {
        assert_eq!(
            content(&transform(control, protocol, 1), 64),
            Err(Refusal::TransformProtocol)
        );
    }
    // If a fragment is transformed, the transform field has the fragment's protocol.
    let both = [0x03, 59, 0x0c, 0, 0, 1, 4, 1, 2, 3, 4, 5, 1, 4, 0, 0];
    let Ok(Content::Transformed(transform)) = content(&both, 64) else {
        panic!("no transform");
    };
    let fragment: Fragment = view(&both).fragment().unwrap().unwrap();
    assert_eq!(fragment.check(false, transform.proto_ctype, 64), Ok(()));
}

#[test]
fn data_without_a_protocol() {
    assert_eq!(content(&[0, 0, 0, 0], 28), Err(Refusal::ProtocolZero));
    assert_eq!(content(&[0, 59, 0, 0], 28), Err(Refusal::NoNextHeader));
    assert_eq!(content(&[0, 4, 0, 0], 28), Ok(Content::Packet(4)));
}

#[test]
fn control_message_of_an_unknown_type() {
    for ctype in 0..=254 {
        assert_eq!(
            content(&[0x20, ctype, 0, 0], 28),
            Err(Refusal::ControlType),
            "{ctype}"
        );
    }
    assert_eq!(content(&[0x20, 255, 0, 0], 28), Ok(Content::Experiment));
}

#[test]
fn experimental_message_that_is_short_or_not_ours() {
    let echo = *b"RFOU\x01\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\x01\x02";
    assert!(Echo::parse(&echo).is_ok());
    for len in 0..echo.len() {
        assert_eq!(
            Echo::parse(&echo[..len]),
            Err(Refusal::ControlTruncated),
            "{len} bytes"
        );
    }
    let mut other = echo;
    other[3] = b'X';
    assert_eq!(Echo::parse(&other), Err(Refusal::ControlExperiment));
    for kind in [0, 3, 255] {
        let mut unknown = echo;
        unknown[4] = kind;
        assert_eq!(Echo::parse(&unknown), Err(Refusal::ControlMessage));
    }
    let mut flag = echo;
    flag[5] = 1;
    assert_eq!(Echo::parse(&flag), Err(Refusal::ControlMessage));
    // Reserved bits and padding change nothing.
    let mut padded = [echo.as_slice(), &[0xaa; 8]].concat();
    padded[7] = 1;
    assert_eq!(Echo::parse(&padded), Echo::parse(&echo));
    assert!(Echo::parse(&echo).unwrap().emit(&mut [0; 23]).is_err());
}
