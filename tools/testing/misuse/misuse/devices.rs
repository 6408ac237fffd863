// SPDX-License-Identifier: GPL-2.0

//! Devices that follow the order in each packet. Their receive sides, caches and tables are used at the wrong
//! time, by the wrong devices, and with keys whose hash and equality are inconsistent.

mod tables;
mod tunnel;

use core::sync::atomic::{AtomicU32, Ordering};
use kernel::{prelude::*, sync::Arc};
use net::{
    module::Scope,
    netdev::{Device, DeviceSkb, Dimensions, NewDevice, Operations, Sent, TxError, Xmit},
    netlink::NlaPolicy,
    netns, own_packet,
    route::{DstCache, Flow, IpVersion, Ipv4, Ipv6, Route},
    rtnl::{Rtnl, RtnlCell, RtnlValue},
    rtnl_link::{self, LinkInfo, LinkKind, LinkRequest, NewLink, MOST_XSTATS},
    rx_device::RxError,
    udp::{Checksum, PortNumber, Ports},
    udp_send::{self, OuterIp, OuterUdp, Unsent},
    DropReason, Netns,
};
use tables::{lie, look_up_lies, Noticed, Number, SHARED};

/// The port of each namespace's tunnel.
const PORT: u16 = 7020;

static SENT: AtomicU32 = AtomicU32::new(0);
static DROPPED: AtomicU32 = AtomicU32::new(0);
static WORKED: AtomicU32 = AtomicU32::new(0);

fn count(counter: &AtomicU32) -> u32 {
    counter.fetch_add(1, Ordering::Relaxed)
}

/// A device that follows orders.
struct Orders {
    number: u32,
    cell: RtnlCell<Noticed>,
    v4: DstCache<Ipv4>,
    v6: DstCache<Ipv6>,
}

/// Numbers that are too small, too large, or right.
const SIZES: [u32; 8] = [1400, 0, 1, 67, 1400, 65_536, i32::MAX as u32, u32::MAX];
const LENGTHS: [usize; 10] = [
    8,
    0,
    4,
    255,
    4000,
    0x3fff,
    0x4000,
    70_000,
    0x7fff_ff00,
    usize::MAX,
];

fn size(number: u32) -> u32 {
    SIZES
        .get(number as usize % SIZES.len())
        .copied()
        .unwrap_or(0)
}

fn dimensions(number: u32) -> Dimensions {
    Dimensions {
        mtu: size(number),
        max_mtu: size(number / 8),
        headroom: size(number / 64) as u16,
    }
}

/// An order in a packet's IP header: bytes that devices do not change.
#[derive(Clone, Copy)]
struct Order([u8; 4]);

impl Order {
    fn of(skb: &DeviceSkb) -> Self {
        let header: Option<&[u8; 20]> = skb.linear_header(20).and_then(|bytes| bytes.first_chunk());
        match header {
            Some([first, tos, _, _, l0, l1, _, hop, ..]) if first >> 4 == 6 => {
                Self([first << 4 | tos >> 4, *l0, *l1, *hop])
            }
            Some([_, tos, _, _, i0, i1, _, _, ttl, ..]) => Self([*tos, *i0, *i1, *ttl]),
            None => Self([skb.len() as u8; 4]),
        }
    }

    fn word(self) -> u32 {
        u32::from_be_bytes(self.0)
    }

    fn header_len(self) -> usize {
        let [_, index, ..] = self.0;
        LENGTHS
            .get(usize::from(index) % LENGTHS.len())
            .copied()
            .unwrap_or(0)
    }
}

