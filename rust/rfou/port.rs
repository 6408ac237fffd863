// SPDX-License-Identifier: GPL-2.0

//! The listening ports of a network namespace.

use crate::{
    counters::Totals,
    receive::{Encapsulation, FouDecapsulator, GueDecapsulator},
    records::Records,
};
use core::cmp::{Ordering, Reverse};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::Mutex,
};
use net::{
    errno::EALREADY,
    netns::{PerNetns, Place, Slot, SlotRef},
    skb::RemcsumMode,
    udp_tunnel::{Binding, UdpSocket, UdpTunnelSocket},
};

/// A UDP port that receives tunnelled packets.
pub(crate) struct Port {
    /// Numbers ports in the order of their addition, from 1. A number is never reused.
    serial: u64,
    /// The binding that was requested. The socket may have chosen a port, and a local address to reach the peer.
    asked: Binding,
    settings: Settings,
    socket: Socket,
}

/// The encapsulation of a port, and its options.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) encapsulation: Encapsulation,
    /// The way to complete remote checksums. Has no effect on FOU ports, but every port keeps and shows
    /// it.
    pub(crate) remote_checksum: RemcsumMode,
}

/// The socket of a port. Each encapsulation has a type, so receive does not branch on it per packet.
enum Socket {
    Fou(UdpTunnelSocket<FouDecapsulator>),
    Gue(UdpTunnelSocket<GueDecapsulator>),
}

impl Socket {
    fn new(socket: UdpSocket, settings: Settings) -> Result<Self> {
        let records = Records::new(&socket)?;
        Ok(match settings.encapsulation {
            Encapsulation::Direct(protocol) => Self::Fou(UdpTunnelSocket::new_with_gro(
                socket,
                FouDecapsulator { records, protocol },
            )?),
            Encapsulation::Gue => Self::Gue(UdpTunnelSocket::new_with_gro(
                socket,
                GueDecapsulator {
                    records,
                    remote_checksum: settings.remote_checksum,
                },
            )?),
        })
    }

    fn udp(&self) -> &UdpSocket {
        match self {
            Self::Fou(socket) => socket.socket(),
            Self::Gue(socket) => socket.socket(),
        }
    }

    fn records(&self) -> &Records {
        match self {
            Self::Fou(socket) => &socket.tunnel().records,
            Self::Gue(socket) => &socket.tunnel().records,
        }
    }

    fn close_and_wait(&self) {
        match self {
            Self::Fou(socket) => socket.close_and_wait(),
            Self::Gue(socket) => socket.close_and_wait(),
        }
    }
}

impl Port {
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the socket's binding with the port number of the request.
    pub(crate) fn binding(&self) -> Binding {
        let socket = self.socket.udp();
        Binding {
            addresses: socket.addresses(),
            local_port: self.asked.local_port,
            peer_port: socket.peer_port(),
            ifindex: socket.ifindex(),
        }
    }

    /// Returns the values of the port's counters.
    pub(crate) fn totals(&self) -> Totals {
        self.socket.records().totals()
    }

    /// Returns `true` if no socket with `binding` can be opened beside this port's.
    fn is_in_the_way_of(&self, binding: &Binding) -> bool {
        let socket = self.socket.udp();
        let (ours, theirs) = (socket.addresses(), binding.addresses);
        let (device, other_device) = (socket.ifindex(), binding.ifindex);
        ours.is_ipv6() == theirs.is_ipv6()
            && socket.local_port() == binding.local_port
            && (ours.is_any_local() || theirs.is_any_local() || ours.is_same_local(&theirs))
            && (device == 0 || other_device == 0 || device == other_device)
    }
}

/// The binding by which a port is found.
#[derive(Clone, Copy)]
pub(crate) enum Lookup {
    /// The binding of its socket, as a dump shows it.
    Actual,
    /// The binding of its socket, or else the binding that its request had.
    ActualOrAsked,
}

impl Lookup {
    fn find(self, list: &List, binding: &Binding) -> Option<Key> {
        match self {
            Self::Actual => list.find(binding),
            Self::ActualOrAsked => list.find_as_asked(binding),
        }
    }
}

/// The ports of one network namespace.
#[pin_data]
pub(crate) struct Ports {
    #[pin]
    list: Mutex<List>,
}

struct List {
    /// Ports by serial number, newest first.
    ports: RBTree<Reverse<u64>, Port>,
    /// Serial numbers of ports by binding.
    serials: RBTree<Key, ()>,
    last_serial: u64,
}

/// The key of a port: its binding, then its serial number, newest first. Several ports may have the same
/// binding, because connecting to a peer chooses a local address.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(Binding, Reverse<u64>);

impl Ord for Key {
    // One function for all walks of the tree, because its code is long and no packet runs it.
    #[inline(never)]
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.0, &self.1).cmp(&(&other.0, &other.1))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key {
    /// Returns a key that sorts before every port with this binding.
    fn first_of(binding: &Binding) -> Self {
        Self(*binding, Reverse(u64::MAX))
    }
}

