// SPDX-License-Identifier: GPL-2.0

//! Frames that are longer than the MTU of a tunnel's path.

use super::{inner::LINK, ETH_P_IP, ETH_P_IPV6};
use crate::{
    metadata,
    netdev::{DeviceSkb, Operations, Sent, TxError, Xmit},
    route::{IpVersion, Route},
    DropReason,
};
use net_bindings as bindings;

impl DeviceSkb {
    /// Does what [`Self::check_path_mtu`] does, for a packet that begins with an Ethernet header, which `overhead`
    /// includes. Returns the packet for the caller to send, even if it is too long, except in the following case.
    ///
    /// On a device that is a port of a bridge, a longer packet that may not be fragmented becomes an ICMP error for
    /// its sender: the device receives the ICMP error, and counts a transmit error. If the packet has tunnel
    /// metadata, they then name the other end as the source. C's VXLAN and Geneve do the same.
    #[inline(always)]
    pub fn check_path_mtu_of_frame<V: IpVersion, T: Operations>(
        self,
        xmit: &Xmit<'_, T>,
        route: &Route<V>,
        overhead: u32,
    ) -> Result<Self, Sent> {
        let mtu = route.path_mtu().saturating_sub(overhead);
        if self.0.len() <= (mtu as usize).saturating_add(LINK) || !self.is_longer(mtu) {
            return Ok(self);
        }
        self.tell_path_mtu(xmit, route, overhead)
    }

    /// Tells the sender of a packet that is too long: through the packet's route if the sender is this host, or with
    /// an ICMP error if the sender is behind a bridge.
    #[cold]
    #[inline(never)]
    fn tell_path_mtu<V: IpVersion, T: Operations>(
        mut self,
        xmit: &Xmit<'_, T>,
        route: &Route<V>,
        overhead: u32,
    ) -> Result<Self, Sent> {
        let dev = xmit.device().as_raw();
        let overhead = i32::try_from(overhead).unwrap_or(i32::MAX);
        // SAFETY: The device is valid.
        let is_bridged = unsafe {
            bindings::netdev_type(dev) == bindings::ARPHRD_ETHER as u16
                && bindings::netif_is_any_bridge_port(dev)
        };
        let is_answered = is_bridged && self.has_ip_after_ethernet();
        let raw = self.0.as_raw();
        // SAFETY: The packet is valid, owned, and exclusively borrowed: C may change its route, and make an answer
        // of it. For an answer, C asks for a MAC header at the packet's data, which is set here, and for a linear
        // network header after 14 bytes, as was just checked. The route is valid.
        let made = unsafe {
            bindings::skb_reset_mac_header(raw);
            bindings::skb_tunnel_check_pmtu(raw, route.as_raw(), overhead, is_answered)
        };
        match made {
            0 => Ok(self),
            // The packet may have been turned into an ICMP error half way.
            ..0 => Err(xmit.drop(self, DropReason::NOMEM, TxError::Dropped)),
            _ => {
                let local = route.source().as_ref();
                if metadata::turn_round(self.0.as_pin_mut(), local).is_err() {
                    return Err(xmit.drop(self, DropReason::NOMEM, TxError::Dropped));
                }
                let answer = self.0.into_raw();
                // SAFETY: The packet has become a frame, which is given up to C. Softirqs are off as long as `xmit`
                // lives. The device is valid.
                unsafe {
                    bindings::dev_inc_tx_errors(dev);
                    bindings::skb_receive_frame(answer, dev);
                }
                Err(Sent(()))
            }
        }
    }

    /// Returns `true` if the packet's network header is an IP header right after the Ethernet header. Makes the
    /// header linear.
    fn has_ip_after_ethernet(&mut self) -> bool {
        let len = match self.0.protocol() {
            ETH_P_IP => 20,
            ETH_P_IPV6 => 40,
            _ => return false,
        };
        // SAFETY: The packet is valid.
        let offset = unsafe { bindings::skb_network_offset(self.0.as_raw()) };
        offset == bindings::ETH_HLEN as i32 && self.0.as_pin_mut().header(LINK + len).is_ok()
    }
}
