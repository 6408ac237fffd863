// SPDX-License-Identifier: GPL-2.0

//! GRO receive: comparing a packet with the held ones.

use super::{skb::GroSkb, Glance, GroTunnel, Handlers, NoMerge};
use crate::{
    checksum::Sum,
    ip_proto::{ChecksumPlace, InnerProtocol},
    skb::RemcsumMode,
};
use core::{ptr, ptr::NonNull, slice};
use kernel::prelude::*;
use net_bindings as bindings;

/// Offset of the checksum in a TCP header, in bytes (RFC 9293).
const TCP_CHECKSUM_OFFSET: u16 = 16;

/// A packet that GRO may merge with held packets. Its rest begins at the packet's GRO offset.
///
/// # Invariants
///
/// `held` is GRO's list of held packets for this packet, and valid. The pointer in `seen` is valid for the
/// number of bytes in `seen`.
pub struct Packet<'a> {
    held: *mut bindings::list_head,
    skb: Pin<&'a mut GroSkb>,
    /// Length of the headers that the tunnel has pulled, in bytes.
    pulled: u8,
    /// The place where the first bytes of the rest were found last, and their number.
    seen: (NonNull<u8>, usize),
    /// The bytes that were changed for the inner layers, to be restored.
    patch: Option<Patch>,
}

const NOTHING_SEEN: (NonNull<u8>, usize) = (NonNull::dangling(), 0);

impl Packet<'_> {
    /// Finds the first `len` bytes of the rest.
    #[inline(always)]
    fn see(&mut self, len: usize) -> Result<NonNull<u8>, NoMerge> {
        let (start, seen_len) = self.seen;
        if len <= seen_len {
            return Ok(start);
        }
        // Finding bytes may move others, also if it fails half way.
        self.forget_seen();
        let offset = self.skb.offset();
        let start = self.skb.as_mut().find(offset, len)?;
        // INVARIANT: The bytes were just found. Every call that may move them is here, or forgets them.
        self.seen = (start, len);
        Ok(start)
    }

    /// Forgets the place of the bytes, because they may move, or because a pull changes the first ones.
    #[inline(always)]
    fn forget_seen(&mut self) {
        self.seen = NOTHING_SEEN;
    }

    /// Returns the first `len` bytes of the rest. Fails if there are fewer, or no memory to make them
    /// contiguous.
    #[inline(always)]
    pub fn header(&mut self, len: usize) -> Result<&[u8], NoMerge> {
        let start = self.see(len)?;
        // SAFETY: By the type invariant the pointer from `see` is valid for `len` bytes, which are
        // initialized as all bytes of a packet are. The result borrows `self`, and only methods that take
        // `self` exclusively write to the bytes or move them.
        Ok(unsafe { slice::from_raw_parts(start.as_ptr(), len) })
    }

    /// Clears `same_flow` of the held packets whose next `len` bytes differ from this packet's.
    #[inline(always)]
    pub fn compare_held(&mut self, len: usize) -> Result<(), NoMerge> {
        let start = self.see(len)?;
        // SAFETY: `see` has found the `len` bytes at the packet's GRO offset. By the type invariant `held` is GRO's
        // list of held packets.
        unsafe { self.skb.compare_held(self.held, start, len) };
        Ok(())
    }

    /// Does what [`Self::compare_held`] does with a header of `len` bytes, and pulls the header. Also fails
    /// if the headers that the tunnel pulls have more than 255 bytes together.
    #[inline(always)]
    pub fn pull_header(&mut self, len: usize) -> Result<(), NoMerge> {
        let pulled = u8::try_from(len)
            .ok()
            .and_then(|len| self.pulled.checked_add(len));
        let pulled = pulled.ok_or(NoMerge)?;
        let start = self.see(len)?;
        // SAFETY: As in `compare_held`.
        unsafe { self.skb.as_mut().pull_header(self.held, start, len) };
        self.pulled = pulled;
        self.forget_seen();
        Ok(())
    }

    /// Handles a checksum that the sender left to the receiver, so that the inner layers find it good. The
    /// arguments are the same as for [`RxSkb::decapsulate_with_remote_checksum`].
    ///
    /// Bytes that this changes are restored when the inner layers are done. Fails if the outer checksum is
    /// unknown or the packet is too short; with [`RemcsumMode::Partial`] also if the field is not where TCP
    /// has its checksum; with [`RemcsumMode::Compute`] also if a clone shares the packet's bytes, or if a
    /// checksum was computed before.
    ///
    /// [`RxSkb::decapsulate_with_remote_checksum`]: crate::skb::RxSkb::decapsulate_with_remote_checksum
    #[inline(always)]
    pub fn process_remote_checksum(
        &mut self,
        place: ChecksumPlace,
        mode: RemcsumMode,
    ) -> Result<(), NoMerge> {
        self.forget_seen();
        let skb = self.skb.as_raw();
        // SAFETY: By the invariant of `GroSkb` the packet is valid, and its control block is GRO's.
        if !unsafe { bindings::gro_checksum_valid(skb) } {
            return Err(NoMerge);
        }
        // A packet whose checksum lies past its end will be dropped.
        match mode {
            RemcsumMode::Partial => {
                // TCP's GRO handler checks `start`. A `field` before `start` passes this check only if
                // it wraps, and then the offset of `start` exceeds 16 bits below.
                if place.field.wrapping_sub(place.start) != TCP_CHECKSUM_OFFSET {
                    return Err(NoMerge);
                }
                let start = self.skb.offset().saturating_add(usize::from(place.start));
                let end = start.saturating_add(usize::from(TCP_CHECKSUM_OFFSET) + size_of::<u16>());
                if end > self.skb.len() {
                    return Err(NoMerge);
                }
                let start = u16::try_from(start).map_err(|_| NoMerge)?;
                // SAFETY: The control block is GRO's, as above. `start` and TCP's checksum after it lie in
                // the packet, as was just checked; TCP's handler checks that TCP starts there.
                unsafe { bindings::gro_set_remcsum_start(skb, start) };
            }
            RemcsumMode::Compute => {
                // A second change would replace the first one's note, and only one would be restored.
                if self.patch.is_some() {
                    return Err(NoMerge);
                }
                self.patch = Some(Patch::write_remote_checksum(self.skb.as_mut(), place)?);
            }
        }
        Ok(())
    }
}

