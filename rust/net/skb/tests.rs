// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of packets.

use super::{AfterUdp, OwnedSkb, Pulled, TxSkb};
use crate::checksum::Sum;
use kernel::prelude::*;
use net_bindings as bindings;

#[kunit_tests(rfou_net_skb)]
mod skb {
    use super::*;

    /// Borrows a packet as one that is sent.
    fn sent(skb: &mut OwnedSkb) -> Pin<&mut TxSkb> {
        // SAFETY: `skb` owns a valid packet, and is exclusively borrowed as long as the result. No code has
        // pointers into the packet, so there is no RCU read side to wait for.
        unsafe { TxSkb::from_raw(skb.as_raw()) }
    }

    #[test]
    fn header_is_the_first_bytes_and_no_more_than_there_are() -> Result {
        let mut skb = OwnedSkb::of_bytes(0, b"0123456789")?;
        assert_eq!(skb.as_pin_mut().header(4)?, b"0123");
        assert_eq!(skb.as_pin_mut().header(10)?, b"0123456789");
        assert!(skb.as_pin_mut().header(11) == Err(EINVAL));
        assert!(skb.as_pin_mut().header(usize::MAX) == Err(EINVAL));
        assert_eq!(skb.len(), 10);
        Ok(())
    }

    #[test]
    fn push_puts_bytes_before_the_data_and_makes_room_where_there_is_none() -> Result {
        for headroom in [0, 3, 4, 200] {
            let mut skb = OwnedSkb::of_bytes(headroom, b"payload")?;
            sent(&mut skb).push(4)?.copy_from_slice(b"head");
            assert_eq!(skb.len(), 11);
            assert_eq!(skb.as_pin_mut().header(11)?, b"headpayload");
        }
        Ok(())
    }

    #[test]
    fn push_that_cannot_be_leaves_the_packet_as_it_was() -> Result {
        let mut skb = OwnedSkb::of_bytes(8, b"payload")?;
        assert!(sent(&mut skb).push(usize::MAX).is_err());
        assert!(sent(&mut skb).push(u32::MAX as usize).is_err());
        assert_eq!(skb.as_pin_mut().header(7)?, b"payload");
        Ok(())
    }

    #[test]
    fn push_is_not_seen_by_a_clone() -> Result {
        let mut skb = OwnedSkb::of_bytes(16, b"payload")?;
        let mut other = skb.share()?;
        sent(&mut skb).push(4)?.copy_from_slice(b"mine");
        sent(&mut other).push(4)?.copy_from_slice(b"hers");
        assert_eq!(skb.as_pin_mut().header(11)?, b"minepayload");
        assert_eq!(other.as_pin_mut().header(11)?, b"herspayload");
        Ok(())
    }

    #[test]
    fn change_of_the_outer_headers_is_not_seen_by_a_clone() -> Result {
        let mut skb = OwnedSkb::of_bytes(16, b"0123456789")?;
        assert!(skb.as_pin_mut().outer_headers_mut(16)?.0.is_empty());
        skb.as_pin_mut().decapsulate(5)?;
        let mut other = skb.share()?;
        let (headers, _) = skb.as_pin_mut().outer_headers_mut(5)?;
        headers.copy_from_slice(b"abcde");
        assert_eq!(skb.as_pin_mut().outer_headers_mut(usize::MAX)?.0, b"abcde");
        assert_eq!(other.as_pin_mut().outer_headers_mut(5)?.0, b"01234");
        assert!(skb.as_pin_mut().outer_headers_mut(4) == Err(E2BIG));
        sent(&mut skb).push(6)?;
        assert!(skb.as_pin_mut().outer_headers_mut(usize::MAX) == Err(EINVAL));
        Ok(())
    }

