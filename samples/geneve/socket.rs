// SPDX-License-Identifier: GPL-2.0

//! UDP sockets that devices share: one for each port and IP version of a network namespace, as long as there
//! is a device.

use crate::receive::{Entry, Key, Receiver};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{Arc, Mutex},
};
use net::{
    netns::{PerNetns, Place, Slot, SlotRef},
    udp_tunnel::{Binding, UdpSocket, UdpTunnelSocket},
    Netns,
};

/// The ports of one network namespace.
pub(crate) struct Ports {
    table: Arc<Table>,
}

#[pin_data]
struct Table {
    #[pin]
    ports: Mutex<RBTree<Binding, Port>>,
}

/// A socket, and the packets that its devices are for.
struct Port {
    socket: UdpTunnelSocket<Receiver>,
    keys: RBTree<Key, ()>,
}

static SLOT: Slot<Ports> = Slot::new();

impl PerNetns for Ports {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(_place: Place<'_>) -> impl PinInit<Self, Error> {
        let table = pin_init!(Table {
            ports <- new_mutex!(RBTree::new(), "geneve_sample::Ports"),
        });
        try_init!(Self {
            table: Arc::pin_init(table, GFP_KERNEL)?,
        }? Error)
    }
}

impl Ports {
    /// Makes the listener of a new device. Opens the socket if the device is the first to use it. May sleep.
    ///
    /// Fails with the errors of [`UdpSocket::open`], and with `EEXIST` if another device has these packets.
    pub(crate) fn listen(&self, netns: &Netns, binding: Binding, key: Key) -> Result<Listener> {
        let node = RBTreeNode::new(key, (), GFP_KERNEL)?;
        let mut ports = self.table.ports.lock();
        if let Some(port) = ports.get_mut(&binding) {
            if port.keys.get(&key).is_some() {
                return Err(EEXIST);
            }
            port.keys.insert(node);
        } else {
            let socket = UdpSocket::open(netns, &binding)?;
            let mut port = Port {
                socket: UdpTunnelSocket::pin_init_with_gro(socket, Receiver::new())?,
                keys: RBTree::new(),
            };
            port.keys.insert(node);
            ports.insert(RBTreeNode::new(binding, port, GFP_KERNEL)?);
        }
        drop(ports);
        Ok(Listener {
            table: self.table.clone(),
            binding,
            key,
        })
    }
}

/// A device's right to its packets. Dropping it closes the socket if no other device uses it, and may sleep.
pub(crate) struct Listener {
    table: Arc<Table>,
    binding: Binding,
    key: Key,
}

impl Listener {
    /// Begins to receive for a device. May sleep. Fails with `ENOMEM`.
    pub(crate) fn start(&self, entry: Entry) -> Result {
        let ports = self.table.ports.lock();
        let port = ports.get(&self.binding).ok_or(ENODEV)?;
        port.socket.tunnel().devices.insert(self.key, entry)
    }

    /// Ends receiving. May sleep.
    pub(crate) fn stop(&self) {
        if let Some(port) = self.table.ports.lock().get(&self.binding) {
            port.socket.tunnel().devices.remove(&self.key);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut ports = self.table.ports.lock();
        if let Some(port) = ports.get_mut(&self.binding) {
            port.keys.remove(&self.key);
            if port.keys.is_empty() {
                ports.remove(&self.binding);
            }
        }
    }
}
