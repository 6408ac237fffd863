// SPDX-License-Identifier: GPL-2.0

//! The listening ports of a network namespace.

use crate::receive::Decapsulator;
use kernel::{new_mutex, prelude::*, sync::Arc, sync::Mutex};
use net::{
    netns::{PerNetns, Slot, SlotRef},
    rcu::Quiescence,
    udp::PortNumber,
    udp_tunnel::{Binding, UdpSocket, UdpTunnelSocket},
    Netns,
};

/// A UDP port that tunnels are received on.
pub(crate) struct Port {
    /// Ports are numbered in the order they were added in, from 1; a number is not used again.
    serial: u64,
    /// The port number that was asked for, which "any" stays.
    number: PortNumber,
    socket: UdpTunnelSocket<Decapsulator>,
}

impl Port {
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    pub(crate) fn decapsulator(&self) -> &Decapsulator {
        self.socket.tunnel()
    }

    /// What the port is bound to, under the number that it was asked for by.
    pub(crate) fn binding(&self) -> Binding {
        let socket = self.socket.socket();
        Binding {
            addresses: socket.addresses(),
            local_port: self.number,
            peer_port: socket.peer_port(),
            ifindex: socket.ifindex(),
        }
    }
}

/// The ports of one network namespace.
#[pin_data]
pub(crate) struct Ports {
    #[pin]
    list: Mutex<List>,
}

/// Oldest port first, so in the order of serial numbers.
struct List {
    ports: KVVec<Port>,
    last_serial: u64,
}

static SLOT: Slot<Ports> = Slot::new();

impl PerNetns for Ports {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(_netns: &Netns) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            list <- new_mutex!(List { ports: KVVec::new(), last_serial: 0 }, "rfou::Ports"),
        })
    }
}

impl Ports {
    /// Puts a bound socket to use as a port.
    ///
    /// Fails with `EALREADY` if there is a port with that binding, with `ENOMEM`; the socket is
    /// closed then. May sleep.
    pub(crate) fn add(
        &self,
        netns: &Netns,
        binding: &Binding,
        socket: UdpSocket,
        decapsulator: Decapsulator,
        quiescence: Arc<Quiescence>,
    ) -> Result {
        let socket = UdpTunnelSocket::new_with_gro(netns, socket, decapsulator, quiescence)?;
        let mut list = self.list.lock();
        if list.ports.iter().any(|port| port.binding() == *binding) {
            return Err(EALREADY);
        }
        let serial = list.last_serial.checked_add(1).ok_or(EOVERFLOW)?;
        let port = Port {
            serial,
            number: binding.local_port,
            socket,
        };
        list.ports.push(port, GFP_KERNEL)?;
        list.last_serial = serial;
        Ok(())
    }

    /// Closes the port with a binding; of several, the newest. Fails with `EINVAL` if there is none.
    /// May sleep.
    pub(crate) fn remove(&self, binding: &Binding) -> Result {
        let mut list = self.list.lock();
        let index = list
            .ports
            .iter()
            .rposition(|port| port.binding() == *binding)
            .ok_or(EINVAL)?;
        let port = list.ports.remove(index).map_err(|_| EINVAL)?;
        drop(port);
        Ok(())
    }

    /// Shows the port with a binding to `show`; of several, the newest. Fails with `ESRCH` if there
    /// is none. May sleep.
    pub(crate) fn find(&self, binding: &Binding, show: impl FnOnce(&Port) -> Result) -> Result {
        let list = self.list.lock();
        let port = list
            .ports
            .iter()
            .rev()
            .find(|port| port.binding() == *binding)
            .ok_or(ESRCH)?;
        show(port)
    }

    /// Shows all ports to `show`, newest first, until it fails; `before` is the serial number to go
    /// on below, or 0 to start. May sleep.
    pub(crate) fn for_each_before(
        &self,
        before: u64,
        mut show: impl FnMut(&Port) -> Result,
    ) -> Result {
        let list = self.list.lock();
        let end = match before {
            0 => list.ports.len(),
            serial => list.ports.partition_point(|port| port.serial < serial),
        };
        for port in list.ports.iter().take(end).rev() {
            show(port)?;
        }
        Ok(())
    }
}
