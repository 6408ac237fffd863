// SPDX-License-Identifier: GPL-2.0

//! Forgotten sockets, and handles that outlive their socket's network namespace.

use core::{
    mem,
    sync::atomic::{AtomicU32, Ordering},
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex, SetOnce},
};
use net::{
    module::Scope,
    netns::{self, PerNetns, Place, Slot, SlotRef},
    rcu::RcuReader,
    skb::RxSkb,
    udp::PortNumber,
    udp_tunnel::{Addresses, Binding, EncapReceive, UdpSocket, UdpTunnelSocket, Verdict},
    DropReason,
};

/// Ports of a forgotten tunnel, of a forgotten plain socket, and of kept handles.
const TUNNEL: u16 = 7001;
const SOCKET: u16 = 7002;
const KEPT_TUNNEL: u16 = 7003;
const KEPT_SOCKET: u16 = 7004;

/// Counts the packets that tunnels have received.
static RECEIVED: AtomicU32 = AtomicU32::new(0);

/// A tunnel that drops what it receives.
pub(crate) struct Sink {
    // Read for each packet, so that KASAN finds a tunnel that was freed too early.
    reason: KBox<DropReason>,
}

impl Sink {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            reason: KBox::new(DropReason::UNHANDLED_PROTO, GFP_KERNEL)?,
        })
    }
}

impl EncapReceive for Sink {
    fn receive<const IPV6: bool>(&self, skb: RxSkb, _rcu: RcuReader<'_>) -> Verdict {
        RECEIVED.fetch_add(1, Ordering::Relaxed);
        Verdict::Drop(skb, *self.reason)
    }
}

/// Opens a socket that receives from anywhere.
pub(crate) fn open<'a>(place: impl Into<Place<'a>>, port: u16) -> Result<UdpSocket> {
    let any = Addresses::V4 {
        local: [0; 4],
        peer: [0; 4],
    };
    let binding = Binding {
        addresses: any,
        local_port: PortNumber::from_be_bytes(port.to_be_bytes()),
        peer_port: PortNumber::ANY,
        ifindex: 0,
    };
    UdpSocket::open(place, &binding)
}

/// Handles of sockets in all namespaces, also in namespaces that have ended.
#[pin_data]
pub(crate) struct Handles {
    #[pin]
    tunnels: Mutex<KVec<UdpTunnelSocket<Sink>>>,
    #[pin]
    sockets: Mutex<KVec<UdpSocket>>,
}

static HANDLES: SetOnce<Arc<Handles>> = SetOnce::new();

/// Logs the state of the handles when the module is unloaded.
pub(crate) struct Kept(Arc<Handles>);

impl Drop for Kept {
    fn drop(&mut self) {
        let mut usable: u32 = 0;
        let mut ended: u32 = 0;
        let sockets = mem::take(&mut *self.0.sockets.lock());
        for socket in sockets {
            // Bound to any address, open or not.
            let _ = (socket.addresses(), socket.peer_port(), socket.ifindex());
            match Sink::new().and_then(|sink| UdpTunnelSocket::new(socket, sink)) {
                Ok(_) => usable = usable.saturating_add(1),
                Err(ENODEV) => ended = ended.saturating_add(1),
                Err(error) => pr_err!("a socket cannot be made a tunnel's: {error:?}\n"),
            }
        }
        for tunnel in self.0.tunnels.lock().iter() {
            let _ = tunnel.socket().addresses();
            let _ = *tunnel.tunnel().reason;
        }
        let received = RECEIVED.load(Ordering::Relaxed);
        pr_info!("received {received}, usable {usable}, ended {ended}\n");
    }
}

/// A namespace's state, which owns none of the sockets.
struct Here(());

static SLOT: Slot<Here> = Slot::new();

impl PerNetns for Here {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(place: Place<'_>) -> impl PinInit<Self, Error> {
        misuse(place).map(Here)
    }
}

fn misuse(place: Place<'_>) -> Result<()> {
    let handles = HANDLES.as_ref().ok_or(ENXIO)?;
    mem::forget(UdpTunnelSocket::new(open(place, TUNNEL)?, Sink::new()?)?);
    let socket: &'static UdpSocket = KBox::leak(KBox::new(open(place, SOCKET)?, GFP_KERNEL)?);
    let _ = socket.addresses();
    let tunnel = UdpTunnelSocket::new(open(place, KEPT_TUNNEL)?, Sink::new()?)?;
    let mut tunnels = handles.tunnels.lock();
    tunnels.push(tunnel, GFP_KERNEL)?;
    // Handles of other namespaces, too.
    for tunnel in tunnels.iter() {
        let _ = tunnel.socket().addresses();
    }
    drop(tunnels);
    let socket = open(place, KEPT_SOCKET)?;
    handles.sockets.lock().push(socket, GFP_KERNEL)?;
    Ok(())
}

pub(crate) fn register(scope: &'static Scope) -> Result<Kept> {
    let handles = Arc::pin_init(
        pin_init!(Handles {
            tunnels <- new_mutex!(KVec::new()),
            sockets <- new_mutex!(KVec::new()),
        }),
        GFP_KERNEL,
    )?;
    HANDLES.populate(handles.clone());
    netns::register::<Here>(scope)?;
    Ok(Kept(handles))
}
