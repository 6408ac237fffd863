// SPDX-License-Identifier: GPL-2.0

//! Multicast groups, and notifications to their members.

use super::{GenlInfo, GenlMsg, NetlinkSkBuff, Operations, GENLMSG_DEFAULT_SIZE};
use crate::{
    netns::BareNetns,
    rcu::{self, RcuReader},
};
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::{ffi::c_char, prelude::*};
use net_bindings as bindings;

/// A multicast group of a family (`struct genl_multicast_group`).
#[repr(transparent)]
pub struct MulticastGroup(bindings::genl_multicast_group);

impl MulticastGroup {
    /// Makes a group with a name of at most 15 bytes. Any user may join. A constant with a longer name does
    /// not compile.
    pub const fn new(name: &CStr) -> Self {
        let mut group: bindings::genl_multicast_group = pin_init::zeroed();
        let name = name.to_bytes_with_nul();
        assert!(name.len() <= group.name.len());
        let mut at = 0;
        while at < name.len() {
            group.name[at] = name[at] as c_char;
            at += 1;
        }
        Self(group)
    }
}

/// The sender of a family's notifications: a `static` in the module that implements [`Operations`]. Sends only
/// while the family is [registered](super::register_with_notifier).
///
/// [`Notifier::notify`] needs the request of a running operation, which may be of another family.
/// [`Notifier::notify_in`] and [`Notifier::unicast`] need no operation.
///
/// # Invariants
///
/// The pointer is null, or points to the family of `T`. The family was registered when the pointer was set,
/// and is not unregistered before the pointer is cleared.
// `fn(T) -> T` keeps the type from varying with `T`, because `T` gives the number of the family's groups.
pub struct Notifier<T: Operations>(AtomicPtr<bindings::genl_family>, PhantomData<fn(T) -> T>);

