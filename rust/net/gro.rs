// SPDX-License-Identifier: GPL-2.0

//! Generic receive offload of UDP tunnels: packets of a flow are merged before they are decapsulated.
//!
//! C header: [`include/net/gro.h`](srctree/include/net/gro.h)
//!
//! What is held back is compared header by header, from the outermost on: each layer looks at its
//! header at the packet's GRO offset, says which of the held packets cannot be of the same flow, and
//! passes the rest on to the next. When packets have been merged, each layer mends its header, again
//! from the outermost on.

use crate::{
    checksum::Sum,
    ip_proto::{ChecksumPlace, InnerProtocol},
    skb::RemoteChecksum,
};
use core::{hint, marker::PhantomData, ptr, ptr::NonNull, slice};
use kernel::{bindings, error::to_result, prelude::*};
use net_bindings as extra;

/// Where a TCP header has its checksum, in bytes (RFC 9293).
const TCP_CHECKSUM_AT: u16 = 16;

/// What a tunnel does about packets that may be merged.
pub trait GroTunnel: Send + Sync + 'static {
    /// Looks at the header of a packet that UDP has taken its own off, says which held packets have
    /// another one, and takes it off: see [`Packet`].
    ///
    /// Returns the protocol of what is left, which goes on from there; there is nothing to merge for
    /// protocols without a network header of their own. Softirq context, RCU read side.
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge>;

    /// Returns where the checksum is that the header of a merged packet leaves to the receiver, if any,
    /// counted from the tunnelled packet's first byte.
    ///
    /// Packets are held while ports come and go, so another tunnel may have merged this one. Softirq
    /// context, RCU read side.
    fn gro_remote_checksum(&self, _merged: &Merged<'_>) -> Option<ChecksumPlace> {
        None
    }
}

/// The packet cannot be merged with others: it is to go its way now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMerge;

/// A packet that may be merged with others that are held back.
///
/// # Invariants
///
/// Both pointers are valid; the packet is on its way through GRO, and nobody else changes it. `seen` is
/// valid for as many bytes.
pub struct Packet<'a> {
    head: *mut bindings::list_head,
    skb: NonNull<bindings::sk_buff>,
    /// Length of the headers that the tunnel has taken off, in bytes.
    taken: u8,
    /// The first bytes of what is left, where they were found last, and how many.
    seen: (NonNull<u8>, usize),
    /// What was written into the packet for the layers within, to be put back.
    patch: Option<Patch>,
    _borrow: PhantomData<&'a mut bindings::sk_buff>,
}

const NOTHING_SEEN: (NonNull<u8>, usize) = (NonNull::dangling(), 0);

/// What was at some place of a packet's linear part, counted from its head.
struct Patch {
    from_head: usize,
    bytes: [u8; 2],
}