/// Sends a packet as ordered, over IPv4 or IPv6.
fn send<V: IpVersion>(
    xmit: &Xmit<'_, Orders>,
    mut skb: DeviceSkb,
    order: Order,
    (source, destination): (V::Address, V::Address),
    cache: &DstCache<V>,
) -> Sent {
    let [what, _, how, last] = order.0;
    let port = PortNumber::from_be_bytes([last, how]);
    let range = match what & 3 {
        0 => None,
        1 => Some((port, PortNumber::ANY)),
        2 => Some((PortNumber::ANY, port)),
        _ => Some((port, port)),
    };
    let ports = Ports {
        source: skb.flow_port(xmit, range),
        destination: PortNumber::from_be_bytes(PORT.to_be_bytes()),
    };
    let flow = Flow {
        source,
        destination,
        ports,
        tos: what,
        flow_label: order.word(),
        mark: u32::from(how) & 1,
        link: u32::from(last) & 1,
        any_source: how & 2 != 0,
    };
    let route = match how >> 6 {
        0 => Route::look_up(xmit.device().link_net(), &flow),
        1 => Route::of_packet(xmit, None, || flow),
        _ => Route::of_packet(xmit, Some(cache), || flow),
    };
    let Ok(route) = route else {
        return xmit.drop(skb, DropReason::IP_OUTNOROUTES, TxError::Carrier);
    };
    if let Err(too_long) = skb.check_path_mtu(&route, order.word() >> (what & 31)) {
        skb.answer_too_long(too_long);
    }
    let parts = order.header_len()..order.word() as usize;
    if let Ok(piece) = skb.piece(&order.0, parts, order.word() >> (how & 31)) {
        let _sent = xmit.consume(piece);
    }
    let _ = skb.inner_ip();
    let _ = skb.inner_frame();
    let skb = match skb.check_path_mtu_of_frame(xmit, &route, order.word() >> (how & 31)) {
        Ok(skb) => skb,
        Err(sent) => return sent,
    };
    let ip = OuterIp {
        tos: what,
        hop_limit: last,
        dont_fragment: how & 1 != 0,
        flow_label: order.word(),
    };
    let udp = OuterUdp {
        ports,
        checksum: if how & 2 != 0 {
            Checksum::Full
        } else {
            Checksum::Zero
        },
        header_len: order.header_len(),
        leaves_checksum: how & 4 != 0,
        is_frame: how & 8 != 0,
    };
    // The order for the receiving tunnel: any device, any IP version, any protocol.
    let fill = |to: &mut [u8]| {
        to.fill(how);
        if let Some((first, _)) = to.split_first_chunk_mut::<4>() {
            *first = order.0;
        }
    };
    match udp_send::send(xmit, skb, route, &destination, &ip, &udp, fill) {
        Ok(sent) => {
            count(&SENT);
            sent
        }
        Err(Unsent(skb, _)) => xmit.drop(skb, DropReason::PKT_TOO_SMALL, TxError::Error),
    }
}

/// Sends a packet of the module's own, of up to 600 bytes and with any fields.
fn send_own<V: IpVersion>(
    dev: &Device<Orders>,
    what: u32,
    (source, destination): (V::Address, V::Address),
) {
    let ports = Ports {
        source: PortNumber::ANY,
        destination: PortNumber::from_be_bytes(PORT.to_be_bytes()),
    };
    let flow = Flow {
        source,
        destination,
        ports,
        tos: what as u8,
        flow_label: what,
        mark: 0,
        link: 0,
        any_source: false,
    };
    let Ok(route) = Route::<V>::look_up(dev.link_net(), &flow) else {
        return;
    };
    let ip = OuterIp {
        tos: what as u8,
        hop_limit: (what >> 8) as u8,
        dont_fragment: what & 1 != 0,
        flow_label: what,
    };
    let checksum = if what & 2 != 0 {
        Checksum::Full
    } else {
        Checksum::Zero
    };
    let payload = [what as u8; 600];
    let len = what as usize % (payload.len() + 1);
    let payload = payload.get(..len).unwrap_or_default();
    let _ = own_packet::send(route, &destination, &ip, ports, checksum, payload);
}

impl Operations for Orders {
    const DRIVER: &'static CStr = c"misuse";
    type Config = u32;

    fn new(
        number: u32,
        dev: NewDevice<'_>,
        link_net: &Netns,
        rtnl: &mut Rtnl,
    ) -> impl PinInit<Self, Error> {
        dev.set_carrier(number & 1 == 0, rtnl);
        dev.set_carrier(true, rtnl);
        try_init!(Self {
            number: if number % 16 == 15 { Err(ENXIO)? } else { number },
            cell: RtnlCell::new(Noticed(Arc::new(AtomicU32::new(0), GFP_KERNEL)?))?,
            v4: DstCache::new(link_net)?,
            v6: DstCache::new(link_net)?,
        }? Error)
    }

    // Removes the receive side, which tunnels have used until now, also while the device was down.
    fn uninit(&self, rtnl: &mut Rtnl) {
        count(&self.cell.read_rtnl(rtnl).0);
        if let Some(shared) = SHARED.as_ref() {
            shared.devices.remove(&Number(self.number));
        }
    }

    fn open(dev: &Device<Self>, rtnl: &mut Rtnl) -> Result {
        let number = dev.data().number;
        if let Some(shared) = SHARED.as_ref() {
            // Lets tunnels give packets to the device, which may fail to go up.
            let _ = shared.devices.insert(Number(number), dev.rx());
        }
        // Also for a device that does not go up.
        dev.run_work_now();
        if number % 16 == 14 {
            return Err(EBUSY);
        }
        // The stack changes the device's sizes while the device goes up.
        let _ = dev.resize(dimensions(number.wrapping_mul(7)), number & 1 != 0, rtnl);
        lie(number);
        Ok(())
    }

