// SPDX-License-Identifier: GPL-2.0

//! Properties of all headers in the dialect of `gue` devices.

mod sums;

use gue::{
    control::{Echo, Kind},
    hashed::{self, Label},
    header, layout,
    security::{Coverage, SecurityView},
    Addresses, Checksum, Computation, Crc, Device, DeviceFields, Dialect, Error, Fragment, Header,
    Hmac, NatChecksum, Outer, Private, RemoteChecksum, Repr, Security, Template, Transform, View,
};
use proptest::{collection::vec, option, prelude::*};

fn remote() -> impl Strategy<Value = RemoteChecksum> {
    (any::<u16>(), any::<u16>()).prop_map(|(a, b)| RemoteChecksum::new(a.min(b), a.max(b)).unwrap())
}

fn security() -> impl Strategy<Value = Security> {
    prop_oneof![
        any::<[u8; 8]>().prop_map(Security::Cookie8),
        any::<[u8; 16]>().prop_map(Security::Cookie16),
        any::<[u8; 32]>().prop_map(Security::Cookie32),
        (any::<u32>(), any::<u16>(), any::<u16>(), any::<[u8; 32]>()).prop_map(
            |(key_id, offset, len, digest)| Security::Hmac(Hmac {
                key_id,
                coverage: Coverage { offset, len },
                digest,
            })
        ),
    ]
}

fn fragment() -> impl Strategy<Value = Fragment> {
    (any::<u16>(), any::<bool>(), any::<u8>(), any::<[u8; 5]>()).prop_map(
        |(offset, more, original, id)| Fragment::new(offset & !7, more, original, id).unwrap(),
    )
}

fn transform() -> impl Strategy<Value = Transform> {
    (any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(kind, proto_ctype, info)| Transform {
        kind,
        proto_ctype,
        info,
    })
}

fn fields() -> impl Strategy<Value = DeviceFields> {
    let checksum =
        (any::<u16>(), any::<u16>()).prop_map(|(value, coverage)| Checksum { value, coverage });
    let crc = (any::<u16>(), any::<u32>()).prop_map(|(coverage, value)| Crc { coverage, value });
    let private = option::of(remote()).prop_map(|remote_checksum| Private { remote_checksum });
    (
        option::of(any::<u32>()),
        option::of(security()),
        option::of(fragment()),
        option::of(transform()),
        option::of(remote()),
        option::of(checksum),
        option::of(any::<u16>().prop_map(|value| NatChecksum { value })),
        option::of(crc),
        option::of(private),
    )
        .prop_map(
            |(group, security, fragment, transform, remcsum, checksum, nat, crc, private)| {
                DeviceFields {
                    group,
                    security,
                    fragment,
                    transform,
                    remcsum,
                    checksum,
                    nat,
                    crc,
                    // A header has at most one remote checksum.
                    private: private
                        .filter(|private| remcsum.is_none() || private.remote_checksum.is_none()),
                }
            },
        )
}

fn repr() -> impl Strategy<Value = Repr<DeviceFields>> {
    (any::<bool>(), any::<u8>(), fields()).prop_map(|(control, proto_ctype, fields)| Repr {
        control,
        proto_ctype,
        fields,
    })
}

fn addresses() -> impl Strategy<Value = Addresses> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(from, to)| Addresses::V4(from, to)),
        (any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(from, to)| Addresses::V6(from, to)),
    ]
}

fn outer() -> impl Strategy<Value = Outer> {
    (addresses(), any::<u16>(), any::<u16>()).prop_map(
        |(addresses, source_port, destination_port)| Outer {
            addresses,
            source_port,
            destination_port,
        },
    )
}

/// Surplus space, with at most as many words as there is room for after all fields.
fn surplus() -> impl Strategy<Value = Vec<[u8; 4]>> {
    vec(any::<[u8; 4]>(), 0..=11)
}

