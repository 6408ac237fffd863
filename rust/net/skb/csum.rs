// SPDX-License-Identifier: GPL-2.0

//! Checksums of packets (`ip_summed`).

use super::SkBuff;
use crate::{checksum::Sum, errno::EBADMSG, ip_proto::ChecksumPlace};
use kernel::prelude::*;
use net_bindings as bindings;

/// The knowledge of a caller about the bytes after a UDP header that are pulled with that header. With it, a checksum
/// over the whole packet (`CHECKSUM_COMPLETE`) is adapted faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterUdp {
    /// Nothing.
    Unknown,
    /// Their sum. They are not read. With a wrong sum, the stack may accept a corrupt packet, or it reports a fault of
    /// the device and computes the sum again.
    Sum(Sum),
    /// Their number is probably 44 or 48, as with a keyed hash. So many are summed without a loop.
    Long,
}

impl SkBuff {
    /// Returns the place of the packet's partial checksum (`CHECKSUM_PARTIAL`), or `None`.
    ///
    /// A device, or code that needs the checksum, computes it later; until then its field holds the sum of
    /// the pseudo header. Fails with `EINVAL` if the checksum begins before the packet's data, or if its
    /// field is not linear. The core assumes that neither happens, and would read and write past the
    /// packet. But the core itself causes both: when it verifies a checksum that lies after the start of
    /// the partial one, it overwrites the place of the partial one with a sum, because `csum` and
    /// `csum_start` share memory.
    #[inline]
    pub fn partial_checksum(&self) -> Result<Option<ChecksumPlace>> {
        self.find_partial_checksum()
    }

    /// Does what [`Self::partial_checksum`] does, inlined into its caller.
    #[inline(always)]
    pub(crate) fn find_partial_checksum(&self) -> Result<Option<ChecksumPlace>> {
        let skb = self.as_raw();
        // SAFETY: By the type invariant the packet is valid, and no other code changes its fields.
        if !unsafe { bindings::skb_is_checksum_partial(skb) } {
            return Ok(None);
        }
        // SAFETY: The packet is valid, as above. Its checksum is a partial one, so the union holds these
        // fields.
        let (start, offset) = unsafe {
            (
                bindings::skb_checksum_start_offset(skb),
                bindings::skb_csum_offset(skb),
            )
        };
        let start = u16::try_from(start).map_err(|_| EINVAL)?;
        let field = start.checked_add(offset).ok_or(EINVAL)?;
        if usize::from(field).saturating_add(size_of::<u16>()) > self.headlen() {
            return Err(EINVAL);
        }
        Ok(Some(ChecksumPlace { start, field }))
    }

    /// Adapts the packet's checksum to a pull of the `len` bytes at `start`: subtracts the bytes from a
    /// checksum over the whole packet (`CHECKSUM_COMPLETE`). `after_udp` is the caller's knowledge about the bytes
    /// after the first eight.
    ///
    /// Fails with `EBADMSG` if a partial checksum does not lie in the rest.
    ///
    /// # Safety
    ///
    /// The `len` bytes at `start` must be initialized, and have just been pulled from the packet. There must be
    /// at least eight of them if their sum is known.
    #[inline(always)]
    pub(super) unsafe fn postpull_checksum(
        self: Pin<&mut Self>,
        start: *const u8,
        len: u32,
        after_udp: AfterUdp,
    ) -> Result {
        let skb = self.as_raw();
        // SAFETY: By the type invariant the packet is valid, and it is exclusively borrowed. The caller
        // promises initialized bytes that were just pulled, which all functions need. `skb_sub_known_csum` needs eight,
        // as promised; the functions for 52 and for 56 bytes get as many.
        unsafe {
            if bindings::skb_has_checksum(skb) {
                if bindings::skb_is_checksum_partial(skb) {
                    self.keep_partial_checksum(start, len)?;
                } else {
                    match after_udp {
                        AfterUdp::Sum(sum) => {
                            bindings::skb_sub_known_csum(skb, start.cast(), sum.as_raw());
                        }
                        AfterUdp::Long if len == 52 => {
                            bindings::skb_sub_csum_52(skb, start.cast());
                        }
                        AfterUdp::Long if len == 56 => {
                            bindings::skb_sub_csum_56(skb, start.cast());
                        }
                        _ => bindings::skb_sub_csum(skb, start.cast(), len),
                    }
                }
            }
        }
        Ok(())
    }