impl GroSkb {
    /// Readies the packet for the inner layer of a tunnel `T` over IPv6 or IPv4, and returns that layer. The tunnel has
    /// pulled `pulled` bytes.
    ///
    /// # Safety
    ///
    /// RCU read side, in which the result is used.
    #[inline(always)]
    pub(super) unsafe fn enter<T: GroTunnel>(
        self: Pin<&mut Self>,
        protocol: InnerProtocol,
        pulled: u8,
        ipv6: bool,
    ) -> Result<Inner, NoMerge> {
        // SAFETY: Promised by the caller.
        unsafe {
            match T::HANDLERS {
                Handlers::OfOuterIp => self.enter_ip(protocol, pulled, ipv6),
                Handlers::OfDevice => self.enter_device(protocol, pulled),
            }
        }
    }

    /// Readies the packet for an EtherType, and returns the inner layer.
    ///
    /// # Safety
    ///
    /// RCU read side, in which the result is used.
    #[inline(always)]
    unsafe fn enter_device(
        self: Pin<&mut Self>,
        protocol: InnerProtocol,
        pulled: u8,
    ) -> Result<Inner, NoMerge> {
        // The protocols of `Handlers::ether_type`, by which completion finds them.
        let inner = match protocol {
            InnerProtocol::ETHERNET => Some(Inner::Ethernet),
            // SAFETY: The function only reads what C has set up while the kernel started.
            InnerProtocol::IPV4 => unsafe { bindings::gro_receive_of_ip(false) }.map(Inner::Other),
            // SAFETY: As above.
            InnerProtocol::IPV6 => unsafe { bindings::gro_receive_of_ip(true) }.map(Inner::Other),
            _ => None,
        };
        let inner = inner.ok_or(NoMerge)?;
        // SAFETY: By the invariant of `GroSkb` the packet is valid, and its control block is GRO's. It is
        // exclusively borrowed.
        unsafe {
            bindings::gro_enter_device(self.as_raw(), super::device_note(protocol), pulled);
        }
        Ok(inner)
    }

