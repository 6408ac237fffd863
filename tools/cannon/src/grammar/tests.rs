// SPDX-License-Identifier: GPL-2.0

//! Tests of the grammar as a whole.

use super::{
    checksum::{fold, sum},
    host::{DEVICE_PORTS, FOU_UDP, GUE_PORTS},
    *,
};

const FLAVOURS: [Flavour; 6] = [
    Flavour::Plain,
    Flavour::Gro,
    Flavour::Fragments,
    Flavour::Scattered,
    Flavour::Pieces,
    Flavour::Transmit,
];

#[test]
fn the_seed_and_the_number_decide_alone() {
    for flavour in FLAVOURS {
        let all: Vec<_> = (0..200).map(|number| volley(flavour, 7, number)).collect();
        assert_eq!(volley(flavour, 7, 123), all[123]);
        assert_ne!(volley(flavour, 8, 123), all[123]);
    }
}

#[test]
fn pieces_make_up_the_packet() {
    for number in 0..2000 {
        for shot in volley(Flavour::Fragments, 1, number) {
            let all: Vec<u8> = shot.pieces().flatten().copied().collect();
            assert_eq!(all[..VIRTIO_LEN], shot.virtio);
            assert_eq!(all[VIRTIO_LEN..], shot.bytes);
        }
    }
}

#[test]
fn what_is_not_hostile_has_good_headers() {
    let mut tunnelled = 0;
    for number in 0..3000 {
        for shot in volley(Flavour::Plain, 3, number) {
            let bytes = &shot.bytes;
            let Some(header) = bytes.get(14..34) else {
                continue;
            };
            if bytes[12..14] == [8, 0] && header[0] == 0x45 {
                let right = fold(sum(header).into()) == 0xffff;
                tunnelled += u32::from(right && header[9] == UDP);
            }
        }
    }
    assert!(
        tunnelled > 1000,
        "{tunnelled} of the packets are UDP over IPv4"
    );
}

#[test]
fn devices_get_groups_and_both_forms_of_remote_checksums() {
    let mut seen = std::collections::BTreeMap::<(u8, u16), u32>::new();
    for number in 0..12000 {
        for shot in volley(Flavour::Plain, 4, number) {
            // UDP over IPv4 and IPv6, without a VLAN tag, options or extensions.
            let udp = match shot.bytes.get(12..15) {
                Some([8, 0, 0x45]) => 34,
                Some([0x86, 0xdd, first]) if first >> 4 == 6 => 54,
                _ => continue,
            };
            let Some([_, _, p0, p1, .., v, _, f0, f1]) = shot.bytes.get(udp..udp + 12) else {
                continue;
            };
            if DEVICE_PORTS.contains(&u16::from_be_bytes([*p0, *p1])) && v >> 6 == 0 {
                let kind = (udp as u8, u16::from_be_bytes([*f0, *f1]));
                *seen.entry(kind).or_default() += 1;
            }
        }
    }
    // No field, R, Linux's private field; each without a group and with one.
    for flags in [0, 0x0200, 0x0001, 0x8000, 0x8200, 0x8001] {
        for udp in [34, 54] {
            assert!(seen.get(&(udp, flags)) > Some(&20), "{flags:#x}: {seen:?}");
        }
    }
    // The cookie and the keyed hash of the devices with a key.
    for (udp, flags) in [(34, 0x9000), (34, 0x9200), (54, 0xc000), (54, 0xc200)] {
        assert!(seen.get(&(udp, flags)) > Some(&10), "{flags:#x}: {seen:?}");
    }
    // Frames.
    for udp in [34, 54] {
        assert!(seen.get(&(udp, 0x8000)) > Some(&60), "{seen:?}");
    }
    // All other fields, whoever they are for.
    for flag in [0x0800, 0x0400, 0x0100, 0x0080, 0x0040] {
        let with: u32 = seen
            .iter()
            .filter(|((_, flags), _)| flags & flag != 0)
            .map(|(_, n)| n)
            .sum();
        assert!(with > 20, "{flag:#x}: {seen:?}");
    }
}

