// SPDX-License-Identifier: GPL-2.0

//! Reads any bytes: an accepted header stays within them, and is written again as the same bytes.

#![no_main]

use gue::{
    control::{Echo, Experiment},
    header, layout, walk, Addresses, Computation, Demands, Device, Dialect, Error, FieldSet,
    Header, Linux, NatChecksum, Prefix, View, WalkError,
};
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
    let linux = walk_both(bytes, Linux);
    let device = walk_both(bytes, Device::ALL);
    if let Some(linux) = linux {
        check_linux(bytes, linux);
        let device = device.expect("a device reads all that Linux reads");
        assert_eq!(device.len_bytes(), linux.len_bytes());
    }
    if let Some(view) = device.and_then(|device| check_device(bytes, device)) {
        check_fields(&view, &bytes[view.len_bytes()..]);
    }
});

/// Reads the header by a walk and as a slice: both give the same.
fn walk_both<D: Dialect>(bytes: &[u8], dialect: D) -> Option<Header<D::Fields>> {
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
            return None;
        }
        Err(WalkError::Header(error)) => {
            assert!(bytes.len() >= asked);
            assert_eq!(parsed, Err(error));
            assert!(!matches!(error, Error::Truncated | Error::HeaderPastEnd));
            return None;
        }
    };
    assert_eq!(parsed, Ok(header));
    assert!(asked <= bytes.len());
    // Bytes after the header change nothing.
    assert_eq!(Header::parse(&bytes[..asked], dialect), Ok(header));
    if header.is_direct() {
        assert_eq!((header.len_bytes(), asked), (0, header::BASE_LEN_BYTES));
        assert_eq!(
            header.proto_ctype(),
            if bytes[0] >> 4 == 4 { 4 } else { 41 }
        );
        return Some(header);
    }
    assert_eq!(header.len_bytes(), asked);
    assert!((header::BASE_LEN_BYTES..=header::MAX_LEN_BYTES).contains(&asked));
    assert_eq!(
        u16::from_be_bytes([bytes[2], bytes[3]]) & !dialect.known_flags(),
        0,
        "a flag is accepted that the dialect does not have"
    );
    if let Some(remote) = header.fields().remote_checksum() {
        assert!(remote.start() <= remote.offset());
        assert_eq!(remote.payload_needed(), usize::from(remote.offset()) + 2);
    }
    Some(header)
}

fn check_linux(bytes: &[u8], header: Header) {
    let Some(repr) = header.repr() else { return };
    let mut again = vec![0; repr.len_bytes()];
    repr.emit(&mut again)
        .expect("the accepted header can be written");
    let read_again = Header::parse(&again, Linux).expect("the written header can be read");
    assert_eq!(read_again.repr(), Some(repr));
    // Surplus space is not written again, and Hlen counts it.
    assert_eq!(again[0] & 0xe0, bytes[0] & 0xe0);
    assert_eq!(again[1..], bytes[1..again.len()]);
    assert_eq!(again.len() == header.len_bytes(), again[0] == bytes[0]);
}

fn check_device(bytes: &[u8], header: Header<gue::DeviceNotes>) -> Option<View<'_>> {
    let view = header.view(bytes)?;
    assert_eq!(view.group(), header.fields().group);
    assert_eq!(view.remote_checksum(), header.fields().remote_checksum());
    let Ok(repr) = view.repr() else {
        return Some(view);
    };
    let surplus: Vec<[u8; 4]> = view
        .surplus()
        .chunks(4)
        .map(|word| word.try_into().expect("surplus space has whole words"))
        .collect();
    let mut again = vec![0; view.len_bytes()];
    let written = repr.emit_with_surplus(&surplus, &mut again);
    assert_eq!(written, Ok(view.len_bytes()));
    // Reserved bits are not written again.
    let mut expected = view.as_bytes().to_vec();
    if view.nat().is_some() {
        let at = layout::offset_of(view.flags(), gue::nat::FLAG);
        expected[at + 2..at + 4].fill(0);
    }
    if view.crc().is_some() {
        let at = layout::offset_of(view.flags(), gue::crc::FLAG);
        expected[at..at + 2].fill(0);
    }
    assert_eq!(again, expected);
    Some(view)
}

/// Reads all that a device reads of a packet with a valid header.
fn check_fields(view: &View<'_>, payload: &[u8]) {
    let _ = view.content(payload.len());
    let _ = Experiment::parse(payload);
    if let Ok(echo) = Echo::parse(payload) {
        let mut again = [0; Echo::LEN_BYTES];
        echo.emit(&mut again).expect("the message fits");
        assert_eq!(again[..6], payload[..6]);
        assert_eq!(again[8..], payload[8..Echo::LEN_BYTES]);
    }
    let demands = Demands {
        hmac_coverage: 8,
        ..Demands::NONE
    };
    let _ = demands.check(view, payload.len(), false);
    for computation in [Computation::Hmac, Computation::Crc, Computation::Checksum] {
        if let Ok(Some(covered)) = view.covered(computation, payload.len()) {
            let header: usize = covered.header().map(<[u8]>::len).sum();
            assert_eq!(header, view.len_bytes());
            assert!(payload.get(covered.payload()).is_some());
            assert!(covered.padding().len() < 4);
        }
    }
    if let Some(nat) = view.nat() {
        let addresses = Addresses::V4([192, 0, 2, 1], [192, 0, 2, 2]);
        let unchanged = nat == NatChecksum::of(&addresses);
        assert!(!unchanged || matches!(nat.difference(&addresses), 0 | 0xffff));
    }
}
