// SPDX-License-Identifier: GPL-2.0

//! Any bytes: what is accepted stays within them, and is rebuilt to the same bytes.

#![no_main]

use gue::{header, Dialect, Error, Header, Repr, Start};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let start = Start::parse(bytes);
    let header = match (start, Header::parse(bytes)) {
        (Ok(Start::Header { len_bytes }), Ok(header)) => {
            assert_eq!(header.len_bytes(), len_bytes, "both steps agree");
            header
        }
        (Ok(Start::Header { len_bytes }), Err(error)) => {
            assert_ne!(
                error,
                Error::Truncated,
                "the first step has read four bytes"
            );
            assert_eq!(error == Error::HeaderPastEnd, bytes.len() < len_bytes);
            return;
        }
        (Ok(Start::Direct { protocol }), parsed) => {
            assert_eq!(parsed, Err(Error::UnknownVariant));
            assert_eq!(protocol, if bytes[0] >> 4 == 4 { 4 } else { 41 });
            return;
        }
        (Err(error), parsed) => {
            assert_eq!(
                error == Error::Truncated,
                bytes.len() < header::BASE_LEN_BYTES
            );
            assert!(parsed.is_err());
            return;
        }
    };
    assert!(header.len_bytes() <= bytes.len());
    assert!((header::BASE_LEN_BYTES..=header::MAX_LEN_BYTES).contains(&header.len_bytes()));
    assert_eq!(header.flags() & !Dialect::Linux.known_flags(), 0);
    // Nothing behind the header has a say.
    assert_eq!(Header::parse(&bytes[..header.len_bytes()]), Ok(header));
    if let Some(remote) = header.remote_checksum() {
        assert!(remote.start() <= remote.offset());
        assert_eq!(remote.payload_needed(), usize::from(remote.offset()) + 2);
    }

    let repr = Repr::of(&header);
    let mut again = vec![0; repr.len_bytes()];
    repr.emit(&mut again).expect("what was read can be written");
    let parsed = Header::parse(&again).expect("what was written can be read");
    assert_eq!(Repr::of(&parsed), repr);
    // Surplus space, and a private word without a flag, are not written again.
    if parsed.flags() == header.flags() {
        assert_eq!(again[0] & 0xe0, bytes[0] & 0xe0);
        assert_eq!(again[1..], bytes[1..again.len()]);
        assert_eq!(again.len() == header.len_bytes(), again[0] == bytes[0]);
    }
});