impl Packet<'_> {
    #[inline]
    fn as_raw(&self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }

    /// Where what is left of the packet begins, in bytes from its data.
    #[inline]
    fn offset(&self) -> usize {
        // SAFETY: By the type invariant the packet is in GRO.
        unsafe { extra::skb_gro_offset(self.as_raw()) as usize }
    }

    /// Where `len` bytes of the packet are that begin `from` bytes behind its data.
    #[inline(always)]
    fn find(&mut self, from: usize, len: usize) -> Result<NonNull<u8>, NoMerge> {
        let end = from.checked_add(len).ok_or(NoMerge)?;
        let skb = self.as_raw();
        // SAFETY: By the type invariant the packet is valid; `data_len` never exceeds `len`.
        let (data, linear) = unsafe { ((*skb).data, (*skb).len.wrapping_sub((*skb).data_len)) };
        // C's way to the bytes may lead to a fragment that they have been pulled out of since, by a
        // layer within that needed more of them than the fragment had.
        if end <= linear as usize {
            // SAFETY: `from` is at most `end`, so this lies in the linear part, which is not at null.
            return Ok(unsafe {
                let start = data.add(from);
                // A load does not tell the compiler, which would look for the null of `Err`.
                hint::assert_unchecked(!start.is_null());
                NonNull::new_unchecked(start)
            });
        }
        // SAFETY: By the type invariant the packet is in GRO.
        unsafe { find_in_fragment(self.skb, from, end) }
    }

    /// Finds the first `len` bytes of what is left of the packet.
    #[inline(always)]
    fn see(&mut self, len: usize) -> Result<NonNull<u8>, NoMerge> {
        let (start, seen_len) = self.seen;
        if len <= seen_len {
            return Ok(start);
        }
        // Bytes move where they are looked for and not found, also if that fails half way.
        self.forget_seen();
        let start = self.find(self.offset(), len)?;
        // INVARIANT: They were just found. What moves bytes is called here, or forgets what was seen.
        self.seen = (start, len);
        Ok(start)
    }

    /// Forgets where bytes were: they may move, or others come first.
    #[inline(always)]
    fn forget_seen(&mut self) {
        self.seen = NOTHING_SEEN;
    }

    /// The first `len` bytes of what is left of the packet. Fails if there are fewer, or no memory
    /// to make them contiguous.
    #[inline(always)]
    pub fn header(&mut self, len: usize) -> Result<&[u8], NoMerge> {
        let start = self.see(len)?;
        // SAFETY: `len` bytes are there. They are written to through `self` only.
        Ok(unsafe { slice::from_raw_parts(start.as_ptr(), len) })
    }

    /// Says that held packets whose next `len` bytes are not the same as this one's are of other
    /// flows.
    #[inline(always)]
    pub fn compare_held(&mut self, len: usize) -> Result<(), NoMerge> {
        let offset = self.offset();
        let start = self.see(len)?;
        // SAFETY: `start` is valid for `len` bytes, by `find` both numbers have 32 bits, and the list
        // is that of the held packets, whose length is checked there.
        unsafe {
            extra::gro_compare_held(self.head, start.as_ptr().cast(), offset as u32, len as u32)
        };
        Ok(())
    }

    /// As [`Self::compare_held`], and takes those bytes, a header, off what is left of the packet. Fails
    /// also if all headers that are taken off have more than 255 bytes.
    #[inline(always)]
    pub fn take_header(&mut self, len: usize) -> Result<(), NoMerge> {
        let taken = u8::try_from(len)
            .ok()
            .and_then(|len| self.taken.checked_add(len));
        let taken = taken.ok_or(NoMerge)?;
        let offset = self.offset();
        let start = self.see(len)?.as_ptr().cast();
        // SAFETY: As above, and the packet is in GRO.
        unsafe {
            extra::gro_compare_held(self.head, start, offset as u32, len as u32);
            extra::skb_gro_postpull_rcsum(self.as_raw(), start, len as u32);
            extra::skb_gro_pull(self.as_raw(), len as u32);
        }
        self.taken = taken;
        self.forget_seen();
        Ok(())
    }

    /// Sees to a checksum that the sender has left to us, so that the layers within find it good;
    /// arguments as for
    /// [`SkBuff::decapsulate_with_remote_checksum`](crate::SkBuff::decapsulate_with_remote_checksum).
    ///
    /// What is changed in the packet is put back when they are done. Fails if nothing is known about
    /// the outer checksum, the packet is too short, with [`RemoteChecksum::Partial`] if its field is not where TCP has its own,
    /// with [`RemoteChecksum::Compute`] if a clone shares the packet's bytes or it was done before.
    #[inline(always)]
    pub fn process_remote_checksum(
        &mut self,
        place: ChecksumPlace,
        how: RemoteChecksum,
    ) -> Result<(), NoMerge> {
        self.forget_seen();
        let (skb, payload) = (self.as_raw(), self.offset());
        // SAFETY: The packet is in GRO.
        let (is_valid, len) = unsafe { (extra::gro_checksum_valid(skb), (*skb).len as usize) };
        if !is_valid {
            return Err(NoMerge);
        }
        // What points past the packet will be dropped.
        match how {
            RemoteChecksum::Partial => {
                // TCP's GRO handler checks `start`. A field before it would need one past 16 bits.
                if place.field.wrapping_sub(place.start) != TCP_CHECKSUM_AT {
                    return Err(NoMerge);
                }
                let start = payload.saturating_add(usize::from(place.start));
                if start.saturating_add(usize::from(TCP_CHECKSUM_AT) + size_of::<u16>()) > len {
                    return Err(NoMerge);
                }
                let start = u16::try_from(start).map_err(|_| NoMerge)?;
                // SAFETY: As above.
                unsafe { extra::gro_set_remcsum_start(skb, start) };
            }
            RemoteChecksum::Compute => {
                let (start, field) = (usize::from(place.start), usize::from(place.field));
                let at = payload.saturating_add(field);
                let end = at.saturating_add(size_of::<u16>());
                // The place that was written to before would not be put back.
                if end > len || self.patch.is_some() {
                    return Err(NoMerge);
                }
                let same = Self {
                    head: self.head,
                    skb: self.skb,
                    taken: self.taken,
                    seen: NOTHING_SEEN,
                    patch: None,
                    _borrow: PhantomData,
                };
                self.patch = Some(same.patch_remote_checksum(start, field, at, end)?);
            }
        }
        Ok(())
    }

    /// Writes the remote checksum that is at `at` to `end` in the packet; returns what was there.
    // Not inlined, and with a value of its own: most packets have none, and should not keep what they
    // have in memory for it.
    #[inline(never)]
    fn patch_remote_checksum(
        mut self,
        start: usize,
        field: usize,
        at: usize,
        end: usize,
    ) -> Result<Patch, NoMerge> {
        let skb = self.as_raw();
        // A clone would see the change, and its owner may read at the same time.
        // SAFETY: The packet is in GRO.
        if unsafe { extra::skb_cloned(skb) } {
            return Err(NoMerge);
        }
        // Linear, where it will be found again whatever becomes of the fragments. Before that, as
        // bytes may move.
        // SAFETY: The packet is in GRO.
        unsafe { make_linear(self.skb, at, end) }?;
        let before = Sum::of(self.header(start)?);
        let place = self.find(at, size_of::<u16>())?.cast::<[u8; 2]>();
        // SAFETY: `find` has found two bytes, of which nobody has a reference.
        let bytes: [u8; 2] = unsafe { place.read() };
        // SAFETY: The packet is in GRO, and its checksum is valid.
        let total = Sum::from_raw(unsafe { extra::gro_checksum(skb) });
        let new = total.minus(before).moved_by(start).to_field();
        let change = Sum::of_word(new).minus(Sum::of_word(bytes));
        // SAFETY: As above, and the packet is ours to change; the place lies in its linear part, behind
        // `head`.
        let from_head = unsafe {
            place.write(new);
            extra::gro_set_checksum(skb, total.plus(change.moved_by(field)).as_raw());
            place.as_ptr().byte_offset_from((*skb).head) as usize
        };
        Ok(Patch { from_head, bytes })
    }

    /// Puts back what was written into the packet for the layers within.
    #[inline(always)]
    fn put_back(&mut self, patch: Patch) {
        let skb = self.as_raw();
        // SAFETY: The packet is valid. Making bytes linear may have moved the head, in which they
        // keep their place; merging takes bytes off the front of the data, not of the head.
        unsafe {
            let place = (*skb).head.add(patch.from_head).cast::<[u8; 2]>();
            place.write(patch.bytes);
        }
    }

    /// Readies the packet for a protocol, and returns the protocol's callback.
    ///
    /// # Safety
    ///
    /// RCU read side, in which the result is used.
    #[inline(always)]
    unsafe fn enter<const IPV6: bool>(
        &mut self,
        protocol: InnerProtocol,
    ) -> Result<GroCallback, NoMerge> {
        // The layers behind the tunnel's header use the last network header. Without one of the inner
        // packet's, TCP takes what follows it in a held packet, here UDP's header, for TCP's, and computes
        // its checksum over addresses at an offset that no layer has set; a UDP socket within is looked
        // up by other addresses on completion than on receive.
        if !protocol.has_network_header() {
            return Err(NoMerge);
        }
        // The protocol and where it begins are noted for completion: the port may be another one by then,
        // and the packet's bytes may be a peer's choice, so neither is asked again.
        // SAFETY: The packet is in GRO.
        unsafe { extra::gro_enter_tunnel(self.as_raw(), protocol.number(), self.taken) };
        // SAFETY: The caller holds the RCU read lock.
        let offload = unsafe { extra::inet_offload(IPV6, protocol.number()) };
        // SAFETY: As above; C's table holds valid pointers.
        unsafe { offload.as_ref() }
            .and_then(|offload| offload.callbacks.gro_receive)
            .ok_or(NoMerge)
    }
}

