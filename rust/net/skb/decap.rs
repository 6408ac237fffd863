// SPDX-License-Identifier: GPL-2.0

//! Received packets: pulling a tunnel's headers, and checksums that the sender leaves to the tunnel's
//! receiver.

use super::{to_result, AfterUdp, OwnedSkb, SkBuff};
use crate::{
    ip_proto::{ChecksumPlace, InnerProtocol},
    udp, DropReason,
};
use core::{hint, ops::Deref, ptr::NonNull, slice};
use kernel::prelude::*;
use net_bindings as bindings;

/// The treatment of a checksum that the sender left to the tunnel's receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemcsumMode {
    /// Make it a partial checksum, which the stack computes if and when it needs it.
    Partial,
    /// Compute it now.
    Compute,
}

/// The kind of a packet whose outer headers were pulled.
///
/// A receiver reads the kind here, and does not look for GSO again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// A single packet, as it was on the wire.
    Packet,
    /// A GSO packet: several packets merged into one.
    GsoPacket,
}

/// A packet that a tunnel's socket received, to be decapsulated.
///
/// Dropping the value frees the packet as dropped for `NOT_SPECIFIED`.
///
/// A tunnel cannot keep a packet to return it in the place of another one. The packet is not `Send`, so
/// neither the tunnel nor a `static` can hold it, and safe code has no other way to get a packet.
pub struct RxSkb(OwnedSkb);