impl<T: Operations> Notifier<T> {
    /// Makes a notifier that sends nothing until its family is registered.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        // INVARIANT: Null.
        Self(AtomicPtr::new(ptr::null_mut()), PhantomData)
    }

    /// # Safety
    ///
    /// `family` must be the family of `T` and be registered. The caller must call [`Self::clear`] before
    /// it unregisters the family.
    pub(super) unsafe fn set(&self, family: *mut bindings::genl_family) {
        // INVARIANT: Promised by the caller.
        self.0.store(family, Ordering::Release);
    }

    /// Clears the pointer, and waits for running calls of [`Self::notify_in`] and [`Self::unicast`]. May sleep.
    pub(super) fn clear(&self) {
        // INVARIANT: Null.
        self.0.store(ptr::null_mut(), Ordering::Release);
        rcu::wait_for_readers();
    }

    /// Returns `true` if the group `GROUP` has members in the network namespace of the sender of a request.
    pub fn has_listeners<const GROUP: usize>(&self, info: &GenlInfo) -> bool {
        self.family_with_listeners::<GROUP>(info).is_some()
    }

    /// Returns the family if the group has members.
    // The request shows that an operation is running. Netlink holds its lock for reading then, and takes the
    // lock for writing to unregister a family.
    fn family_with_listeners<const GROUP: usize>(
        &self,
        info: &GenlInfo,
    ) -> Option<NonNull<bindings::genl_family>> {
        const { assert!(GROUP < T::MCGRPS.len() && T::MCGRPS.len() <= u8::MAX as usize) };
        let family = NonNull::new(self.0.load(Ordering::Acquire))?;
        // SAFETY: By the type invariant the family was registered, and `clear` comes before its
        // unregistration. `GenlInfo` is a request whose operation has not returned: `genl_rcv()` holds
        // `cb_lock` for reading, so `genl_unregister_family()`, which takes it for writing, has not begun,
        // or waits for this operation. The family is freed after that. The namespace is valid, because
        // `info` is. By the assertion the family has the group.
        let listeners = unsafe {
            bindings::genl_has_listeners(family.as_ptr(), info.netns().as_raw(), GROUP as u32)
        };
        (listeners != 0).then_some(family)
    }

    /// Sends a message to the members of the group `GROUP`, in the network namespace of the sender of a
    /// request. May sleep.
    ///
    /// `fill` appends the attributes; it is not called if the group has no members. Members that cannot get
    /// the message, because memory or room in their buffer is missing, get `ENOBUFS` from their next
    /// `recv(2)`.
    pub fn notify<const GROUP: usize>(
        &self,
        info: &GenlInfo,
        cmd: u8,
        fill: impl FnOnce(&mut GenlMsg) -> Result,
    ) {
        let Some(family) = self.family_with_listeners::<GROUP>(info) else {
            return;
        };
        let family = family.as_ptr();
        let net = info.netns().as_raw();
        // At most 255, as `family_with_listeners` asserts.
        let group = GROUP as u32;
        let message = NetlinkSkBuff::new(GENLMSG_DEFAULT_SIZE)
            .map_err(Error::from)
            // SAFETY: The family is valid, for the reason in `family_with_listeners`.
            .and_then(|skb| unsafe { skb.genlmsg_put(family, cmd) })
            .and_then(|mut message| {
                fill(&mut message)?;
                Ok(message)
            });
        // SAFETY: As above. The buffer has one complete message, and C takes the buffer, also on an error.
        // The caller may sleep, as `GFP_KERNEL` does. Port number 0 excludes no member.
        unsafe {
            match message {
                Ok(message) => {
                    // An error means that a member got no message, which C has told the member.
                    bindings::genlmsg_multicast_netns(
                        family,
                        net,
                        message.into_raw(),
                        0,
                        group,
                        bindings::GFP_KERNEL,
                    );
                }
                Err(_) => {
                    bindings::genl_set_err(family, net, 0, group, ENOBUFS_NUMBER);
                }
            }
        }
    }

    /// Calls `send` with the family in an RCU read side, if the family is registered.
    fn with_family(&self, send: impl FnOnce(*mut bindings::genl_family)) {
        RcuReader::with(|_rcu| {
            if let Some(family) = NonNull::new(self.0.load(Ordering::Acquire)) {
                send(family.as_ptr());
            }
        });
    }

    /// Sends a message as [`Self::notify`] does, to the members in `netns`. `fill` must not sleep. Any context
    /// but hard interrupts.
    pub fn notify_in<'a, const GROUP: usize>(
        &self,
        netns: impl Into<BareNetns<'a>>,
        cmd: u8,
        fill: impl FnOnce(&mut GenlMsg) -> Result,
    ) {
        const { assert!(GROUP < T::MCGRPS.len() && T::MCGRPS.len() <= u8::MAX as usize) };
        let (net, group) = (netns.into().as_raw(), GROUP as u32);
        self.with_family(|family| {
            // SAFETY: `with_family` calls this in an RCU read side in which it has found the family. By the type
            // invariant the family was registered then, and `clear`, which waits for the reader, comes before
            // its unregistration. The namespace is valid, and has its netlink socket: C makes the socket before
            // the module's hooks can see the namespace, and closes it after all devices have left. By the
            // assertion the family has the group. C takes the buffer, also on an error, and does not sleep.
            unsafe {
                if bindings::genl_has_listeners(family, net, group) == 0 {
                    return;
                }
                match Self::message(family, 0, cmd, fill) {
                    Ok(message) => {
                        // An error means that a member got no message, which C has told the member.
                        bindings::genlmsg_multicast_netns(
                            family,
                            net,
                            message.into_raw(),
                            0,
                            group,
                            bindings::GFP_ATOMIC,
                        );
                    }
                    Err(_) => {
                        bindings::genl_set_err(family, net, 0, group, ENOBUFS_NUMBER);
                    }
                }
            }
        });
    }

    /// Sends a message to the socket with this [number](GenlInfo::portid) in `netns`, if the socket still exists.
    /// The message is lost if memory or room in the socket's buffer is missing. `fill` must not sleep. Any context but
    /// hard interrupts. Sends nothing to number 0, which is the kernel's own socket.
    pub fn unicast<'a>(
        &self,
        netns: impl Into<BareNetns<'a>>,
        portid: u32,
        cmd: u8,
        fill: impl FnOnce(&mut GenlMsg) -> Result,
    ) {
        if portid == 0 {
            // C would take the message for a request, and sleep.
            return;
        }
        let netns = netns.into();
        self.with_family(|family| {
            // SAFETY: As in `notify_in`. The socket is a user's, so C queues the message without sleeping.
            unsafe {
                if let Ok(message) = Self::message(family, portid, cmd, fill) {
                    bindings::genlmsg_unicast(netns.as_raw(), message.into_raw(), portid);
                }
            }
        });
    }

    /// Makes a message. Any context.
    ///
    /// # Safety
    ///
    /// `family` must be valid.
    unsafe fn message(
        family: *const bindings::genl_family,
        portid: u32,
        cmd: u8,
        fill: impl FnOnce(&mut GenlMsg) -> Result,
    ) -> Result<GenlMsg> {
        let skb = NetlinkSkBuff::new_atomic(GENLMSG_DEFAULT_SIZE)?;
        // SAFETY: Promised by the caller.
        let mut message = unsafe { skb.genlmsg_put_to(family, portid, cmd) }?;
        fill(&mut message)?;
        Ok(message)
    }
}

/// The error number of a member whose message is lost.
const ENOBUFS_NUMBER: c_int = -(bindings::ENOBUFS as c_int);
