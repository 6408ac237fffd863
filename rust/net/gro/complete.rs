// SPDX-License-Identifier: GPL-2.0

//! GRO completion: mending the headers of a merged packet.

use super::{skb::GroSkb, GroTunnel, Handlers};
use crate::{errno::ESTALE, ip_proto::InnerProtocol};
use kernel::{error::to_result, prelude::*};
use net_bindings as bindings;

/// A packet that others have been merged into, or a single one that was held. Its data begins with the
/// outer IP header.
pub struct Merged<'a> {
    skb: Pin<&'a GroSkb>,
    /// Offset of the tunnel's header, in bytes from the packet's data.
    at: usize,
}

impl Merged<'_> {
    /// Returns the first `len` bytes after the UDP header. Fails with `EINVAL` if they are not linear.
    #[inline]
    pub fn header(&self, len: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(len).ok_or(EINVAL)?;
        let bytes = self.skb.get_ref().linear_header(end).ok_or(EINVAL)?;
        bytes.get(self.at..).ok_or(EINVAL)
    }
}

/// Completes a merged packet: calls the inner layers, which complete their headers, and tells segmentation
/// where the inner packet begins.
///
/// # Safety
///
/// RCU read side. `skb` and `at`, the offset of UDP's payload, must be what C passes to the `gro_complete`
/// of a socket. The socket must be of IPv6 if `IPV6` is `true`, and of IPv4 otherwise.
#[inline]
pub(crate) unsafe fn complete<T: GroTunnel, const IPV6: bool>(
    tunnel: Option<&T>,
    skb: *mut bindings::sk_buff,
    at: usize,
) -> Result {
    // SAFETY: The caller passes what GRO passes: a valid packet whose control block is GRO's, and which GRO
    // does not touch during the call. Below, the pointer is used only while `packet` is not.
    let packet = unsafe { GroSkb::from_raw(skb) };
    // Another kind of tunnel may have had this port, and merged the packet.
    let mut len_bytes = 0;
    // SAFETY: The packet is valid and in GRO, as above. `len_bytes` is a local variable, which C writes to.
    let noted = unsafe { bindings::gro_leave_tunnel(skb, &mut len_bytes) };
    let inner = at.checked_add(usize::from(len_bytes)).ok_or(EINVAL)?;
    let inner_c = i32::try_from(inner).map_err(|_| EINVAL)?;
    // SAFETY: The caller is in an RCU read side.
    let complete = unsafe {
        match T::HANDLERS {
            Handlers::OfOuterIp => of_outer_ip::<IPV6>(noted),
            Handlers::OfDevice => of_device(noted),
        }
    }?;
    // SAFETY: The packet is a merged one. By the note, its headers up to `inner` were pulled on receive, and
    // the protocol's `gro_receive` has seen its own header there. GRO makes the headers that it reads linear,
    // and held packets keep their headers.
    unsafe {
        // GRE overwrites the type. Without the outer type, segmentation would not know of the UDP header.
        let outer = bindings::skb_gso_type(skb);
        let result = complete(skb, inner_c);
        bindings::skb_add_gso_type(skb, outer);
        bindings::skb_set_inner_mac_header(skb, inner_c);
        to_result(result)?;
    }
    let merged = Merged {
        skb: packet.into_ref(),
        at,
    };
    if let Some(place) = tunnel.and_then(|tunnel| tunnel.gro_remote_checksum(&merged)) {
        // SAFETY: The packet is valid, as above. The inner layers have completed it without an error, and
        // have set the fields that are read here for segmentation.
        let (computed_at, offset) = unsafe {
            (
                bindings::skb_checksum_start_offset(skb),
                bindings::skb_csum_offset(skb),
            )
        };
        let start = inner.checked_add(usize::from(place.start));
        let same_start = start.is_some() && usize::try_from(computed_at).ok() == start;
        if same_start && place.field.checked_sub(place.start) == Some(offset) {
            // If the packet is only forwarded, its segments must leave unchanged.
            // SAFETY: The packet is valid, as above, and this call is its only user. GRO's layers add their
            // types to the shared information in this step.
            unsafe { bindings::skb_add_gso_type(skb, bindings::SKB_GSO_TUNNEL_REMCSUM) };
        }
    }
    Ok(())
}

/// A protocol's `gro_complete`.
type Complete = unsafe extern "C" fn(*mut bindings::sk_buff, c_int) -> c_int;

/// Returns the callback of a protocol that was noted on receive.
///
/// # Safety
///
/// RCU read side, in which the result is used.
#[inline(always)]
unsafe fn of_outer_ip<const IPV6: bool>(noted: u8) -> Result<Complete> {
    let protocol = InnerProtocol::new(noted).ok_or(ESTALE)?;
    // SAFETY: C's table has an entry for each number of 8 bits. An entry is null, or points to an offload
    // that stays valid until the end of the RCU read side, in which the caller is.
    unsafe { bindings::inet_offload(IPV6, protocol.number()).as_ref() }
        .and_then(|offload| offload.callbacks.gro_complete)
        .ok_or(ENOENT)
}

/// Returns the callback of an EtherType that was noted on receive.
///
/// # Safety
///
/// RCU read side, in which the result is used.
#[inline(always)]
unsafe fn of_device(noted: u8) -> Result<Complete> {
    let protocol = super::of_device_note(noted).ok_or(ESTALE)?;
    if protocol == InnerProtocol::ETHERNET {
        return Ok(bindings::eth_gro_complete);
    }
    let ether_type = Handlers::ether_type(protocol).ok_or(ESTALE)?;
    // SAFETY: The caller is in an RCU read side. The result is null, or points to an offload that stays valid
    // until its end.
    unsafe { bindings::gro_find_complete_by_type(ether_type.to_be()).as_ref() }
        .and_then(|offload| offload.callbacks.gro_complete)
        .ok_or(ENOENT)
}