/// A protocol's `gro_receive`.
type GroCallback = unsafe extern "C" fn(
    *mut bindings::list_head,
    *mut bindings::sk_buff,
) -> *mut bindings::sk_buff;

// Slow paths take C's pointer: one to ours would keep it in memory on the fast ones.

/// As [`Packet::find`], for what is not linear.
///
/// # Safety
///
/// `skb` must be in GRO.
#[cold]
unsafe fn find_in_fragment(
    skb: NonNull<bindings::sk_buff>,
    from: usize,
    end: usize,
) -> Result<NonNull<u8>, NoMerge> {
    let short = u32::try_from(end).map_err(|_| NoMerge)?;
    // SAFETY: The packet is in GRO.
    if unsafe { extra::skb_gro_may_pull(skb.as_ptr(), short) } {
        // SAFETY: As above; the first `end` bytes lie where GRO says, and `from` has 32 bits.
        let start = unsafe { extra::skb_gro_header_fast(skb.as_ptr(), from as u32) };
        return NonNull::new(start.cast()).ok_or(NoMerge);
    }
    // SAFETY: As above.
    unsafe { make_linear(skb, from, end) }
}

/// As [`Packet::find`], and the bytes are in the linear part then.
///
/// # Safety
///
/// As for [`find_in_fragment`].
#[cold]
unsafe fn make_linear(
    skb: NonNull<bindings::sk_buff>,
    from: usize,
    end: usize,
) -> Result<NonNull<u8>, NoMerge> {
    let (from, end) = (
        u32::try_from(from).map_err(|_| NoMerge)?,
        u32::try_from(end).map_err(|_| NoMerge)?,
    );
    // SAFETY: The packet is in GRO. C checks that there are `end` bytes.
    let start = unsafe { extra::skb_gro_header_slow(skb.as_ptr(), end, from) };
    NonNull::new(start.cast()).ok_or(NoMerge)
}

