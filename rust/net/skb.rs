// SPDX-License-Identifier: GPL-2.0

//! Packets.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)
//!
//! A packet is either ours to free ([`SkBuff`]) or somebody else's that we may work on for the
//! duration of a call ([`Skb`]); the first dereferences to the second. The bytes of a header are
//! reached through [`Skb::header`], whose result borrows the packet, so that no pointer into the
//! packet survives an operation that may move its data.

mod decap;

pub use decap::{Inner, RemoteChecksum};

use crate::{ip_proto::ChecksumPlace, DropReason};
use core::{ffi::c_int, hint, marker::PhantomData, mem, ops, ptr::NonNull, slice};
use kernel::{bindings, prelude::*};
use net_bindings as extra;

/// A borrowed packet: it can be read and changed, not freed.
///
/// # Invariants
///
/// `ptr` points to a valid `sk_buff` that nobody else changes the fields of during `'a`; its linear
/// part lies between `head` and `end`, with `head <= data <= tail <= end`. `len` counts the bytes of
/// the linear part and of the fragments, `data_len` those of the fragments.
pub struct Skb<'a> {
    ptr: NonNull<bindings::sk_buff>,
    _borrow: PhantomData<&'a mut bindings::sk_buff>,
}

impl Skb<'_> {
    /// Borrows a packet from C.
    ///
    /// # Safety
    ///
    /// For the chosen lifetime, `ptr` must be valid and used only through the returned value, and
    /// the packet must keep to the invariants of this type.
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: Promised by the caller.
        Self {
            ptr,
            _borrow: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.ptr.as_ptr()
    }

    #[inline]
    fn fields(&self) -> &bindings::sk_buff {
        // SAFETY: By the type invariant `ptr` is valid and nobody else changes the fields. The
        // reference lives no longer than the borrow of `self`, and all that changes the packet
        // takes `self` mutably.
        unsafe { self.ptr.as_ref() }
    }

    /// Bytes of the packet from its data pointer on, in the linear part and in fragments.
    #[inline]
    pub fn len(&self) -> usize {
        self.fields().len as usize
    }

    /// Whether no byte is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the packet that lie in the linear part.
    #[inline]
    pub fn linear_len(&self) -> usize {
        // By the type invariant this does not wrap; every header that is read comes by here.
        self.fields().len.wrapping_sub(self.fields().data_len) as usize
    }

    /// Makes the first `len` bytes linear and returns them.
    ///
    /// They may be shared with clones of the packet, so they can be read only. Any context. Fails
    /// with `EINVAL` if the packet is shorter, with `ENOMEM`.
    #[inline]
    pub fn header(&mut self, len: usize) -> Result<&[u8]> {
        if self.linear_len() < len {
            // SAFETY: The packet is valid and ours to change; nothing points into it.
            unsafe { pull_tail(self.as_raw(), len) }?;
        }
        // SAFETY: The linear part holds at least `len` initialized bytes from `data` on. They are
        // not written to while the borrow lasts: we have the packet for ourselves, and who has a
        // clone of it must make the data private before writing.
        Ok(unsafe {
            let data = self.fields().data;
            // A load does not tell the compiler, which would look for the null of `Err`.
            hint::assert_unchecked(!data.is_null());
            slice::from_raw_parts(data, len)
        })
    }

    /// Whether the packet is a super-packet, to be segmented on its way.
    #[inline]
    pub fn is_gso(&self) -> bool {
        // SAFETY: The packet is valid.
        unsafe { extra::skb_is_gso(self.as_raw()) }
    }

    /// The first `len` bytes, as of [`Self::header`], if they are linear.
    #[inline]
    pub fn linear_header(&self, len: usize) -> Option<&[u8]> {
        if self.linear_len() < len {
            return None;
        }
        // SAFETY: As in `header`.
        Some(unsafe {
            let data = self.fields().data;
            hint::assert_unchecked(!data.is_null());
            slice::from_raw_parts(data, len)
        })
    }

    /// Makes the packet's headers and linear data private, if a clone shares them.
    ///
    /// Any context. Fails with `ENOMEM`.
    #[inline]
    pub fn unshare(&mut self) -> Result {
        // SAFETY: The packet is valid and ours to change; nothing points into it, since all views
        // borrow `self`.
        to_result(unsafe { extra::skb_unclone(self.as_raw(), bindings::GFP_ATOMIC) })
    }

    /// The headers that have been taken off a received packet, to be changed; a clone does not see the
    /// change.
    ///
    /// They are the bytes from the network header, the outer IP header, to the packet's data. Any
    /// context. Fails with `E2BIG` if they are more than `most`, with `EINVAL` if the network header
    /// does not lie before the data, with `ENOMEM` if the packet is shared and no copy could be made.
    #[inline]
    pub(crate) fn outer_headers_mut(&mut self, most: usize) -> Result<&mut [u8]> {
        // A sender on this machine that keeps the packet for itself, as TCP does, shares the payload
        // alone and has said so; that must not cost a copy of each packet.
        // SAFETY: The packet is valid and ours to change; nothing points into it, since all views
        // borrow `self`.
        to_result(unsafe { extra::skb_header_unclone(self.as_raw(), bindings::GFP_ATOMIC) })?;
        // SAFETY: The packet is valid.
        let start = unsafe { extra::skb_network_header(self.as_raw()) };
        let (data, start_at) = (self.fields().data as usize, start as usize);
        // One comparison: what is not before the data is further than there is memory.
        let len = data.wrapping_sub(start_at);
        if len > most.min(isize::MAX as usize) {
            return Err(if start_at > data { EINVAL } else { E2BIG });
        }
        // SAFETY: The header's place is kept as an offset from `head` that is not negative, and
        // `start + len` is `data`, so these are initialized bytes of the linear part, whose headers
        // nobody shares; they are borrowed with `self`. A place within an allocation is not null.
        Ok(unsafe {
            hint::assert_unchecked(!start.is_null());
            slice::from_raw_parts_mut(start, len)
        })
    }

    /// Takes a checksum over all of the packet (`CHECKSUM_COMPLETE`) for unknown. Who needs one
    /// computes it.
    #[inline]
    pub(crate) fn forget_complete_checksum(&mut self) {
        // SAFETY: The packet is valid and ours to change.
        unsafe { extra::skb_forget_complete_checksum(self.as_raw()) }
    }

    /// What the linear part holds from the network header on; `None` if the header has no place in it.
    #[inline]
    pub(crate) fn network_header(&self) -> Option<&[u8]> {
        let skb = self.as_raw();
        // SAFETY: The packet is valid.
        let (start, tail) =
            unsafe { (extra::skb_network_header(skb), extra::skb_tail_pointer(skb)) };
        let len = (tail as usize).checked_sub(start as usize)?;
        // SAFETY: `head <= start` and `start + len == tail`, so these are initialized bytes of the
        // linear part. They are not written to while the borrow lasts, as for `header`.
        Some(unsafe {
            hint::assert_unchecked(!start.is_null());
            slice::from_raw_parts(start, len)
        })
    }

    /// Sees to it that the head stays where it is when headers are made linear, if memory allows.
    ///
    /// For packets that go to a tunnel device. Its GRO takes a pointer to the IP header from where the
    /// head was when the packet came (`skb_gro_network_header()`), also when it has moved since for the
    /// transport header's sake: as it does where a clone shares it, that of a packet socket say. A
    /// packet of 48 linear bytes or more is let be: IPv6 and UDP need no more of them, and TCP's longer
    /// headers come in so few of its packets only from senders that mean to.
    #[inline]
    pub(crate) fn settle_head(&mut self) {
        // SAFETY: The packet is valid.
        if unsafe { extra::skb_pull_moves_head(self.as_raw(), INNER_HEADERS_LEN_BYTES) } {
            // SAFETY: The packet is valid and ours to change; nothing points into it.
            unsafe { make_tailroom(self.as_raw(), INNER_HEADERS_LEN_BYTES) };
        }
    }

    /// The checksum that is still to be computed over this packet, by a device or by who needs it
    /// (`CHECKSUM_PARTIAL`); its field holds the pseudo header's sum until then.
    ///
    /// `None` if there is none. Fails with `EINVAL` if it begins before the packet's data, or if its
    /// field is not in the linear part. The core takes both for impossible and would read and write
    /// past the packet, but is itself the one that brings them about: where it verifies a checksum
    /// before which a partial one begins, it writes the sum over the place of the partial one.
    #[inline]
    pub fn partial_checksum(&self) -> Result<Option<ChecksumPlace>> {
        let skb = self.as_raw();
        // SAFETY: The packet is valid.
        if !unsafe { extra::skb_is_checksum_partial(skb) } {
            return Ok(None);
        }
        // SAFETY: The packet is valid, and one with a partial checksum has these fields.
        let (start, offset) = unsafe {
            (
                extra::skb_checksum_start_offset(skb),
                extra::skb_csum_offset(skb),
            )
        };
        let start = u16::try_from(start).map_err(|_| EINVAL)?;
        let field = start.checked_add(offset).ok_or(EINVAL)?;
        if usize::from(field).saturating_add(size_of::<u16>()) > self.linear_len() {
            return Err(EINVAL);
        }
        Ok(Some(ChecksumPlace { start, field }))
    }
}