#[test]
fn fragments_make_up_the_packet() {
    let mut whole = 0;
    for number in 0..3000 {
        let fragments: Vec<_> = volley(Flavour::Plain, 5, number)
            .into_iter()
            .filter(|shot| shot.virtio == [0; VIRTIO_LEN])
            .filter_map(|shot| {
                let ip = shot.bytes.get(14..).filter(|ip| ip.len() >= 20)?;
                if shot.bytes.get(12..15)? != [8, 0, 0x45] {
                    return None;
                }
                let word = u16::from_be_bytes([ip[6], ip[7]]);
                let more = word & 0x2000 != 0;
                let start = usize::from(word & 0x1fff) * 8;
                (more || start > 0).then(|| (ip[4..6].to_vec(), start, ip.len() - 20, more))
            })
            .collect();
        let Some(((id, ..), rest)) = fragments.split_first() else {
            continue;
        };
        let total: usize = fragments.iter().map(|fragment| fragment.2).sum();
        let last = fragments.iter().find(|fragment| !fragment.3);
        let one = rest.iter().all(|fragment| fragment.0 == *id);
        whole += u32::from(one && last.is_some_and(|last| last.1 + last.2 == total));
    }
    assert!(whole > 20, "{whole} packets in fragments that fit together");
}

#[test]
fn gue_fragments_make_up_a_packet_and_some_are_wrong() {
    let (mut whole, mut broken, mut reserved) = (0, 0, 0);
    for number in 0..3000 {
        let mut found = std::collections::BTreeMap::<Vec<u8>, Vec<(usize, usize, bool)>>::new();
        for shot in volley(Flavour::Pieces, 5, number) {
            // UDP over IPv4 to a device, with no field before the fragment's.
            let bytes = &shot.bytes;
            if bytes.get(12..15) != Some(&[8, 0, 0x45]) || bytes.len() < 54 {
                continue;
            }
            let flags = u16::from_be_bytes([bytes[44], bytes[45]]);
            let port = u16::from_be_bytes([bytes[36], bytes[37]]);
            if !DEVICE_PORTS.contains(&port) || bytes[42] >> 6 != 0 || flags & 0xf800 != 0x0800 {
                continue;
            }
            let field = &bytes[46..54];
            let head = 46 + 4 * usize::from(bytes[42] & 0x1f);
            let word = u16::from_be_bytes([field[0], field[1]]);
            reserved += u32::from(word & 6 != 0);
            let place = (
                usize::from(word & 0xfff8),
                bytes.len().saturating_sub(head),
                word & 1 != 0,
            );
            found.entry(field[3..].to_vec()).or_default().push(place);
        }
        for mut places in found.into_values().filter(|places| places.len() > 1) {
            places.sort_unstable();
            let mut end = 0;
            let fit = places.iter().all(|(start, len, _)| {
                let fits = *start == end;
                end = start + len;
                fits
            });
            let last = places.iter().position(|place| !place.2);
            if fit && last == Some(places.len() - 1) {
                whole += 1;
            } else {
                broken += 1;
            }
        }
    }
    assert!(whole > 100 && broken > 20, "{whole} whole, {broken} broken");
    assert!(reserved > 5, "{reserved} with reserved bits");
}

#[test]
fn packets_of_headers_alone_are_long() {
    let mut seen = 0;
    for number in 0..20 * u64::from(HEADERS_ALONE) {
        for shot in volley(Flavour::Gro, 1, number)
            .iter()
            .filter(|shot| shot.bytes.len() > 2000)
        {
            let port = (FOU_UDP.to_be_bytes(), GUE_PORTS.map(u16::to_be_bytes));
            let headers = shot.bytes.windows(4).filter(|bytes| {
                bytes[..2] == 40_000u16.to_be_bytes()
                    && (bytes[2..] == port.0 || port.1.iter().any(|port| bytes[2..] == *port))
            });
            seen += u32::from(headers.count() > 100);
        }
    }
    assert!(seen > 0, "none of more than 100 headers");
}
