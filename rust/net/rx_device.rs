// SPDX-License-Identifier: GPL-2.0

//! The receive side of a tunnel's device.
//!
//! C headers: [`include/net/gro_cells.h`](srctree/include/net/gro_cells.h),
//! [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use crate::{
    device_work::{run_now, DeviceWork},
    metadata::RxMetadata,
    skb::{InnerSkb, OwnedSkb, Refused},
};
use core::ptr::NonNull;
use kernel::prelude::*;
use net_bindings as bindings;

/// The receive side of a device: a counted reference, by which hooks give packets to the device.
///
/// The device cannot be freed before the reference is dropped, so hooks must stop using the device when it goes
/// down. Dropping the reference does not sleep.
///
/// # Invariants
///
/// We own a reference to the device, which counts its packets per CPU (`dstats`). `cells` are its GRO cells, and
/// `work` is its work; both live as long as the device's memory. The cells were set up before the device could go up,
/// and are destroyed after the device has gone down and a grace period has passed.
pub struct RxDevice {
    device: NonNull<bindings::net_device>,
    cells: NonNull<bindings::gro_cells>,
    work: NonNull<DeviceWork>,
}

// SAFETY: Any thread may use a device through a counted reference, and give the reference up. The methods call
// C functions for softirq context, which run on several CPUs at once.
unsafe impl Send for RxDevice {}
// SAFETY: As above.
unsafe impl Sync for RxDevice {}

/// A received packet that a device counts as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxError {
    /// The packet is too short.
    Length,
    /// The packet's header does not make sense.
    Frame,
    /// A checksum is wrong or missing.
    Checksum,
    /// Anything else.
    Other,
}

impl RxDevice {
    /// Takes a reference to a device.
    ///
    /// # Safety
    ///
    /// The device must be valid during the call, and `cells` and `work` must be as the type's invariants say.
    pub(crate) unsafe fn new(
        device: NonNull<bindings::net_device>,
        cells: NonNull<bindings::gro_cells>,
        work: NonNull<DeviceWork>,
    ) -> Self {
        // SAFETY: The caller promises a valid device.
        unsafe { bindings::dev_hold(device.as_ptr()) };
        // INVARIANT: The reference was just taken. The caller promises the rest.
        Self {
            device,
            cells,
            work,
        }
    }

    /// Queues the device's work to run at once: see [`Device::run_work_now`](crate::netdev::Device::run_work_now).
    pub fn run_work_now(&self) {
        // SAFETY: By the type invariant the work is initialized, and the device is not freed.
        unsafe { run_now(self.work.as_ptr()) };
    }

    /// Gives a packet to the device, as one that the device received. The outer header is of IPv6 or of IPv4.
    ///
    /// Fails with the packet, to be freed: see [`Refused`] for the errors.
    ///
    /// The device merges packets by GRO, and counts the packet. A device that is down drops it. Softirq
    /// context.
    #[inline(always)]
    pub fn receive<const IPV6: bool>(&self, skb: InnerSkb) -> Result<(), (OwnedSkb, Refused)> {
        self.receive_with::<IPV6>(skb, None)
    }

    /// Does what [`Self::receive`] does. Attaches `metadata` to the packet, for tc, BPF programs and Open vSwitch to
    /// read.
    #[inline(always)]
    pub fn receive_with<const IPV6: bool>(
        &self,
        mut skb: InnerSkb,
        metadata: Option<RxMetadata>,
    ) -> Result<(), (OwnedSkb, Refused)> {
        // SAFETY: By the type invariant the device is valid. The packet refers to it until the end of C's call
        // below; after that, C keeps packets only while the device is up, and drops them before it is freed.
        if let Err(refused) = unsafe { skb.enter_device::<IPV6>(self.device) } {
            return Err((skb.into_owned(), refused));
        }
        if let Some(metadata) = metadata {
            skb.set_metadata(metadata);
        }
        self.receive_entered(skb);
        Ok(())
    }

    /// Does what [`Self::receive`] does, for a device that carries Ethernet and a packet that begins with an
    /// Ethernet header ([`InnerProtocol::ETHERNET`]). Fails with [`Refused::NoIp`] if the device carries IP.
    ///
    /// [`InnerProtocol::ETHERNET`]: crate::ip_proto::InnerProtocol::ETHERNET
    #[inline(always)]
    pub fn receive_frame<const IPV6: bool>(
        &self,
        skb: InnerSkb,
    ) -> Result<(), (OwnedSkb, Refused)> {
        self.receive_frame_with::<IPV6>(skb, None)
    }

    /// Does what [`Self::receive_frame`] does. Attaches `metadata` to the packet, for tc, BPF programs and Open
    /// vSwitch to read.
    #[inline(always)]
    pub fn receive_frame_with<const IPV6: bool>(
        &self,
        mut skb: InnerSkb,
        metadata: Option<RxMetadata>,
    ) -> Result<(), (OwnedSkb, Refused)> {
        // SAFETY: By the type invariant the device is valid.
        if unsafe { bindings::netdev_type(self.device.as_ptr()) } != bindings::ARPHRD_ETHER as u16 {
            return Err((skb.into_owned(), Refused::NoIp));
        }
        // SAFETY: As in `receive`. The device carries Ethernet.
        if let Err(refused) = unsafe { skb.enter_ethernet_device::<IPV6>(self.device) } {
            return Err((skb.into_owned(), refused));
        }
        if let Some(metadata) = metadata {
            skb.set_metadata(metadata);
        }
        self.receive_entered(skb);
        Ok(())
    }

    /// Gives a packet that has entered the device to its GRO.
    #[inline(always)]
    fn receive_entered(&self, skb: InnerSkb) {
        let len = skb.len() as u32;
        let skb = skb.into_raw();
        // SAFETY: By the type invariant the device and its cells are valid. We have given up the packet, which is
        // ready to be received, to C. C drops it if the device is down.
        unsafe {
            if bindings::gro_cells_receive(self.cells.as_ptr(), skb) == 0 {
                bindings::dev_dstats_rx_add(self.device.as_ptr(), len);
            }
        }
    }

    /// Counts a packet that the tunnel drops. Any context.
    #[cold]
    pub fn count_error(&self, error: RxError) {
        let device = self.device.as_ptr();
        // SAFETY: By the type invariant the device is valid.
        unsafe {
            bindings::dev_inc_rx_errors(device);
            match error {
                RxError::Length => bindings::dev_inc_rx_length_errors(device),
                RxError::Frame => bindings::dev_inc_rx_frame_errors(device),
                RxError::Checksum => bindings::dev_inc_rx_crc_errors(device),
                RxError::Other => {}
            }
        }
    }
}

impl Clone for RxDevice {
    fn clone(&self) -> Self {
        // SAFETY: By the type invariant the device is valid, and the cells and the work belong to it.
        unsafe { Self::new(self.device, self.cells, self.work) }
    }
}

impl Drop for RxDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own a reference, which is not used any more.
        unsafe { bindings::dev_put(self.device.as_ptr()) };
    }
}
