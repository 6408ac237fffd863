// SPDX-License-Identifier: GPL-2.0

//! Packets in the form in which they go over the wire: without offloads.

use super::{DeviceSkb, Operations, Sent, Spent, Xmit};
use crate::skb::to_result;
use core::ptr::NonNull;
use kernel::{error::from_err_ptr, prelude::*};
use net_bindings as bindings;

impl DeviceSkb {
    /// Makes the packet's bytes those that go over the wire, for a device that hashes or copies them: computes a
    /// partial checksum (`CHECKSUM_PARTIAL`), and copies fragments that others may still write to.
    ///
    /// Fails with `EINVAL` if the checksum does not lie in the packet, or for a GSO packet; with `ENOMEM`.
    // Inlined, like its Rust callees: each packet of a device that hashes payload comes here.
    #[inline(always)]
    pub fn finalize(&mut self) -> Result {
        if self.0.is_gso() {
            return Err(EINVAL);
        }
        if self.0.find_partial_checksum()?.is_some() {
            // SAFETY: The packet is valid and borrowed exclusively, so no reference points into the head, which C
            // may replace. Its partial checksum lies in the linear part, as was just checked.
            to_result(unsafe { bindings::skb_csum_hwoffload_help(self.0.as_raw(), 0) })?;
        }
        // SAFETY: As above.
        to_result(unsafe { bindings::skb_linearize_shared(self.0.as_raw()) })
    }

    /// Cuts a GSO packet into packets of the length that goes over the wire. Their checksums may still be
    /// partial: inner tunnels leave them to the device.
    ///
    /// Fails with `ENOMEM`, or with `EINVAL` for another reason, such as a packet that is not a GSO packet.
    pub fn segment(self) -> Result<Segments, (Spent, Error)> {
        if !self.0.is_gso() {
            return Err((Spent(self.0), EINVAL));
        }
        // SAFETY: The packet is valid and owned, and a GSO packet. Its headers are those that the stack has given
        // to the device, because what changes them makes a `Spent` of the packet: C itself would make the same
        // call for a device without offloads.
        let list = unsafe { bindings::__skb_gso_segment(self.0.as_raw(), 0, true) };
        match from_err_ptr(list).map(NonNull::new) {
            Ok(Some(first)) => {
                self.0.consume();
                // INVARIANT: C has returned a list, which it gives to the caller.
                Ok(Segments(Some(first)))
            }
            Err(ENOMEM) => Err((Spent(self.0), ENOMEM)),
            Ok(None) | Err(_) => Err((Spent(self.0), EINVAL)),
        }
    }
}

/// The segments of a GSO packet. Dropping the value frees those that were not taken.
///
/// # Invariants
///
/// The pointer owns a list of valid packets.
pub struct Segments(Option<NonNull<bindings::sk_buff>>);

impl Iterator for Segments {
    type Item = DeviceSkb;

    fn next(&mut self) -> Option<DeviceSkb> {
        let first = self.0?;
        // SAFETY: By the type invariant this is a list of ours. C takes the first packet out of it, and returns
        // the rest.
        self.0 = NonNull::new(unsafe { bindings::skb_unlink_first(first.as_ptr()) });
        // SAFETY: The packet is in no list any more, and ours.
        Some(unsafe { DeviceSkb::from_raw(first.as_ptr()) })
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T: Operations> Xmit<'_, T> {
    /// Sends each segment of a GSO packet.
    pub fn send_each(&self, segments: Segments, mut send: impl FnMut(DeviceSkb) -> Sent) -> Sent {
        for skb in segments {
            let Sent(()) = send(skb);
        }
        Sent(())
    }
}
