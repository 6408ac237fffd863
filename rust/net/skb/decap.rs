// SPDX-License-Identifier: GPL-2.0

//! Pulling a tunnel's headers, and checksums that the sender leaves to the tunnel's receiver.

use super::{to_result, SkBuff, Skb};
use crate::{
    checksum::Sum,
    ip_proto::{ChecksumPlace, InnerProtocol},
    DropReason,
};
use core::ptr::NonNull;
use kernel::{bindings, prelude::*};
use net_bindings as extra;

/// How the receiver of a tunnel treats a checksum that the sender left to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteChecksum {
    /// Leave it to be computed when, and if, it is needed.
    Partial,
    /// Compute it now.
    Compute,
}

/// A received packet whose tunnel headers have been pulled, and the IP protocol of its first header.
///
/// # Invariants
///
/// If a function of this module left the packet's checksum to be computed, that checksum is the one
/// of its first transport header, found from a header of `protocol` at the packet's data. The stack
/// verifies or completes it there before it pulls past it.
// The packet's bytes and its data pointer cannot be changed through this type.
pub struct Inner {
    skb: SkBuff,
    protocol: InnerProtocol,
}

impl Inner {
    /// Returns the packet as one of `protocol`.
    #[inline]
    pub fn new(skb: SkBuff, protocol: InnerProtocol) -> Self {
        // INVARIANT: A `SkBuff` has no checksum that this module left to be computed: what leaves one
        // takes the packet and returns an `Inner`.
        Self { skb, protocol }
    }

    /// Returns the length of the packet in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.skb.len()
    }

    /// Returns whether the packet is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.skb.is_empty()
    }

    /// Makes the length in the outer IP header `by` bytes less, so that it fits what is left behind
    /// it. The header is IPv6's or IPv4's.
    ///
    /// A length of 0 is that of a GSO packet of 64 KiB or more, and stays. Other packets that share the
    /// header do not see the change. Where the length was not that of all that was received, because UDP's
    /// is less, `CHECKSUM_COMPLETE` becomes `CHECKSUM_NONE`: GRO has verified the sum over IP's length,
    /// and UDP has made of it the sum of what is left by its own.
    ///
    /// Any context. Fails with `E2BIG` if more than `most` bytes of headers lie before the packet,
    /// `EINVAL` if the IP header does not, or its length is less than `by`, `ENOMEM`.
    // No more of the header than that: the stack goes by its other fields and has verified them.
    #[inline(always)]
    pub fn shorten_outer<const IPV6: bool>(&mut self, by: usize, most: usize) -> Result {
        let left = self.len();
        let headers = self.skb.outer_headers_mut(most)?;
        // IPv4's total length (RFC 791), or IPv6's payload length (RFC 8200).
        let (field, uncounted_len) = if IPV6 { (4..6, 40) } else { (2..4, 0) };
        let Some([high, low]) = headers.get_mut(field) else {
            return Err(EINVAL);
        };
        let length = u16::from_be_bytes([*high, *low]);
        if length != 0 {
            [*high, *low] = u16::try_from(by)
                .ok()
                .and_then(|by| length.checked_sub(by))
                .ok_or(EINVAL)?
                .to_be_bytes();
            let counted = usize::from(length).saturating_add(uncounted_len);
            if counted != headers.len().saturating_add(left) {
                self.skb.forget_complete_checksum();
            }
        }
        Ok(())
    }

    /// Frees the packet and says why.
    #[inline]
    pub fn free(self, reason: DropReason) {
        self.skb.free(reason);
    }

    /// Returns the packet and its protocol.
    #[inline]
    pub(crate) fn into_parts(self) -> (SkBuff, InnerProtocol) {
        (self.skb, self.protocol)
    }
}

