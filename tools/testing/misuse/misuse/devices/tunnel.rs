// SPDX-License-Identifier: GPL-2.0

//! A tunnel that gives packets to any device, as each packet orders.

use super::{
    count,
    tables::{Number, SHARED},
    DROPPED, LENGTHS, PORT, SENT, WORKED,
};
use crate::sockets::open;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;
use net::{
    ip_proto::InnerProtocol,
    metadata::RxMetadata,
    netns::{PerNetns, Place, Slot, SlotRef},
    rcu::RcuReader,
    rx_device::{RxDevice, RxError},
    skb::{InnerSkb, RxSkb},
    udp,
    udp_tunnel::{EncapReceive, UdpTunnelSocket, Verdict},
    DropReason,
};

static GIVEN: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// A tunnel that gives packets to any device.
struct Tunnel;

impl Tunnel {
    fn give(skb: &mut RxSkb, rcu: RcuReader<'_>) -> Option<(RxDevice, [u8; 4])> {
        let bytes = skb.header(udp::HEADER_LEN_BYTES + 4).ok()?;
        let order: [u8; 4] = *bytes.get(udp::HEADER_LEN_BYTES..)?.first_chunk()?;
        let [number, ..] = order;
        let devices = &SHARED.as_ref()?.devices;
        let rx = devices.find(&Number(u32::from(number) % 12), rcu)?;
        Some((rx.clone(), order))
    }
}

impl EncapReceive for Tunnel {
    fn receive<const IPV6: bool>(&self, mut skb: RxSkb, rcu: RcuReader<'_>) -> Verdict {
        let Some((rx, [_, len, how, protocol])) = Self::give(&mut skb, rcu) else {
            return Verdict::Drop(skb, DropReason::NO_SOCKET);
        };
        // The device may be down.
        rx.run_work_now();
        let _ = skb.netns(rcu).cookie();
        if how & 1 != 0 {
            let len = LENGTHS.get(usize::from(len) % LENGTHS.len()).copied();
            let _ = skb.decapsulate(len.unwrap_or(0).saturating_add(udp::HEADER_LEN_BYTES));
        }
        let protocol = match protocol & 3 {
            0 | 1 => 4,
            2 => 41,
            _ => protocol.max(1),
        };
        let Some(protocol) = InnerProtocol::new(protocol) else {
            return Verdict::Drop(skb, DropReason::INVALID_PROTO);
        };
        // The headers may be pulled already or be of the other IP version, and the options may be too long.
        let options = [len; 300];
        let options = options.get(..usize::from(len) * 2).unwrap_or(&options);
        let metadata = match how & 0xc {
            0x4 => RxMetadata::new::<true>(&skb, Some(len.into()), options).ok(),
            0x8 => RxMetadata::new::<false>(&skb, None, options).ok(),
            _ => None,
        };
        let inner = InnerSkb::new(skb, protocol);
        let given = if how & 2 != 0 {
            rx.receive_with::<true>(inner, metadata)
        } else {
            rx.receive_with::<false>(inner, metadata)
        };
        match given {
            Ok(()) => {
                count(&GIVEN);
            }
            Err((skb, _)) => {
                count(&REFUSED);
                rx.count_error(RxError::Length);
                skb.free(DropReason::INVALID_PROTO);
            }
        }
        Verdict::Consumed
    }
}

/// A namespace's tunnel.
pub(super) struct Here {
    _tunnel: UdpTunnelSocket<Tunnel>,
}

static SLOT: Slot<Here> = Slot::new();

impl PerNetns for Here {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(place: Place<'_>) -> impl PinInit<Self, Error> {
        try_init!(Self {
            _tunnel: open(place, PORT).and_then(|socket| UdpTunnelSocket::new(socket, Tunnel))?,
        }? Error)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        pr_info!(
            "received {}, refused {}, sent {}, dropped {}, worked {}\n",
            GIVEN.load(Ordering::Relaxed),
            REFUSED.load(Ordering::Relaxed),
            SENT.load(Ordering::Relaxed),
            DROPPED.load(Ordering::Relaxed),
            WORKED.load(Ordering::Relaxed),
        );
    }
}
