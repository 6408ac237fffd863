// SPDX-License-Identifier: GPL-2.0

//! UDP sockets that devices share.
//!
//! The devices of a network namespace that receive from the same address and port share one socket, which
//! is open while one of them is up.

use crate::demux::{Entry, Key, Receiver};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{Arc, Mutex},
};
use net::errno::{EADDRINUSE, EADDRNOTAVAIL};
use net::{
    module::Scope,
    netns::{self, PerNetns, Place, Registration, Slot, SlotRef},
    rcu_table::Replacement,
    udp_tunnel::{Binding, UdpSocket, UdpTunnelSocket},
    Netns,
};

/// The sockets of one network namespace.
pub(crate) struct Sockets {
    table: Arc<Table>,
}

static SLOT: Slot<Sockets> = Slot::new();

impl PerNetns for Sockets {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);

    fn new(_place: Place<'_>) -> impl PinInit<Self, Error> {
        try_init!(Self {
            table: Arc::pin_init(
                pin_init!(Table {
                    list <- new_mutex!(List {
                        sockets: RBTree::new(),
                        claims: RBTree::new(),
                    }, "rgue::Sockets"),
                }),
                GFP_KERNEL,
            )?,
        }? Error)
    }
}

/// Registers the sockets of all namespaces. Process context, may sleep.
pub(crate) fn register(scope: &'static Scope) -> Result<&'static Registration<Sockets>> {
    netns::register(scope)
}

#[pin_data]
struct Table {
    #[pin]
    list: Mutex<List>,
}

struct List {
    /// The open sockets.
    sockets: RBTree<Binding, Shared>,
    /// The claims of existing devices. The value is the binding of the device's socket if the device is up.
    claims: RBTree<Claim, Option<Binding>>,
}

/// The binding at the time when a device was made, and the packets that the device is for.
type Claim = (Binding, Key);

/// A socket, and the number of devices that are up and use it.
struct Shared {
    socket: UdpTunnelSocket<Receiver>,
    users: usize,
}

/// The reason why a device cannot have its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another device is for the same packets.
    SamePackets,
    /// Another device listens on this port, on an address that overlaps with this one's.
    PortOfGue,
    /// A socket that is not this module's has the port.
    PortInUse,
    /// The address is not one of this host's.
    NotLocal,
    /// Another error.
    Other(Error),
}

impl Sockets {
    /// Claims the packets that a new device is for, at one socket. May sleep.
    ///
    /// The device gets the packets of `key`, or those of its group from any address if `from_any` is `true`.
    ///
    /// Binds a socket on trial if none is open: a refusal of the request that makes a device can have an
    /// extack text, and an error when the device goes up cannot.
    pub(crate) fn claim(
        &self,
        netns: &Netns,
        binding: Binding,
        key: Key,
        from_any: bool,
    ) -> Result<Claimed, Refusal> {
        let claim = claim_of(binding, key, from_any);
        let node = RBTreeNode::new(claim, None, GFP_KERNEL).map_err(Refusal::Other)?;
        let mut list = self.table.list.lock();
        if list.claims.get(&claim).is_some() {
            return Err(Refusal::SamePackets);
        }
        if list.sockets.get(&binding).is_none() {
            match UdpSocket::open(netns, &binding) {
                Ok(_) => {}
                Err(EADDRINUSE) if list.listens_beside(&binding) => return Err(Refusal::PortOfGue),
                Err(EADDRINUSE) => return Err(Refusal::PortInUse),
                Err(EADDRNOTAVAIL) => return Err(Refusal::NotLocal),
                Err(error) => return Err(Refusal::Other(error)),
            }
        }
        list.claims.insert(node);
        drop(list);
        Ok(Claimed {
            table: self.table.clone(),
            binding,
            key,
            from_any: AtomicBool::new(from_any),
            released: AtomicBool::new(false),
        })
    }
}

