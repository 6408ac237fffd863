// SPDX-License-Identifier: GPL-2.0

//! An example of bytes for every rule of the header.

use gue::{
    cases::{Case, Expected, CASES, DEVICE_CASES},
    FieldValues,
};

#[test]
fn every_header_is_read_as_expected() {
    for case in CASES {
        assert_eq!(case.read(), case.expected, "{}", case.name);
    }
    for case in DEVICE_CASES {
        assert_eq!(case.read(), case.expected, "{}", case.name);
    }
}

#[test]
fn headers_without_surplus_are_written_as_they_were_read() {
    written_as_read(CASES, 7);
    written_as_read(DEVICE_CASES, 21);
}

fn written_as_read<F: FieldValues>(cases: &[Case<F>], least: usize) {
    let mut written = 0;
    for case in cases {
        let Expected::Header(repr, len) = case.expected else {
            continue;
        };
        if repr.len_bytes() != len {
            continue; // The header has surplus space.
        }
        let mut buffer = [0x55; 96];
        repr.emit(&mut buffer).unwrap();
        assert_eq!(buffer[..len], case.bytes[..len], "{}", case.name);
        assert!(
            buffer[len..].iter().all(|byte| *byte == 0x55),
            "{}: bytes after the header were written",
            case.name
        );
        written += 1;
    }
    assert!(written >= least, "only {written} cases could be written");
}

#[test]
fn a_header_is_not_written_to_a_buffer_that_is_too_short() {
    not_written_if_too_short(CASES);
    not_written_if_too_short(DEVICE_CASES);
}

fn not_written_if_too_short<F: FieldValues>(cases: &[Case<F>]) {
    for case in cases {
        let Expected::Header(repr, _) = case.expected else {
            continue;
        };
        for len in 0..repr.len_bytes() {
            let mut buffer = vec![0; len];
            assert_eq!(
                repr.emit(&mut buffer),
                Err(gue::Error::BufferTooShort),
                "{}",
                case.name
            );
            assert!(
                buffer.iter().all(|byte| *byte == 0),
                "{}: something was written",
                case.name
            );
        }
    }
}
