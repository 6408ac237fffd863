// SPDX-License-Identifier: GPL-2.0

//! Trace events of `rfou.ko`, which `events.c` defines and `Documentation/tracing.rst` describes.

/// Address families, as events show them.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// The address family of the tunnels that [`transmit`](crate::transmit) encapsulates for.
pub(crate) const TRANSMIT_FAMILY: u16 = AF_INET;

/// Returns the address family of a port.
pub(crate) const fn family(ipv6: bool) -> u16 {
    if ipv6 {
        AF_INET6
    } else {
        AF_INET
    }
}

net::tracepoints! {
    /// A port hands a packet to the inner protocol.
    pub(crate) struct Receive = rfou_receive(
        netns: u32,
        ifindex: u32,
        family: u16,
        port: u16,
        source_port: u16,
        protocol: u8,
        packets: u16,
        len: u32,
    );

    /// A packet of a tunnel device was encapsulated.
    pub(crate) struct Transmit = rfou_transmit(
        netns: u32,
        ifindex: u32,
        family: u16,
        port: u16,
        source_port: u16,
        protocol: u8,
        packets: u16,
        len: u32,
    );

    /// A port drops a packet.
    pub(crate) struct Drop = rfou_drop(netns: u32, family: u16, port: u16, reason: TraceStr);
}
