// SPDX-License-Identifier: GPL-2.0

//! Any values, any buffer: what is built parses to the same values, and what does not fit is refused
//! with the buffer as it was.

#![no_main]

use arbitrary::Arbitrary;
use gue::{Error, Header, RemoteChecksum, Repr, Start};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    control: bool,
    proto_ctype: u8,
    remote_checksum: Option<(u16, u16)>,
    buffer: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let remote_checksum = match input.remote_checksum {
        None => None,
        Some((start, offset)) => match RemoteChecksum::new(start, offset) {
            Ok(remote) => Some(remote),
            Err(error) => {
                assert_eq!(error, Error::ChecksumBeforeStart);
                assert!(offset < start);
                return;
            }
        },
    };
    let repr = Repr {
        control: input.control,
        proto_ctype: input.proto_ctype,
        remote_checksum,
    };
    let len_bytes = repr.len_bytes();
    let mut buffer = input.buffer.clone();
    match repr.emit(&mut buffer) {
        Ok(()) => assert!(len_bytes <= buffer.len()),
        Err(error) => {
            assert_eq!(error, Error::BufferTooShort);
            assert!(len_bytes > buffer.len());
            assert_eq!(buffer, input.buffer, "nothing is written");
            return;
        }
    }
    assert_eq!(
        buffer[len_bytes..],
        input.buffer[len_bytes..],
        "nothing is written behind it"
    );
    assert_eq!(Start::parse(&buffer), Ok(Start::Header { len_bytes }));
    let header = Header::parse(&buffer).expect("what was written can be read");
    assert_eq!(Repr::of(&header), repr);
    assert_eq!(header.len_bytes(), len_bytes);
});