// Slow paths take C's pointer: one to ours would keep it in memory on the fast ones.

/// The slow path of [`Skb::header`]: moves bytes from the fragments.
///
/// # Safety
///
/// `skb` must be valid, ours to change, and nothing may point into it.
#[cold]
unsafe fn pull_tail(skb: *mut bindings::sk_buff, len: usize) -> Result {
    let len = u32::try_from(len).map_err(|_| EINVAL)?;
    // SAFETY: Promised by the caller, here and below.
    if len > unsafe { (*skb).len } {
        return Err(EINVAL);
    }
    // SAFETY: The function checks the length, too.
    if unsafe { extra::pskb_may_pull(skb, len) } {
        Ok(())
    } else {
        Err(ENOMEM)
    }
}

/// What IP and TCP headers of the greatest length take, in bytes.
const INNER_HEADERS_LEN_BYTES: u32 = 128;

/// Moves the packet's head to one that is private and has room for `len` bytes behind, if memory allows.
///
/// # Safety
///
/// As for [`pull_tail`].
#[cold]
unsafe fn make_tailroom(skb: *mut bindings::sk_buff, len: u32) {
    // SAFETY: Promised by the caller.
    unsafe { extra::pskb_expand_head(skb, 0, len as i32, bindings::GFP_ATOMIC) };
}

