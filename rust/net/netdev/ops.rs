// SPDX-License-Identifier: GPL-2.0

//! Operations of devices: the trait, and C's tables.

use super::{work, Device, Dimensions, Links, NetDevice, NewDevice, Private, Sent, Xmit};
use crate::{
    errno::ENETDOWN,
    metadata::EgressPacket,
    netns::{self, Netns},
    rtnl::Rtnl,
};
use core::{mem::MaybeUninit, ptr};
use kernel::{error::to_result, prelude::*};
use net_bindings as bindings;

/// The packets that a tunnel device carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// IP, without a header of the link (`ARPHRD_NONE`).
    Ip,
    /// Ethernet frames (`ARPHRD_ETHER`).
    Ethernet,
}

/// The operations of a tunnel device, and the state of one device.
///
/// Such a device has no queue, and statistics by CPU. It hands what it sends to another device.
pub trait Operations: Send + Sync + Sized + 'static {
    /// The name of the driver, which `ethtool -i` shows, and the name of the device type, for udev.
    const DRIVER: &'static CStr;
    /// The configuration and resources from which a device is made.
    type Config;

    /// Returns the type of link that a device with this configuration is.
    fn link_type(_config: &Self::Config) -> LinkType {
        LinkType::Ip
    }

    /// Makes the state of a device. `link_net` is the namespace that the device sends to. Process context under RTNL,
    /// may sleep.
    fn new(
        config: Self::Config,
        dev: NewDevice<'_>,
        link_net: &Netns,
        rtnl: &mut Rtnl,
    ) -> impl PinInit<Self, Error>;

    /// Ends what [`Self::new`] has begun, before the state is dropped. No packet is on its way. Process context under
    /// RTNL, may sleep. The state is dropped in the same context, before the namespace that the device sends to can
    /// end.
    // Takes no device, because C frees a device whose registration has failed without regard to references.
    fn uninit(&self, _rtnl: &mut Rtnl) {}

    /// Called when the device goes up. Process context under RTNL, may sleep.
    fn open(dev: &Device<Self>, rtnl: &mut Rtnl) -> Result;

    /// Called when the device goes down. Packets may be on their way until the next grace period. Process context
    /// under RTNL, may sleep.
    fn stop(dev: &Device<Self>, rtnl: &mut Rtnl);

    /// Does what [`Device::run_work_now`] or [`Device::run_work_in`] has asked for. The device is up, and does not
    /// go down before this returns. Process context without RTNL, may sleep; one call at a time.
    ///
    /// A task that holds RTNL waits for this, so this must not wait for RTNL: [`Rtnl::try_lock`].
    fn work(_dev: &Device<Self>) {}

    /// Sends a packet. Softirqs are off.
    ///
    /// Functions that send, drop or consume a [`DeviceSkb`](super::DeviceSkb) return the [`Sent`].
    fn transmit(xmit: &Xmit<'_, Self>, skb: super::DeviceSkb) -> Sent;

    /// Completes the metadata of a packet that the device would send: the source address and the ports. Open
    /// vSwitch asks for them. The device is up. Any context but hard interrupts, RCU read side.
    fn fill_metadata(_dev: &Device<Self>, _packet: &mut EgressPacket<'_>) -> Result {
        Err(EINVAL)
    }

    /// Returns the index of the device that this one is bound to, or 0. Called once, when the device is made.
    fn iflink(&self) -> u32 {
        0
    }
}

/// The alignment that C gives private data.
pub(crate) const PRIVATE_ALIGN: usize = bindings::NETDEV_ALIGN as usize;

/// C's tables for a `T`.
struct Tables<T>(core::marker::PhantomData<T>);

/// A device type, which has the driver's name.
struct DeviceType(bindings::device_type);

// SAFETY: The pointers in it are null, or to the name, which is static. C only reads it.
unsafe impl Sync for DeviceType {}

impl<T: Operations> Tables<T> {
    const NETDEV: &'static bindings::net_device_ops = &bindings::net_device_ops {
        ndo_init: Some(ndo_init::<T>),
        ndo_uninit: Some(ndo_uninit::<T>),
        ndo_open: Some(ndo_open::<T>),
        ndo_stop: Some(ndo_stop::<T>),
        ndo_start_xmit: Some(ndo_start_xmit::<T>),
        ndo_get_iflink: Some(ndo_get_iflink::<T>),
        ndo_fill_metadata_dst: Some(ndo_fill_metadata_dst::<T>),
        ..pin_init::zeroed()
    };

    const ETHERNET: &'static bindings::net_device_ops = &bindings::net_device_ops {
        ndo_set_mac_address: Some(bindings::eth_mac_addr),
        ndo_validate_addr: Some(bindings::eth_validate_addr),
        ..*Self::NETDEV
    };

    const ETHTOOL: &'static bindings::ethtool_ops = &bindings::ethtool_ops {
        get_drvinfo: Some(get_drvinfo::<T>),
        get_link: Some(bindings::ethtool_op_get_link),
        ..pin_init::zeroed()
    };

    // `as_char_ptr` cannot be called in a constant.
    #[allow(clippy::disallowed_methods)]
    const TYPE: &'static DeviceType = &DeviceType(bindings::device_type {
        name: T::DRIVER.as_ptr().cast(),
        ..pin_init::zeroed()
    });
}

