// SPDX-License-Identifier: GPL-2.0

//! A tunnel that follows the order in each packet's first bytes.

use core::{
    hint::black_box,
    sync::atomic::{AtomicU32, Ordering},
};
use kernel::prelude::*;
use net::{
    checksum::Sum,
    gro::{Glance, Glanced, GroTunnel, Merged, NoMerge, Packet},
    ip_proto::{ChecksumPlace, InnerProtocol},
    module::Scope,
    netns::{self, PerNetns, Place, Slot, SlotRef},
    rcu::RcuReader,
    skb::{AfterUdp, InnerSkb, RemcsumMode, RxSkb},
    udp,
    udp_tunnel::{EncapReceive, UdpTunnelSocket, Verdict},
    DropReason,
};

const PORT: u16 = 7010;

/// Does not compile if [`RxSkb`] is `Send`: a tunnel could keep such a packet, and deliver it in place of another
/// one.
const _: () = {
    trait AmbiguousIfSend<A> {
        const OK: () = ();
    }
    impl<T> AmbiguousIfSend<u8> for T {}
    impl<T: Send> AmbiguousIfSend<u16> for T {}
    <RxSkb as AmbiguousIfSend<_>>::OK
};

/// An order in a packet, as tools/testing/hostile/misuse_packets.py writes it.
struct Order {
    /// See [`Tunnel::receive`] and [`Tunnel::decapsulate`].
    on_receive: u8,
    /// See [`Tunnel::gro_receive`]; the three highest bits: [`Tunnel::gro_glance`].
    in_gro: u8,
    protocol: InnerProtocol,
    gro_protocol: InnerProtocol,
    /// Bytes to pull.
    len: usize,
    gro_len: usize,
    place: ChecksumPlace,
    how: RemcsumMode,
}

impl Order {
    const LEN_BYTES: usize = 16;

    fn parse(bytes: &[u8]) -> Option<Self> {
        let [on_receive, in_gro, protocol, gro_protocol, l0, l1, g0, g1, s0, s1, f0, f1, how, ..] =
            *bytes.first_chunk::<{ Self::LEN_BYTES }>()?;
        Some(Self {
            on_receive,
            in_gro,
            protocol: InnerProtocol::new(protocol)?,
            gro_protocol: InnerProtocol::new(gro_protocol)?,
            len: u16::from_be_bytes([l0, l1]).into(),
            gro_len: u16::from_be_bytes([g0, g1]).into(),
            place: ChecksumPlace {
                start: u16::from_be_bytes([s0, s1]),
                field: u16::from_be_bytes([f0, f1]),
            },
            how: match how {
                0 => RemcsumMode::Partial,
                _ => RemcsumMode::Compute,
            },
        })
    }
}

static RECEIVED: AtomicU32 = AtomicU32::new(0);
static DELIVERED: AtomicU32 = AtomicU32::new(0);
static IN_GRO: AtomicU32 = AtomicU32::new(0);
static COMPLETED: AtomicU32 = AtomicU32::new(0);

struct Tunnel;

impl Tunnel {
    fn decapsulate<const IPV6: bool>(mut skb: RxSkb, order: &Order) -> Result<InnerSkb, RxSkb> {
        let Order {
            protocol,
            len,
            place,
            how,
            ..
        } = *order;
        // Reads any range, so that KASAN sees a range that is not there.
        for at in [0, len, usize::MAX - len] {
            if let Some(bytes) = skb.linear_range(at, order.gro_len) {
                black_box(bytes.iter().fold(0, |sum, byte| sum ^ byte));
            }
        }
        match order.on_receive {
            0 => Ok(InnerSkb::new(skb, protocol)),
            1 => match skb.decapsulate(len) {
                Ok(_) => Ok(InnerSkb::new(skb, protocol)),
                Err(_) => Err(skb),
            },
            // Also after a failure.
            2 => {
                let _ = skb.decapsulate(len);
                let _ = skb.decapsulate(len);
                Ok(InnerSkb::new(skb, protocol))
            }
            3 => skb
                .decapsulate_with_remote_checksum(len, protocol, place, RemcsumMode::Partial)
                .map(|(inner, _)| inner)
                .map_err(|(skb, _)| skb),
            4 => skb
                .decapsulate_with_remote_checksum(len, protocol, place, how)
                .map(|(inner, _)| inner)
                .map_err(|(skb, _)| skb),
            // Pulls again after a failure.
            5 => match skb.decapsulate_with_remote_checksum(len, protocol, place, how) {
                Ok((inner, _)) => Ok(inner),
                Err((skb, _)) => skb
                    .decapsulate_with_remote_checksum(len, protocol, place, RemcsumMode::Partial)
                    .map(|(inner, _)| inner)
                    .map_err(|(skb, _)| skb),
            },
            // Passes a wrong sum of bytes that may not exist, twice, and a wrong guess at the length, also after a
            // failure. The stack would report the sum as a fault of the device, so the packet is dropped.
            8 => {
                let sum = AfterUdp::Sum(Sum::of(b"wrong"));
                let _ = skb.decapsulate_knowing(len, sum);
                let _ = skb.decapsulate_knowing(order.gro_len, sum);
                let _ = skb.decapsulate_knowing(len, AfterUdp::Long);
                Err(skb)
            }
            // Shortens by any length, also the header of the other IP version.
            _ => match skb.decapsulate(len) {
                Ok(_) => {
                    let mut inner = InnerSkb::new(skb, protocol);
                    let by = order.gro_len;
                    let _ = inner.shorten_outer::<IPV6>(by, usize::MAX);
                    let _ = inner.shorten_outer::<false>(by, usize::MAX);
                    let _ = inner.shorten_outer::<true>(by, usize::MAX);
                    Ok(inner)
                }
                Err(_) => Err(skb),
            },
        }
    }
}

