// SPDX-License-Identifier: GPL-2.0

//! Kernel UDP sockets, which are closed when their network namespace ends.
//!
//! Kernel sockets do not keep their namespace alive: otherwise no namespace with a kernel socket would end.
//! C code closes its kernel sockets before the namespace ends. Here each namespace has a table, which
//! closes them at the namespace's end, even if their handles were forgotten or live on.

use super::{PerNetns, Place, Slot, SlotRef, READY};
use core::{ptr::NonNull, sync::atomic::Ordering};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{Arc, Mutex},
};
use net_bindings as bindings;

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
                    open <- new_mutex!(Open { sockets: RBTree::new(), last: 0, ended: false }),
                }),
                GFP_KERNEL,
            )?,
        }? Error)
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // Closes sockets whose handles were forgotten, or belong to a state that ends later.
        let mut open = self.table.open.lock();
        open.ended = true;
        while let Some(socket) = open.pop() {
            // SAFETY: The table holds open sockets. This one was just taken out of it, so no other code
            // finds it there to close it.
            unsafe { close(socket) };
        }
    }
}

#[pin_data]
struct Table {
    #[pin]
    open: Mutex<Open>,
}

struct Open {
    sockets: RBTree<u64, Raw>,
    /// The number of the socket that was opened last.
    last: u64,
    /// `true` if the namespace has ended.
    ended: bool,
}

impl Open {
    fn pop(&mut self) -> Option<Raw> {
        let number = *self.sockets.cursor_front()?.current().0;
        self.sockets.remove(&number)
    }
}

/// An open kernel UDP socket.
#[derive(Clone, Copy)]
struct Raw(NonNull<bindings::sock>);

// SAFETY: A socket belongs to no thread: C's functions take its lock, or are used under the table's mutex
// here, and any process may close a kernel socket.
unsafe impl Send for Raw {}

/// Closes a socket.
///
/// # Safety
///
/// The socket must be open, and no other code may close it.
unsafe fn close(Raw(sock): Raw) {
    // SAFETY: The caller promises an open socket that is its own to close. C frees the socket only when no
    // packet refers to it, and after the RCU readers that have found it.
    unsafe {
        // A packet may refer to the socket for any time: early demux has found the socket, and the packet
        // waits in netfilter's queue. When it leaves the queue, the module may be unloaded. UDP reads the
        // hook once, and works without one. A call that has begun is an RCU reader: the tunnel's data is
        // dropped after the call, and C frees the module's memory after the call.
        bindings::udp_sk_clear_encap_rcv(sock.as_ptr());
        bindings::udp_tunnel_sock_release(sock.as_ptr());
    }
}

/// A handle of a socket. Dropping the handle closes the socket, if the namespace's end has not closed it.
pub(crate) struct Socket {
    table: Arc<Table>,
    number: u64,
}

impl Socket {
    /// Opens a socket in a namespace, by calling `open`. May sleep. Fails with `EINVAL` if no state is
    /// [registered](super::register), with `ENOMEM`, and with the errors of `open`.
    ///
    /// # Safety
    ///
    /// `open` must return a kernel UDP socket in the given namespace. No other code may close the socket.
    pub(crate) unsafe fn open(
        place: Place<'_>,
        open: impl FnOnce(*mut bindings::net) -> Result<NonNull<bindings::sock>>,
    ) -> Result<Self> {
        if SLOT.state.load(Ordering::Acquire) != READY {
            return Err(EINVAL);
        }
        // SAFETY: A `Place` comes from a hook of the module, or from C's call to make a state, which holds
        // the lock that unregistering takes. So the sockets, which are registered, stay registered until
        // this returns. They were registered before the other states and under C's lock. So a namespace
        // has them before a hook can see it, and before another state is made in it.
        let sockets = unsafe { &*super::state::<Sockets>(place.0.as_raw()) };
        let table = sockets.table.clone();
        let node = RBTreeNodeReservation::new(GFP_KERNEL)?;
        let socket = Raw(open(place.0.as_raw())?);
        let mut list = table.open.lock();
        let number = list.last.wrapping_add(1);
        if list.ended {
            // SAFETY: The socket was just opened. It did not get into the table, so no other code closes
            // it.
            unsafe { close(socket) };
            return Err(ENODEV);
        }
        list.last = number;
        list.sockets.insert(node.into_node(number, socket));
        drop(list);
        Ok(Self { table, number })
    }

    /// Calls a function with the socket, which is open during the call. Returns `None` if the socket has
    /// been closed. May sleep.
    pub(crate) fn with<R>(&self, work: impl FnOnce(*mut bindings::sock) -> R) -> Option<R> {
        let list = self.table.open.lock();
        let Raw(sock) = list.sockets.get(&self.number)?;
        Some(work(sock.as_ptr()))
    }

    /// Closes the socket, if it is still open. May sleep.
    pub(crate) fn close(&self) {
        // Under the lock, so that the socket is closed when this returns, by this call or another.
        let mut list = self.table.open.lock();
        if let Some(socket) = list.sockets.remove(&self.number) {
            // SAFETY: As in the table's destructor.
            unsafe { close(socket) };
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}