    /// Readies the packet for a protocol, and returns the inner layer.
    ///
    /// # Safety
    ///
    /// RCU read side, in which the result is used.
    #[inline(always)]
    unsafe fn enter_ip(
        self: Pin<&mut Self>,
        protocol: InnerProtocol,
        pulled: u8,
        ipv6: bool,
    ) -> Result<Inner, NoMerge> {
        // Transport protocols rely on the last network header. In a held packet, the outer UDP header
        // follows that header. TCP would read it as a TCP header, and compute a checksum over addresses at
        // an offset that no layer has set. GRO would look up an inner UDP socket by other addresses on
        // completion than on receive.
        if !protocol.has_network_header() {
            return Err(NoMerge);
        }
        let number = protocol.number();
        // Leaves a note for completion, which must not ask the port or the packet: the port may be another
        // one by then, and a peer may have chosen the packet's bytes.
        // SAFETY: By the invariant of `GroSkb` the packet is valid, and its control block is GRO's. It is
        // exclusively borrowed.
        unsafe { bindings::gro_enter_tunnel(self.as_raw(), number, pulled) };
        // SAFETY: C's table has an entry for each number of 8 bits. An entry is null, or points to an
        // offload that stays valid until the end of the RCU read side, in which the caller is.
        unsafe { bindings::inet_offload(ipv6, number).as_ref() }
            .and_then(|offload| offload.callbacks.gro_receive)
            .map(Inner::Other)
            .ok_or(NoMerge)
    }
}

/// The inner layer that GRO calls next.
pub(super) enum Inner {
    /// Ethernet, whose handler is in the kernel's core: it is called without a search, and directly.
    Ethernet,
    Other(GroCallback),
}

/// A protocol's `gro_receive`.
pub(super) type GroCallback = unsafe extern "C" fn(
    *mut bindings::list_head,
    *mut bindings::sk_buff,
) -> *mut bindings::sk_buff;

/// The old value of two bytes that were changed in a packet's linear part.
struct Patch {
    /// Offset from the packet's head.
    from_head: usize,
    bytes: [u8; 2],
}

impl Patch {
    /// Computes the remote checksum at `place`, counted from the packet's GRO offset, and writes it.
    // Not inlined: most packets have no remote checksum, and should not save registers for it.
    #[inline(never)]
    fn write_remote_checksum(
        mut skb: Pin<&mut GroSkb>,
        place: ChecksumPlace,
    ) -> Result<Self, NoMerge> {
        let (start, field) = (usize::from(place.start), usize::from(place.field));
        let offset = skb.offset();
        let at = offset.saturating_add(field);
        let end = at.saturating_add(size_of::<u16>());
        let raw = skb.as_raw();
        // A clone would see the change, and its owner may read at the same time.
        // SAFETY: By the invariant of `SkBuff` the packet is valid.
        if end > skb.len() || unsafe { bindings::skb_cloned(raw) } {
            return Err(NoMerge);
        }
        // Linear, so that `restore` finds the bytes again after changes of the fragments. Before all else,
        // because bytes may move.
        skb.as_mut().make_linear(at, end)?;
        let covered = skb.as_mut().find(offset, start)?;
        // SAFETY: `find` has found `start` bytes of the packet, which are initialized. The slice lives
        // until `of` returns, and nothing writes to the bytes or moves them until then.
        let before = Sum::of(unsafe { slice::from_raw_parts(covered.as_ptr(), start) });
        let place = skb.find(at, size_of::<u16>())?.cast::<[u8; 2]>();
        // SAFETY: `find` has found two bytes, to which no reference exists: `before` is a number. They may
        // be written, because no clone shares them. They are linear since `make_linear`, so `head` lies
        // before them in the same allocation. The packet is in GRO and exclusively borrowed, so its control
        // block may be read and written; the caller has checked that its checksum is valid.
        unsafe {
            let bytes = place.read();
            let total = Sum::from_raw(bindings::gro_checksum(raw));
            let new = total.minus(before).shift(start).to_field();
            let change = Sum::of_word(new).minus(Sum::of_word(bytes));
            place.write(new);
            bindings::gro_set_checksum(raw, total.plus(change.shift(field)).as_raw());
            let from_head = place.as_ptr().byte_offset_from((*raw).head) as usize;
            Ok(Self { from_head, bytes })
        }
    }

    /// Writes the old value back to the packet.
    #[inline(always)]
    fn restore(self, skb: Pin<&mut GroSkb>) {
        let skb = skb.as_raw();
        // SAFETY: The caller of `restore` still has the packet, so it is valid. Pulling bytes into the
        // linear part may have moved the head, in which the bytes keep their offset, and a head does not
        // shrink. Merging pulls the data, not the head. GRO frees the head with the packet, after this
        // hook. The packet is exclusively borrowed, so no reference to the bytes exists.
        unsafe {
            let place = (*skb).head.add(self.from_head).cast::<[u8; 2]>();
            place.write(self.bytes);
        }
    }
}

