// SPDX-License-Identifier: GPL-2.0

//! Counters and trace events of the packets of a port.

use crate::{
    counters::{Counters, Totals},
    reason::Reason,
    trace,
};
use kernel::prelude::*;
use net::{
    skb::{InnerSkb, SkBuff},
    tracepoint::TraceStr,
    udp_tunnel::UdpSocket,
    DropReason,
};

/// The records of a port.
pub(crate) struct Records {
    counters: Counters,
    /// The number of the port's network namespace.
    netns: u32,
    /// The UDP port that the socket is bound to.
    port: u16,
}

impl Records {
    /// Makes the records of the port that has this socket. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new(socket: &UdpSocket) -> Result<Self> {
        Ok(Self {
            counters: Counters::new()?,
            netns: socket.netns_inum(),
            port: u16::from_be_bytes(socket.local_port().to_be_bytes()),
        })
    }

    /// Records a packet that goes to the inner protocol, and is no GSO packet. `headers_len` bytes of headers,
    /// beginning with UDP's, were pulled from the packet. The UDP payload had `payload_len` bytes.
    #[inline(always)]
    pub(crate) fn received(
        &self,
        inner: &InnerSkb,
        headers_len: usize,
        payload_len: usize,
        ipv6: bool,
    ) {
        self.received_packets(1, inner, headers_len, payload_len, ipv6);
    }

    /// Does what [`Self::received`] does, for a GSO packet: each of its segments counts as a packet.
    #[inline(always)]
    pub(crate) fn received_segments(
        &self,
        inner: &InnerSkb,
        headers_len: usize,
        payload_len: usize,
        ipv6: bool,
    ) {
        self.received_packets(inner.segments(), inner, headers_len, payload_len, ipv6);
    }

    #[inline(always)]
    fn received_packets(
        &self,
        packets: u16,
        inner: &InnerSkb,
        headers_len: usize,
        payload_len: usize,
        ipv6: bool,
    ) {
        self.counters.count_received(packets, payload_len);
        if trace::Receive::is_on() {
            let protocol = inner.protocol().number();
            self.hit_receive(inner, protocol, headers_len, payload_len, ipv6);
        }
    }

    // Takes no reference to an `InnerSkb`: the compiler would then keep the `InnerSkb` of every packet on the stack.
    #[cold]
    #[inline(never)]
    fn hit_receive(
        &self,
        skb: &SkBuff,
        protocol: u8,
        headers_len: usize,
        payload_len: usize,
        ipv6: bool,
    ) {
        // The headers begin with the source port (RFC 768).
        let udp = skb.bytes_before(headers_len);
        let source_port = udp.and_then(|header| header.first_chunk());
        trace::Receive::hit(
            self.netns,
            skb.iif(),
            trace::family(ipv6),
            self.port,
            source_port.map_or(0, |bytes| u16::from_be_bytes(*bytes)),
            protocol,
            skb.segments(),
            payload_len as u32,
        );
    }

    /// Records a packet that is dropped, and returns the kernel's number of the reason.
    #[cold]
    #[inline(never)]
    pub(crate) fn dropped(&self, reason: Reason, ipv6: bool) -> DropReason {
        self.counters.count_dropped(reason);
        if trace::Drop::is_on() {
            let reason = TraceStr::new(reason.name());
            trace::Drop::hit(self.netns, trace::family(ipv6), self.port, reason);
        }
        reason.number()
    }

    /// Returns the values of the counters.
    pub(crate) fn totals(&self) -> Totals {
        self.counters.totals()
    }
}
