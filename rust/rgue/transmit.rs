// SPDX-License-Identifier: GPL-2.0

//! Packets on their way out.

use crate::{device::Gue, reason::Reason};
use net::netdev::{DeviceSkb, Sent, TxError, Xmit};

/// Sends a packet. Softirqs are off.
#[inline]
pub(crate) fn transmit(xmit: &Xmit<'_, Gue>, skb: DeviceSkb) -> Sent {
    xmit.drop(skb, Reason::NotIp.number(), TxError::Error)
}
