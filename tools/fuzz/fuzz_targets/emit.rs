// SPDX-License-Identifier: GPL-2.0

//! Writes any values to any buffer: the header parses to the same values, and a header that does not
//! fit leaves the buffer unchanged.

#![no_main]

use arbitrary::Arbitrary;
use gue::{
    Device, DeviceFields, Dialect, Error, Fields, Header, Linux, Private, RemoteChecksum, Repr,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    control: bool,
    proto_ctype: u8,
    /// The private word, and the start and offset of its remote checksum.
    private: Option<Option<(u16, u16)>>,
    buffer: Vec<u8>,
    /// The fields that only a device has.
    group: Option<u32>,
    remcsum: Option<(u16, u16)>,
}

fn private(remote: Option<(u16, u16)>) -> Result<Private, Error> {
    let remote_checksum = match remote {
        None => None,
        Some((start, offset)) => {
            let remote = RemoteChecksum::new(start, offset);
            assert_eq!(remote.is_err(), offset < start);
            Some(remote?)
        }
    };
    Ok(Private { remote_checksum })
}

fuzz_target!(|input: Input| {
    let private = match input.private.map(private).transpose() {
        Ok(private) => private,
        Err(error) => {
            assert_eq!(error, Error::ChecksumBeforeStart);
            return;
        }
    };
    check(&input, Fields { private }, Linux);
    let remcsum = input
        .remcsum
        .and_then(|(start, offset)| RemoteChecksum::new(start, offset).ok());
    let fields = DeviceFields {
        group: input.group,
        remcsum,
        // A header has one remote checksum.
        private: private.filter(|_| remcsum.is_none()),
    };
    check(&input, fields, Device);
});

fn check<D: Dialect>(input: &Input, fields: D::Fields, dialect: D) {
    let repr = Repr {
        control: input.control,
        proto_ctype: input.proto_ctype,
        fields,
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
        "nothing is written after the header"
    );
    let header = Header::parse(&buffer, dialect).expect("the written header can be read");
    assert_eq!(header.repr(), Some(repr));
    assert_eq!(header.len_bytes(), len_bytes);
}
