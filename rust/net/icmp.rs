// SPDX-License-Identifier: GPL-2.0

//! ICMP errors about packets that a tunnel sent.
//!
//! C headers: [`include/net/icmp.h`](srctree/include/net/icmp.h),
//! [`include/net/protocol.h`](srctree/include/net/protocol.h)

use crate::{errno::EOPNOTSUPP, ip_proto::InnerProtocol, udp, SkBuff};
use kernel::{error::to_result, prelude::*};
use net_bindings as bindings;

/// Length of an ICMP and of an ICMPv6 header, in bytes (RFC 792, RFC 4443).
const ICMP_HEADER_LEN_BYTES: usize = 8;

/// Length of the longest IPv4 header, in bytes (RFC 791).
const MAX_IPV4_HEADER_LEN_BYTES: usize = 60;

/// Most bytes of tunnel headers that [`shift_headers`] saves.
const MAX_OUTER_LEN_BYTES: usize = 256;

/// A packet that an ICMP error quotes: it begins with the outer IP header, which UDP follows.
///
/// # Invariants
///
/// The ICMP header lies in the linear part, right before the packet's data.
pub struct QuotedPacket<'a> {
    skb: Pin<&'a mut SkBuff>,
    /// Offset of the quoted UDP header, in bytes.
    udp_at: usize,
}

impl QuotedPacket<'_> {
    /// Borrows a packet from C. The packet's transport header is the quoted UDP header.
    ///
    /// # Safety
    ///
    /// As for [`SkBuff::from_raw`]; and the ICMP header must lie in the linear part, right before the
    /// packet's data.
    #[inline]
    pub(crate) unsafe fn from_raw(ptr: *mut bindings::sk_buff) -> Self {
        // SAFETY: The caller promises what `SkBuff::from_raw` asks for, so the packet is valid. The offset
        // is read from two of its fields; `skb` is not used yet.
        let (skb, udp_at) = unsafe { (SkBuff::from_raw(ptr), bindings::skb_transport_offset(ptr)) };
        // INVARIANT: Promised by the caller.
        Self {
            skb,
            // UDP follows an IP header. A negative offset becomes an offset that lies past every packet.
            udp_at: usize::try_from(udp_at).unwrap_or(usize::MAX),
        }
    }

    /// Returns the destination address of the quoted IPv4 header. Fails with `EINVAL` if the error does not
    /// quote the whole header, with `ENOMEM`.
    pub fn destination_v4(&mut self) -> Result<[u8; 4]> {
        let header = self.skb.as_mut().header(20)?;
        header.last_chunk().copied().ok_or(EINVAL)
    }

    /// Returns the destination address of the quoted IPv6 header. Fails with `EINVAL` if the error does not
    /// quote the whole header, with `ENOMEM`.
    pub fn destination_v6(&mut self) -> Result<[u8; 16]> {
        let header = self.skb.as_mut().header(40)?;
        header.last_chunk().copied().ok_or(EINVAL)
    }

    /// Returns the first `len` bytes after the quoted UDP header.
    ///
    /// Fails with `EINVAL` if the error quotes fewer, with `ENOMEM`.
    #[inline]
    pub fn payload(&mut self, len: usize) -> Result<&[u8]> {
        let start = self
            .udp_at
            .checked_add(udp::HEADER_LEN_BYTES)
            .ok_or(EINVAL)?;
        let end = start.checked_add(len).ok_or(EINVAL)?;
        self.skb.as_mut().header(end)?.get(start..end).ok_or(EINVAL)
    }

    /// Checks that the error handler of a protocol may be called. The protocol's header begins `at` bytes
    /// after the UDP header.
    ///
    /// Handlers read the first 8 bytes of their header without a check. ICMP has checked only that the error
    /// quotes the 8 bytes of the UDP header (RFC 792). Fails with `EINVAL` if the error does not quote the
    /// first 8 bytes of the protocol's header, with `ENOMEM`.
    ///
    /// UDP's handler would ask the encapsulation again, which may find UDP again: a packet could make the
    /// kernel recurse until its stack is full. Fails with `EOPNOTSUPP` for UDP.
    fn need_inner(&mut self, at: usize, protocol: InnerProtocol) -> Result {
        if protocol.is_udp() {
            return Err(EOPNOTSUPP);
        }
        self.payload(at.checked_add(8).ok_or(EINVAL)?).map(|_| ())
    }

    /// Calls the error handler of an IPv4 protocol as if the packet had been sent without UDP. The inner
    /// packet begins `at` bytes after the UDP header. The handler finds the inner packet right after the
    /// outer IP header, where handlers expect it when they look for their tunnel.
    ///
    /// Fails with `ENOENT` if there is no handler, or if the handler does not find a tunnel.
    pub(crate) fn handle_ipv4(&mut self, at: usize, protocol: InnerProtocol, info: u32) -> Result {
        self.need_inner(at, protocol)?;
        let outer = at.checked_add(udp::HEADER_LEN_BYTES).ok_or(EINVAL)?;
        let ip = self.udp_at;
        if ip > MAX_IPV4_HEADER_LEN_BYTES {
            return Err(EINVAL);
        }
        let mut saved = [0u8; MAX_OUTER_LEN_BYTES];
        let saved = saved.get_mut(..outer).ok_or(EINVAL)?;
        self.skb.as_mut().unclone()?;
        let skb = self.skb.as_raw();
        // SAFETY: The headers and the `outer` bytes after them are linear, by the type invariant and by
        // `need_inner`, and private by `unclone`. `restore_headers` gets the same packet and lengths, and
        // no other code uses the packet before that but the handler, to which it looks as if sent without
        // UDP. The caller is a hook that C calls for ICMP errors, in the RCU read side that the handler
        // asks for.
        unsafe {
            let network = shift_headers(self.skb.as_mut(), ip, saved);
            let result = bindings::inet_handle_error(protocol.number(), skb, info);
            if restore_headers(self.skb.as_mut(), ip, saved, network).is_err() {
                // Reports "handled", because no other encapsulation may read headers that stay shifted.
                return Ok(());
            }
            to_result(result)
        }
    }

    /// Calls the error handler of an IPv6 protocol. `at` is as for [`Self::handle_ipv4`]; `error` is C's.
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
        // SAFETY: By the type invariant the packet is valid and begins right after its ICMPv6 header, which
        // is linear and which handlers expect as the transport header. `need_inner` has found bytes at
        // `inner`, and `udp_at` is the offset that the transport header had. `error` has what C passed to
        // the hook, so its pointer is valid during the hook, in whose RCU read side the handler runs.
        unsafe {
            bindings::skb_set_transport_header(skb, -(ICMP_HEADER_LEN_BYTES as i32));
            let result = bindings::inet6_handle_error(
                protocol.number(),
                skb,
                error.parameters,
                error.kind,
                error.code,
                inner,
                error.info,
            );
            bindings::skb_set_transport_header(skb, udp_at);
            to_result(result)
        }
    }
}

