// SPDX-License-Identifier: GPL-2.0

//! Which remote checksum is that of the first transport header.

use gue::{protocol, RemoteChecksum};
use proptest::prelude::*;

const TCP: u8 = 6;

/// An IPv4 header, with this fragment field and this many words of options.
fn ipv4(number: u8, fragment: u16, options: u8) -> Vec<u8> {
    let mut header = vec![0; 20 + 4 * usize::from(options)];
    header[0] = 0x45 + options;
    header[6..8].copy_from_slice(&fragment.to_be_bytes());
    header[9] = number;
    header
}

fn ipv6(number: u8) -> Vec<u8> {
    let mut header = vec![0; 40];
    header[0] = 0x60;
    header[6] = number;
    header
}

fn gre(flags: u8, words: usize, ether_type: [u8; 2]) -> Vec<u8> {
    let mut header = vec![flags, 0, ether_type[0], ether_type[1]];
    header.resize(4 + 4 * words, 0);
    header
}

fn ethernet(ether_type: [u8; 2]) -> Vec<u8> {
    let mut header = vec![2; 12];
    header.extend(ether_type);
    header
}

const V4: [u8; 2] = [0x08, 0x00];
const V6: [u8; 2] = [0x86, 0xdd];
const BRIDGED: [u8; 2] = [0x65, 0x58];

/// The protocol of the first header, the headers, and where the checksum starts and is, if anywhere.
type Packet = (u8, Vec<Vec<u8>>, Option<(u16, u16)>);

fn packets() -> Vec<Packet> {
    use protocol::{GRE, IPV4, IPV6, UDP};
    vec![
        (IPV4, vec![ipv4(TCP, 0, 0)], Some((20, 36))),
        (IPV4, vec![ipv4(UDP, 0x4000, 0)], Some((20, 26))),
        (IPV4, vec![ipv4(TCP, 0, 10)], Some((60, 76))),
        (IPV4, vec![ipv4(TCP, 0x2000, 0)], None),
        (IPV4, vec![ipv4(TCP, 1, 0)], None),
        (IPV4, vec![ipv4(1, 0, 0)], None),
        (IPV4, vec![ipv4(IPV4, 0, 0), ipv4(TCP, 0, 0)], None),
        (IPV4, vec![ipv6(TCP)], None),
        (IPV6, vec![ipv6(TCP)], Some((40, 56))),
        (IPV6, vec![ipv6(UDP)], Some((40, 46))),
        (IPV6, vec![ipv6(44)], None),
        (IPV6, vec![ipv4(TCP, 0, 0)], None),
        (GRE, vec![gre(0, 0, V4), ipv4(TCP, 0, 0)], Some((24, 40))),
        (GRE, vec![gre(0xb0, 3, V6), ipv6(UDP)], Some((56, 62))),
        (
            GRE,
            vec![gre(0x20, 1, BRIDGED), ethernet(V4), ipv4(TCP, 0, 0)],
            Some((42, 58)),
        ),
        (GRE, vec![gre(0, 0, BRIDGED), ethernet([0x81, 0])], None),
        (GRE, vec![gre(0x40, 0, V4), ipv4(TCP, 0, 0)], None),
        (GRE, vec![gre(0, 0, [0x88, 0x47]), ipv4(TCP, 0, 0)], None),
        (TCP, vec![], Some((0, 16))),
        (UDP, vec![], Some((0, 6))),
        (1, vec![], None),
    ]
}

#[test]
fn the_first_transport_headers_checksum_and_no_other() {
    for (number, headers, expected) in packets() {
        let mut packet = headers.concat();
        packet.resize(packet.len() + 40, 0);
        for start in 0..100 {
            for offset in start..100 {
                let remote = RemoteChecksum::new(start, offset).unwrap();
                assert_eq!(
                    remote.is_of_transport_header(number, &packet),
                    expected == Some((start, offset)),
                    "{number}: {start}, {offset} of {packet:x?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn bytes_of_any_kind_and_number_are_read(
        number in prop_oneof![Just(4u8), Just(41), Just(47), any::<u8>()],
        payload in proptest::collection::vec(any::<u8>(), 0..80),
        (a, b) in (0u16..100, 0u16..100),
    ) {
        let remote = RemoteChecksum::new(a.min(b), a.max(b)).unwrap();
        if remote.is_of_transport_header(number, &payload) {
            prop_assert!(matches!(remote.offset() - remote.start(), 6 | 16));
        }
    }
}
