// SPDX-License-Identifier: GPL-2.0

//! Packets that a tunnel device sends.

use super::{to_result, GsoType, OwnedSkb, SkBuff};
use crate::Netns;
use core::{hint, ops::Deref, ptr::NonNull, slice};
use kernel::prelude::*;
use net_bindings as bindings;

/// The most bytes that are pushed, or that headroom is made for. C stores the places of headers as 16-bit
/// offsets from the head, and hits a `BUG_ON()` if it is asked for 2 GiB.
pub(crate) const MOST_HEADROOM_BYTES: usize = 0x4000;

/// A packet that a tunnel device sends, to be encapsulated: it can be read and pushed to.
///
/// Nothing else may move the packet's bytes: `ip_tunnel_xmit()`, up the call chain, has a pointer to the
/// inner header.
///
/// # Invariants
///
/// While a reference to a packet lives, the packet is on its way out of a tunnel device, in an RCU read
/// side that lasts as long as others have pointers into the packet.
#[repr(transparent)]
pub struct TxSkb(SkBuff);

impl TxSkb {
    /// Borrows a packet from C.
    ///
    /// # Safety
    ///
    /// As for [`SkBuff::from_raw`]; and the packet must keep the invariants of this type.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *mut bindings::sk_buff) -> Pin<&'a mut Self> {
        // INVARIANT: Promised by the caller.
        // SAFETY: The caller promises a valid pointer that is used only through the result. `TxSkb` is a
        // transparent wrapper of `sk_buff`, which C does not move.
        unsafe { Pin::new_unchecked(&mut *ptr.cast()) }
    }

    /// Borrows the packet as any packet. The caller must not move the packet's bytes.
    #[inline]
    pub(crate) fn as_skb(self: Pin<&mut Self>) -> Pin<&mut SkBuff> {
        // SAFETY: The result is the only field of `TxSkb`, so it does not move as long as the pinned value
        // does not, and a pin of it moves nothing else.
        unsafe { self.map_unchecked_mut(|skb| &mut skb.0) }
    }

    /// Returns the device that the packet is leaving by, or null.
    #[inline]
    pub(crate) fn device(&self) -> *mut bindings::net_device {
        // SAFETY: By the type invariant the packet is in a transmit path, where the union that `dev` is
        // part of holds `dev`. `fields` gives out a valid reference, and a pointer may have any value.
        unsafe {
            self.fields()
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .dev
        }
    }

    /// Returns the index of the device that the packet is leaving by, or 0.
    pub fn ifindex(&self) -> u32 {
        let dev = self.device();
        if dev.is_null() {
            return 0;
        }
        // SAFETY: By the type invariant the packet is on its way out of the device, which lives meanwhile.
        let index = unsafe { bindings::netdev_ifindex(dev) };
        // An index is not negative.
        index as u32
    }

    /// Returns the number of the device's namespace ([`Netns::inum`]), or 0.
    pub fn netns_inum(&self) -> u32 {
        let dev = self.device();
        if dev.is_null() {
            return 0;
        }
        // SAFETY: The device lives, as in `ifindex`. A device's namespace lives as long as the device is in
        // it, and longer than the RCU read side in which the device leaves it.
        unsafe { Netns::from_raw(bindings::dev_net(dev)) }.inum()
    }

    /// Pushes `len` bytes and returns them, to be filled. Their content is unspecified but initialized.
    ///
    /// The bytes are private: clones of the packet do not see them. The packet's bytes may move, but
    /// pointers that the callers have stay valid until the end of the RCU read side. Fails with `ENOMEM` if
    /// the headroom is short or shared and no new head could be allocated; the packet is unchanged then.
    ///
    /// For tunnel devices alone: the scope in which their hooks or their kind are registered waits for the RCU
    /// callback that this may queue. Fails with `EINVAL` if `len` is greater than [`MOST_HEADROOM_BYTES`].
    // Inlined into each form of a device's transmit function, because the compiler would not inline it into so
    // many.
    #[inline(always)]
    pub(crate) fn push(mut self: Pin<&mut Self>, len: usize) -> Result<&mut [u8]> {
        if len > MOST_HEADROOM_BYTES {
            return Err(EINVAL);
        }
        let short = len as u32;
        // The stack counts a packet's bytes in 32 bits.
        let total = self.fields().len.checked_add(short).ok_or(EINVAL)?;
        let skb = self.as_raw();
        // SAFETY: By the invariant of `SkBuff` the packet is valid, and no other code changes its fields.
        if unsafe { bindings::skb_headroom(skb) < short || bindings::skb_header_cloned(skb) } {
            self.as_mut().make_headroom(short)?;
        }
        // The kernel allocates heads without clearing them, but any byte pattern is a valid `u8` there
        // and the memory has been allocated as bytes that devices and others write to, that is, it is
        // never uninitialized to the compiler.
        // SAFETY: There are at least `len` bytes between `head` and `data`, as was just checked, or by
        // `make_headroom`; the headers of this head are shared by no clone, so the bytes may be written.
        // They are initialized, as said above, and borrowed with `self`. `total` counts them, so the
        // invariant of `SkBuff` stays. An allocation is not at null.
        unsafe {
            (*skb).data = (*skb).data.sub(len);
            (*skb).len = total;
            let data = (*skb).data;
            hint::assert_unchecked(!data.is_null());
            Ok(slice::from_raw_parts_mut(data, len))
        }
    }

    /// Reallocates the head as a private one with `len` bytes of headroom: the slow path of [`Self::push`].
    ///
    /// The old head lives until the end of the RCU read side, because `ip_tunnel_xmit()` reads the inner IP
    /// header by its old pointer after the encapsulation's header was built.
    #[cold]
    fn make_headroom(self: Pin<&mut Self>, len: u32) -> Result {
        let skb = self.as_raw();
        // SAFETY: By the invariant of `SkBuff` the packet is valid. `GFP_ATOMIC` is allowed in any context.
        let old = unsafe { bindings::skb_clone(skb, bindings::GFP_ATOMIC) };
        let old = NonNull::new(old).ok_or(ENOMEM)?;
        // SAFETY: A clone is a valid packet of its own, which C gives to the caller. It has the same bytes,
        // so it keeps the invariants of `SkBuff`.
        let old = unsafe { OwnedSkb::from_raw(old) };
        // SAFETY: The packet is valid and exclusively borrowed, so no reference points into the head, which
        // C replaces. C's own pointers into the old head stay valid as long as `old` keeps it.
        let result = to_result(unsafe { bindings::skb_cow_head(skb, len) });
        match result {
            Ok(()) => old.consume_after_readers(),
            // The packet keeps its head, and its owner drops the packet, once.
            Err(_) => old.consume(),
        }
        result
    }

    /// Leaves the packet's partial checksum to the receiver: an outer header says where the checksum is, and the
    /// stack and the device send the packet without computing it.
    ///
    /// A GSO packet keeps its partial checksum, because each segment needs the sum of its own pseudo
    /// header. [`GsoType::TUNNEL_REMCSUM`] tells segmentation to leave the checksums of the segments.
    #[inline]
    pub fn leave_checksum_to_receiver(self: Pin<&mut Self>) {
        if !self.is_gso() {
            // SAFETY: By the invariant of `SkBuff` the packet is valid. It is exclusively borrowed, so its
            // fields may change.
            unsafe { bindings::skb_clear_checksum(self.as_raw()) }
        }
    }

    /// Sets the transport header to the packet's data.
    #[inline]
    pub fn reset_transport_header(self: Pin<&mut Self>) {
        // SAFETY: As in `leave_checksum_to_receiver`.
        unsafe { bindings::skb_reset_transport_header(self.as_raw()) }
    }

    /// Prepares the packet for encapsulation: notes the places of the inner headers and adds `gso_type`
    /// to a GSO packet.
    ///
    /// Call this before the first outer header is pushed. Fails with `ENOMEM`.
    #[inline]
    pub fn handle_offloads(self: Pin<&mut Self>, gso_type: GsoType) -> Result {
        // SAFETY: By the invariant of `SkBuff` the packet is valid, and no other code changes its fields.
        if unsafe { bindings::skb_offloads_are_handled(self.as_raw()) } {
            return Ok(());
        }
        // SAFETY: The packet is valid, as above. It is exclusively borrowed, so no reference points into
        // the head, whose shared information C may have to make private.
        to_result(unsafe { bindings::iptunnel_handle_offloads(self.as_raw(), gso_type.as_raw()) })
    }
}

impl Deref for TxSkb {
    type Target = SkBuff;

    #[inline]
    fn deref(&self) -> &SkBuff {
        &self.0
    }
}
