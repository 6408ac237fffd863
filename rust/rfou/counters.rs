// SPDX-License-Identifier: GPL-2.0

//! Counters of a port: packets and bytes received, drops by reason.

use crate::reason::Reason;
use kernel::prelude::*;
use net::percpu::PerCpuCounters;

const PACKETS: usize = 0;
const BYTES: usize = 1;
/// The first drop counter. There is one for each reason, in the order of the reasons.
const DROPS: usize = 2;

/// The counters of a port.
pub(crate) struct Counters(PerCpuCounters<{ DROPS + Reason::COUNT }>);

impl Counters {
    /// Allocates counters. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        PerCpuCounters::new().map(Self)
    }

    /// Counts `packets` packets, which go to the inner protocol as one. Their UDP payload is `payload_len_bytes` bytes
    /// long.
    #[inline(always)]
    pub(crate) fn count_received(&self, packets: u16, payload_len_bytes: usize) {
        self.0.add(PACKETS, packets.into());
        self.0.add(BYTES, payload_len_bytes as u64);
    }

    /// Counts a packet that is dropped.
    #[cold]
    pub(crate) fn count_dropped(&self, reason: Reason) {
        self.0.add(DROPS.wrapping_add(reason as usize), 1);
    }

    /// Returns the totals. No total is ever less than in an earlier call.
    pub(crate) fn totals(&self) -> Totals {
        let [rx_packets, rx_bytes, drops @ ..] = self.0.sums();
        Totals {
            rx_packets,
            rx_bytes,
            drops,
        }
    }
}

/// The values of [`Counters`] at one time.
pub(crate) struct Totals {
    pub(crate) rx_packets: u64,
    /// Bytes of UDP payload.
    pub(crate) rx_bytes: u64,
    /// Packets by reason, in the order of the reasons.
    pub(crate) drops: [u64; Reason::COUNT],
}

impl Totals {
    /// Returns the number of packets that were dropped, for any reason.
    pub(crate) fn all_drops(&self) -> u64 {
        self.drops.into_iter().fold(0, u64::wrapping_add)
    }
}
