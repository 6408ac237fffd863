// SPDX-License-Identifier: GPL-2.0

//! A piece's way into its queue, and out of it as part of a packet.

use super::{
    directory::Fqdir,
    queue::{Locked, Search, CE, NOT_ECT},
    Added, Key, Lost, Piece, Pieces, Reassembly, Refused, Source, MAX_LEN_BYTES,
};
use crate::{
    ip_proto::InnerProtocol,
    rcu::RcuReader,
    skb::{InnerSkb, RxSkb},
};
use core::ptr::{self, NonNull};
use kernel::{ffi::c_int, prelude::*};
use net_bindings as bindings;

impl<T: Reassembly> Pieces<T> {
    /// Adds a piece to its packet. `skb` begins with the piece's first byte, after an outer IP header of IPv6 or of
    /// IPv4. `protocol` is the protocol of the packet.
    ///
    /// The piece that makes the packet whole becomes the packet: it keeps its route, and gets the outer header of the
    /// first piece. The header says "congestion experienced" if the header of a piece says so. Softirq context.
    pub fn add<const IPV6: bool>(
        &self,
        mut skb: RxSkb,
        key: &Key,
        piece: Piece,
        protocol: InnerProtocol,
        source: Source,
        rcu: RcuReader<'_>,
    ) -> Added {
        let len = skb.len();
        let end = usize::from(piece.offset).saturating_add(len);
        if len == 0 {
            return Added::Refused(skb, Refused::Empty);
        }
        // No piece of a packet is a GSO packet.
        if end > MAX_LEN_BYTES || skb.is_gso() {
            return Added::Refused(skb, Refused::TooLong);
        }
        let Some(ecn) = skb.outer_ecn::<IPV6>() else {
            return Added::Refused(skb, Refused::Empty);
        };
        let Some(fqdir) = self.shared.fqdir(rcu) else {
            return Added::Refused(skb, Refused::Limit);
        };
        if source == Source::Anyone && fqdir.is_short_of_memory() {
            return Added::Refused(skb, Refused::Limit);
        }
        let Some(mut queue) = self.find(fqdir, key) else {
            return Added::Refused(skb, Refused::Limit);
        };
        let known_end = match queue.check(&piece, end as c_int) {
            Ok(known_end) => known_end,
            Err(refused) => return Added::Refused(skb, refused),
        };
        if piece.offset % 2 != 0 {
            // C adds the sums of pieces up as if each began at an even offset.
            skb.forget_checksum();
        }
        let route = skb.forget_origin();
        let raw = skb.into_raw();
        // SAFETY: The packet is valid and no other code has it. It was received, so it has a device, which lives as
        // long as the caller handles the packet.
        let dev = unsafe { bindings::skb_dev(raw) };
        let tail = queue.tail();
        // SAFETY: The queue is valid and its lock is held. The packet is ours, is no GSO packet, and is as long as the
        // piece, which has at least one byte and ends below 64 KiB: C keeps offsets as `int`. C takes the packet
        // unless it returns an error, and changes nothing then but the GSO fields, which are zero.
        let result = unsafe {
            bindings::inet_frag_queue_insert(queue.as_raw(), raw, piece.offset.into(), end as c_int)
        };
        if result != 0 {
            // SAFETY: C has not taken the packet, which is as it was.
            let mut skb = unsafe { RxSkb::from_raw(NonNull::new_unchecked(raw)) };
            skb.return_route(route);
            return Added::Refused(skb, Refused::Overlap);
        }
        // SAFETY: The directory is valid, and so is the packet, which is in the locked queue.
        unsafe { bindings::add_frag_mem_limit(fqdir.as_raw(), (*raw).truesize as isize) };
        queue.note(&piece, len, ecn, known_end);
        if !queue.is_whole() {
            return Added::Waits;
        }
        // SAFETY: The packet was just added to the queue, after `tail`.
        let whole = unsafe { queue.join::<T, IPV6>(raw, tail, dev) };
        match whole {
            Ok(mut skb) => {
                skb.return_route(route);
                // INVARIANT: No function of this crate made the packet's checksum a partial one.
                Added::Whole(InnerSkb::new(skb, protocol))
            }
            Err(lost) => {
                queue.lose::<T>(lost);
                Added::Lost(lost)
            }
        }
    }

    /// Finds or makes the queue of a packet. Returns `None` if all pieces take too much memory, if there is no memory,
    /// or if the namespace has ended.
    #[inline]
    fn find<'a>(&self, fqdir: &'a Fqdir, key: &Key) -> Option<Locked> {
        let search = Search {
            key: *key,
            shared: &self.shared,
        };
        // SAFETY: The directory is valid until the end of the reader's RCU read side, which `fqdir` borrows. C reads
        // the key, with which the argument begins, and passes the argument to `construct`.
        let raw = unsafe {
            bindings::inet_frag_find(fqdir.as_raw(), ptr::from_ref(&search).cast_mut().cast())
        };
        if raw.is_null() {
            return None;
        }
        // SAFETY: C has found or made a queue, which it frees after a grace period. The caller's read side lasts
        // longer than the result. No reference is given up.
        Some(unsafe { Locked::new(raw, 0) })
    }
}

impl Locked {
    /// Joins all pieces to one packet, which is `skb`. If this fails, the queue still has the pieces.
    ///
    /// # Safety
    ///
    /// The queue must have all pieces of a packet. `skb` must be the last one added, `tail` the one before in order
    /// when it was added, and `dev` the device of `skb`.
    unsafe fn join<T: Reassembly, const IPV6: bool>(
        &mut self,
        raw: *mut bindings::sk_buff,
        tail: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> Result<RxSkb, Lost> {
        self.kill();
        let ecn = self.ecn();
        if ecn & NOT_ECT != 0 && ecn != NOT_ECT {
            return Err(Lost::Ecn);
        }
        // SAFETY: The caller promises a queue with all pieces and the piece that was added last, which C makes the
        // first. Its lock is held.
        let list = unsafe { bindings::inet_frag_reasm_prepare(self.as_raw(), raw, tail) };
        if list.is_null() {
            return Err(Lost::NoMemory);
        }
        // SAFETY: `raw` is the first piece now. C would push what lies between its network header and its data; the
        // header is where it was afterwards. C joins the pieces, which leave the queue, and gives the packet back.
        // Its device, in whose place a piece keeps a node of C's tree, is valid for the caller.
        let mut skb = unsafe {
            let offset = bindings::skb_network_offset(raw);
            bindings::skb_reset_network_header(raw);
            bindings::inet_frag_reasm_finish(self.as_raw(), raw, list, true);
            bindings::inet_frag_forget_pieces(self.as_raw());
            bindings::skb_set_network_header(raw, offset);
            bindings::skb_set_dev(raw, dev);
            RxSkb::from_raw(NonNull::new_unchecked(raw))
        };
        if ecn & CE != 0 && skb.set_outer_ce::<IPV6>().is_err() {
            // The packet has left the queue.
            skb.free(T::reason(Lost::NoMemory));
            return Err(Lost::NoMemory);
        }
        Ok(skb)
    }
}