impl List {
    /// Returns the key of the newest port with a binding.
    fn find(&self, binding: &Binding) -> Option<Key> {
        let cursor = self.serials.cursor_lower_bound(&Key::first_of(binding))?;
        let (key, ()) = cursor.current();
        (key.0 == *binding).then_some(*key)
    }

    /// Does what [`Self::find`] does, and finds a port also by the binding that its request had.
    fn find_as_asked(&self, binding: &Binding) -> Option<Key> {
        self.find(binding).or_else(|| {
            // Only a socket with a peer chooses an address. Such ports are few.
            binding.peer_port.specific()?;
            let mut ports = self.ports.iter();
            let (serial, port) = ports.find(|(_, port)| port.asked == *binding)?;
            Some(Key(port.binding(), *serial))
        })
    }
}

static SLOT: Slot<Ports> = Slot::new();

impl PerNetns for Ports {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(_place: Place<'_>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            list <- new_mutex!(
                List { ports: RBTree::new(), serials: RBTree::new(), last_serial: 0 },
                "rfou::Ports"
            ),
        })
    }
}

impl Ports {
    /// Adds a port with a bound socket, and calls `announce` with it.
    ///
    /// Fails with `EALREADY` if there is a port with that binding, or with `ENOMEM`, and then closes the
    /// socket. May sleep.
    pub(crate) fn add(
        &self,
        binding: &Binding,
        socket: UdpSocket,
        settings: Settings,
        announce: impl FnOnce(&Port),
    ) -> Result {
        let socket = Socket::new(socket, settings)?;
        let mut list = self.list.lock();
        if list.find(binding).is_some() {
            return Err(EALREADY);
        }
        let serial = list.last_serial.checked_add(1).ok_or(EOVERFLOW)?;
        let port = Port {
            serial,
            asked: *binding,
            settings,
            socket,
        };
        let key = Key(port.binding(), Reverse(serial));
        // Both before the first insert, so that a failure leaves no port in one tree alone.
        let serial_node = RBTreeNode::new(key, (), GFP_KERNEL)?;
        let port_node = RBTreeNode::new(Reverse(serial), port, GFP_KERNEL)?;
        list.serials.insert(serial_node);
        list.ports.insert(port_node);
        list.last_serial = serial;
        // Before the lock is dropped, so that announcements are in the order of the changes.
        if let Some(port) = list.ports.get(&Reverse(serial)) {
            announce(port);
        }
        Ok(())
    }

    /// Closes the newest port with a binding. `lookup` says which binding. Fails with `EINVAL` if there is
    /// none. May sleep.
    ///
    /// Calls `announce`, if there is one, with a description of the port and the final values of its
    /// counters.
    pub(crate) fn remove(
        &self,
        binding: &Binding,
        lookup: Lookup,
        announce: Option<impl FnOnce(&Binding, &Settings, &Totals)>,
    ) -> Result {
        let mut list = self.list.lock();
        let key = lookup.find(&list, binding).ok_or(EINVAL)?;
        list.serials.remove(&key);
        let port = list.ports.remove(&key.1).ok_or(EINVAL)?;
        if let Some(announce) = announce {
            // Read the binding first: a closed socket has no addresses.
            let binding = port.binding();
            port.socket.close_and_wait();
            announce(&binding, &port.settings, &port.totals());
        }
        Ok(())
    }

    /// Calls `show` with the newest port with a binding. `lookup` says which binding. Fails with `ESRCH` if
    /// there is none. May sleep.
    pub(crate) fn find<R>(
        &self,
        binding: &Binding,
        lookup: Lookup,
        show: impl FnOnce(&Port) -> Result<R>,
    ) -> Result<R> {
        let list = self.list.lock();
        let key = lookup.find(&list, binding).ok_or(ESRCH)?;
        show(list.ports.get(&key.1).ok_or(ESRCH)?)
    }

    /// Returns `true` if no socket with `binding` can be opened because of a port. May sleep.
    pub(crate) fn is_taken(&self, binding: &Binding) -> bool {
        let list = self.list.lock();
        let mut ports = list.ports.values();
        ports.any(|port| port.is_in_the_way_of(binding))
    }

    /// Calls `show` with each port whose serial number is less than `before`, newest first, until `show`
    /// fails. 0 stands for all ports. May sleep.
    pub(crate) fn for_each_before(
        &self,
        before: u64,
        mut show: impl FnMut(&Port) -> Result,
    ) -> Result {
        let mut list = self.list.lock();
        let newest = match before {
            0 => u64::MAX,
            serial => serial.saturating_sub(1),
        };
        let mut cursor = list.ports.cursor_lower_bound_mut(&Reverse(newest));
        while let Some(at) = cursor {
            show(at.current().1)?;
            cursor = at.move_next();
        }
        Ok(())
    }
}