/// Copies the tunnel headers after the `ip` bytes of the IP header to `saved`, moves the ICMP header and
/// the IP header over them, and pulls `saved.len()` bytes. Sets the network header to the data, and returns
/// its old offset.
///
/// # Safety
///
/// The ICMP header must lie right before the data, and `ip + saved.len()` bytes from the data on must be
/// linear; all of them must be private. [`restore_headers`] must be called before the packet is used
/// otherwise.
unsafe fn shift_headers(skb: Pin<&mut SkBuff>, ip: usize, saved: &mut [u8]) -> i32 {
    let (headers, outer) = (ICMP_HEADER_LEN_BYTES + ip, saved.len());
    let skb = skb.as_raw();
    // SAFETY: The caller promises that `headers + outer` bytes from `start` on are linear and private, so
    // both copies stay within them, and the pull leaves `data` at most at `tail`. `saved` is memory of our
    // own, of `outer` bytes. `outer` is at most `len`, which has 32 bits.
    unsafe {
        let start = (*skb).data.sub(ICMP_HEADER_LEN_BYTES);
        saved.copy_from_slice(core::slice::from_raw_parts(start.add(headers), outer));
        core::ptr::copy(start, start.add(outer), headers);
        let network = bindings::skb_network_offset(skb);
        (*skb).data = (*skb).data.add(outer);
        (*skb).len -= outer as u32;
        bindings::skb_set_transport_header(skb, -(ICMP_HEADER_LEN_BYTES as i32));
        bindings::skb_set_network_header(skb, 0);
        network
    }
}

/// Undoes [`shift_headers`], which returned `network`.
///
/// Fails with `ENOMEM` if a clone shares the headers now and they could not be copied. The headers then
/// stay shifted.
///
/// # Safety
///
/// [`shift_headers`] must have been called with the same packet and lengths. The packet's head may have been
/// reallocated or shared since; nothing else may have been changed.
unsafe fn restore_headers(
    mut skb: Pin<&mut SkBuff>,
    ip: usize,
    saved: &[u8],
    network: i32,
) -> Result {
    let (headers, outer) = (ICMP_HEADER_LEN_BYTES + ip, saved.len());
    let raw = skb.as_raw();
    // SAFETY: `shift_headers` has pulled `outer` bytes from this packet, and nothing has changed `data` or
    // `len` since, so the bytes lie before `data` in the head, wherever the head is now. `network` and `ip`
    // are the offsets that the headers had.
    unsafe {
        (*raw).data = (*raw).data.sub(outer);
        (*raw).len += outer as u32;
        bindings::skb_set_network_header(raw, network);
        bindings::skb_set_transport_header(raw, ip as i32);
    }
    // A socket may have put a clone into its error queue, and reads the headers as they were shifted.
    skb.as_mut().unclone()?;
    // SAFETY: After the push these are the bytes that `shift_headers` has written, linear as they were
    // then, and private by `unclone`. `saved` has `outer` bytes, which do not overlap a packet.
    unsafe {
        let start = (*raw).data.sub(ICMP_HEADER_LEN_BYTES);
        core::ptr::copy(start.add(outer), start, headers);
        core::ptr::copy_nonoverlapping(saved.as_ptr(), start.add(headers), outer);
    }
    Ok(())
}

/// C's description of an ICMPv6 error.
pub(crate) struct Icmp6Error {
    pub(crate) parameters: *mut bindings::inet6_skb_parm,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) info: u32,
}
