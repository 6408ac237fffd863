// SPDX-License-Identifier: GPL-2.0

//! Packets that a device sends.

use super::{Device, Operations};
use crate::{rtnl::RcuReader, skb::OwnedSkb, DropReason};
use core::{marker::PhantomData, ops::Deref, ptr::NonNull};
use net_bindings as bindings;

/// A call of [`Operations::transmit`].
///
/// # Invariants
///
/// The device is up or going down. Softirqs are off on this CPU, so this is an RCU read side, as long as the
/// value lives. No other thread has the value.
pub struct Xmit<'a, T: Operations> {
    dev: &'a Device<T>,
    /// Neither `Send` nor `Sync`.
    _here: PhantomData<*mut ()>,
}

impl<'a, T: Operations> Xmit<'a, T> {
    /// # Safety
    ///
    /// As long as the result lives, `dev` must keep the invariants of [`Device`], and softirqs must be off
    /// on this CPU.
    #[inline]
    pub(super) unsafe fn new(dev: *const bindings::net_device) -> Self {
        // INVARIANT: Promised by the caller.
        Self {
            // SAFETY: The caller promises a valid device.
            dev: unsafe { Device::from_raw(dev) },
            _here: PhantomData,
        }
    }

    /// Returns the device that sends.
    #[inline]
    pub fn device(&self) -> &'a Device<T> {
        self.dev
    }

    /// Returns evidence of the RCU read side.
    #[inline]
    pub fn reader(&self) -> RcuReader<'_> {
        // SAFETY: By the type invariant this is an RCU read side as long as `self` lives.
        unsafe { RcuReader::assume() }
    }

    /// Drops a packet for a reason, and counts it as an error of the device.
    #[cold]
    pub fn drop(&self, skb: impl Into<Spent>, reason: DropReason, error: TxError) -> Sent {
        let dev = self.dev.as_raw();
        // SAFETY: The device is valid and registered, so it has its statistics. Softirqs are off.
        unsafe {
            match error {
                TxError::Dropped => bindings::dev_dstats_tx_dropped(dev),
                TxError::Error => bindings::dev_inc_tx_errors(dev),
                TxError::Carrier => {
                    bindings::dev_inc_tx_carrier_errors(dev);
                    bindings::dev_inc_tx_errors(dev);
                }
                TxError::Loop => {
                    bindings::dev_inc_collisions(dev);
                    bindings::dev_inc_tx_errors(dev);
                }
            }
        }
        skb.into().0.free(reason);
        Sent(())
    }
}

/// The counters of a device that count a dropped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxError {
    /// `tx_dropped`: the packet could not be sent for a lack of memory, or of metadata.
    Dropped,
    /// `tx_errors`: the device does not send such a packet.
    Error,
    /// `tx_carrier_errors` and `tx_errors`: there is no way to the other end.
    Carrier,
    /// `collisions` and `tx_errors`: the way to the other end leads through the device itself.
    Loop,
}

/// A packet that a device sends, owned.
pub struct DeviceSkb(pub(crate) OwnedSkb);

impl DeviceSkb {
    /// # Safety
    ///
    /// As for [`OwnedSkb::from_raw`]; and the packet must not be null.
    #[inline]
    pub(super) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        // SAFETY: Promised by the caller.
        Self(unsafe { OwnedSkb::from_raw(NonNull::new_unchecked(skb)) })
    }
}

impl Deref for DeviceSkb {
    type Target = OwnedSkb;

    #[inline]
    fn deref(&self) -> &OwnedSkb {
        &self.0
    }
}

/// A packet whose headers are no longer those that the stack gave to the device, because an attempt to send
/// the packet has failed. A device can only drop or consume it.
pub struct Spent(pub(crate) OwnedSkb);

impl Spent {
    /// Frees the packet as one that was used: see [`OwnedSkb::consume`].
    pub fn consume(self) {
        self.0.consume();
    }
}

impl From<DeviceSkb> for Spent {
    #[inline]
    fn from(skb: DeviceSkb) -> Self {
        Self(skb.0)
    }
}

/// Evidence that a packet was sent or dropped.
#[must_use]
pub struct Sent(pub(crate) ());