impl RxSkb {
    /// Takes a packet over from C.
    ///
    /// # Safety
    ///
    /// As for [`OwnedSkb::from_raw`].
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::sk_buff>) -> Self {
        // SAFETY: The caller promises what `OwnedSkb::from_raw` asks for.
        Self(unsafe { OwnedSkb::from_raw(ptr) })
    }

    /// Gives the packet to C.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut bindings::sk_buff {
        self.0.into_raw()
    }

    /// Borrows the packet exclusively.
    #[inline]
    pub fn as_pin_mut(&mut self) -> Pin<&mut SkBuff> {
        self.0.as_pin_mut()
    }

    /// Pulls the first `len` bytes into the linear part and returns them: see [`SkBuff::header`].
    #[inline]
    pub fn header(&mut self, len: usize) -> Result<&[u8]> {
        self.as_pin_mut().header(len)
    }

    /// Frees the packet as one that was used: see [`OwnedSkb::consume`].
    #[inline]
    pub fn consume(self) {
        self.0.consume();
    }

    /// Frees the packet as one that is dropped for a reason.
    #[inline]
    pub fn free(self, reason: DropReason) {
        self.0.free(reason);
    }

    /// Pulls `len` bytes of outer headers, and returns the packet's kind.
    ///
    /// Sets the transport header to the new data, adapts a checksum over the whole packet
    /// (`CHECKSUM_COMPLETE`), and clears the GSO types of the outer headers. Softirq context. Fails with
    /// `EINVAL` if the packet is shorter, with `EBADMSG` if its partial checksum does not lie in the rest
    /// ([`SkBuff::partial_checksum`]), with `ENOMEM` if the shared information of a GSO packet could not be
    /// made private.
    #[inline(always)]
    pub fn decapsulate(&mut self, len: usize) -> Result<Pulled> {
        self.decapsulate_knowing(len, AfterUdp::Unknown)
    }

    /// Does what [`Self::decapsulate`] does, for a packet that begins with its UDP header, and faster for a packet of
    /// which the caller knows more.
    ///
    /// Fails also with `EINVAL` if a sum is known and `len` is less than a UDP header's.
    #[inline(always)]
    pub fn decapsulate_knowing(&mut self, len: usize, after_udp: AfterUdp) -> Result<Pulled> {
        self.as_pin_mut().decapsulate_knowing(len, after_udp)
    }

    /// Pulls `len` bytes of outer headers, and handles the checksum that the sender left to the receiver:
    /// the sum from `place.start` on, to be stored inverted at `place.field`, both counted from the inner
    /// packet's first byte. The field holds the sum of the pseudo header. Returns the packet and its kind.
    ///
    /// [`RemcsumMode::Partial`] computes nothing: the checksum becomes a partial one, which the packet's
    /// receiver takes as good. That holds for the checksum of the first TCP or UDP header after IP or GRE.
    /// Any other checksum is computed and written, as with [`RemcsumMode::Compute`], because the stack loses
    /// a checksum's place when it pulls a header that contains it. A GSO packet keeps the partial checksum
    /// that GRO or a sender on this machine gave it. A checksum over the whole packet (`CHECKSUM_COMPLETE`)
    /// is adapted.
    ///
    /// Softirq context. Fails with `EBADMSG` as [`Self::decapsulate`] does, with `EINVAL` if the packet is
    /// too short or `place.field` lies before `place.start`, and with `ENOMEM`. The error comes with the
    /// packet, which must not be delivered then.
    #[inline(always)]
    pub fn decapsulate_with_remote_checksum(
        self,
        len: usize,
        protocol: InnerProtocol,
        place: ChecksumPlace,
        mode: RemcsumMode,
    ) -> Result<(InnerSkb, Pulled), (Self, Error)> {
        let skb = match mode {
            RemcsumMode::Partial => match self.decapsulate_leaving_checksum(len, protocol, place) {
                Ok(inner) => return Ok((inner, Pulled::Packet)),
                Err(skb) => skb,
            },
            RemcsumMode::Compute => self,
        };
        skb.decapsulate_with_any_remote_checksum(len, protocol, place, mode)
    }

    /// The fast path of [`Self::decapsulate_with_remote_checksum`] with [`RemcsumMode::Partial`].
    ///
    /// Returns the packet unchanged if it is a GSO packet, or if `place` is not the place of the TCP or UDP
    /// checksum after an IP header in the linear part.
    #[inline(always)]
    fn decapsulate_leaving_checksum(
        mut self,
        len: usize,
        protocol: InnerProtocol,
        place: ChecksumPlace,
    ) -> Result<InnerSkb, Self> {
        let is_transport_headers = protocol.is_ip()
            && self
                .linear_header(len.saturating_add(place.end()))
                .and_then(|bytes| bytes.get(len..))
                .is_some_and(|packet| place.is_first_transport_headers(protocol, packet));
        if !is_transport_headers || self.is_gso() {
            return Err(self);
        }
        let mut skb = self.as_pin_mut();
        // SAFETY: `place` is the place of the first transport header's checksum, from a header of
        // `protocol`, as was just checked. The packet becomes an `InnerSkb` of this protocol, whose bytes
        // do not change, and which goes to this protocol or is freed. If it stays an `RxSkb`, its checksum
        // is unchanged.
        if unsafe { skb.as_mut().leave_checksum(place, len) }.is_err() {
            return Err(self);
        }
        // SAFETY: `linear_header` has found the bytes up to the field's end, which lies after `len` bytes,
        // so the `len` bytes are linear. The packet is valid and exclusively borrowed, so its fields may
        // change.
        unsafe {
            skb.as_mut().pull(len);
            bindings::skb_clear_encapsulation(skb.as_raw());
        }
        // INVARIANT: As said above.
        Ok(InnerSkb {
            skb: self.0,
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
        mode: RemcsumMode,
    ) -> Result<(InnerSkb, Pulled), (Self, Error)> {
        let mut skb = self.as_pin_mut();
        let pulled = skb.as_mut().decapsulate(len).and_then(|pulled| {
            skb.process_remote_checksum(protocol, place, mode)?;
            Ok(pulled)
        });
        match pulled {
            Ok(pulled) => {
                // INVARIANT: `process_remote_checksum` leaves no other checksum.
                let inner = InnerSkb {
                    skb: self.0,
                    protocol,
                };
                Ok((inner, pulled))
            }
            Err(error) => Err((self, error)),
        }
    }
}

impl Deref for RxSkb {
    type Target = SkBuff;

    #[inline]
    fn deref(&self) -> &SkBuff {
        &self.0
    }
}

/// A received packet whose tunnel headers were pulled, to be delivered to the IP protocol of its first
/// header.
///
/// # Invariants
///
/// If a function of this module made the packet's checksum a partial one, the checksum belongs to the
/// first transport header, found from a header of `protocol` at the packet's data. The stack verifies or
/// completes the checksum there before it pulls that transport header.
// The packet's bytes and its data pointer cannot be changed through this type.
pub struct InnerSkb {
    pub(super) skb: OwnedSkb,
    pub(super) protocol: InnerProtocol,
}

impl InnerSkb {
    /// Makes a received packet an inner packet of `protocol`.
    #[inline]
    pub fn new(skb: RxSkb, protocol: InnerProtocol) -> Self {
        // INVARIANT: An `RxSkb` has no checksum that this module made a partial one: the functions that
        // make one take the packet and return an `InnerSkb`.
        Self {
            skb: skb.0,
            protocol,
        }
    }

    /// Subtracts `by`, the length of the pulled headers, from the length in the outer IP header, of IPv6 or
    /// of IPv4.
    ///
    /// A length of 0 stays, because a GSO packet of 64 KiB or more has it. Other packets that share the
    /// header do not see the change. If IP's length is not the length of the received packet, because UDP's
    /// length is less, `CHECKSUM_COMPLETE` becomes `CHECKSUM_NONE`: GRO has verified the sum over IP's
    /// length, and UDP has cut the sum to UDP's length.
    ///
    /// Returns the packet's length. Any context. Fails with `E2BIG` if more than `most` bytes of headers lie
    /// before the packet, with `EINVAL` if the IP header does not or its length is less than `by`, with
    /// `ENOMEM`.
    // Changes the length alone: the stack has verified the header's other fields, and still uses them.
    #[inline(always)]
    pub fn shorten_outer<const IPV6: bool>(&mut self, by: usize, most: usize) -> Result<usize> {
        let (headers, left) = self.skb.as_pin_mut().outer_headers_mut(most)?;
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
                self.skb.as_pin_mut().forget_complete_checksum();
            }
        }
        Ok(left)
    }

    /// Frees the packet as one that is dropped for a reason.
    #[inline]
    pub fn free(self, reason: DropReason) {
        self.skb.free(reason);
    }

    /// Gives the packet to C.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut bindings::sk_buff {
        self.skb.into_raw()
    }

    /// Readies the packet for its receiver, and returns it and its protocol.
    #[inline]
    pub(crate) fn into_parts(mut self) -> (OwnedSkb, InnerProtocol) {
        self.skb.as_pin_mut().prepare_for_pull(IP_HEADERS_LEN_BYTES);
        (self.skb, self.protocol)
    }
}

