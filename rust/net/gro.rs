// SPDX-License-Identifier: GPL-2.0

//! Generic receive offload of UDP tunnels: packets of a flow are merged before they are decapsulated.
//!
//! C header: [`include/net/gro.h`](srctree/include/net/gro.h)
//!
//! GRO compares a packet with the packets that it holds, header by header, from the outermost on. Each
//! layer looks at its header at the packet's GRO offset, clears `same_flow` of the held packets that are of
//! another flow, and passes the rest on to the next layer. When packets have been merged, each layer
//! completes its header, again from the outermost on.

mod complete;
mod receive;
mod skb;

pub(crate) use complete::complete;
pub use complete::Merged;
pub(crate) use receive::receive;
pub use receive::Packet;

use crate::ip_proto::{ChecksumPlace, InnerProtocol};

/// A tunnel whose packets GRO merges.
pub trait GroTunnel: Send + Sync + 'static {
    /// Compares the tunnel's header in a packet with the held packets, and pulls the header: see
    /// [`Packet`]. The UDP header was pulled before.
    ///
    /// Returns the protocol of the rest, whose GRO handler is called next. GRO merges IPv4, IPv6 and GRE
    /// alone. Softirq context, RCU read side.
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge>;

    /// Returns the place of the checksum that a merged packet's header leaves to the receiver, or `None`.
    /// The place is counted from the inner packet's first byte.
    ///
    /// Ports come and go while GRO holds packets, so another tunnel may have merged this packet. Softirq
    /// context, RCU read side.
    fn gro_remote_checksum(&self, _merged: &Merged<'_>) -> Option<ChecksumPlace> {
        None
    }
}

/// An error: the packet cannot be merged with others, and GRO passes it on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMerge;