    // Schedules itself again, whatever state the device is in.
    fn work(dev: &Device<Self>) {
        let number = dev.data().number;
        // A slow machine must have time for other work, such as the end of a device.
        dev.run_work_in(number % 5 * 40 + 100);
        let _ = Rtnl::try_lock(|rtnl| {
            dev.set_carrier(false, rtnl);
            dev.set_carrier(true, rtnl);
            count(&dev.data().cell.read_rtnl(rtnl).0);
        });
        let what = count(&WORKED);
        send_own::<Ipv4>(dev, what, ([0; 4], [192, 0, 2, 2]));
        send_own::<Ipv4>(dev, what, ([0; 4], [127, 0, 0, 1]));
        let mut here = [0; 16];
        here[15] = 1;
        send_own::<Ipv6>(dev, what, ([0; 16], here));
    }

    fn stop(dev: &Device<Self>, rtnl: &mut Rtnl) {
        dev.run_work_now();
        let rx = dev.rx();
        rx.clone().count_error(RxError::Frame);
        dev.set_carrier(false, rtnl);
    }

    fn transmit(xmit: &Xmit<'_, Self>, skb: DeviceSkb) -> Sent {
        let order = Order::of(&skb);
        let orders = xmit.device().data();
        count(&orders.cell.read(xmit.reader()).0);
        xmit.device().run_work_in(u32::MAX);
        xmit.device().run_work_now();
        look_up_lies(order.word());
        let [what, _, how, _] = order.0;
        match how & 0x38 {
            0x08 => {
                count(&DROPPED);
                let error = match what & 3 {
                    0 => TxError::Dropped,
                    1 => TxError::Error,
                    2 => TxError::Carrier,
                    _ => TxError::Loop,
                };
                xmit.drop(skb, DropReason::NOT_SPECIFIED, error)
            }
            0x10 | 0x18 => {
                let here = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
                let mut peer = here;
                peer[15] = 2;
                send::<Ipv6>(xmit, skb, order, (here, peer), &orders.v6)
            }
            _ => send::<Ipv4>(xmit, skb, order, ([0; 4], [192, 0, 2, 2]), &orders.v4),
        }
    }

    fn iflink(&self) -> u32 {
        self.number
    }
}

/// The kind of link.
struct Kind;

impl LinkKind for Kind {
    const KIND: &'static CStr = c"misuse";
    const POLICY: &'static [NlaPolicy] = &[NlaPolicy::UNSPEC, NlaPolicy::U32];
    type Device = Orders;

    fn newlink(&self, request: &NewLink<'_>, _rtnl: &mut Rtnl) -> Result<(u32, Dimensions)> {
        let number = match request.attr(1) {
            Some(attr) => attr.get::<u32>()?,
            None => return Err(request.refuse(EINVAL, c"a number is missing", None)),
        };
        // Asks for attributes that the policy does not have.
        if request.attr(-1).is_some() || request.attr(2).is_some() {
            return Err(EXFULL);
        }
        lie(number);
        Ok((number, dimensions(number)))
    }

    fn changelink(
        &self,
        dev: &Device<Orders>,
        request: &LinkRequest<'_>,
        rtnl: &mut Rtnl,
    ) -> Result {
        for step in 0..8 {
            let value = Noticed(Arc::new(AtomicU32::new(0), GFP_KERNEL)?);
            dev.data().cell.replace(RtnlValue::new(value)?, rtnl);
            let _ = dev.resize(dimensions(dev.data().number.wrapping_add(step)), true, rtnl);
        }
        Err(request.refuse(EBUSY, c"after all changes", request.attr(1)))
    }

    const XSTATS: usize = MOST_XSTATS;

    fn fill_xstats(dev: &Device<Orders>, to: &mut [u64]) {
        to.fill(dev.received_packets());
    }

    fn fill_info(dev: &Device<Orders>, info: &mut LinkInfo<'_>) -> Result {
        info.put_u32(1, dev.data().number)
    }
}

/// Registers the kind alone.
pub(crate) fn register_kind(scope: &'static Scope) -> Result {
    rtnl_link::register(scope, Kind).map(|_| ())
}

pub(crate) fn register(scope: &'static Scope) -> Result {
    tables::prepare()?;
    netns::register::<tunnel::Here>(scope)?;
    register_kind(scope)
}
