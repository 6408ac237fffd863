// SPDX-License-Identifier: GPL-2.0

//! ICMP errors about packets that a tunnel sent.
//!
//! C headers: [`include/net/icmp.h`](srctree/include/net/icmp.h),
//! [`include/net/protocol.h`](srctree/include/net/protocol.h)

use crate::{ip_proto::InnerProtocol, udp, Skb};
use core::ptr::NonNull;
use kernel::{bindings, error::to_result, prelude::*};
use net_bindings as extra;

/// Length of an ICMP and of an ICMPv6 header, in bytes (RFC 792, RFC 4443).
const ICMP_HEADER_LEN_BYTES: usize = 8;

/// Length of the longest IPv4 header, in bytes (RFC 791).
const MAX_IPV4_HEADER_LEN_BYTES: usize = 60;

/// The most that is put aside of an outer header while an error is handled.
const MAX_OUTER_LEN_BYTES: usize = 256;

/// A packet that an ICMP error quotes: it begins with the outer IP header, and has UDP behind it.
///
/// # Invariants
///
/// The ICMP header lies in the linear part, right before the packet's data.
pub struct QuotedPacket<'a> {
    skb: Skb<'a>,
    /// Where the quoted UDP header begins.
    udp_at: usize,
}

impl QuotedPacket<'_> {
    /// Borrows a packet from C. Its transport header is where the quoted UDP header begins.
    ///
    /// # Safety
    ///
    /// As for [`Skb::from_raw`]; and the ICMP header must lie in the linear part, right before the
    /// packet's data.
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::sk_buff>) -> Self {
        // SAFETY: The packet is valid.
        let udp_at = unsafe { extra::skb_transport_offset(ptr.as_ptr()) };
        // INVARIANT: Promised by the caller.
        Self {
            // SAFETY: Promised by the caller.
            skb: unsafe { Skb::from_raw(ptr) },
            // Behind an IP header; were it not, no header could be had there.
            udp_at: usize::try_from(udp_at).unwrap_or(usize::MAX),
        }
    }

    /// The first `len` bytes behind the quoted UDP header.
    ///
    /// Fails with `EINVAL` if fewer are quoted, with `ENOMEM`.
    #[inline]
    pub fn payload(&mut self, len: usize) -> Result<&[u8]> {
        let start = self
            .udp_at
            .checked_add(udp::HEADER_LEN_BYTES)
            .ok_or(EINVAL)?;
        let end = start.checked_add(len).ok_or(EINVAL)?;
        self.skb.header(end)?.get(start..end).ok_or(EINVAL)
    }

    /// Error handlers read the first 8 bytes of their header without asking: ICMP has made sure that
    /// they are there (RFC 792), but for UDP's header. Fails with `EINVAL` if they are not.
    ///
    /// UDP's handler would ask the encapsulation again, which may find UDP again: a packet could make
    /// the kernel recurse until its stack is full. Fails with `EOPNOTSUPP` for it.
    fn need_inner(&mut self, at: usize, protocol: InnerProtocol) -> Result {
        if protocol.is_udp() {
            return Err(EOPNOTSUPP);
        }
        self.payload(at.checked_add(8).ok_or(EINVAL)?).map(|_| ())
    }

    /// Has the error handler of an IPv4 protocol handle the error as if the packet had been sent
    /// without UDP: with `at` bytes behind the UDP header, where the tunnelled packet begins, right
    /// behind the IP header.
    ///
    /// Handlers look there for what they need to find their tunnel. Fails with `ENOENT` if there is
    /// no handler, or it knows of no such tunnel.
    pub(crate) fn handle_ipv4(&mut self, at: usize, protocol: InnerProtocol, info: u32) -> Result {
        self.need_inner(at, protocol)?;
        let outer = at.checked_add(udp::HEADER_LEN_BYTES).ok_or(EINVAL)?;
        let ip = self.udp_at;
        if ip > MAX_IPV4_HEADER_LEN_BYTES || outer > MAX_OUTER_LEN_BYTES {
            return Err(EINVAL);
        }
        self.skb.unshare()?;
        let headers = ICMP_HEADER_LEN_BYTES + ip;
        let mut aside = [0u8; MAX_OUTER_LEN_BYTES];
        let aside = aside.get_mut(..outer).ok_or(EINVAL)?;
        let skb = self.skb.as_raw();
        // What is moved over is put back below; the handler may reallocate the head, or share it, so it
        // is made private and the pointer read again then.
        // SAFETY: By the type invariant the ICMP header lies before the data, so that `start` is
        // valid for `headers` and, by `payload`, for another `outer` bytes. They are private by
        // `unshare`. `outer` is no more than is linear, and 32 bits wide.
        unsafe {
            let start = (*skb).data.sub(ICMP_HEADER_LEN_BYTES);
            aside.copy_from_slice(core::slice::from_raw_parts(start.add(headers), outer));
            core::ptr::copy(start, start.add(outer), headers);
            (*skb).data = (*skb).data.add(outer);
            (*skb).len -= outer as u32;
            let network = extra::skb_network_offset(skb);
            extra::skb_set_transport_header(skb, -(ICMP_HEADER_LEN_BYTES as i32));
            extra::skb_set_network_header(skb, 0);
            let result = extra::inet_handle_error(protocol.number(), skb, info);
            (*skb).data = (*skb).data.sub(outer);
            (*skb).len += outer as u32;
            extra::skb_set_network_header(skb, network + outer as i32);
            extra::skb_set_transport_header(skb, ip as i32);
            // A socket may have got a clone of it for its error queue, and reads it as it was moved.
            if extra::skb_unclone(skb, bindings::GFP_ATOMIC) != 0 {
                // Nobody else is to look at what could not be moved back.
                return Ok(());
            }
            let start = (*skb).data.sub(ICMP_HEADER_LEN_BYTES);
            core::ptr::copy(start.add(outer), start, headers);
            core::ptr::copy_nonoverlapping(aside.as_ptr(), start.add(headers), outer);
            to_result(result)
        }
    }

    /// Has the error handler of an IPv6 protocol handle the error; arguments as for
    /// [`Self::handle_ipv4`], and C's own.
    pub(crate) fn handle_ipv6(
        &mut self,
        at: usize,
        protocol: InnerProtocol,
        error: &Icmp6Error,
    ) -> Result {
        self.need_inner(at, protocol)?;
        let inner = self
            .udp_at
            .checked_add(udp::HEADER_LEN_BYTES)
            .and_then(|udp_end| udp_end.checked_add(at))
            .ok_or(EINVAL)?;
        let inner = i32::try_from(inner).map_err(|_| EINVAL)?;
        let udp_at = i32::try_from(self.udp_at).map_err(|_| EINVAL)?;
        let skb = self.skb.as_raw();
        // SAFETY: The packet is valid, and begins right behind its ICMPv6 header, which handlers
        // expect as its transport header. Both offsets lie in the packet; `error`'s pointer is C's.
        unsafe {
            extra::skb_set_transport_header(skb, -(ICMP_HEADER_LEN_BYTES as i32));
            let result = extra::inet6_handle_error(
                protocol.number(),
                skb,
                error.parameters,
                error.kind,
                error.code,
                inner,
                error.info,
            );
            extra::skb_set_transport_header(skb, udp_at);
            to_result(result)
        }
    }
}

/// What C says about an ICMPv6 error.
pub(crate) struct Icmp6Error {
    pub(crate) parameters: *mut extra::inet6_skb_parm,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) info: u32,
}