/// The slow path of [`Skb::push`]: moves the packet's head to one that is private and has room for
/// `len` bytes in front.
///
/// The old head lives on until the end of the RCU read side: `ip_tunnel_xmit()` reads the inner IP
/// header, that it has a pointer to, after the encapsulation's header has been built.
///
/// # Safety
///
/// As for [`pull_tail`].
#[cold]
unsafe fn make_headroom(skb: *mut bindings::sk_buff, len: u32) -> Result {
    // SAFETY: The packet is valid; a clone is a packet of its own that is ours.
    let old = unsafe { extra::skb_clone(skb, bindings::GFP_ATOMIC) };
    let old = NonNull::new(old).ok_or(ENOMEM)?;
    // SAFETY: As above.
    let old = unsafe { SkBuff::from_raw(old) };
    // SAFETY: Promised by the caller.
    let result = to_result(unsafe { extra::skb_cow_head(skb, len) });
    match result {
        Ok(()) => old.free_after_readers(),
        // The packet keeps its head, and is dropped as a packet by its owner, once.
        Err(_) => old.consume(),
    }
    result
}

/// The kernel crate's function of this name is a call, on each packet's way.
#[inline]
fn to_result(code: c_int) -> Result {
    if code < 0 {
        return Err(Error::from_errno(code));
    }
    Ok(())
}