impl List {
    /// Returns `true` if there is a socket of another binding on this port, of the same IP version.
    fn listens_beside(&self, binding: &Binding) -> bool {
        self.sockets.keys().any(|other| {
            other.local_port == binding.local_port
                && other.addresses.is_ipv6() == binding.addresses.is_ipv6()
        })
    }

    /// Adds a device to the socket of a binding, which is opened if it is not open.
    fn add(&mut self, netns: &Netns, binding: Binding, key: Key, entry: Entry) -> Result {
        if let Some(shared) = self.sockets.get_mut(&binding) {
            shared.socket.tunnel().devices().insert(key, entry)?;
            shared.users = shared.users.saturating_add(1);
            return Ok(());
        }
        let socket = UdpSocket::open(netns, &binding)?;
        let socket = UdpTunnelSocket::pin_init_with_gro(socket, Receiver::new())?;
        socket.tunnel().devices().insert(key, entry)?;
        let node = RBTreeNode::new(binding, Shared { socket, users: 1 }, GFP_KERNEL)?;
        self.sockets.insert(node);
        Ok(())
    }

    /// Removes a device from its socket, and closes the socket if no other device uses it.
    // The caller holds the lock meanwhile, so that the port is free when another device asks for it.
    fn close(&mut self, claim: &Claim) {
        let Some(binding) = self.claims.get_mut(claim).and_then(Option::take) else {
            return;
        };
        let Some(shared) = self.sockets.get_mut(&binding) else {
            return;
        };
        shared.socket.tunnel().devices().remove(&claim.1);
        shared.users = shared.users.saturating_sub(1);
        if shared.users == 0 {
            self.sockets.remove(&binding);
        }
    }
}

/// A device's right to its packets at one socket, and its place there while it is up.
pub(crate) struct Claimed {
    table: Arc<Table>,
    binding: Binding,
    /// The packets of the device's own remote address.
    key: Key,
    /// `true` if the device gets the packets of its group from any address. The table's lock guards it.
    from_any: AtomicBool,
    /// `true` when the claim was given up: another device may have it.
    released: AtomicBool,
}

fn claim_of(binding: Binding, key: Key, from_any: bool) -> Claim {
    let key = if from_any { key.with_any_remote() } else { key };
    (binding, key)
}

impl Claimed {
    /// Returns the claim. The caller holds the table's lock.
    fn claim(&self) -> Claim {
        claim_of(
            self.binding,
            self.key,
            self.from_any.load(Ordering::Relaxed),
        )
    }

    /// Begins to receive for a device. `ifindex` is the index of the device to bind the socket to, or 0. May
    /// sleep.
    ///
    /// Fails with the errors of [`UdpSocket::open`], with `EEXIST` if another device that is up has the same
    /// packets, and with `EBUSY` if the device is up already or has given up its claim.
    pub(crate) fn open(&self, netns: &Netns, ifindex: i32, entry: Entry) -> Result {
        let mut list = self.table.list.lock();
        let claim = self.claim();
        let (binding, key) = claim;
        let binding = Binding { ifindex, ..binding };
        if !matches!(list.claims.get(&claim), Some(None)) {
            return Err(EBUSY);
        }
        list.add(netns, binding, key, entry)?;
        if let Some(up) = list.claims.get_mut(&claim) {
            *up = Some(binding);
        }
        Ok(())
    }

    /// Allocates a replacement for the device's entry in the receive table. Returns `None` if the device is
    /// down. May sleep. Fails with `ENOMEM`.
    fn replacement(&self, entry: Entry) -> Result<Option<Replacement<Key, Entry>>> {
        let list = self.table.list.lock();
        let claim = self.claim();
        let Some(Some(_)) = list.claims.get(&claim) else {
            return Ok(None);
        };
        Replacement::new(claim.1, entry).map(Some)
    }

    /// Replaces the device's entry in the receive table.
    fn replace(&self, new: Replacement<Key, Entry>) {
        let list = self.table.list.lock();
        let up = list.claims.get(&self.claim()).copied().flatten();
        if let Some(shared) = up.and_then(|binding| list.sockets.get(&binding)) {
            shared.socket.tunnel().devices().put(new);
        }
    }