impl Skb<'_> {
    /// Pulls `len` bytes of outer headers from a received packet.
    ///
    /// The transport header is where the data begins then. A checksum over the whole packet
    /// (`CHECKSUM_COMPLETE`) is kept in step, and what the outer headers meant for segmentation is
    /// cleared. Softirq context. Fails with `EINVAL` if the packet is shorter, with `EBADMSG` if its
    /// partial checksum is not in what is left ([`Self::partial_checksum`]), with `ENOMEM` if no
    /// private copy of a segmented packet's shared information could be made.
    #[inline(always)]
    pub fn decapsulate(&mut self, len: usize) -> Result {
        let start = self.header(len)?.as_ptr();
        // SAFETY: `header` has found as many bytes.
        let len = unsafe { self.pull(len) };
        let skb = self.as_raw();
        // SAFETY: The packet is valid and ours to change, and begins behind the `len` bytes at `start`.
        unsafe {
            if extra::skb_has_checksum(skb) {
                if extra::skb_is_checksum_partial(skb) {
                    keep_partial_checksum(skb, start, len)?;
                } else {
                    extra::skb_sub_csum(skb, start.cast(), len);
                }
            }
            to_result(extra::iptunnel_pull_offloads(skb))
        }
    }

    /// Pulls `len` bytes and sets the transport header to the new data. Returns the length as C has
    /// it.
    ///
    /// # Safety
    ///
    /// The linear part must hold at least `len` bytes.
    #[inline(always)]
    unsafe fn pull(&mut self, len: usize) -> u32 {
        // No more than the packet's own length, which has 32 bits.
        let len = len as u32;
        let skb = self.as_raw();
        // SAFETY: We may change the packet. `len` bytes are linear, so `data + len` is at most `tail`,
        // and no less is left than the fragments hold.
        unsafe {
            (*skb).len = (*skb).len.wrapping_sub(len);
            (*skb).data = (*skb).data.add(len as usize);
            extra::skb_reset_transport_header(skb);
        }
        len
    }

    /// Makes the checksum at `place`, counted from the packet's data, one that is still to be computed
    /// (`CHECKSUM_PARTIAL`); its field holds the sum of the pseudo header.
    ///
    /// For a packet that is not to be segmented. Fails with `EINVAL` if the field does not lie in the
    /// linear part, or further back than the packet's fields can say.
    ///
    /// # Safety
    ///
    /// Until the packet is freed, it must go to the protocol from whose header the place is that of
    /// the first transport header's checksum. The stack would write elsewhere otherwise: it keeps the
    /// place through pulls, and as an offset from the head.
    #[inline(always)]
    unsafe fn leave_checksum(&mut self, place: ChecksumPlace, behind: usize) -> Result {
        let offset = place.field.checked_sub(place.start).ok_or(EINVAL)?;
        let start = usize::from(place.start).saturating_add(behind);
        // The place is kept in 16 bits, counted from the head.
        // SAFETY: The packet is valid.
        let headroom = unsafe { extra::skb_headroom(self.as_raw()) } as usize;
        if start.saturating_add(headroom) > usize::from(u16::MAX)
            || place.end().saturating_add(behind) > self.linear_len()
        {
            return Err(EINVAL);
        }
        // SAFETY: The packet is valid and ours to change; the field lies in its linear part. `start`
        // has 16 bits.
        unsafe { extra::skb_set_partial_checksum(self.as_raw(), start as u32, offset) }
        Ok(())
    }

    /// Computes the checksum at `place` and writes it.
    fn compute_remote_checksum(&mut self, place: ChecksumPlace) -> Result {
        let (start, field) = (usize::from(place.start), usize::from(place.field));
        self.unshare()?;
        self.header(place.end())?;
        let skb = self.as_raw();
        // SAFETY: The packet is valid and ours to change. If nothing is known about its sum, C sums
        // it up and notes that.
        let total = Sum::from_raw(unsafe { extra::skb_complete_checksum(skb) });
        let bytes = self.header(place.end())?;
        let new = bytes
            .get(..start)
            .map(|before| total.minus(Sum::of(before)).moved_by(start).to_field())
            .ok_or(EINVAL)?;
        let old: [u8; 2] = *bytes.last_chunk().ok_or(EINVAL)?;
        let change = Sum::of_word(new).minus(Sum::of_word(old));
        // SAFETY: The linear part holds the field, and is private since `unshare`.
        unsafe {
            (*skb).data.add(field).cast::<[u8; 2]>().write(new);
            extra::skb_set_csum(skb, total.plus(change.moved_by(field)).as_raw());
        }
        Ok(())
    }
}

