// SPDX-License-Identifier: GPL-2.0

//! Packets that a device sends as they go over the wire: without offloads.

use super::{DeviceSkb, Operations, Sent, Xmit};
use core::ptr::NonNull;
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
};
use net_bindings as bindings;

impl DeviceSkb {
    /// Computes a partial checksum (`CHECKSUM_PARTIAL`) and writes it, for a device that covers the packet's
    /// bytes. Has no effect on a packet without one.
    ///
    /// Fails with `EINVAL` if the checksum does not lie in the packet, or for a GSO packet; with `ENOMEM`.
    pub fn complete_checksum(&mut self) -> Result {
        if self.0.partial_checksum()?.is_none() {
            return Ok(());
        }
        if self.0.is_gso() {
            return Err(EINVAL);
        }
        // SAFETY: The packet is valid and borrowed exclusively, so no reference points into the head, which C may
        // replace. Its partial checksum lies in the linear part, as was just checked.
        to_result(unsafe { bindings::skb_csum_hwoffload_help(self.0.as_raw(), 0) })
    }

    /// Cuts a GSO packet into the packets that go over the wire. Their checksums are complete.
    ///
    /// Returns the packet and an error if that fails: `ENOMEM`, or `EINVAL` for another reason.
    pub fn segment(self) -> Result<Segments, (Self, Error)> {
        // SAFETY: The packet is valid and owned, and its headers are those that the stack has given to the
        // device: C itself would do this before the call of a device without offloads.
        let list = unsafe { bindings::__skb_gso_segment(self.0.as_raw(), 0, true) };
        match from_err_ptr(list) {
            Ok(list) => match NonNull::new(list) {
                Some(first) => {
                    self.0.consume();
                    // INVARIANT: C has returned a list, which it gives to the caller.
                    Ok(Segments(Some(first)))
                }
                None => Err((self, EINVAL)),
            },
            Err(ENOMEM) => Err((self, ENOMEM)),
            Err(_) => Err((self, EINVAL)),
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
