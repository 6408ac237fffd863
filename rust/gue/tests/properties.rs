// SPDX-License-Identifier: GPL-2.0

//! What holds for all headers.

use gue::{header, Dialect, Error, Header, RemoteChecksum, Repr, Start};
use proptest::prelude::*;

fn repr() -> impl Strategy<Value = Repr> {
    let remote = (any::<u16>(), any::<u16>())
        .prop_map(|(a, b)| RemoteChecksum::new(a.min(b), a.max(b)).unwrap());
    (any::<bool>(), any::<u8>(), proptest::option::of(remote)).prop_map(
        |(control, proto_ctype, remote_checksum)| Repr {
            control,
            proto_ctype,
            remote_checksum,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_is_written_is_read_back(repr in repr(), payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = vec![0; repr.len_bytes()];
        repr.emit(&mut bytes).unwrap();
        bytes.extend(payload);
        prop_assert_eq!(Start::parse(&bytes), Ok(Start::Header { len_bytes: repr.len_bytes() }));
        let header = Header::parse(&bytes).unwrap();
        prop_assert_eq!(Repr::of(&header), repr);
        prop_assert_eq!(header.len_bytes(), repr.len_bytes());
    }

    #[test]
    fn what_is_read_is_written_back(bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
        if let Ok(header) = Header::parse(&bytes) {
            let repr = Repr::of(&header);
            let mut again = vec![0; repr.len_bytes()];
            repr.emit(&mut again).unwrap();
            // All but Hlen, which counts the surplus space too, and the private word of no flags.
            prop_assert_eq!(again[0] & 0xe0, bytes[0] & 0xe0);
            prop_assert_eq!(again[1], bytes[1]);
            if repr.remote_checksum.is_some() {
                prop_assert_eq!(&again[2..], &bytes[2..repr.len_bytes()]);
            }
        }
    }

    #[test]
    fn both_steps_agree_on_the_length(bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
        match (Start::parse(&bytes), Header::parse(&bytes)) {
            (Ok(Start::Header { len_bytes }), Ok(header)) => {
                prop_assert_eq!(header.len_bytes(), len_bytes);
                prop_assert_eq!(header.hlen_words(), usize::from(bytes[0] & 0x1f));
                prop_assert_eq!(header.flags(), u16::from_be_bytes([bytes[2], bytes[3]]));
                prop_assert_eq!(header.flags() & !Dialect::Linux.known_flags(), 0);
                prop_assert!(len_bytes <= bytes.len());
                prop_assert!((header::BASE_LEN_BYTES..=header::MAX_LEN_BYTES).contains(&len_bytes));
                prop_assert_eq!(len_bytes % 4, 0);
            }
            (Ok(Start::Header { len_bytes }), Err(error)) => {
                prop_assert_ne!(error, Error::Truncated, "the first step has read four bytes");
                prop_assert_eq!(error == Error::HeaderPastEnd, bytes.len() < len_bytes);
            }
            (_, header) => prop_assert!(header.is_err(), "a header of no variant"),
        }
    }

    #[test]
    fn a_header_cut_anywhere_is_truncated(repr in repr(), cut in 0usize..12) {
        let mut bytes = vec![0; repr.len_bytes()];
        repr.emit(&mut bytes).unwrap();
        bytes.truncate(cut);
        if cut < repr.len_bytes() {
            let reason = if cut < header::BASE_LEN_BYTES { Error::Truncated } else { Error::HeaderPastEnd };
            prop_assert_eq!(Header::parse(&bytes), Err(reason));
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