    #[test]
    fn range_is_linear_or_is_none() -> Result {
        let skb = OwnedSkb::of_bytes(0, b"payload")?;
        assert_eq!(skb.linear_range(3, 4), Some(&b"load"[..]));
        assert_eq!(skb.linear_range(7, 0), Some(&b""[..]));
        let most = i32::MAX as usize;
        for (at, len) in [
            (3, 5),
            (8, 0),
            (most, 1),
            (most, most),
            (most + 1, 0),
            (1, usize::MAX),
            (usize::MAX, 1),
            (usize::MAX, usize::MAX),
        ] {
            assert!(skb.linear_range(at, len).is_none());
        }
        Ok(())
    }

    #[test]
    fn decapsulate_takes_off_the_front_and_no_more_than_there_is() -> Result {
        let mut skb = OwnedSkb::of_bytes(0, b"headpayload")?;
        assert!(skb.as_pin_mut().decapsulate(12).is_err());
        assert_eq!(skb.len(), 11);
        skb.as_pin_mut().decapsulate(4)?;
        assert_eq!(skb.as_pin_mut().header(7)?, b"payload");
        skb.as_pin_mut().decapsulate(7)?;
        assert!(skb.is_empty());
        assert!(skb.as_pin_mut().decapsulate(1).is_err());
        Ok(())
    }

    #[test]
    fn decapsulate_keeps_a_checksum_over_all_of_the_packet_in_step() -> Result {
        // The last four bytes add up to 0xffff, which equals 0 here. Only zeros add up to 0 itself.
        let short = *b"\x01\x02\x03\x04\xff\xfe\x00\x00\x80\x00\x00\x01\x12\x34\xed\xcb";
        // Each word of 64 bits carries when it is added.
        let mut long = [0xff; 80];
        long[32..36].copy_from_slice(&short[..4]);
        long[76..].copy_from_slice(&short[12..]);
        // Words of ones equal 0. A word that is left out shows here.
        let mut other = [0xf1; 80];
        other[76..].copy_from_slice(&short[12..]);
        let short_lens = &[0, 2, 4, 6, 8, 12][..];
        let long_lens = &[12, 32, 34, 36, 40, 52, 56, 64, 76][..];
        let cases = [
            (&short[..], short_lens),
            (&long[..], long_lens),
            (&other[..], long_lens),
        ];
        for (bytes, len) in cases
            .iter()
            .flat_map(|(bytes, lens)| lens.iter().map(move |len| (*bytes, *len)))
        {
            check_sum_after_pull(bytes, len, AfterUdp::Unknown)?;
            check_sum_after_pull(bytes, len, AfterUdp::Long)?;
            if let Some(after_udp) = bytes.get(8..len) {
                check_sum_after_pull(bytes, len, AfterUdp::Sum(Sum::of(after_udp)))?;
            }
        }
        Ok(())
    }

    /// Pulls `len` of these bytes.
    fn check_sum_after_pull(bytes: &[u8], len: usize, after_udp: AfterUdp) -> Result {
        let mut skb = OwnedSkb::of_bytes(0, bytes)?;
        let sum = Sum::of(bytes).as_raw();
        // SAFETY: `skb` owns a valid packet, and no reference to it exists here.
        unsafe { bindings::skb_set_complete_checksum(skb.as_raw(), sum) };
        skb.as_pin_mut().decapsulate_knowing(len, after_udp)?;
        // SAFETY: As for the checksum's setting above.
        let left = unsafe { bindings::skb_complete_checksum(skb.as_raw()) };
        let left = Sum::from_raw(left);
        let expected = bytes.get(len..).map(Sum::of).ok_or(EINVAL)?;
        assert_eq!(left.to_field(), expected.to_field());
        assert!(left.as_raw() != 0);
        Ok(())
    }

    #[test]
    fn known_sum_is_of_bytes_after_a_udp_header() -> Result {
        let mut skb = OwnedSkb::of_bytes(0, b"short of")?;
        let none = AfterUdp::Sum(Sum::of(b""));
        assert!(skb.as_pin_mut().decapsulate_knowing(7, none) == Err(EINVAL));
        assert_eq!(skb.len(), 8);
        assert!(skb.as_pin_mut().decapsulate_knowing(8, none) == Ok(Pulled::Packet));
        Ok(())
    }
}