impl Deref for InnerSkb {
    type Target = SkBuff;

    #[inline]
    fn deref(&self) -> &SkBuff {
        &self.skb
    }
}

impl SkBuff {
    /// Pulls `len` bytes of outer headers: see [`RxSkb::decapsulate`].
    #[inline(always)]
    pub(super) fn decapsulate(self: Pin<&mut Self>, len: usize) -> Result<Pulled> {
        self.decapsulate_knowing(len, AfterUdp::Unknown)
    }

    /// Does what [`RxSkb::decapsulate_knowing`] does.
    #[inline(always)]
    pub(super) fn decapsulate_knowing(
        mut self: Pin<&mut Self>,
        len: usize,
        after_udp: AfterUdp,
    ) -> Result<Pulled> {
        if matches!(after_udp, AfterUdp::Sum(_)) && len < udp::HEADER_LEN_BYTES {
            return Err(EINVAL);
        }
        let start = self.as_mut().header(len)?.as_ptr();
        // SAFETY: `header` has found `len` linear bytes, at `start`: at least a UDP header if a sum is known. `pull`
        // pulls these bytes, does not move them and has returned their number. The packet is valid and exclusively
        // borrowed; no reference points into it when C may make its shared information private.
        unsafe {
            let len = self.as_mut().pull(len);
            self.as_mut().postpull_checksum(start, len, after_udp)?;
            // Does for other packets what `iptunnel_pull_offloads` does.
            if !self.is_gso() {
                bindings::skb_clear_encapsulation(self.as_raw());
                return Ok(Pulled::Packet);
            }
            to_result(bindings::iptunnel_pull_offloads(self.as_raw()))?;
        }
        Ok(Pulled::GsoPacket)
    }

    /// Pulls `len` bytes and sets the transport header to the new data. Returns the length in C's type.
    ///
    /// # Safety
    ///
    /// The packet must have at least `len` linear bytes.
    #[inline(always)]
    unsafe fn pull(self: Pin<&mut Self>, len: usize) -> u32 {
        // At most the packet's own length, which has 32 bits.
        let len = len as u32;
        let skb = self.as_raw();
        // SAFETY: By the type invariant the packet is valid. It is exclusively borrowed, so its fields may
        // change. The caller promises `len` linear bytes, so `data + len` is at most `tail`, and `len`
        // counts no fewer bytes than the fragments hold: the invariant stays.
        unsafe {
            (*skb).len = (*skb).len.wrapping_sub(len);
            (*skb).data = (*skb).data.add(len as usize);
            bindings::skb_reset_transport_header(skb);
        }
        len
    }