/// C's way through [`GroTunnel::gro_receive`].
///
/// # Safety
///
/// RCU read side; both pointers are those that C passes to a socket's `gro_receive`, whose family
/// `IPV6` tells.
#[inline]
pub(crate) unsafe fn receive<T: GroTunnel, const IPV6: bool>(
    tunnel: Option<&T>,
    head: *mut bindings::list_head,
    skb: NonNull<bindings::sk_buff>,
) -> *mut bindings::sk_buff {
    // INVARIANT: Promised by the caller.
    let mut packet = Packet {
        head,
        skb,
        taken: 0,
        seen: NOTHING_SEEN,
        patch: None,
        _borrow: PhantomData,
    };
    let callback = tunnel.ok_or(NoMerge).and_then(|tunnel| {
        // One tunnel of this crate's a packet: each would be one more callback on GRO's stack.
        // SAFETY: The packet is in GRO.
        if unsafe { extra::gro_in_tunnel(skb.as_ptr()) } {
            return Err(NoMerge);
        }
        let protocol = tunnel.gro_receive(&mut packet)?;
        // SAFETY: Promised by the caller.
        unsafe { packet.enter::<IPV6>(protocol) }
    });
    let Ok(callback) = callback else {
        if let Some(patch) = packet.patch.take() {
            packet.put_back(patch);
        }
        // SAFETY: The packet is in GRO.
        unsafe { extra::gro_set_flush(skb.as_ptr()) };
        return ptr::null_mut();
    };
    // SAFETY: The packet is in GRO, the callback is C's for it, and C bounds the recursion.
    let complete = unsafe { extra::call_gro_receive(Some(callback), head, skb.as_ptr()) };
    if let Some(patch) = packet.patch.take() {
        // Encryption may have taken the packet, which is not ours any more.
        if complete != (-(bindings::EINPROGRESS as isize)) as *mut bindings::sk_buff {
            packet.put_back(patch);
        }
    }
    complete
}