/// Random bytes. About half of them are changed so that they often begin with a header.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..200), any::<bool>()).prop_map(|(mut bytes, known)| {
        if known && bytes.len() >= 4 {
            bytes[0] = bytes[0] & 0x20 | 0x1f;
            bytes[3] &= 0xc1;
        }
        bytes
    })
}

fn view(bytes: &[u8]) -> View<'_> {
    View::parse(bytes, Device::ALL).unwrap().unwrap()
}

/// Compares a header with a keyed hash, perhaps a group, and no other field with the general types.
fn check_hashed<const ADDRESS: usize, const GROUP: usize>(
    repr: Repr<DeviceFields>,
    hmac: &Hmac,
    addresses: [&[u8; ADDRESS]; 2],
    rest: [u8; 4],
) -> Result<(), TestCaseError> {
    let template = Template::new(&repr, &[]).unwrap();
    let mut packet = template.as_bytes().to_vec();
    packet.extend(rest);

    // Received.
    prop_assert_eq!(template.len_bytes(), hashed::Header::<GROUP>::LEN_BYTES);
    let received = hashed::Header::<GROUP>::at_start_of(&packet).unwrap();
    prop_assert_eq!(received.as_bytes(), template.as_bytes());
    prop_assert_eq!(hashed::Header::<GROUP>::at_start_of(&packet[5..]), None);
    let label = Label::new(hmac.key_id, hmac.coverage);
    prop_assert_eq!((received.label(), received.digest()), (label, &hmac.digest));
    let Coverage { offset, len } = hmac.coverage;
    let others = [
        (hmac.key_id ^ 1, offset, len),
        (hmac.key_id, offset ^ 1, len),
        (hmac.key_id, offset, len ^ 1),
    ];
    for (key_id, offset, len) in others {
        prop_assert_ne!(label, Label::new(key_id, Coverage { offset, len }));
    }
    let covered = view(&packet)
        .covered(Computation::Hmac, usize::MAX)
        .unwrap()
        .unwrap();
    let pieces = addresses.iter().map(|address| &address[..]);
    let expected: Vec<u8> = pieces.chain(covered.header()).flatten().copied().collect();
    prop_assert_eq!(
        received.covered(addresses).as_bytes().to_vec(),
        expected.clone()
    );

    // Sent, from a template without values.
    let none = Hmac {
        key_id: 0,
        coverage: Coverage::NONE,
        digest: [0; 32],
    };
    let fields = DeviceFields {
        security: Some(Security::Hmac(none)),
        ..repr.fields
    };
    let empty = Template::new(&Repr { fields, ..repr }, &[]).unwrap();
    let sent = hashed::Header::<GROUP>::of_template(&empty)
        .unwrap()
        .with_label(label);
    prop_assert_eq!(sent.covered(addresses).as_bytes().to_vec(), expected);
    let sent = sent.with_digest(hmac.digest);
    prop_assert_eq!(sent.as_bytes(), template.as_bytes());
    Ok(())
}

/// Checks digest, CRC and checksum of a packet.
fn verify(packet: &[u8], outer: &Outer, key: &[u8]) -> Result<(), String> {
    let refused = |refusal| format!("{refusal:?}");
    let view = View::parse(packet, Device::ALL)
        .map_err(|error| format!("{error:?}"))?
        .ok_or("variant 1")?;
    let payload = &packet[view.len_bytes()..];
    if let Some(checksum) = view.checksum() {
        let sum = sums::sum(&view, outer, payload).map_err(refused)?;
        checksum.check(sum).map_err(refused)?;
    }
    if let Some(crc) = view.crc() {
        let computed = sums::crc(&view, payload).map_err(refused)?;
        crc.check(computed).map_err(refused)?;
    }
    if let Some(SecurityView::Hmac(hmac)) = view.security() {
        let digest = sums::digest(&view, &outer.addresses, payload, key).map_err(refused)?;
        hmac.check_digest(&digest).map_err(refused)?;
    }
    Ok(())
}