/// A packet on its way out of a tunnel device, which is to get outer headers: it may be looked at, and
/// pushed to.
///
/// Nothing else that would move its bytes: `ip_tunnel_xmit()`, up the call chain, holds a pointer to the
/// inner header.
pub struct Outgoing<'a>(Skb<'a>);

impl<'a> Outgoing<'a> {
    /// Borrows a packet from C.
    ///
    /// # Safety
    ///
    /// As for [`Skb::from_raw`]; and the packet must be on its way out of a tunnel device, in an RCU
    /// read side that lasts as long as others hold pointers into it.
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::sk_buff>) -> Self {
        // SAFETY: Promised by the caller.
        Self(unsafe { Skb::from_raw(ptr) })
    }

    /// The packet, for what does not move its bytes.
    #[inline]
    pub(crate) fn as_skb_mut(&mut self) -> &mut Skb<'a> {
        &mut self.0
    }

    /// Returns the device that the packet is leaving by, or null.
    #[inline]
    pub(crate) fn device(&self) -> *mut bindings::net_device {
        // SAFETY: In a transmit path, the union that `dev` is part of holds it.
        unsafe {
            self.fields()
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .dev
        }
    }

    /// Puts `len` bytes in front of the packet and returns them, to be filled; what they hold
    /// before is undefined but initialized.
    ///
    /// They are private: clones of the packet do not see them. RCU read side, to the end of which
    /// pointers into the packet stay valid that somebody up the call chain may hold, although its
    /// bytes may have moved. Fails with `ENOMEM` if the headroom is short or shared and no more could
    /// be had; the packet is unchanged then.
    ///
    /// For the code of tunnel devices alone, whose registration waits for what this leaves to RCU.
    #[inline]
    pub(crate) fn push(&mut self, len: usize) -> Result<&mut [u8]> {
        let short = u32::try_from(len).map_err(|_| EINVAL)?;
        // What goes out is counted in 32 bits.
        let total = self.0.fields().len.checked_add(short).ok_or(EINVAL)?;
        let skb = self.as_raw();
        // SAFETY: The packet is valid.
        if unsafe { extra::skb_headroom(skb) < short || extra::skb_header_cloned(skb) } {
            // SAFETY: The packet is valid and ours to change; nothing of ours points into it.
            unsafe { make_headroom(skb, short) }?;
        }
        // The kernel allocates heads without clearing them, but any byte pattern is a valid `u8` there
        // and the memory has been allocated as bytes that devices and others write to, that is, it is
        // never uninitialized to the compiler.
        // SAFETY: There are at least `len` bytes between `head` and `data`, in a head that no clone
        // shares the headers of; they are initialized as said above.
        unsafe {
            (*skb).data = (*skb).data.sub(len);
            (*skb).len = total;
            let data = (*skb).data;
            hint::assert_unchecked(!data.is_null());
            Ok(slice::from_raw_parts_mut(data, len))
        }
    }

    /// Says that a packet's partial checksum will be computed by the receiver of an outer header,
    /// which knows from there where it is, so that nobody does it on the way.
    ///
    /// A packet that will be segmented keeps it: each segment needs its own pseudo header's sum, and
    /// [`GsoType::TUNNEL_REMCSUM`] tells the segmentation.
    #[inline]
    pub fn leave_checksum_to_receiver(&mut self) {
        if !self.is_gso() {
            // SAFETY: The packet is valid and ours to change.
            unsafe { extra::skb_clear_checksum(self.as_raw()) }
        }
    }

    /// Says that the packet's data now starts with its transport header.
    #[inline]
    pub fn reset_transport_header(&mut self) {
        // SAFETY: The packet is valid and ours to change.
        unsafe { extra::skb_reset_transport_header(self.as_raw()) }
    }

    /// Tells the stack that the packet is about to be encapsulated: marks where the inner headers
    /// are and adds `gso_type` to what a segmentation offload must do.
    ///
    /// To be called before the first outer header is pushed. Fails with `ENOMEM`.
    #[inline]
    pub fn handle_offloads(&mut self, gso_type: GsoType) -> Result {
        // SAFETY: The packet is valid.
        if unsafe { extra::skb_offloads_are_handled(self.as_raw()) } {
            return Ok(());
        }
        // SAFETY: The packet is valid and ours to change.
        to_result(unsafe { extra::iptunnel_handle_offloads(self.as_raw(), gso_type.0) })
    }
}

