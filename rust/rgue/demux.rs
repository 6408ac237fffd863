// SPDX-License-Identifier: GPL-2.0

//! The devices that share a socket, and the way from a packet to its device.

use crate::{control::Control, guard::Guard, reassembly::Reassembler};
use kernel::{prelude::*, sync::Arc};
use net::{
    rcu::RcuReader,
    rcu_table::{self, RcuTable},
    rx_device::RxDevice,
    skb::OuterSource,
    udp_tunnel::Addresses,
};

/// The group and the peer of a device's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The group identifier and a bit above it, or 0 for packets without one.
    group: u64,
    /// The outer source address, or 0 for any.
    remote: [u64; 2],
}

impl Key {
    /// The key of an external device, which gets the packets that no other device is for. No other key has this
    /// group.
    pub(crate) const EXTERNAL: Self = Self {
        group: 1 << 33,
        remote: [0; 2],
    };

    #[inline]
    fn new(group: Option<u32>, remote: [u64; 2]) -> Self {
        Self {
            group: match group {
                Some(group) => 1 << 32 | u64::from(group),
                None => 0,
            },
            remote,
        }
    }

    /// Returns the key of a device with this group and this peer, which may be "any".
    pub(crate) fn of_device(group: Option<u32>, addresses: Addresses) -> Self {
        let source = match addresses {
            Addresses::V4 { peer, .. } => OuterSource::V4(peer),
            Addresses::V6 { peer, .. } => OuterSource::V6(peer),
        };
        Self::of_packet(group, source)
    }

    /// Returns the key of a packet with this group from this address.
    #[inline(always)]
    pub(crate) fn of_packet(group: Option<u32>, source: OuterSource) -> Self {
        let remote = match source {
            OuterSource::V4(address) => [u32::from_ne_bytes(address).into(), 0],
            OuterSource::V6(address) => {
                let number = u128::from_ne_bytes(address);
                // Both halves.
                [number as u64, (number >> 64) as u64]
            }
        };
        Self::new(group, remote)
    }

    /// Returns the key of devices that receive from any address.
    #[inline]
    pub(crate) fn with_any_remote(self) -> Self {
        Self {
            remote: [0; 2],
            ..self
        }
    }
}

impl rcu_table::Key for Key {
    #[inline(always)]
    fn hash(&self) -> u64 {
        let [low, high] = self.remote;
        self.group ^ low.rotate_left(32) ^ high.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// A device that is up, as receive sees it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) rx: RxDevice,
    /// Packets over IPv6 may have a UDP checksum of zero.
    pub(crate) accepts_zero_checksum6: bool,
    /// The device carries Ethernet, and not IP.
    pub(crate) carries_frames: bool,
    /// The protecting fields that packets must have.
    pub(crate) guard: Guard,
    pub(crate) control: Arc<Control>,
    pub(crate) reassembler: Reassembler,
}

/// The receive side of a socket: its devices that are up.
#[pin_data]
pub(crate) struct Receiver {
    #[pin]
    devices: RcuTable<Key, Entry>,
}

impl Receiver {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            devices <- RcuTable::new(),
        }? Error)
    }

    /// Returns the table, for changes.
    pub(crate) fn devices(&self) -> &RcuTable<Key, Entry> {
        &self.devices
    }

    /// Finds the device for packets with this key: the device with this peer, or else the device with remote `any`.
    #[inline(always)]
    pub(crate) fn find<'a>(&'a self, key: Key, rcu: RcuReader<'a>) -> Option<&'a Entry> {
        self.devices
            .find(&key, rcu)
            .or_else(|| self.devices.find(&key.with_any_remote(), rcu))
    }

    /// Returns the device for packets that no other device is for.
    pub(crate) fn find_external<'a>(&'a self, rcu: RcuReader<'a>) -> Option<&'a Entry> {
        self.devices.find(&Key::EXTERNAL, rcu)
    }
}
