// SPDX-License-Identifier: GPL-2.0

//! Trace events of `rfou6.ko`, which `events.c` defines and `Documentation/tracing.rst` describes.

/// The address family of the tunnels that [`transmit`](crate::transmit) encapsulates for: `AF_INET6`.
pub(crate) const TRANSMIT_FAMILY: u16 = 10;

net::tracepoints! {
    /// A packet of a tunnel device was encapsulated.
    pub(crate) struct Transmit = rfou6_transmit(
        netns: u32,
        ifindex: u32,
        family: u16,
        port: u16,
        source_port: u16,
        protocol: u8,
        packets: u16,
        len: u32,
    );
}