    fn process_remote_checksum(
        mut self: Pin<&mut Self>,
        protocol: InnerProtocol,
        place: ChecksumPlace,
        mode: RemcsumMode,
    ) -> Result {
        if place.field < place.start {
            return Err(EINVAL);
        }
        let packet = self.as_mut().header(place.end())?;
        let is_transport_headers = place.is_first_transport_headers(protocol, packet);
        if self.is_gso() && self.partial_checksum()?.is_some() {
            return Ok(());
        }
        if is_transport_headers && mode == RemcsumMode::Partial {
            // SAFETY: `place` is the place of the first transport header's checksum, from a header of
            // `protocol`, as was just checked. The caller makes the packet an `InnerSkb` of this protocol,
            // or an `RxSkb` with an error, which must not be delivered.
            return unsafe { self.leave_checksum(place, 0) };
        }
        self.compute_remote_checksum(place)
    }

    /// Returns the headers that were pulled from a received packet, for writing, and the packet's length.
    /// Clones of the packet do not see what the caller writes.
    ///
    /// The headers are the bytes from the network header, the outer IP header, to the packet's data. Any
    /// context. Fails with `E2BIG` if they are more than `most`, with `EINVAL` if the network header lies
    /// after the data, with `ENOMEM` if a clone shares the headers and they could not be copied.
    #[inline]
    pub(super) fn outer_headers_mut(
        self: Pin<&mut Self>,
        most: usize,
    ) -> Result<(&mut [u8], usize)> {
        let skb = self.as_raw();
        // A sender on this machine that keeps a clone, as TCP does, shares the payload alone, and has released
        // the headers (`__skb_header_release()`). So these packets are not copied.
        // SAFETY: By the type invariant the packet is valid. It is exclusively borrowed, so no reference
        // points into the head, which C may reallocate. `GFP_ATOMIC` is allowed in any context.
        to_result(unsafe { bindings::skb_header_unclone(skb, bindings::GFP_ATOMIC) })?;
        // SAFETY: The packet is valid, as above.
        let start = unsafe { bindings::skb_network_header(skb) };
        let (data, start_at) = (self.fields().data as usize, start as usize);
        let rest = self.len();
        // One comparison: a header that is not before the data is further than there is memory.
        let len = data.wrapping_sub(start_at);
        if len > most.min(isize::MAX as usize) {
            return Err(if start_at > data { EINVAL } else { E2BIG });
        }
        // SAFETY: The header's place is kept as an offset from `head` that is not negative, and
        // `start + len` is `data`, so these are initialized bytes of the linear part, whose headers
        // no clone shares; they are borrowed with `self`. A place within an allocation is not null.
        Ok(unsafe {
            hint::assert_unchecked(!start.is_null());
            (slice::from_raw_parts_mut(start, len), rest)
        })
    }

    /// Reallocates the head now, with tailroom, if a later pull would move it. Best effort.
    ///
    /// For packets that go to a tunnel device. The device's GRO finds the IP header where the head was when
    /// the packet came (`skb_gro_network_header()`). A pull of the transport header moves the head if a clone
    /// shares it, such as a packet socket's clone. Skips packets with `linear` or more linear bytes: only a
    /// hostile sender leaves a part of the TCP header of such a packet in the fragments.
    #[inline]
    pub(super) fn prepare_for_pull(self: Pin<&mut Self>, linear: u32) {
        // SAFETY: By the type invariant the packet is valid, and no other code changes its fields.
        if unsafe { bindings::skb_pull_moves_head(self.as_raw(), linear, INNER_HEADERS_LEN_BYTES) }
        {
            self.make_tailroom(INNER_HEADERS_LEN_BYTES);
        }
    }

    /// Reallocates the head as a private one with `len` bytes of tailroom, if memory allows.
    #[cold]
    fn make_tailroom(self: Pin<&mut Self>, len: u32) {
        // SAFETY: As for `skb_header_unclone` in `outer_headers_mut`. `pskb_expand_head` takes only a
        // packet with one owner, as this is: its fields change only through `self`. `len` is far below the
        // limit of an `i32`.
        unsafe { bindings::pskb_expand_head(self.as_raw(), 0, len as i32, bindings::GFP_ATOMIC) };
    }
}

/// Length of IPv6 and UDP together, in bytes. A packet of this machine's TCP has as many, or no options.
pub(super) const IP_HEADERS_LEN_BYTES: u32 = 48;

/// The same after two VLAN tags.
pub(super) const FRAME_HEADERS_LEN_BYTES: u32 = 56;

/// Length of the longest IP and TCP headers together, in bytes.
const INNER_HEADERS_LEN_BYTES: u32 = 128;
