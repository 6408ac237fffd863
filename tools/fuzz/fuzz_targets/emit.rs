// SPDX-License-Identifier: GPL-2.0

//! Writes any values to any buffer: the header parses to the same values, and a header that does not
//! fit leaves the buffer unchanged.

#![no_main]

use arbitrary::Arbitrary;
use gue::{
    security::Coverage, Checksum, Crc, Device, DeviceFields, Error, FieldValues, Fields, Fragment,
    Header, Hmac, Linux, NatChecksum, Private, RemoteChecksum, Repr, Security, Template, Transform,
    View,
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
    security: Option<SecurityInput>,
    /// Offset, more, original protocol, id.
    fragment: Option<(u16, bool, u8, [u8; 5])>,
    transform: Option<(u8, u8, u16)>,
    checksum: Option<(u16, u16)>,
    nat: Option<u16>,
    crc: Option<(u16, u32)>,
    surplus: Vec<[u8; 4]>,
}

#[derive(Arbitrary, Debug)]
enum SecurityInput {
    Cookie8([u8; 8]),
    Cookie16([u8; 16]),
    Cookie32([u8; 32]),
    Hmac(u32, u16, u16, [u8; 32]),
}

impl SecurityInput {
    fn security(&self) -> Security {
        match *self {
            Self::Cookie8(cookie) => Security::Cookie8(cookie),
            Self::Cookie16(cookie) => Security::Cookie16(cookie),
            Self::Cookie32(cookie) => Security::Cookie32(cookie),
            Self::Hmac(key_id, offset, len, digest) => Security::Hmac(Hmac {
                key_id,
                coverage: Coverage { offset, len },
                digest,
            }),
        }
    }
}

fn fragment(&(offset, more, original, id): &(u16, bool, u8, [u8; 5])) -> Option<Fragment> {
    let fragment = Fragment::new(offset, more, original, id);
    assert_eq!(fragment.is_none(), offset % 8 != 0);
    fragment
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
    check_linux(&input, Fields { private });
    let remcsum = input
        .remcsum
        .and_then(|(start, offset)| RemoteChecksum::new(start, offset).ok());
    let transform = input.transform.map(|(kind, proto_ctype, info)| Transform {
        kind,
        proto_ctype,
        info,
    });
    let fields = DeviceFields {
        group: input.group,
        security: input.security.as_ref().map(SecurityInput::security),
        fragment: input.fragment.as_ref().and_then(fragment),
        transform,
        remcsum,
        checksum: input
            .checksum
            .map(|(value, coverage)| Checksum { value, coverage }),
        nat: input.nat.map(|value| NatChecksum { value }),
        crc: input.crc.map(|(coverage, value)| Crc { coverage, value }),
        // A header has one remote checksum.
        private: private.filter(|_| remcsum.is_none()),
    };
    check_device(&input, fields);
});

fn repr<F: FieldValues>(input: &Input, fields: F) -> Repr<F> {
    Repr {
        control: input.control,
        proto_ctype: input.proto_ctype,
        fields,
    }
}

/// Returns the buffer with the header; `None` if the header does not fit, and nothing was written.
fn emit<F: FieldValues>(input: &Input, repr: &Repr<F>) -> Option<Vec<u8>> {
    let len_bytes = repr.len_bytes();
    let mut buffer = input.buffer.clone();
    match repr.emit(&mut buffer) {
        Ok(()) => assert!(len_bytes <= buffer.len()),
        Err(error) => {
            assert_eq!(error, Error::BufferTooShort);
            assert!(len_bytes > buffer.len());
            assert_eq!(buffer, input.buffer, "nothing is written");
            return None;
        }
    }
    assert_eq!(
        buffer[len_bytes..],
        input.buffer[len_bytes..],
        "nothing is written after the header"
    );
    Some(buffer)
}

fn check_linux(input: &Input, fields: Fields) {
    let repr = repr(input, fields);
    let Some(buffer) = emit(input, &repr) else {
        return;
    };
    let header = Header::parse(&buffer, Linux).expect("the written header can be read");
    assert_eq!(header.repr(), Some(repr));
    assert_eq!(header.len_bytes(), repr.len_bytes());
}

fn check_device(input: &Input, fields: DeviceFields) {
    let repr = repr(input, fields);
    if let Some(buffer) = emit(input, &repr) {
        let view = View::parse(&buffer, Device::ALL)
            .expect("the written header can be read")
            .expect("the header is of variant 0");
        assert_eq!(view.repr(), Ok(repr));
        assert_eq!(view.len_bytes(), repr.len_bytes());
    }
    let len_bytes = repr.len_bytes() + 4 * input.surplus.len();
    match Template::new(&repr, &input.surplus) {
        Ok(template) => {
            assert_eq!(template.len_bytes(), len_bytes);
            let view = View::parse(template.as_bytes(), Device::ALL)
                .expect("the template can be read")
                .expect("the template is of variant 0");
            assert_eq!(view.repr(), Ok(repr));
            assert_eq!(view.surplus(), input.surplus.as_flattened());
        }
        Err(error) => {
            assert_eq!(error, Error::HeaderTooLong);
            assert!(len_bytes > gue::header::MAX_LEN_BYTES);
        }
    }
}
