// SPDX-License-Identifier: GPL-2.0

//! Reads any bytes: an accepted header stays within them, and is written again as the same bytes.

#![no_main]

use gue::{header, walk, Device, Dialect, Error, FieldSet, Header, Linux, Prefix, WalkError};
use libfuzzer_sys::fuzz_target;

/// A payload that notes how many bytes the walk has asked for last.
struct Payload<'a> {
    bytes: &'a [u8],
    asked: usize,
}

impl Prefix for Payload<'_> {
    type Error = ();

    fn prefix(&mut self, len_bytes: usize) -> Result<&[u8], ()> {
        assert!(self.asked < len_bytes || self.asked == header::BASE_LEN_BYTES);
        self.asked = len_bytes;
        self.bytes.get(..len_bytes).ok_or(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes, Linux);
    check(bytes, Device);
});

fn check<D: Dialect>(bytes: &[u8], dialect: D) {
    let mut payload = Payload { bytes, asked: 0 };
    let walked = walk(&mut payload, dialect);
    let asked = payload.asked;
    let parsed = Header::parse(bytes, dialect);
    let header = match walked {
        Ok(header) => header,
        Err(WalkError::Prefix { if_short, .. }) => {
            assert!(bytes.len() < asked);
            assert_eq!(parsed, Err(if_short));
            assert_eq!(
                if_short == Error::Truncated,
                bytes.len() < header::BASE_LEN_BYTES
            );
            return;
        }
        Err(WalkError::Header(error)) => {
            assert!(bytes.len() >= asked);
            assert_eq!(parsed, Err(error));
            assert!(!matches!(error, Error::Truncated | Error::HeaderPastEnd));
            return;
        }
    };
    assert_eq!(parsed, Ok(header));
    assert!(asked <= bytes.len());
    // Bytes after the header change nothing.
    assert_eq!(Header::parse(&bytes[..asked], dialect), Ok(header));
    let Some(repr) = header.repr() else {
        assert!(header.is_direct());
        assert_eq!((header.len_bytes(), asked), (0, header::BASE_LEN_BYTES));
        assert_eq!(
            header.proto_ctype(),
            if bytes[0] >> 4 == 4 { 4 } else { 41 }
        );
        return;
    };
    assert_eq!(header.len_bytes(), asked);
    assert!((header::BASE_LEN_BYTES..=header::MAX_LEN_BYTES).contains(&asked));
    assert_eq!(
        header.fields().flags() & !dialect.known_flags(),
        0,
        "a flag is accepted that the dialect does not have"
    );
    if let Some(remote) = header.fields().remote_checksum() {
        assert!(remote.start() <= remote.offset());
        assert_eq!(remote.payload_needed(), usize::from(remote.offset()) + 2);
    }

    let mut again = vec![0; repr.len_bytes()];
    repr.emit(&mut again)
        .expect("the accepted header can be written");
    let read_again = Header::parse(&again, dialect).expect("the written header can be read");
    assert_eq!(read_again.repr(), Some(repr));
    // Surplus space is not written again, and Hlen counts it.
    assert_eq!(again[0] & 0xe0, bytes[0] & 0xe0);
    assert_eq!(again[1..], bytes[1..again.len()]);
    assert_eq!(again.len() == header.len_bytes(), again[0] == bytes[0]);
}