/// A packet that others have been merged into, or a single one that was held back.
///
/// # Invariants
///
/// `skb` is valid and nobody else's; its data begins with the outer IP header.
pub struct Merged<'a> {
    skb: NonNull<bindings::sk_buff>,
    /// Where the tunnel's header begins, in bytes from the packet's data.
    at: usize,
    _borrow: PhantomData<&'a mut bindings::sk_buff>,
}

impl Merged<'_> {
    /// The first `len` bytes behind the UDP header. Fails with `EINVAL` if the packet does not have
    /// them in its linear part.
    #[inline]
    pub fn header(&self, len: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(len).ok_or(EINVAL)?;
        self.linear(end)?.get(self.at..).ok_or(EINVAL)
    }

    /// The first `end` bytes of the packet.
    #[inline]
    fn linear(&self, end: usize) -> Result<&[u8]> {
        let skb = self.skb.as_ptr();
        // SAFETY: By the type invariant the packet is valid; `data_len` never exceeds `len`.
        let (data, linear) = unsafe { ((*skb).data, (*skb).len.saturating_sub((*skb).data_len)) };
        if end > linear as usize {
            return Err(EINVAL);
        }
        // SAFETY: `end` bytes are linear, and not written to while `self` is borrowed.
        Ok(unsafe { slice::from_raw_parts(data, end) })
    }
}

/// Completes a merged packet: the layers behind the tunnel's header mend theirs, and segmentation learns
/// where the tunnelled packet begins.
///
/// # Safety
///
/// As for [`receive`]; `at` is where UDP's payload begins.
#[inline]
pub(crate) unsafe fn complete<T: GroTunnel, const IPV6: bool>(
    tunnel: Option<&T>,
    skb: NonNull<bindings::sk_buff>,
    at: usize,
) -> Result {
    let merged = Merged {
        skb,
        at,
        _borrow: PhantomData,
    };
    // Another kind of tunnel may have had this port, and merged the packet.
    let mut len_bytes = 0;
    // SAFETY: The packet is in GRO.
    let noted = unsafe { extra::gro_leave_tunnel(skb.as_ptr(), &mut len_bytes) };
    let protocol = InnerProtocol::new(noted).ok_or(ESTALE)?;
    let inner = at.checked_add(usize::from(len_bytes)).ok_or(EINVAL)?;
    let inner_c = i32::try_from(inner).map_err(|_| EINVAL)?;
    // SAFETY: The caller holds the RCU read lock.
    let offload = unsafe { extra::inet_offload(IPV6, protocol.number()) };
    // SAFETY: As above; C's table holds valid pointers.
    let complete = unsafe { offload.as_ref() }
        .and_then(|offload| offload.callbacks.gro_complete)
        .ok_or(ENOENT)?;
    // SAFETY: The packet is a merged one. By the note, its headers up to `inner` were taken off on
    // receive and the protocol's `gro_receive` has seen its own there; GRO has made linear what it has
    // seen, and held packets keep their headers.
    unsafe {
        // GRE sets the type anew, and segmentation would not know of UDP in front of it.
        let outer = extra::skb_gso_type(skb.as_ptr());
        let result = complete(skb.as_ptr(), inner_c);
        extra::skb_add_gso_type(skb.as_ptr(), outer);
        extra::skb_set_inner_mac_header(skb.as_ptr(), inner_c);
        to_result(result)?;
    }
    if let Some(place) = tunnel.and_then(|tunnel| tunnel.gro_remote_checksum(&merged)) {
        // SAFETY: As above, and the layers within have said which checksum segmentation is to compute.
        let (computed_at, offset) = unsafe {
            (
                extra::skb_checksum_start_offset(skb.as_ptr()),
                extra::skb_csum_offset(skb.as_ptr()),
            )
        };
        let start = inner.checked_add(usize::from(place.start));
        let same_start = start.is_some() && usize::try_from(computed_at).ok() == start;
        if same_start && place.field.checked_sub(place.start) == Some(offset) {
            // Where the packet is only forwarded, its segments are to be as they came.
            // SAFETY: As above.
            unsafe { extra::skb_add_gso_type(skb.as_ptr(), extra::SKB_GSO_TUNNEL_REMCSUM) };
        }
    }
    Ok(())
}
