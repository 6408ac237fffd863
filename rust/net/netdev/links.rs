// SPDX-License-Identifier: GPL-2.0

//! The module's devices by the namespace that they send to: the end of that namespace unregisters them, even if
//! they were moved to another namespace.

use crate::netns::{ExitRtnl, PerNetns, Place, Slot, SlotRef};
use core::ptr;
use kernel::{prelude::*, types::Opaque};
use net_bindings as bindings;

/// The devices that send to one namespace: the head of a list. RTNL guards it.
///
/// # Invariants
///
/// A circular list of valid nodes.
#[repr(transparent)]
pub(crate) struct Links(Opaque<Node>);

/// A device's place in the list. All zero before the device is added.
#[repr(C)]
pub(crate) struct Node {
    next: *mut Node,
    previous: *mut Node,
    device: *mut bindings::net_device,
}

impl Node {
    /// Returns a node's device.
    ///
    /// # Safety
    ///
    /// `node` must be in a list during the call. The caller need not hold RTNL.
    pub(super) unsafe fn device(node: *const Self) -> *mut bindings::net_device {
        // SAFETY: The caller promises a node in a list: it is valid, and this field does not change. The other
        // fields change when a neighbour comes or goes, so there must be no reference to the whole node.
        unsafe { (&raw const (*node).device).read() }
    }
}

// SAFETY: RTNL guards the list: callers of the functions below hold it.
unsafe impl Send for Links {}
// SAFETY: As above.
unsafe impl Sync for Links {}

static SLOT: Slot<Links> = Slot::new();

impl PerNetns for Links {
    const SLOT: SlotRef<Self> = SlotRef::new(&SLOT);
    const EXIT_RTNL: ExitRtnl = ExitRtnl::new(exit_rtnl);

    fn new(_place: Place<'_>) -> impl PinInit<Self, Error> {
        let init = |this: *mut Self| {
            // SAFETY: `pin_init_from_closure` passes memory for a `Self`, which is a transparent wrapper of
            // a node. INVARIANT: The head alone is a circular list.
            unsafe {
                let head: *mut Node = this.cast();
                head.write(Node {
                    next: head,
                    previous: head,
                    device: ptr::null_mut(),
                });
            }
            Ok(())
        };
        // SAFETY: The closure initializes the only field. The head stays where it is, because it is pinned.
        unsafe { pin_init::pin_init_from_closure(init) }
    }
}

impl Links {
    /// Adds a device.
    ///
    /// # Safety
    ///
    /// The caller must hold RTNL. `node` must be valid until it is removed, and in no list. `device` must be
    /// registered, or about to be.
    pub(super) unsafe fn add(&self, node: *mut Node, device: *mut bindings::net_device) {
        let head = self.0.get();
        // SAFETY: By the type invariant the head and its neighbour are valid. RTNL, which the caller holds,
        // guards the list, so nothing else reads or writes it. The caller promises a valid node.
        unsafe {
            let previous = (*head).previous;
            node.write(Node {
                next: head,
                previous,
                device,
            });
            (*previous).next = node;
            (*head).previous = node;
        }
    }

    /// Removes a device.
    ///
    /// # Safety
    ///
    /// The caller must hold RTNL, and must have added the node.
    pub(super) unsafe fn remove(node: *mut Node) {
        // SAFETY: The caller promises that the node is in a list, so that its neighbours are valid. RTNL
        // guards the list.
        unsafe {
            let Node { next, previous, .. } = node.read();
            (*next).previous = previous;
            (*previous).next = next;
            (*node).next = ptr::null_mut();
        }
    }
}

/// Unregisters the devices that send to a namespace.
///
/// # Safety
///
/// Only C may call this, at a namespace's end, with RTNL held, if `Links` are registered.
unsafe extern "C" fn exit_rtnl(net: *mut bindings::net, kill: *mut bindings::list_head) {
    // SAFETY: C passes a valid namespace, whose `Links` exist until it calls `exit` later. RTNL, which C
    // holds, guards the list. `unregister_netdevice_queue` does not change it: the devices are unregistered
    // later, when C has the lists of all namespaces. The nodes are valid because `ndo_uninit` removes them.
    unsafe {
        let head = crate::netns::state::<Links>(net).cast::<Node>();
        let mut node = (*head).next;
        while node != head {
            bindings::unregister_netdevice_queue((*node).device, kill);
            node = (*node).next;
        }
    }
}