impl<'a> ops::Deref for Outgoing<'a> {
    type Target = Skb<'a>;

    #[inline]
    fn deref(&self) -> &Skb<'a> {
        &self.0
    }
}

/// What segmentation offload has to do for an outer header (`SKB_GSO_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GsoType(i32);

impl GsoType {
    /// TCP in IPv4.
    pub(crate) const TCPV4: Self = Self(extra::SKB_GSO_TCPV4);
    /// TCP in IPv6.
    pub(crate) const TCPV6: Self = Self(extra::SKB_GSO_TCPV6);
    /// GRE without a checksum.
    pub(crate) const GRE: Self = Self(extra::SKB_GSO_GRE);
    /// GRE with one.
    pub(crate) const GRE_CSUM: Self = Self(extra::SKB_GSO_GRE_CSUM);
    /// Any IP packet in IPv4.
    pub(crate) const IPXIP4: Self = Self(extra::SKB_GSO_IPXIP4);
    /// Any IP packet in IPv6.
    pub(crate) const IPXIP6: Self = Self(extra::SKB_GSO_IPXIP6);
    /// A UDP tunnel whose outer checksum is zero.
    pub const UDP_TUNNEL: Self = Self(extra::SKB_GSO_UDP_TUNNEL);
    /// A UDP tunnel whose outer checksum is set in each segment.
    pub const UDP_TUNNEL_CSUM: Self = Self(extra::SKB_GSO_UDP_TUNNEL_CSUM);
    /// The inner checksum is left to the receiver of the tunnel in each segment.
    pub const TUNNEL_REMCSUM: Self = Self(extra::SKB_GSO_TUNNEL_REMCSUM);

    /// From C's number.
    #[inline]
    pub(crate) const fn from_raw(raw: i32) -> Self {
        Self(raw)
    }

    /// C's number for it.
    #[inline]
    pub(crate) const fn as_raw(self) -> i32 {
        self.0
    }

    /// Returns `true` if all bits of `other` are set.
    #[inline]
    pub(crate) const fn contains(self, other: Self) -> bool {
        !self.0 & other.0 == 0
    }
}

impl ops::BitOr for GsoType {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A packet of our own. Dropping it frees it, as `NOT_SPECIFIED`.
///
/// # Invariants
///
/// We own the packet: the reference that it stands for is given up by us alone.
pub struct SkBuff(Skb<'static>);

impl SkBuff {
    /// Takes a packet over from C.
    ///
    /// # Safety
    ///
    /// The caller must own the packet, give it up to the returned value, and the packet must keep
    /// to the invariants of [`Skb`].
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: Ownership is passed to us by the caller.
        // SAFETY: We own the packet, so it lives and is ours alone until we give it up.
        Self(unsafe { Skb::from_raw(ptr) })
    }

    /// Gives the packet to C.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut bindings::sk_buff {
        let ptr = self.0.as_raw();
        core::mem::forget(self);
        ptr
    }