/// Sets up a device that C has allocated (`rtnl_link_ops.setup`).
///
/// # Safety
///
/// Only C may call this, with a device that is being allocated and has room for a `Private<T>`.
pub(crate) unsafe extern "C" fn setup<T: Operations>(dev: *mut bindings::net_device) {
    // SAFETY: C passes a valid device that no other code has yet. The tables are static, and the module that
    // has them unregisters the kind, and with it all devices, before it is unloaded.
    unsafe {
        bindings::netdev_set_ops(dev, Tables::<T>::NETDEV, Tables::<T>::ETHTOOL);
        bindings::netdev_set_devtype(dev, &Tables::<T>::TYPE.0);
        bindings::netdev_set_type(
            dev,
            bindings::ARPHRD_NONE as u16,
            bindings::net_device_flags_IFF_POINTOPOINT
                | bindings::net_device_flags_IFF_NOARP
                | bindings::net_device_flags_IFF_MULTICAST,
        );
        bindings::netdev_set_ip_headers(dev);
        bindings::netdev_set_software_features(dev);
        bindings::netdev_allow_big_tcp(dev);
        bindings::netdev_set_mtu(dev, bindings::ETH_DATA_LEN);
        bindings::netdev_set_mtu_range(dev, bindings::IPV4_MIN_MTU, u16::MAX.into());
        bindings::netdev_set_freed_by_core(dev);
        bindings::netdev_set_dstats(dev);
        bindings::netdev_set_virtual(dev);
    }
}

/// Registers a device with a configuration that a kind has read. May sleep.
///
/// Fails with the errors of [`Operations::new`] and of C, and with `EADDRNOTAVAIL` if the user has asked for an
/// Ethernet address that no device can have.
///
/// # Safety
///
/// `dev` must be a device that [`setup::<T>`](setup) was called for and that is not registered. [`Links`]
/// must be registered.
pub(crate) unsafe fn register_device<T: Operations>(
    dev: *mut bindings::net_device,
    link_net: &Netns,
    config: T::Config,
    dimensions: Dimensions,
    mtu: Option<u32>,
    _rtnl: &mut Rtnl,
) -> Result {
    if T::link_type(&config) == LinkType::Ethernet {
        // SAFETY: The caller promises a valid device, which no other code has yet. The operations are static.
        to_result(unsafe { bindings::netdev_make_ethernet(dev, Tables::<T>::ETHERNET) })?;
    }
    let mut config = Some(config);
    // SAFETY: The caller promises a valid device, which no other code has yet. Its private data has room for
    // a `Private<T>`, and is zero but for what an earlier call wrote. `ndo_init` reads the pointer to the
    // local variable during the registration alone. RTNL is held.
    unsafe {
        let private = Private::<T>::of(dev);
        (*private).link_net = link_net.as_raw();
        (*private).config = &mut config;
        let device = NetDevice::from_raw(dev);
        dimensions.apply(device);
        dimensions.apply_mtu(device, mtu);
        let result = to_result(bindings::register_netdevice(dev));
        // If the registration has failed, only the caller may free the device, so the memory is still there.
        (*private).config = ptr::null_mut();
        result
    }
}

/// # Safety
///
/// Only C may call this, while `register_device::<T>` registers the device.
unsafe extern "C" fn ndo_init<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    let private = Private::<T>::of(dev);
    // SAFETY: `register_device` has set the namespace, which is valid during the call, and the pointer to the
    // configuration, which is that function's variable. C holds RTNL, and passes the device to no other
    // code meanwhile.
    let (config, link_net, mut rtnl) = unsafe {
        (
            (*private).config.as_mut().and_then(Option::take),
            Netns::from_raw((*private).link_net),
            Rtnl::assume_held(),
        )
    };
    let Some(config) = config else {
        return EINVAL.to_errno();
    };
    // SAFETY: The private data has room for a `Private<T>`. `ndo_stop` disables the work again before `ndo_uninit`
    // drops `data`.
    unsafe { work::init(private) };
    // SAFETY: `data` has room for a `T`, aligned as `LinkKind` asserts, and is not initialized. No other code
    // has a pointer to it yet, and C does not move it. If this function fails, C does not call
    // `ndo_uninit`. The reference lives as long as the device; it does not leave this function.
    let slot: &'static mut MaybeUninit<T> = unsafe { &mut (*private).data };
    // SAFETY: The device is valid during the call.
    let new = NewDevice::new(unsafe { NetDevice::from_raw(dev) });
    if let Err(error) = slot.write_pin_init(T::new(config, new, link_net, &mut rtnl)) {
        return error.to_errno();
    }
    // SAFETY: The device is valid, and its private data is zero but for what was written here. `ndo_uninit`
    // destroys the cells before the private data is freed. `data` was just initialized, and is not used
    // after an error: C does not call `ndo_uninit` then.
    unsafe {
        (*private).iflink = Device::<T>::from_raw(dev).data().iflink();
        let cells = kernel::types::Opaque::cast_into(&raw const (*private).cells);
        if let Err(error) = to_result(bindings::gro_cells_init(cells, dev)) {
            (*private).data.assume_init_drop();
            return error.to_errno();
        }
    }
    // SAFETY: The namespace has its `Links`, because they are registered before the kind. `ndo_uninit`
    // removes the node before the private data is freed. RTNL is held.
    unsafe { (*netns::state::<Links>(link_net.as_raw())).add(&raw mut (*private).link, dev) };
    0
}