impl EncapReceive for Tunnel {
    fn receive<const IPV6: bool>(&self, mut skb: RxSkb, _rcu: RcuReader<'_>) -> Verdict {
        RECEIVED.fetch_add(1, Ordering::Relaxed);
        let order = match skb.header(udp::HEADER_LEN_BYTES + Order::LEN_BYTES) {
            Ok(bytes) => bytes.get(udp::HEADER_LEN_BYTES..).and_then(Order::parse),
            Err(_) => None,
        };
        let Some(order) = order else {
            return Verdict::Drop(skb, DropReason::PKT_TOO_SMALL);
        };
        if order.on_receive == 7 {
            let _ = skb.decapsulate(order.len);
            return Verdict::NotOurs(skb);
        }
        let len = skb.len();
        match Self::decapsulate::<IPV6>(skb, &order) {
            // UDP would deliver the same packet to the tunnel for ever.
            Ok(inner) if inner.len() == len && matches!(order.protocol.number(), 17 | 136) => {
                inner.free(DropReason::UNHANDLED_PROTO);
                Verdict::Consumed
            }
            Ok(inner) => {
                DELIVERED.fetch_add(1, Ordering::Relaxed);
                Verdict::Deliver(inner)
            }
            Err(skb) => Verdict::Drop(skb, DropReason::INVALID_PROTO),
        }
    }
}

impl GroTunnel for Tunnel {
    fn gro_receive(&self, packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        let order = Order::parse(packet.header(Order::LEN_BYTES)?).ok_or(NoMerge)?;
        if order.in_gro & 1 != 0 {
            packet.process_remote_checksum(order.place, order.how)?;
        }
        if order.in_gro & 2 != 0 {
            let _ = packet.compare_held(order.gro_len);
        }
        if order.in_gro & 4 != 0 {
            let _ = packet.pull_header(order.gro_len);
        }
        if order.in_gro & 8 != 0 {
            let _ = packet.process_remote_checksum(order.place, RemcsumMode::Compute);
            let _ = packet.process_remote_checksum(order.place, RemcsumMode::Partial);
        }
        if order.in_gro & 16 != 0 {
            let _ = packet.pull_header(order.gro_len);
        }
        IN_GRO.fetch_add(1, Ordering::Relaxed);
        Ok(order.gro_protocol)
    }

    fn gro_glance<'a, const IPV6: bool>(&self, packet: Glance<'a, Self, IPV6>) -> Glanced<'a> {
        let order = packet
            .first::<{ Order::LEN_BYTES }>()
            .and_then(|bytes| Order::parse(bytes));
        let Some(order) = order else {
            return packet.other(self);
        };
        let protocol = order.gro_protocol;
        match order.in_gro >> 5 {
            1 => packet.pull::<0>(self, protocol),
            2 => packet.pull::<{ Order::LEN_BYTES }>(self, protocol),
            3 => packet.pull::<255>(self, protocol),
            4 => packet.compare_first(self, protocol),
            5 => packet.pass(protocol),
            6 => {
                // Two views of the same bytes.
                match (packet.first::<1>(), packet.first::<255>()) {
                    (Some(one), Some(many)) if one[0] == many[0] => {
                        packet.pull::<1>(self, protocol)
                    }
                    _ => packet.other(self),
                }
            }
            _ => packet.other(self),
        }
    }

    fn gro_remote_checksum(&self, merged: &Merged<'_>) -> Option<ChecksumPlace> {
        COMPLETED.fetch_add(1, Ordering::Relaxed);
        let order = Order::parse(merged.header(Order::LEN_BYTES).ok()?)?;
        Some(order.place)
    }
}

struct Here {
    _tunnel: UdpTunnelSocket<Tunnel>,
}

static SLOT: Slot<Here> = Slot::new();

impl PerNetns for Here {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(place: Place<'_>) -> impl PinInit<Self, Error> {
        try_init!(Self {
            _tunnel: crate::sockets::open(place, PORT)
                .and_then(|socket| UdpTunnelSocket::new_with_gro(socket, Tunnel))?,
        }? Error)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        pr_info!(
            "received {}, delivered {}, in GRO {}, merged {}\n",
            RECEIVED.load(Ordering::Relaxed),
            DELIVERED.load(Ordering::Relaxed),
            IN_GRO.load(Ordering::Relaxed),
            COMPLETED.load(Ordering::Relaxed),
        );
    }
}

pub(crate) fn register(scope: &'static Scope) -> Result {
    netns::register::<Here>(scope)?;
    Ok(())
}