    /// Frees the packet, as one that has served, when no RCU reader can have a pointer into it.
    ///
    /// Whose code does this must wait for RCU callbacks before it goes.
    fn free_after_readers(self) {
        let skb = self.into_raw();
        // SAFETY: The packet was ours, and its control block is nobody's now, has room for an RCU head
        // and is aligned to 8 bytes; the callback gives it up.
        unsafe { bindings::call_rcu((&raw mut (*skb).cb).cast(), Some(free_read)) };
    }

    /// Frees the packet as one that has served: drop monitors do not see it.
    fn consume(self) {
        // SAFETY: The packet was ours and is given up here.
        unsafe { extra::consume_skb(self.into_raw()) };
    }

    /// Frees the packet and says why.
    #[inline]
    pub fn free(self, reason: DropReason) {
        // SAFETY: The packet was ours and is given up here.
        unsafe { extra::kfree_skb_reason(self.into_raw(), reason.as_raw()) };
    }
}

/// # Safety
///
/// To be called by RCU alone, with the control block of a packet that was given up to it.
unsafe extern "C" fn free_read(rcu: *mut bindings::callback_head) {
    // SAFETY: Promised by the caller.
    unsafe {
        let skb = rcu
            .byte_sub(mem::offset_of!(bindings::sk_buff, cb))
            .cast::<bindings::sk_buff>();
        extra::consume_skb(skb);
    }
}

// The control block has room for what RCU keeps there.
const _: () = {
    let len = mem::size_of::<bindings::callback_head>();
    assert!(len <= 48 && mem::offset_of!(bindings::sk_buff, cb) % 8 == 0);
};

impl ops::Deref for SkBuff {
    type Target = Skb<'static>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl ops::DerefMut for SkBuff {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for SkBuff {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the packet is ours to free, and nobody uses it after.
        unsafe { extra::kfree_skb_reason(self.0.as_raw(), DropReason::NOT_SPECIFIED.as_raw()) };
    }
}

#[cfg(CONFIG_KUNIT)]
impl SkBuff {
    /// A packet of these bytes, with headroom, for tests. May sleep.
    fn of_bytes(headroom: usize, bytes: &[u8]) -> Result<Self> {
        let size = u32::try_from(headroom.checked_add(bytes.len()).ok_or(EINVAL)?)?;
        // SAFETY: No requirements.
        let skb = unsafe { extra::alloc_skb(size, bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: The packet is new, ours, and has room for both; the bytes that are put are written
        // at once.
        unsafe {
            extra::skb_reserve(skb.as_ptr(), headroom as i32);
            let to = extra::skb_put(skb.as_ptr(), bytes.len() as u32);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), bytes.len());
            extra::skb_reset_network_header(skb.as_ptr());
            Ok(Self::from_raw(skb))
        }
    }

    /// A second packet that shares this one's data, for tests.
    fn share(&self) -> Result<Self> {
        // SAFETY: The packet is valid; a clone is a packet of its own that is ours.
        let skb = unsafe { extra::skb_clone(self.as_raw(), bindings::GFP_KERNEL) };
        let skb = NonNull::new(skb).ok_or(ENOMEM)?;
        // SAFETY: As above.
        Ok(unsafe { Self::from_raw(skb) })
    }
}

#[kunit_tests(rfou_net_skb)]
mod tests {
    use super::*;
    use crate::checksum::Sum;

