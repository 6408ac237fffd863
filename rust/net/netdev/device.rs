// SPDX-License-Identifier: GPL-2.0

//! Devices, and the private data of the devices that a module implements.

use super::Operations;
use crate::{netns::BareNetns, rtnl::Rtnl, rx_device::RxDevice, Netns};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Deref,
    ptr::{self, NonNull},
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::aref::{ARef, AlwaysRefCounted},
    types::Opaque,
};
use net_bindings as bindings;

/// The room for a device's name and the NUL after it, in bytes.
pub const NAME_LEN_BYTES: usize = bindings::IFNAMSIZ as usize;

/// A network device (`struct net_device`).
///
/// # Invariants
///
/// A reference to this points to a `net_device` that is valid for the reference's lifetime.
#[repr(transparent)]
pub struct NetDevice(Opaque<bindings::net_device>);

// SAFETY: The functions of this type read words that C writes at once, or pass the pointer to C functions
// that any thread may call.
unsafe impl Send for NetDevice {}
// SAFETY: As above.
unsafe impl Sync for NetDevice {}

// SAFETY: C frees a device only when all references have been given up, even if the device was unregistered
// before.
unsafe impl AlwaysRefCounted for NetDevice {
    fn inc_ref(&self) {
        // SAFETY: By the type invariant the device is valid.
        unsafe { bindings::dev_hold(self.as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller promises a valid device and a reference to give up.
        unsafe { bindings::dev_put(obj.cast().as_ptr()) };
    }
}

impl NetDevice {
    /// Borrows a device from C.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for the chosen lifetime.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *const bindings::net_device) -> &'a Self {
        // INVARIANT: Promised by the caller.
        // SAFETY: The caller promises a pointer that is valid for the lifetime. The type is a transparent
        // wrapper of an `Opaque`, so C may change the device meanwhile.
        unsafe { &*ptr.cast() }
    }

    /// Returns C's pointer.
    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// Returns the device with an index in a namespace. Any context.
    ///
    /// While the result lives, the device can be unregistered, but `ip link del` waits until the result is
    /// dropped: do not store it.
    pub fn by_index(netns: &Netns, ifindex: u32) -> Option<ARef<Self>> {
        let ifindex = i32::try_from(ifindex).ok()?;
        // SAFETY: The namespace is valid.
        let dev = unsafe { bindings::dev_get_by_index(netns.as_raw(), ifindex) };
        // SAFETY: C returns null or a valid device with a reference for the caller.
        NonNull::new(dev).map(|dev| unsafe { ARef::from_raw(dev.cast()) })
    }

    /// Returns the index of the VRF device that the device with an index belongs to, or 0. Any context.
    pub fn vrf_of(netns: &Netns, ifindex: u32) -> i32 {
        let Ok(ifindex) = i32::try_from(ifindex) else {
            return 0;
        };
        // SAFETY: The namespace is valid.
        unsafe { bindings::l3mdev_master_upper_ifindex_by_index(netns.as_raw(), ifindex) }
    }

    /// Returns the device's index, which is unique in its namespace.
    #[inline]
    pub fn ifindex(&self) -> i32 {
        // SAFETY: By the type invariant the device is valid.
        unsafe { bindings::netdev_ifindex(self.as_raw()) }
    }

    /// Returns the device's name and the NUL after it.
    pub fn name(&self, _rtnl: &Rtnl) -> [u8; NAME_LEN_BYTES] {
        let mut name = [0; NAME_LEN_BYTES];
        // SAFETY: By the type invariant the device is valid. The name changes only under RTNL, which the caller
        // holds. C writes at most as many bytes as `name` has.
        unsafe { bindings::netdev_name_to(self.as_raw(), name.as_mut_ptr().cast()) };
        name
    }

    /// Returns the length of the longest packet that the device sends, in bytes.
    #[inline]
    pub fn mtu(&self) -> u32 {
        // SAFETY: As in `ifindex`.
        unsafe { bindings::netdev_mtu(self.as_raw()) }
    }

    /// Turns the device's carrier on or off: on if there is a way to the other end. Routing daemons watch the
    /// carrier.
    pub fn set_carrier(&self, on: bool, _rtnl: &mut Rtnl) {
        // SAFETY: By the type invariant the device is valid. C may be called in any context.
        unsafe {
            if on {
                bindings::netif_carrier_on(self.as_raw());
            } else {
                bindings::netif_carrier_off(self.as_raw());
            }
        }
    }

    /// Returns the headroom that packets of the device need for its headers, in bytes.
    #[inline]
    pub fn headroom(&self) -> u32 {
        // SAFETY: As in `ifindex`.
        unsafe { bindings::netdev_headroom(self.as_raw()) }
    }
}

/// A device that is being registered. If the registration fails, C frees the device without regard to counted
/// references, so this type gives out none.
#[derive(Clone, Copy)]
pub struct NewDevice<'a>(&'a NetDevice);