impl SkBuff {
    /// Pulls `len` bytes of outer headers and handles the checksum that the sender left to the
    /// receiver: the sum from `place.start` on, to be stored inverted at `place.field`, both counted
    /// from the inner packet's first byte. The sender has put the sum of the pseudo header there.
    ///
    /// With [`RemoteChecksum::Partial`] nothing is computed: the packet becomes one whose checksum is
    /// still to be computed, which its receiver takes as good. That holds for the checksum of the
    /// first TCP or UDP header behind IP or GRE; any other one is computed and written, as with
    /// [`RemoteChecksum::Compute`], because the stack loses its place when it pulls a header that
    /// contains it. What GRO or a sender on this machine left to segmentation keeps its checksum. A
    /// checksum over the whole packet (`CHECKSUM_COMPLETE`) is kept in step.
    ///
    /// Softirq context. Fails with the packet and `EBADMSG` as [`Skb::decapsulate`] does, `EINVAL` if
    /// it is too short or `place.field` lies before `place.start`, `ENOMEM`; it is not to be delivered
    /// then.
    #[inline(always)]
    pub fn decapsulate_with_remote_checksum(
        self,
        len: usize,
        protocol: InnerProtocol,
        place: ChecksumPlace,
        how: RemoteChecksum,
    ) -> Result<Inner, (Self, Error)> {
        let skb = match how {
            RemoteChecksum::Partial => {
                match self.decapsulate_leaving_checksum(len, protocol, place) {
                    Ok(inner) => return Ok(inner),
                    Err(skb) => skb,
                }
            }
            RemoteChecksum::Compute => self,
        };
        skb.decapsulate_with_any_remote_checksum(len, protocol, place, how)
    }

    /// The fast path of [`Self::decapsulate_with_remote_checksum`] with [`RemoteChecksum::Partial`].
    ///
    /// Returns the packet unchanged if it is a GSO packet, or if `place` is not that of the TCP or UDP
    /// checksum behind an IP header in the linear part.
    #[inline(always)]
    fn decapsulate_leaving_checksum(
        mut self,
        len: usize,
        protocol: InnerProtocol,
        place: ChecksumPlace,
    ) -> Result<Inner, Self> {
        let is_transport_headers = protocol.is_ip()
            && self
                .linear_header(len.saturating_add(place.end()))
                .and_then(|bytes| bytes.get(len..))
                .is_some_and(|packet| place.is_first_transport_headers(protocol, packet));
        if !is_transport_headers || self.is_gso() {
            return Err(self);
        }
        // SAFETY: The place was just checked. The packet becomes an `Inner` of this protocol, whose
        // bytes do not change, and which goes to this protocol or is freed.
        if unsafe { self.leave_checksum(place, len) }.is_err() {
            return Err(self);
        }
        // SAFETY: The packet is valid and ours to change. The field, behind `len` bytes, lies in its
        // linear part.
        unsafe {
            self.pull(len);
            extra::skb_clear_encapsulation(self.as_raw());
        }
        // INVARIANT: As said above.
        Ok(Inner {
            skb: self,
            protocol,
        })
    }

    /// The slow path of [`Self::decapsulate_with_remote_checksum`], for every packet.
    #[inline(never)]
    fn decapsulate_with_any_remote_checksum(
        mut self,
        len: usize,
        protocol: InnerProtocol,
        place: ChecksumPlace,
        how: RemoteChecksum,
    ) -> Result<Inner, (Self, Error)> {
        match self
            .decapsulate(len)
            .and_then(|()| self.process_remote_checksum(protocol, place, how))
        {
            // INVARIANT: `process_remote_checksum` leaves no other checksum.
            Ok(()) => Ok(Inner {
                skb: self,
                protocol,
            }),
            Err(error) => Err((self, error)),
        }
    }

    fn process_remote_checksum(
        &mut self,
        protocol: InnerProtocol,
        place: ChecksumPlace,
        how: RemoteChecksum,
    ) -> Result {
        if place.field < place.start {
            return Err(EINVAL);
        }
        let packet = self.header(place.end())?;
        let is_transport_headers = place.is_first_transport_headers(protocol, packet);
        if self.is_gso() && self.partial_checksum()?.is_some() {
            return Ok(());
        }
        if is_transport_headers && how == RemoteChecksum::Partial {
            // SAFETY: The place was just checked, and the caller makes the packet an `Inner` of this
            // protocol.
            return unsafe { self.leave_checksum(place, 0) };
        }
        self.compute_remote_checksum(place)
    }
}

// Slow paths take C's pointer: one to ours would keep it in memory on the fast ones.

/// What [`Skb::decapsulate`] does for packets that have a partial checksum. Not inlined: the others
/// should not save registers for it.
///
/// # Safety
///
/// `skb` must be valid, ours to change, and nothing may point into it; the `len` bytes at `start` have
/// just been pulled.
#[inline(never)]
unsafe fn keep_partial_checksum(skb: *mut bindings::sk_buff, start: *const u8, len: u32) -> Result {
    // SAFETY: Promised by the caller.
    let skb = unsafe {
        extra::skb_postpull_rcsum(skb, start.cast(), len);
        Skb::from_raw(NonNull::new_unchecked(skb))
    };
    skb.partial_checksum().map(|_| ()).map_err(|_| EBADMSG)
}
