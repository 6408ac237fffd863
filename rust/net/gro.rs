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
mod glance;
mod receive;
mod skb;

pub(crate) use complete::complete;
pub use complete::Merged;
pub use glance::{Glance, Glanced};
pub(crate) use receive::receive;
pub use receive::Packet;

use crate::ip_proto::{ChecksumPlace, InnerProtocol, ETHER_IP};

/// A tunnel whose packets GRO merges.
pub trait GroTunnel: Send + Sync + 'static {
    /// Compares the tunnel's header in a packet with the held packets, and pulls the header: see
    /// [`Packet`]. The UDP header was pulled before.
    ///
    /// Returns the protocol of the rest, whose GRO handler is called next: see [`Handlers`] for those that GRO
    /// merges. Softirq context, RCU read side.
    ///
    /// Called only for packets that [`Self::gro_glance`] leaves to it.
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge>;

    /// Takes a first look at a packet. If its first bytes show that [`Self::gro_receive`] would only compare and
    /// pull a header whose length is known at compile time, does that with a method of [`Glance`]. Otherwise
    /// leaves the packet to [`Self::gro_receive`], as the default does for all packets.
    ///
    /// `IPV6` is the outer IP version. For [`Handlers::OfDevice`] it is `false` for both versions.
    ///
    /// Softirq context, RCU read side.
    #[inline(always)]
    fn gro_glance<'a, const IPV6: bool>(&self, packet: Glance<'a, Self, IPV6>) -> Glanced<'a>
    where
        Self: Sized,
    {
        packet.other(self)
    }

    /// The table in which GRO finds the handler of the rest.
    const HANDLERS: Handlers = Handlers::OfOuterIp;

    /// Returns the place of the checksum that a merged packet's header leaves to the receiver, or `None`.
    /// The place is counted from the inner packet's first byte.
    ///
    /// Ports come and go while GRO holds packets, so another tunnel may have merged this packet. Softirq
    /// context, RCU read side.
    fn gro_remote_checksum(&self, _merged: &Merged<'_>) -> Option<ChecksumPlace> {
        None
    }
}

/// A table of GRO handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handlers {
    /// By IP protocol, for packets that go on to the protocol's receive function after decapsulation: IPv4, IPv6
    /// and GRE. IP's handlers note in the merged packet that it is an IP packet in IP.
    OfOuterIp,
    /// By EtherType, for packets that a device receives after decapsulation: IPv4, IPv6 and frames
    /// ([`InnerProtocol::ETHERNET`]).
    OfDevice,
}

impl Handlers {
    /// Returns the EtherType of what a device receives by an IP protocol, in host order.
    #[inline]
    pub(crate) const fn ether_type(protocol: InnerProtocol) -> Option<u16> {
        match protocol.number() {
            4 => Some(0x0800),
            41 => Some(0x86dd),
            // Ethernet, which is "transparent Ethernet bridging" after a tunnel's header.
            ETHER_IP => Some(0x6558),
            _ => None,
        }
    }
}

/// An error: the packet cannot be merged with others, and GRO passes it on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMerge;

/// The bit that tells the notes of [`Handlers::OfDevice`] from IP protocols that GRO merges by their number.
const DEVICE_NOTE: u8 = 0x80;

/// Returns the note for completion that a packet was merged by EtherType.
#[inline]
const fn device_note(protocol: InnerProtocol) -> u8 {
    protocol.number() | DEVICE_NOTE
}

/// Returns the protocol of a note of [`device_note`].
#[inline]
const fn of_device_note(note: u8) -> Option<InnerProtocol> {
    if note & DEVICE_NOTE == 0 {
        return None;
    }
    InnerProtocol::new(note & !DEVICE_NOTE)
}