/// Returns a packet whose digest, CRC and checksum were computed in the order of the drafts.
fn seal(template: &Template, payload: &[u8], outer: &Outer, key: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; template.len_bytes()];
    let mut header = template.start(&mut packet).unwrap();
    let sealed = header.view().unwrap();
    if let Some(SecurityView::Hmac(_)) = sealed.security() {
        let digest = sums::digest(&sealed, &outer.addresses, payload, key).unwrap();
        header.set_digest(&digest).unwrap();
    }
    if let Some(crc) = header.view().unwrap().crc() {
        assert!(usize::from(crc.coverage) <= payload.len());
        let crc = sums::crc(&header.view().unwrap(), payload).unwrap();
        header.set_crc(crc).unwrap();
    }
    if header.view().unwrap().checksum().is_some() {
        let sum = sums::sum(&header.view().unwrap(), outer, payload).unwrap();
        header.set_checksum(sum.complement()).unwrap();
    }
    packet.extend(payload);
    packet
}

/// Reduces coverages to the payload's length, and sets digest, CRC and checksum to zero.
fn to_be_sealed(fields: &mut DeviceFields, payload_len: usize) {
    let len = payload_len as u16;
    if let Some(Security::Hmac(hmac)) = &mut fields.security {
        hmac.coverage.offset %= len + 1;
        hmac.coverage.len %= len - hmac.coverage.offset + 1;
        hmac.digest = [0; 32];
    }
    if let Some(checksum) = &mut fields.checksum {
        *checksum = Checksum {
            value: 0,
            coverage: checksum.coverage % (len + 1),
        };
    }
    if let Some(crc) = &mut fields.crc {
        *crc = Crc {
            value: 0,
            coverage: crc.coverage % (len + 1),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn what_is_written_is_read_back(
        repr in repr(),
        surplus in surplus(),
        payload in vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = vec![0; header::MAX_LEN_BYTES];
        let len = repr.emit_with_surplus(&surplus, &mut bytes).unwrap();
        prop_assert_eq!(len, repr.len_bytes() + 4 * surplus.len());
        prop_assert!(bytes[len..].iter().all(|byte| *byte == 0));
        bytes.truncate(len);
        bytes.extend(payload);
        let header = Header::parse(&bytes, Device::ALL).unwrap();
        prop_assert_eq!(header.len_bytes(), len);
        prop_assert_eq!(header.fields().flags(), repr.fields.flags());
        let view = header.view(&bytes).unwrap();
        prop_assert_eq!(view.repr(), Ok(repr));
        prop_assert_eq!(view.surplus(), surplus.as_flattened());
        prop_assert_eq!(view.as_bytes(), &bytes[..len]);
        prop_assert_eq!(header.fields().group, repr.fields.group);
        prop_assert_eq!(header.fields().remote_checksum(), view.remote_checksum());
        let remote = repr.fields.private.and_then(|private| private.remote_checksum);
        prop_assert_eq!(view.remote_checksum(), repr.fields.remcsum.or(remote));
    }

    #[test]
    fn what_is_read_is_written_back(bytes in bytes()) {
        let Ok(header) = Header::parse(&bytes, Device::ALL) else { return Ok(()) };
        let Some(view) = header.view(&bytes) else {
            prop_assert!(header.is_direct());
            return Ok(());
        };
        let flags = u16::from_be_bytes([bytes[2], bytes[3]]);
        prop_assert_eq!(view.flags(), flags);
        prop_assert_eq!(flags & !Device::ALL.known_flags(), 0);
        prop_assert_eq!(view.group(), header.fields().group);
        prop_assert_eq!(view.remote_checksum(), header.fields().remote_checksum());
        let Ok(repr) = view.repr() else { return Ok(()) };
        let surplus: Vec<[u8; 4]> = view.surplus().chunks_exact(4).map(|word| word.try_into().unwrap()).collect();
        prop_assert_eq!(4 * surplus.len(), view.surplus().len());
        let mut again = vec![0; header.len_bytes()];
        prop_assert_eq!(repr.emit_with_surplus(&surplus, &mut again), Ok(header.len_bytes()));
        // Reserved bits are sent as zero.
        let mut expected = bytes[..header.len_bytes()].to_vec();
        if view.nat().is_some() {
            let at = layout::offset_of(flags, gue::nat::FLAG);
            expected[at + 2..at + 4].fill(0);
        }
        if view.crc().is_some() {
            let at = layout::offset_of(flags, gue::crc::FLAG);
            expected[at..at + 2].fill(0);
        }
        prop_assert_eq!(again, expected);
    }

    #[test]
    fn a_header_cut_by_words_has_no_room_for_its_fields(repr in repr(), words in 0usize..32) {
        let mut bytes = vec![0; header::MAX_LEN_BYTES];
        repr.emit(&mut bytes).unwrap();
        let needed = repr.fields.len_bytes() / 4;
        bytes[0] = bytes[0] & 0x20 | words as u8;
        let header = Header::parse(&bytes, Device::ALL);
        if words < needed {
            prop_assert_eq!(header, Err(Error::FieldPastHeader));
        } else {
            prop_assert_eq!(header.unwrap().len_bytes(), 4 + 4 * words);
        }
        bytes.truncate(4 + 4 * words - 1);
        let reason = if words == 0 { Error::Truncated } else { Error::HeaderPastEnd };
        prop_assert_eq!(Header::parse(&bytes, Device::ALL), Err(reason));
    }

    #[test]
    fn a_device_accepts_its_flags_alone(repr in repr(), flags in any::<u16>()) {
        let mut bytes = vec![0; header::MAX_LEN_BYTES];
        repr.emit(&mut bytes).unwrap();
        let header = Header::parse(&bytes, Device::with_flags(flags));
        if repr.fields.flags() & !flags != 0 {
            prop_assert_eq!(header, Err(Error::UnknownFlag));
        } else {
            prop_assert_eq!(header, Header::parse(&bytes, Device::ALL));
        }
    }

    #[test]
    fn surplus_space_that_hlen_cannot_count_is_not_written(repr in repr(), words in 0usize..300) {
        let surplus = vec![[0xaa; 4]; words];
        let mut bytes = vec![0x55; 2048];
        let written = repr.emit_with_surplus(&surplus, &mut bytes);
        let len = repr.len_bytes() + 4 * words;
        if len > header::MAX_LEN_BYTES {
            prop_assert_eq!(written, Err(Error::HeaderTooLong));
            prop_assert!(bytes.iter().all(|byte| *byte == 0x55));
        } else {
            prop_assert_eq!(written, Ok(len));
            let mut short = vec![0x55; len - 1];
            let written = repr.emit_with_surplus(&surplus, &mut short);
            prop_assert_eq!(written, Err(Error::BufferTooShort));
            prop_assert!(short.iter().all(|byte| *byte == 0x55));
        }
    }

    #[test]
    fn a_hashed_header_covers_and_is_what_the_views_do(
        repr in repr(),
        group in any::<u32>(),
        hmac in (any::<u32>(), any::<u16>(), any::<u16>(), any::<[u8; 32]>()),
        addresses in addresses(),
        rest in any::<[u8; 4]>(),
        surplus in surplus(),
    ) {
        let (key_id, offset, len, digest) = hmac;
        let hmac = Hmac { key_id, coverage: Coverage { offset, len }, digest };
        let security = Some(Security::Hmac(hmac));
        let without = DeviceFields { security, ..DeviceFields::NONE };
        let with = DeviceFields { group: Some(group), ..without };
        let without = Repr { fields: without, ..repr };
        let with = Repr { fields: with, ..repr };
        match addresses.pieces() {
            [source, destination] if source.len() == 4 => {
                let addresses = [source.try_into().unwrap(), destination.try_into().unwrap()];
                check_hashed::<4, 0>(without, &hmac, addresses, rest)?;
                check_hashed::<4, 4>(with, &hmac, addresses, rest)?;
            }
            [source, destination] => {
                let addresses = [source.try_into().unwrap(), destination.try_into().unwrap()];
                check_hashed::<16, 0>(without, &hmac, addresses, rest)?;
                check_hashed::<16, 4>(with, &hmac, addresses, rest)?;
            }
        }

        // No other template becomes such a header.
        let other = Template::new(&repr, &surplus).unwrap();
        let has_hmac = matches!(repr.fields.security, Some(Security::Hmac(_)));
        let is_lone = has_hmac
            && DeviceFields { group: None, security: None, ..repr.fields } == DeviceFields::NONE
            && surplus.is_empty();
        let has_group = repr.fields.group.is_some();
        prop_assert_eq!(hashed::Header::<0>::of_template(&other).is_some(), is_lone && !has_group);
        prop_assert_eq!(hashed::Header::<4>::of_template(&other).is_some(), is_lone && has_group);

        // A receiver tells such a header from all others by its length.
        let place = RemoteChecksum::new(0, 0).ok();
        let private = Some(Private { remote_checksum: None });
        let of = |group, remcsum, private| Repr {
            fields: DeviceFields { group, remcsum, private, ..without.fields },
            ..repr
        };
        let word = [rest];
        for (repr, surplus, lone) in [
            (of(None, None, None), &[][..], Some(false)),
            (of(None, None, None), &word, None),
            (of(None, place, None), &[], None),
            (of(None, None, private), &[], None),
            (of(Some(group), None, None), &[], Some(true)),
            (of(Some(group), None, None), &word, None),
            (of(Some(group), place, None), &[], None),
        ] {
            let template = Template::new(&repr, surplus).unwrap();
            let header = Header::parse(template.as_bytes(), Device::ALL).unwrap();
            let found = match (header.len_bytes(), header.fields().group.is_some()) {
                (hashed::Header::<0>::LEN_BYTES, _) => Some(false),
                (hashed::Header::<4>::LEN_BYTES, true) => Some(true),
                _ => None,
            };
            prop_assert_eq!(found, lone);
        }
    }

    #[test]
    fn a_template_with_its_values_set_is_the_header(repr in repr(), surplus in surplus()) {
        let fields = repr.fields;
        let mut empty = repr;
        empty.proto_ctype = 0;
        empty.fields.group = fields.group.and(Some(0));
        empty.fields.fragment = fields.fragment.and(Fragment::new(0, false, 0, [0; 5]));
        let nowhere = RemoteChecksum::new(0, 0).ok();
        empty.fields.remcsum = fields.remcsum.and(nowhere);
        if let Some(private) = &mut empty.fields.private {
            private.remote_checksum = private.remote_checksum.and(nowhere);
        }
        empty.fields.checksum = fields.checksum.map(|_| Checksum { value: 0, coverage: 0 });
        empty.fields.nat = fields.nat.map(|_| NatChecksum { value: 0 });
        empty.fields.crc = fields.crc.map(|_| Crc { value: 0, coverage: 0 });
        match &mut empty.fields.security {
            Some(Security::Hmac(hmac)) => {
                *hmac = Hmac { key_id: 0, coverage: Coverage::NONE, digest: [0; 32] };
            }
            Some(Security::Cookie8(cookie)) => *cookie = [0; 8],
            Some(Security::Cookie16(cookie)) => *cookie = [0; 16],
            Some(Security::Cookie32(cookie)) => *cookie = [0; 32],
            None => {}
        }
        let template = Template::new(&empty, &surplus).unwrap();
        // The same header, whose surplus space is added per packet.
        let bare = Template::new(&empty, &[]).unwrap();
        let mut packet = [0xaa; header::MAX_LEN_BYTES + 1];
        bare.start_with_surplus(&mut packet, surplus.as_flattened()).unwrap();
        prop_assert_eq!(&packet[..template.len_bytes()], template.as_bytes());

        let mut packet = [0xaa; header::MAX_LEN_BYTES + 1];
        let mut header = template.start(&mut packet).unwrap();
        header.set_proto_ctype(repr.proto_ctype);
        let set = header.set_group(fields.group.unwrap_or(1));
        prop_assert_eq!(set.is_ok(), fields.group.is_some());
        let hmac = match fields.security {
            Some(Security::Hmac(hmac)) => Some(hmac),
            _ => None,
        };
        let cookie: &[u8] = match &fields.security {
            Some(Security::Cookie8(cookie)) => cookie,
            Some(Security::Cookie16(cookie)) => cookie,
            Some(Security::Cookie32(cookie)) => cookie,
            _ => &[],
        };
        for len in [8, 16, 32] {
            if len != cookie.len() {
                prop_assert!(header.set_cookie(&[1; 32][..len]).is_err());
            }
        }
        prop_assert_eq!(header.set_cookie(cookie).is_ok(), !cookie.is_empty());
        let set = header.set_key_id(hmac.map_or(1, |hmac| hmac.key_id));
        prop_assert_eq!(set.is_ok(), hmac.is_some());
        let none = Coverage::NONE;
        let set = header.set_hmac_coverage(hmac.map_or(none, |hmac| hmac.coverage));
        prop_assert_eq!(set.is_ok(), hmac.is_some());
        let set = header.set_digest(&hmac.map_or([1; 32], |hmac| hmac.digest));
        prop_assert_eq!(set.is_ok(), hmac.is_some());
        let any = Fragment::new(8, true, 4, [1; 5]).unwrap();
        let set = header.set_fragment(&fields.fragment.unwrap_or(any));
        prop_assert_eq!(set.is_ok(), fields.fragment.is_some());
        let private = fields.private.and_then(|private| private.remote_checksum);
        if let Some(remote) = fields.remcsum.or(private) {
            prop_assert_eq!(header.set_remote_checksum(&remote), Ok(()));
        }
        let set = header.set_checksum(fields.checksum.map_or(1, |checksum| checksum.value));
        prop_assert_eq!(set.is_ok(), fields.checksum.is_some());
        let set = header.set_checksum_coverage(fields.checksum.map_or(1, |checksum| checksum.coverage));
        prop_assert_eq!(set.is_ok(), fields.checksum.is_some());
        let set = header.set_nat(fields.nat.map_or(1, |nat| nat.value));
        prop_assert_eq!(set.is_ok(), fields.nat.is_some());
        let set = header.set_crc(fields.crc.map_or(1, |crc| crc.value));
        prop_assert_eq!(set.is_ok(), fields.crc.is_some());
        let set = header.set_crc_coverage(fields.crc.map_or(1, |crc| crc.coverage));
        prop_assert_eq!(set.is_ok(), fields.crc.is_some());

        let mut expected = [0xaa; header::MAX_LEN_BYTES + 1];
        let len = repr.emit_with_surplus(&surplus, &mut expected).unwrap();
        prop_assert_eq!(template.len_bytes(), len);
        prop_assert_eq!(packet, expected);
        prop_assert!(template.start(&mut packet[..len - 1]).is_err());
    }

    #[test]
    fn pieces_are_the_header_with_zeros(repr in repr(), surplus in surplus()) {
        let mut bytes = vec![0; header::MAX_LEN_BYTES];
        let len = repr.emit_with_surplus(&surplus, &mut bytes).unwrap();
        bytes.truncate(len);
        let digest = (0x4000, 8, 32);
        let checksum = (0x0100, 0, 2);
        let crc = (0x0040, 4, 4);
        for (computation, own, zeros) in [
            (Computation::Hmac, 0x4000, &[digest, checksum, crc][..]),
            (Computation::Crc, 0x0040, &[checksum, crc]),
            (Computation::Checksum, 0x0100, &[checksum]),
        ] {
            let covered = view(&bytes).covered(computation, 1 << 17).unwrap();
            prop_assert_eq!(covered.is_some(), repr.fields.flags() & own != 0);
            let Some(covered) = covered else { continue };
            let mut expected = bytes.clone();
            for (flag, offset, len) in zeros {
                if repr.fields.flags() & flag != 0 {
                    let at = layout::offset_of(repr.fields.flags(), *flag) + offset;
                    expected[at..at + len].fill(0);
                }
            }
            prop_assert_eq!(covered.header().collect::<Vec<_>>().concat(), expected);
            let align = match computation {
                Computation::Hmac => 1,
                Computation::Crc => 4,
                Computation::Checksum => 2,
            };
            prop_assert_eq!((covered.payload().len() + covered.padding().len()) % align, 0);
            prop_assert!(covered.padding().len() < align);
        }
    }

    #[test]
    fn echoes_are_read_as_written(
        request in any::<bool>(),
        sequence in any::<u64>(),
        token in any::<u64>(),
        padding in vec(any::<u8>(), 0..40),
    ) {
        let kind = if request { Kind::EchoRequest } else { Kind::EchoReply };
        let echo = Echo { kind, sequence, token };
        let mut payload = [0; Echo::LEN_BYTES];
        echo.emit(&mut payload).unwrap();
        prop_assert_eq!(Echo::parse(&[&payload[..], &padding].concat()), Ok(echo));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_sealed_packet_is_right_and_any_changed_covered_bit_is_seen(
        repr in repr(),
        surplus in surplus(),
        payload in vec(any::<u8>(), 0..64),
        outer in outer(),
        key in vec(any::<u8>(), 1..100),
        bit in any::<prop::sample::Index>(),
    ) {
        let mut repr = repr;
        to_be_sealed(&mut repr.fields, payload.len());
        let template = Template::new(&repr, &surplus).unwrap();
        let packet = seal(&template, &payload, &outer, &key);
        prop_assert_eq!(verify(&packet, &outer, &key), Ok(()));

        let sealed = view(&packet);
        // Another key or other addresses.
        if let Some(SecurityView::Hmac(_)) = sealed.security() {
            let other = [&key[..], &[1]].concat();
            prop_assert!(verify(&packet, &outer, &other).is_err());
            let mut moved = outer;
            match &mut moved.addresses {
                Addresses::V4(source, _) => source[0] ^= 1,
                Addresses::V6(_, destination) => destination[15] ^= 1,
            }
            prop_assert!(verify(&packet, &moved, &key).is_err());
        }
        if sealed.checksum().is_some() {
            let moved = Outer { source_port: outer.source_port ^ 1, ..outer };
            prop_assert!(verify(&packet, &moved, &key).is_err());
        }

        let header_len = sealed.len_bytes();
        let covers = |computation, at: usize| {
            let covered = sealed.covered(computation, payload.len()).unwrap();
            covered.is_some_and(|covered| {
                at < header_len || covered.payload().contains(&(at - header_len))
            })
        };
        let bit = bit.index(8 * packet.len());
        let mut changed = packet.clone();
        changed[bit / 8] ^= 0x80 >> (bit % 8);
        let all = [Computation::Hmac, Computation::Crc, Computation::Checksum];
        let coverage = layout::offset_of(sealed.flags(), gue::checksum::FLAG) + 2;
        let form = match bit / 8 {
            // With a changed bit of the variant, of Hlen or of a flag, the bytes may be another header.
            0 | 2 | 3 => true,
            // With another coverage, one sum in 2^16 is the same.
            at => sealed.checksum().is_some() && (coverage..coverage + 2).contains(&at),
        };
        if form {
            return Ok(());
        }
        if all.into_iter().any(|computation| covers(computation, bit / 8)) {
            prop_assert!(verify(&changed, &outer, &key).is_err(), "bit {} was not seen", bit);
        } else if bit / 8 >= header_len {
            prop_assert_eq!(verify(&changed, &outer, &key), Ok(()), "bit {} counts", bit);
        }
    }
}