impl<'a> NewDevice<'a> {
    #[inline]
    pub(super) fn new(dev: &'a NetDevice) -> Self {
        Self(dev)
    }

    /// Does what [`NetDevice::set_carrier`] does.
    pub fn set_carrier(&self, on: bool, rtnl: &mut Rtnl) {
        self.0.set_carrier(on, rtnl);
    }
}

/// The sizes of a tunnel device. A size outside of its limits counts as the nearest size within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// The MTU of a device whose user asked for none, in bytes: from 68 to `max_mtu`.
    pub mtu: u32,
    /// The greatest MTU that a user may ask for, in bytes: from 68 to 65535.
    pub max_mtu: u32,
    /// The number of bytes that senders leave free before a packet: at most 512. Transmit makes room for more.
    pub headroom: u16,
}

/// The least MTU of a device that carries IP (RFC 791).
const MIN_MTU: u32 = bindings::IPV4_MIN_MTU;
/// The greatest MTU of a tunnel device, because the length of an IPv4 packet has 16 bits. C calculates with MTUs
/// in 32 bits, and takes 0 for no limit.
const MAX_MTU: u32 = u16::MAX as u32;
/// The most headroom. Tunnels over tunnels add up their headroom. C's own tunnels have the same limit
/// (`ip_tunnel_adj_headroom()`), because the stack stores the offsets of headers in 16 bits.
const MAX_HEADROOM: u16 = 512;

/// A device of the module, with its state `T`.
///
/// # Invariants
///
/// The device's private data is a `Private<T>` whose `data` is initialized, and stays so as long as the reference
/// lives. During that time the device is in the `Links` of its `link_net`.
#[repr(transparent)]
pub struct Device<T: Operations>(NetDevice, PhantomData<T>);

// SAFETY: A `T` is `Send` and `Sync`, and so is a `NetDevice`.
unsafe impl<T: Operations> Send for Device<T> {}
// SAFETY: As above.
unsafe impl<T: Operations> Sync for Device<T> {}

impl<T: Operations> Deref for Device<T> {
    type Target = NetDevice;

    #[inline]
    fn deref(&self) -> &NetDevice {
        &self.0
    }
}