/// Translates [`GroTunnel`]'s receive side to C's convention.
///
/// # Safety
///
/// RCU read side. Both pointers must be what C passes to the `gro_receive` of a socket. The socket must be
/// of IPv6 if `IPV6` is `true`, and of IPv4 otherwise, unless the tunnel's handlers are [`Handlers::OfDevice`].
#[inline(always)]
pub(crate) unsafe fn receive<T: GroTunnel, const IPV6: bool>(
    tunnel: Option<&T>,
    held: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
) -> *mut bindings::sk_buff {
    // At most one tunnel of this crate per packet: each is one more callback on GRO's stack.
    // SAFETY: The caller passes what GRO passes: a valid packet whose control block is GRO's.
    let tunnel = tunnel.filter(|_| !unsafe { bindings::gro_in_tunnel(skb) });
    let Some(tunnel) = tunnel else {
        // SAFETY: The packet is valid and in GRO, as above.
        return unsafe { call(Err(NoMerge), held, skb) };
    };
    // SAFETY: The pointers are what GRO passes, and the packet is in no tunnel. The caller is in an RCU read side until
    // this function returns, which the result does not survive. The caller promises the socket's IP version. No other
    // `Glance` is made in this call.
    let packet = unsafe { Glance::<T, IPV6>::new(held, NonNull::new_unchecked(skb)) };
    tunnel.gro_glance(packet).into_raw()
}

/// Does the work of [`receive`] for a packet that is left to [`GroTunnel::gro_receive`].
///
/// # Safety
///
/// As for [`receive`], with `ipv6` for `IPV6`. The packet must not be in a tunnel yet.
// Not inlined: a packet that is recognized at a glance should not save registers for this. One function for both IP
// versions, because few packets come here.
#[inline(never)]
pub(super) unsafe fn receive_any<T: GroTunnel>(
    tunnel: &T,
    held: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
    ipv6: bool,
) -> *mut bindings::sk_buff {
    // SAFETY: The caller passes what GRO passes: a valid packet whose control block is GRO's, and which
    // GRO does not touch during the call. The pointer itself is used only while `packet` is not.
    let packet = unsafe { GroSkb::from_raw(skb) };
    let linear = packet.linear_rest();
    // INVARIANT: `held` is promised by the caller. The linear bytes were just found.
    let mut packet = Packet {
        held,
        seen: (NonNull::from(linear).cast(), linear.len()),
        skb: packet,
        pulled: 0,
        patch: None,
    };
    let inner = tunnel.gro_receive(&mut packet).and_then(|protocol| {
        let pulled = packet.pulled;
        // SAFETY: The caller is in an RCU read side until this function returns, and the inner layer is called
        // before that.
        unsafe { packet.skb.as_mut().enter::<T>(protocol, pulled, ipv6) }
    });
    // SAFETY: The layer is for the protocol at the packet's GRO offset, and was found in this RCU read side.
    // `packet` is not used during the call.
    let complete = unsafe { call(inner, held, skb) };
    if let Some(patch) = packet.patch {
        // An inner layer with encryption may have taken the packet. Then it is not ours any more.
        if complete != (-(bindings::EINPROGRESS as isize)) as *mut bindings::sk_buff {
            patch.restore(packet.skb);
        }
    }
    complete
}

/// Calls the inner layer, or tells GRO that the packet cannot be merged.
///
/// # Safety
///
/// `held` and `skb` must be what C passes to the `gro_receive` of a socket. The inner layer must be that of the
/// protocol at the packet's GRO offset, found in this RCU read side.
#[inline(always)]
pub(super) unsafe fn call(
    inner: Result<Inner, NoMerge>,
    held: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
) -> *mut bindings::sk_buff {
    // SAFETY: The packet is in GRO and `held` its list, and the callback is for the packet, as the caller promises:
    // Ethernet's, or one that was found in C's table. `call_gro_receive` bounds the depth of such calls.
    unsafe {
        match inner {
            Ok(Inner::Ethernet) => {
                bindings::call_gro_receive(Some(bindings::eth_gro_receive), held, skb)
            }
            Ok(Inner::Other(callback)) => bindings::call_gro_receive(Some(callback), held, skb),
            Err(NoMerge) => {
                bindings::gro_set_flush(skb);
                ptr::null_mut()
            }
        }
    }
}