    /// Changes which packets the device gets, and its entry in the receive table. May sleep.
    ///
    /// Fails with `EEXIST` if another device has the packets, and with `ENOMEM`; nothing is changed then.
    fn change_packets(&self, from_any: bool, entry: Entry) -> Result {
        let mut list = self.table.list.lock();
        let (old, new) = (self.claim(), claim_of(self.binding, self.key, from_any));
        if old == new {
            self.from_any.store(from_any, Ordering::Relaxed);
            drop(list);
            if let Some(new) = self.replacement(entry)? {
                self.replace(new);
            }
            return Ok(());
        }
        if list.claims.get(&new).is_some() {
            return Err(EEXIST);
        }
        let up = list.claims.get(&old).copied().flatten();
        let node = RBTreeNode::new(new, up, GFP_KERNEL)?;
        if let Some(shared) = up.and_then(|binding| list.sockets.get(&binding)) {
            // A packet meanwhile finds either entry.
            let devices = shared.socket.tunnel().devices();
            devices.insert(new.1, entry)?;
            devices.remove(&old.1);
        }
        list.claims.insert(node);
        list.claims.remove(&old);
        self.from_any.store(from_any, Ordering::Relaxed);
        Ok(())
    }

    /// Ends receiving. May sleep.
    pub(crate) fn close(&self) {
        let mut list = self.table.list.lock();
        if !self.released.load(Ordering::Relaxed) {
            list.close(&self.claim());
        }
    }

    /// Ends receiving, and gives up the right to the packets. May sleep.
    pub(crate) fn release(&self) {
        let mut list = self.table.list.lock();
        if !self.released.swap(true, Ordering::Relaxed) {
            list.close(&self.claim());
            list.claims.remove(&self.claim());
        }
    }
}

/// A device's right to its packets, at one socket or at one of each IP version. RTNL guards changes.
pub(crate) struct Listener {
    first: Claimed,
    second: Option<Claimed>,
}

impl Listener {
    pub(crate) fn new(first: Claimed, second: Option<Claimed>) -> Self {
        Self { first, second }
    }

    /// Begins to receive: see [`Claimed::open`]. After an error neither socket receives for the device.
    pub(crate) fn open(&self, netns: &Netns, ifindex: i32, entry: Entry) -> Result {
        let Some(second) = &self.second else {
            return self.first.open(netns, ifindex, entry);
        };
        self.first.open(netns, ifindex, entry.clone())?;
        second
            .open(netns, ifindex, entry)
            .inspect_err(|_| self.first.close())
    }

    /// Replaces the device's entries in the receive tables, if the device is up. May sleep. Fails with
    /// `ENOMEM`, and changes nothing then.
    pub(crate) fn change(&self, entry: impl FnOnce() -> Entry) -> Result {
        let entry = entry();
        // Everything is allocated before the first change.
        let second = match &self.second {
            Some(listener) => listener.replacement(entry.clone())?,
            None => None,
        };
        if let Some(new) = self.first.replacement(entry)? {
            self.first.replace(new);
        }
        if let (Some(listener), Some(new)) = (&self.second, second) {
            listener.replace(new);
        }
        Ok(())
    }

    /// Changes which packets the device gets, and its entries in the receive tables. A device with two sockets already
    /// receives from any address. May sleep.
    ///
    /// Fails with `EEXIST` if another device has the packets, and with `ENOMEM`; nothing is changed then.
    pub(crate) fn change_packets(&self, from_any: bool, entry: impl FnOnce() -> Entry) -> Result {
        if self.second.is_some() {
            return self.change(entry);
        }
        self.first.change_packets(from_any, entry())
    }

    /// Ends receiving. May sleep.
    pub(crate) fn close(&self) {
        self.first.close();
        if let Some(second) = &self.second {
            second.close();
        }
    }

    /// Ends receiving, and gives up the right to the packets. May sleep.
    pub(crate) fn release(&self) {
        self.first.release();
        if let Some(second) = &self.second {
            second.release();
        }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.release();
    }
}