impl<T: Operations> Device<T> {
    /// Borrows a device from C.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for the chosen lifetime, and keep the invariants of this type.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(ptr: *const bindings::net_device) -> &'a Self {
        // INVARIANT: Promised by the caller.
        // SAFETY: The caller promises a valid pointer. The type is a transparent wrapper.
        unsafe { &*ptr.cast() }
    }

    /// Returns the device's state.
    #[inline]
    pub fn data(&self) -> &T {
        let private = Private::<T>::of(self.as_raw());
        // SAFETY: By the type invariant the private data is valid and `data` is initialized. Only shared
        // references to it exist until it is dropped.
        unsafe { (*private).data.assume_init_ref() }
    }

    /// Returns the device's receive side, by which hooks give packets to the device.
    ///
    /// While the result lives, `ip link del` waits: drop the result when the device goes down.
    pub fn rx(&self) -> RxDevice {
        let private = Private::<T>::of(self.as_raw());
        // SAFETY: By the type invariant the device and its private data are valid. `setup` has asked C for
        // statistics by CPU. `ndo_init` has set up the cells, and `ndo_uninit`, which C calls a grace period
        // after the device went down, destroys them. `ndo_init` has initialized the work, too.
        unsafe {
            RxDevice::new(
                NonNull::new_unchecked(self.as_raw()),
                NonNull::new_unchecked(Opaque::cast_into(&raw const (*private).cells)),
                NonNull::new_unchecked(super::work::of(private)),
            )
        }
    }

    /// Returns the namespace that the device sends to and receives from: the one that it was made in. The
    /// device itself may be in another.
    #[inline]
    pub fn link_net(&self) -> &Netns {
        let private = Private::<T>::of(self.as_raw());
        // SAFETY: By the type invariant the private data is valid, and the device is in the links of the
        // namespace. The namespace unregisters these devices, and waits for their users, before it is freed.
        unsafe { Netns::from_raw((*private).link_net) }
    }

    /// Returns the namespace that the device is in. The namespace may be ending: then its states are dropped
    /// before the device leaves it.
    pub fn netns<'a>(&'a self, _rtnl: &'a Rtnl) -> BareNetns<'a> {
        // SAFETY: By the type invariant the device is registered, so its namespace is valid. The device moves to
        // another namespace only under RTNL, which the caller holds as long as the result lives.
        unsafe { BareNetns::from_raw(bindings::dev_net(self.as_raw())) }
    }

    /// Returns the number of packets that the device has received. May sleep.
    pub fn received_packets(&self) -> u64 {
        let mut stats = bindings::rtnl_link_stats64::default();
        // SAFETY: By the type invariant the device is registered. C writes to the local variable.
        unsafe { bindings::dev_get_stats(self.as_raw(), &mut stats) };
        stats.rx_packets
    }

    /// Returns `true` if the device is up.
    pub fn is_up(&self, _rtnl: &Rtnl) -> bool {
        // SAFETY: By the type invariant the device is valid.
        unsafe { bindings::netif_running(self.as_raw()) }
    }

    /// Returns `true` if this task, which has sent a request, may administer the namespace that the device sends
    /// to. Administrators of the device's own namespace need not have that right. Does not check the right to
    /// administer the device's own namespace: the operation must check that. Process context.
    pub fn is_link_net_capable(&self) -> bool {
        // SAFETY: By the type invariant the device is valid, and so is its namespace.
        unsafe { bindings::rtnl_dev_link_net_capable(self.as_raw(), self.link_net().as_raw()) }
    }

    /// Changes the sizes of a registered device. If its MTU is `automatic`, the MTU becomes the new default;
    /// otherwise it stays, unless it is above the new limit: then it becomes the limit. May sleep.
    ///
    /// Fails with the error of a notifier that refuses the MTU; the other sizes are changed even then.
    pub fn resize(&self, new: Dimensions, automatic: bool, rtnl: &mut Rtnl) -> Result {
        let new = new.within_limits();
        new.apply(&self.0);
        let mtu = if automatic { new.mtu } else { self.mtu() };
        self.set_mtu(mtu.min(new.max_mtu), rtnl)
    }

    fn set_mtu(&self, mtu: u32, _rtnl: &mut Rtnl) -> Result {
        let mtu = i32::try_from(mtu).map_err(|_| EINVAL)?;
        // SAFETY: By the type invariant the device is valid. The caller holds RTNL. C calls notifiers, none
        // of which is a callback of the device with an `Rtnl` of its own.
        to_result(unsafe { bindings::dev_set_mtu(self.as_raw(), mtu) })
    }
}

impl Dimensions {
    /// Returns the sizes with each within its limits.
    pub(crate) fn within_limits(self) -> Self {
        let max_mtu = self.max_mtu.clamp(MIN_MTU, MAX_MTU);
        Self {
            mtu: self.mtu.clamp(MIN_MTU, max_mtu),
            max_mtu,
            headroom: self.headroom.min(MAX_HEADROOM),
        }
    }

    /// Sets the MTU limits and the headroom of a device.
    pub(super) fn apply(&self, dev: &NetDevice) {
        // SAFETY: The device is valid. The fields may be written at any time: readers read them once.
        unsafe {
            bindings::netdev_set_mtu_range(dev.as_raw(), MIN_MTU, self.max_mtu);
            bindings::netdev_set_needed_headroom(dev.as_raw(), self.headroom);
        }
    }

    /// Sets the MTU of a device that is not registered: the one that its user asked for, or the default.
    pub(super) fn apply_mtu(&self, dev: &NetDevice, asked: Option<u32>) {
        let mtu = asked.unwrap_or(self.mtu).max(MIN_MTU);
        // SAFETY: The device is valid, and no other code has it yet.
        unsafe { bindings::netdev_set_mtu(dev.as_raw(), mtu) };
    }
}

/// The private data of a device. Zero when C allocates it.
#[repr(C)]
pub(crate) struct Private<T: Operations> {
    /// The first field, so that [`Links`](super::Links) need not know `T`.
    pub(super) link: super::links::Node,
    pub(super) link_net: *mut bindings::net,
    /// The queues in which received packets wait for the device's GRO.
    pub(super) cells: Opaque<bindings::gro_cells>,
    /// While the device is being registered, points to the configuration from which `ndo_init` makes `data`.
    pub(super) config: *mut Option<T::Config>,
    /// The index of the device that this one is bound to, or 0.
    pub(super) iflink: u32,
    pub(super) work: Opaque<crate::device_work::DeviceWork>,
    pub(super) data: MaybeUninit<T>,
}

impl<T: Operations> Private<T> {
    #[inline]
    pub(super) fn of(dev: *const bindings::net_device) -> *mut Self {
        if dev.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: C computes an address from the pointer, within the device's allocation.
        unsafe { bindings::netdev_priv(dev) }.cast()
    }
}
