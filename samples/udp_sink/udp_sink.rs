// SPDX-License-Identifier: GPL-2.0

//! A UDP port in every network namespace that swallows packets: the smallest user of the crate `net`, and
//! a starting point for a tunnel.
//!
//! A real tunnel would pull its header with [`RxSkb::decapsulate`] and return [`Verdict::Deliver`].
//! The sample drops packets that are not meant for it, with a reason.

use core::sync::atomic::{AtomicU64, Ordering};
use kernel::prelude::*;
use net::{
    module::Scope,
    netns::{self, PerNetns, Place, Slot, SlotRef},
    rcu::RcuReader,
    skb::RxSkb,
    udp::{self, PortNumber},
    udp_tunnel::{Binding, EncapReceive, UdpSocket, UdpTunnelSocket, Verdict},
    DropReason,
};

net::module! {
    type: UdpSink,
    name: "udp_sink",
    authors: ["The rfou developers"],
    description: "Sample: a UDP port that swallows what it receives",
    license: "GPL v2",
}

/// The UDP port.
const PORT: u16 = 5009;

/// The payload of a packet that the sink swallows. The sink drops other packets.
const GREETING: &[u8] = b"sink";

#[derive(Default)]
struct Sink {
    swallowed: AtomicU64,
}

impl EncapReceive for Sink {
    fn receive<const IPV6: bool>(&self, mut skb: RxSkb, _rcu: RcuReader<'_>) -> Verdict {
        match skb.header(udp::HEADER_LEN_BYTES + GREETING.len()) {
            Ok(bytes) if bytes.ends_with(GREETING) => {
                self.swallowed.fetch_add(1, Ordering::Relaxed);
                // Dropping the packet frees it.
                Verdict::Consumed
            }
            Ok(_) => Verdict::Drop(skb, DropReason::UNHANDLED_PROTO),
            Err(_) => Verdict::Drop(skb, DropReason::PKT_TOO_SMALL),
        }
    }
}

/// The sink of one network namespace.
struct Here {
    socket: UdpTunnelSocket<Sink>,
}

static SLOT: Slot<Here> = Slot::new();

impl PerNetns for Here {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(place: Place<'_>) -> impl PinInit<Self, Error> {
        try_init!(Self {
            socket: open(place)?
        })
    }
}

fn open(place: Place<'_>) -> Result<UdpTunnelSocket<Sink>> {
    let port = PortNumber::from_be_bytes(PORT.to_be_bytes());
    let socket = UdpSocket::open(place, &Binding::any(false, port))?;
    UdpTunnelSocket::new(socket, Sink::default())
}

impl Drop for Here {
    fn drop(&mut self) {
        let swallowed = self.socket.tunnel().swallowed.load(Ordering::Relaxed);
        pr_info!("swallowed {swallowed} packets\n");
    }
}

/// The module. Its registrations belong to the scope.
struct UdpSink;

impl net::module::Module for UdpSink {
    fn init(scope: &'static Scope) -> Result<Self> {
        netns::register::<Here>(scope)?;
        Ok(Self)
    }
}
