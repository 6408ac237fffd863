// SPDX-License-Identifier: GPL-2.0

//! Properties of all headers in Linux's dialect.

use gue::{
    header, walk, Device, Dialect, Error, Fields, Header, Linux, Prefix, Private, RemoteChecksum,
    Repr, WalkError,
};
use proptest::prelude::*;

fn remote() -> impl Strategy<Value = RemoteChecksum> {
    (any::<u16>(), any::<u16>()).prop_map(|(a, b)| RemoteChecksum::new(a.min(b), a.max(b)).unwrap())
}

fn private() -> impl Strategy<Value = Private> {
    proptest::option::of(remote()).prop_map(|remote_checksum| Private { remote_checksum })
}

fn repr() -> impl Strategy<Value = Repr> {
    let fields = proptest::option::of(private()).prop_map(|private| Fields { private });
    (any::<bool>(), any::<u8>(), fields).prop_map(|(control, proto_ctype, fields)| Repr {
        control,
        proto_ctype,
        fields,
    })
}

fn parse(bytes: &[u8]) -> Result<Header, Error> {
    Header::parse(bytes, Linux)
}

/// A payload that notes how many bytes the walk asks for.
struct Recorder<'a> {
    bytes: &'a [u8],
    asked: Vec<usize>,
}

impl Prefix for Recorder<'_> {
    type Error = usize;

    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8], usize> {
        self.asked.push(len_bytes);
        self.bytes.get(..len_bytes).ok_or(len_bytes)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_is_written_is_read_back(
        repr in repr(),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut bytes = vec![0; repr.len_bytes()];
        repr.emit(&mut bytes).unwrap();
        bytes.extend(payload);
        let header = parse(&bytes).unwrap();
        prop_assert_eq!(header.repr(), Some(repr));
        prop_assert_eq!(header.len_bytes(), repr.len_bytes());
        prop_assert!(!header.is_direct());
    }

    #[test]
    fn what_is_read_is_written_back(bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
        if let Some(repr) = parse(&bytes).ok().and_then(|header| header.repr()) {
            let mut again = vec![0; repr.len_bytes()];
            repr.emit(&mut again).unwrap();
            // All but Hlen, which counts the surplus space too.
            prop_assert_eq!(again[0] & 0xe0, bytes[0] & 0xe0);
            prop_assert_eq!(&again[1..], &bytes[1..repr.len_bytes()]);
            let flags = u16::from_be_bytes([bytes[2], bytes[3]]);
            prop_assert_eq!(flags & !Linux.known_flags(), 0);
        }
    }

    #[test]
    fn a_device_reads_all_that_linux_reads(bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
        if let Ok(linux) = Header::parse(&bytes, Linux) {
            let device = Header::parse(&bytes, Device::ALL).unwrap();
            prop_assert_eq!(device.len_bytes(), linux.len_bytes());
            prop_assert_eq!(device.proto_ctype(), linux.proto_ctype());
            prop_assert_eq!(device.is_control(), linux.is_control());
            let view = device.view(&bytes);
            prop_assert_eq!(view.is_none(), linux.is_direct());
            prop_assert_eq!(view.and_then(|view| view.private()), linux.fields().private);
            prop_assert_eq!(device.fields().remote_checksum(), linux.fields().remote_checksum());
            prop_assert_eq!(device.fields().group, None);
        }
    }

    #[test]
    fn the_walk_asks_for_four_bytes_and_then_for_the_header(
        bytes in proptest::collection::vec(any::<u8>(), 0..140),
        // A receiver seldom knows random flags and variants.
        known in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if known && bytes.len() >= 4 {
            bytes[0] &= 0x3f;
            bytes[2] = 0;
            bytes[3] &= 1;
        }
        let mut payload = Recorder { bytes: &bytes, asked: vec![] };
        let walked = walk(&mut payload, Linux);
        let asked = payload.asked;
        prop_assert_eq!(asked[0], header::BASE_LEN_BYTES);
        prop_assert!(asked.len() <= 2);
        if let Some(len_bytes) = asked.get(1) {
            prop_assert_eq!(bytes[0] >> 6, 0, "more than four bytes are for variant 0 alone");
            prop_assert_eq!(*len_bytes, 4 + 4 * usize::from(bytes[0] & 0x1f));
        }
        match walked {
            Ok(header) if header.is_direct() => {
                prop_assert_eq!(asked.len(), 1);
                prop_assert_eq!(header.len_bytes(), 0);
                prop_assert_eq!(header.repr(), None);
                prop_assert_eq!(header.proto_ctype(), if bytes[0] >> 4 == 4 { 4 } else { 41 });
            }
            Ok(header) => {
                let len_bytes = header.len_bytes();
                prop_assert_eq!(asked.get(1), Some(&len_bytes));
                prop_assert_eq!(header.is_control(), bytes[0] & 0x20 != 0);
                prop_assert_eq!(header.proto_ctype(), bytes[1]);
                prop_assert_eq!(header.fields().flags(), u16::from_be_bytes([bytes[2], bytes[3]]));
                prop_assert_eq!(header.fields().flags() & !Linux.known_flags(), 0);
                prop_assert!(header.fields().len_bytes() <= len_bytes - header::BASE_LEN_BYTES);
                prop_assert!(len_bytes <= bytes.len());
                prop_assert!((header::BASE_LEN_BYTES..=header::MAX_LEN_BYTES).contains(&len_bytes));
                prop_assert_eq!(len_bytes % 4, 0);
            }
            Err(WalkError::Prefix { cause, if_short }) => {
                prop_assert!(bytes.len() < cause);
                prop_assert_eq!(asked.last(), Some(&cause));
                prop_assert_eq!(if_short, [Error::Truncated, Error::HeaderPastEnd][asked.len() - 1]);
                prop_assert_eq!(parse(&bytes), Err(if_short));
            }
            Err(WalkError::Header(error)) => {
                let of_the_variant = matches!(error, Error::UnknownVariant | Error::UnknownIpVersion);
                prop_assert_eq!(of_the_variant, asked.len() == 1);
                prop_assert!(!matches!(error, Error::Truncated | Error::HeaderPastEnd));
                prop_assert_eq!(parse(&bytes), Err(error));
            }
        }
    }

    #[test]
    fn a_header_cut_anywhere_is_truncated(repr in repr(), cut in 0usize..12) {
        let mut bytes = vec![0; repr.len_bytes()];
        repr.emit(&mut bytes).unwrap();
        bytes.truncate(cut);
        if cut < repr.len_bytes() {
            let reason = if cut < header::BASE_LEN_BYTES { Error::Truncated } else { Error::HeaderPastEnd };
            prop_assert_eq!(parse(&bytes), Err(reason));
        }
    }

    #[test]
    fn payload_needed_holds_the_checksum(start in any::<u16>(), offset in any::<u16>()) {
        match RemoteChecksum::new(start, offset) {
            Ok(remote) => {
                prop_assert!(start <= offset);
                prop_assert_eq!(remote.payload_needed(), usize::from(offset) + 2);
                prop_assert!(usize::from(remote.start()) <= remote.payload_needed());
            }
            Err(error) => {
                prop_assert_eq!(error, Error::ChecksumBeforeStart);
                prop_assert!(offset < start);
            }
        }
    }
}