    fn outgoing(skb: &mut SkBuff) -> Outgoing<'_> {
        // SAFETY: The packet is valid, used by its borrower alone, and nobody has pointers into it.
        unsafe { Outgoing::from_raw(NonNull::new_unchecked(skb.as_raw())) }
    }

    #[test]
    fn header_is_the_first_bytes_and_no_more_than_there_are() -> Result {
        let mut skb = SkBuff::of_bytes(0, b"0123456789")?;
        assert_eq!(skb.header(4)?, b"0123");
        assert_eq!(skb.header(10)?, b"0123456789");
        assert!(skb.header(11) == Err(EINVAL));
        assert!(skb.header(usize::MAX) == Err(EINVAL));
        assert_eq!(skb.len(), 10);
        Ok(())
    }

    #[test]
    fn push_puts_bytes_in_front_and_makes_room_where_there_is_none() -> Result {
        for headroom in [0, 3, 4, 200] {
            let mut skb = SkBuff::of_bytes(headroom, b"payload")?;
            outgoing(&mut skb).push(4)?.copy_from_slice(b"head");
            assert_eq!(skb.len(), 11);
            assert_eq!(skb.header(11)?, b"headpayload");
        }
        Ok(())
    }

    #[test]
    fn push_that_cannot_be_leaves_the_packet_as_it_was() -> Result {
        let mut skb = SkBuff::of_bytes(8, b"payload")?;
        assert!(outgoing(&mut skb).push(usize::MAX).is_err());
        assert!(outgoing(&mut skb).push(u32::MAX as usize).is_err());
        assert_eq!(skb.header(7)?, b"payload");
        Ok(())
    }

    #[test]
    fn push_is_not_seen_by_a_clone() -> Result {
        let mut skb = SkBuff::of_bytes(16, b"payload")?;
        let mut other = skb.share()?;
        outgoing(&mut skb).push(4)?.copy_from_slice(b"mine");
        outgoing(&mut other).push(4)?.copy_from_slice(b"hers");
        assert_eq!(skb.header(11)?, b"minepayload");
        assert_eq!(other.header(11)?, b"herspayload");
        Ok(())
    }

    #[test]
    fn change_of_the_outer_headers_is_not_seen_by_a_clone() -> Result {
        let mut skb = SkBuff::of_bytes(16, b"0123456789")?;
        assert!(skb.outer_headers_mut(16)?.is_empty());
        skb.decapsulate(5)?;
        let mut other = skb.share()?;
        skb.outer_headers_mut(5)?.copy_from_slice(b"abcde");
        assert_eq!(skb.outer_headers_mut(usize::MAX)?, b"abcde");
        assert_eq!(other.outer_headers_mut(5)?, b"01234");
        assert!(skb.outer_headers_mut(4) == Err(E2BIG));
        outgoing(&mut skb).push(6)?;
        assert!(skb.outer_headers_mut(usize::MAX) == Err(EINVAL));
        Ok(())
    }

    #[test]
    fn decapsulate_takes_off_the_front_and_no_more_than_there_is() -> Result {
        let mut skb = SkBuff::of_bytes(0, b"headpayload")?;
        assert!(skb.decapsulate(12).is_err());
        assert_eq!(skb.len(), 11);
        skb.decapsulate(4)?;
        assert_eq!(skb.header(7)?, b"payload");
        skb.decapsulate(7)?;
        assert!(skb.is_empty());
        assert!(skb.decapsulate(1).is_err());
        Ok(())
    }

    #[test]
    fn decapsulate_keeps_a_checksum_over_all_of_the_packet_in_step() -> Result {
        // What is left in the end adds up to nothing. That is 0xffff: what only 0 adds up to is 0.
        let bytes = *b"\x01\x02\x03\x04\xff\xfe\x00\x00\x80\x00\x00\x01\x12\x34\xed\xcb";
        for len in [0, 2, 4, 6, 8, 12] {
            let mut skb = SkBuff::of_bytes(0, &bytes)?;
            let sum = Sum::of(&bytes).as_raw();
            // SAFETY: The packet is valid and ours to change.
            unsafe { extra::skb_set_complete_checksum(skb.as_raw(), sum) };
            skb.decapsulate(len)?;
            // SAFETY: As above.
            let left = Sum::from_raw(unsafe { extra::skb_complete_checksum(skb.as_raw()) });
            let expected = bytes.get(len..).map(Sum::of).ok_or(EINVAL)?;
            assert_eq!(left.to_field(), expected.to_field());
            assert!(left.as_raw() != 0);
        }
        Ok(())
    }
}