    /// Adapts a partial checksum to a pull; arguments and errors as for [`Self::postpull_checksum`].
    ///
    /// # Safety
    ///
    /// As for [`Self::postpull_checksum`].
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    unsafe fn keep_partial_checksum(self: Pin<&mut Self>, start: *const u8, len: u32) -> Result {
        // SAFETY: As in `postpull_checksum`.
        unsafe { bindings::skb_postpull_rcsum(self.as_raw(), start.cast(), len) };
        self.partial_checksum().map(|_| ()).map_err(|_| EBADMSG)
    }

    /// Downgrades `CHECKSUM_COMPLETE` to `CHECKSUM_NONE`.
    #[inline]
    pub(super) fn forget_complete_checksum(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant the packet is valid. It is exclusively borrowed, so its fields may
        // change.
        unsafe { bindings::skb_forget_complete_checksum(self.as_raw()) }
    }

    /// Makes the checksum at `place`, counted from `base` bytes after the packet's data, a partial checksum
    /// (`CHECKSUM_PARTIAL`); its field holds the sum of the pseudo header.
    ///
    /// For a packet that is not a GSO packet. Fails with `EINVAL` if the field is not linear, or if the
    /// checksum starts further from the head than `csum_start` can store.
    ///
    /// # Safety
    ///
    /// The packet must be freed, or go to a protocol such that `place`, counted from that protocol's header, is
    /// the place of the first transport header's checksum. Otherwise the stack would write the checksum
    /// elsewhere: a pull does not change the place, which is stored as an offset from the head.
    #[inline(always)]
    pub(super) unsafe fn leave_checksum(
        self: Pin<&mut Self>,
        place: ChecksumPlace,
        base: usize,
    ) -> Result {
        let offset = place.field.checked_sub(place.start).ok_or(EINVAL)?;
        let start = usize::from(place.start).saturating_add(base);
        // SAFETY: By the type invariant the packet is valid, and no other code changes its fields.
        let headroom = unsafe { bindings::skb_headroom(self.as_raw()) } as usize;
        if start.saturating_add(headroom) > usize::from(u16::MAX)
            || place.end().saturating_add(base) > self.headlen()
        {
            return Err(EINVAL);
        }
        // SAFETY: The packet is valid, as above, and exclusively borrowed. The field lies in its linear
        // part, and `start`, from the head on, fits the 16 bits of `csum_start`: both were just checked.
        // The caller promises that the stack finds the checksum at this place.
        unsafe { bindings::skb_set_partial_checksum(self.as_raw(), start as u32, offset) }
        Ok(())
    }

    /// Computes the checksum at `place` and writes it. Fails with `EINVAL` if the packet ends before the
    /// field does or the field begins before `place.start`, with `ENOMEM`.
    pub(super) fn compute_remote_checksum(
        mut self: Pin<&mut Self>,
        place: ChecksumPlace,
    ) -> Result {
        let (start, field) = (usize::from(place.start), usize::from(place.field));
        self.as_mut().unclone()?;
        self.as_mut().header(place.end())?;
        let skb = self.as_raw();
        // SAFETY: By the type invariant the packet is valid. It is exclusively borrowed, so C may note the
        // sum that it computes if the sum is unknown.
        let total = Sum::from_raw(unsafe { bindings::skb_complete_checksum(skb) });
        let bytes = self.header(place.end())?;
        let new = bytes
            .get(..start)
            .map(|before| total.minus(Sum::of(before)).shift(start).to_field())
            .ok_or(EINVAL)?;
        let old: [u8; 2] = *bytes.last_chunk().ok_or(EINVAL)?;
        let change = Sum::of_word(new).minus(Sum::of_word(old));
        // SAFETY: `header` has made the bytes up to the field's end linear, at `data`, and they are private
        // since `unclone`. `bytes` is not used any more, so no reference points to the field. The packet is
        // valid and exclusively borrowed, so its sum may be written.
        unsafe {
            (*skb).data.add(field).cast::<[u8; 2]>().write(new);
            bindings::skb_set_csum(skb, total.plus(change.shift(field)).as_raw());
        }
        Ok(())
    }
}