/// # Safety
///
/// Only C may call this, once after `ndo_init::<T>` has succeeded for the device.
unsafe extern "C" fn ndo_uninit<T: Operations>(dev: *mut bindings::net_device) {
    let private = Private::<T>::of(dev);
    // SAFETY: `ndo_init` has initialized `data` and added the node. C holds RTNL. The device is in no list any
    // more, and went down before the last grace period. So no reader gives packets to it, no packet is on its
    // way out, and nothing but this function has a reference to `data`: the hooks that C may call after this
    // one read other fields.
    unsafe {
        T::uninit((*private).data.assume_init_ref(), &mut Rtnl::assume_held());
        let cells = &raw const (*private).cells;
        bindings::gro_cells_destroy(kernel::types::Opaque::cast_into(cells));
        (*private).data.assume_init_drop();
        Links::remove(&raw mut (*private).link);
    }
}

/// # Safety
///
/// Only C may call this, for a registered device whose private data is a `Private<T>`.
unsafe extern "C" fn ndo_open<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    let private = Private::<T>::of(dev);
    // SAFETY: C passes a registered device that is down, and holds RTNL.
    let result = unsafe {
        work::enable(private);
        T::open(Device::from_raw(dev), &mut Rtnl::assume_held())
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            // SAFETY: The work was just enabled. C does not call `ndo_stop` after an error.
            unsafe { work::disable(private) };
            error.to_errno()
        }
    }
}

/// # Safety
///
/// As for `ndo_open`.
unsafe extern "C" fn ndo_stop<T: Operations>(dev: *mut bindings::net_device) -> c_int {
    // SAFETY: As in `ndo_open`, for a device that is up.
    unsafe {
        work::disable(Private::<T>::of(dev));
        T::stop(Device::from_raw(dev), &mut Rtnl::assume_held());
    };
    0
}

/// # Safety
///
/// Only C may call this, with a packet that it gives to the device, with softirqs off.
unsafe extern "C" fn ndo_start_xmit<T: Operations>(
    skb: *mut bindings::sk_buff,
    dev: *mut bindings::net_device,
) -> bindings::netdev_tx_t {
    // SAFETY: C passes a registered device and gives up the packet, which is valid. Softirqs are off during
    // the call, so it is an RCU read side.
    let (xmit, skb) = unsafe { (Xmit::<T>::new(dev), super::DeviceSkb::from_raw(skb)) };
    let Sent(()) = T::transmit(&xmit, skb);
    bindings::netdev_tx_NETDEV_TX_OK
}

/// # Safety
///
/// Only C may call this, for a device that `ndo_init::<T>` has succeeded for, in an RCU read side, with a packet whose
/// metadata no other packet has.
unsafe extern "C" fn ndo_fill_metadata_dst<T: Operations>(
    dev: *mut bindings::net_device,
    skb: *mut bindings::sk_buff,
) -> c_int {
    // Open vSwitch finds the device in its table of ports for some time after `ndo_uninit` has dropped the device's
    // state. A device that is down sends nothing in any case.
    // SAFETY: C passes a valid device.
    if !unsafe { bindings::netif_running(dev) } {
        return ENETDOWN.to_errno();
    }
    // SAFETY: C passes a valid packet whose metadata it has copied for this call. The device is up, or was in this
    // RCU read side: C takes it down and waits for readers before it calls `ndo_uninit`, so that the device's state
    // and its place in the `Links` last until the read side's end.
    let result =
        unsafe { T::fill_metadata(Device::from_raw(dev), &mut EgressPacket::from_raw(skb)) };
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// # Safety
///
/// Only C may call this, for a device that `ndo_init::<T>` has succeeded for.
unsafe extern "C" fn ndo_get_iflink<T: Operations>(dev: *const bindings::net_device) -> c_int {
    // SAFETY: C passes a device whose private data is a `Private<T>`. `ndo_init` has written the field, which
    // does not change.
    let iflink = unsafe { (*Private::<T>::of(dev)).iflink };
    match iflink {
        // SAFETY: The device is valid.
        0 => unsafe { NetDevice::from_raw(dev) }.ifindex(),
        // An index is positive.
        ifindex => ifindex as c_int,
    }
}

/// # Safety
///
/// Only C may call this, with a buffer for the answer.
unsafe extern "C" fn get_drvinfo<T: Operations>(
    _dev: *mut bindings::net_device,
    info: *mut bindings::ethtool_drvinfo,
) {
    // SAFETY: C passes a buffer of its own. The name is static and ends with a NUL.
    unsafe {
        bindings::ethtool_set_driver(info, T::DRIVER.as_char_ptr());
    };
}
