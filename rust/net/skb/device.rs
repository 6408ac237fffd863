// SPDX-License-Identifier: GPL-2.0

//! Received packets on their way to a tunnel's device.

use super::decap::{FRAME_HEADERS_LEN_BYTES, IP_HEADERS_LEN_BYTES};
use super::{InnerSkb, OwnedSkb, RxSkb, SkBuff};
use crate::{
    ecn,
    ip_proto::{InnerProtocol, ETHER_IP},
    netns::BareNetns,
    rcu::RcuReader,
};
use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*};
use net_bindings as bindings;

/// Length of the IP headers without options, in bytes (RFC 791, RFC 8200).
const IPV4_HEADER_LEN_BYTES: usize = 20;
const IPV6_HEADER_LEN_BYTES: usize = 40;

/// Length of the Ethernet header, in bytes.
const ETHERNET_HEADER_LEN_BYTES: usize = 14;

/// The EtherTypes of IP packets.
const IPV4_ETHER_TYPE: u16 = 0x0800;
const IPV6_ETHER_TYPE: u16 = 0x86dd;

/// The reason why a device does not receive a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The inner packet is neither IPv4 nor IPv6, or not what the device carries.
    NoIp,
    /// The inner packet is shorter than its IP header.
    TooShort,
    /// A router has marked the outer header as "congestion experienced", and the inner packet's sender
    /// does not understand the mark (RFC 6040).
    Ecn,
    /// An Ethernet frame whose source address is the device's own: the frame has come back in a loop.
    OwnFrame,
    /// No memory.
    NoMemory,
}

/// An address from the outer IP header, such as the source, or another address of that IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterSource {
    /// Of IPv4.
    V4([u8; 4]),
    /// Of IPv6.
    V6([u8; 16]),
}

impl RxSkb {
    /// Returns the source address of the outer IP header, of IPv6 or of IPv4; `None` if the header does not
    /// lie before the packet.
    #[inline(always)]
    pub fn outer_source<const IPV6: bool>(&self) -> Option<OuterSource> {
        let header = self.network_header()?;
        if IPV6 {
            let address = header.get(8..24)?;
            Some(OuterSource::V6(*address.first_chunk()?))
        } else {
            let address = header.get(12..16)?;
            Some(OuterSource::V4(*address.first_chunk()?))
        }
    }

    /// Returns the namespace that received the packet, which may be at its end.
    pub fn netns<'a>(&self, _rcu: RcuReader<'a>) -> BareNetns<'a> {
        // SAFETY: By the type's contract a socket of UDP has received the packet from a device, to which the packet
        // refers. The device is valid as long as the caller is an RCU reader, and so is its namespace: C waits for
        // readers before it frees either.
        unsafe { BareNetns::from_raw(bindings::dev_net(bindings::skb_dev(self.as_raw()))) }
    }

    /// Returns the destination address of the outer IP header, as [`Self::outer_source`] does the source.
    #[inline]
    pub fn outer_destination<const IPV6: bool>(&self) -> Option<OuterSource> {
        let header = self.network_header()?;
        if IPV6 {
            let address = header.get(24..40)?;
            Some(OuterSource::V6(*address.first_chunk()?))
        } else {
            let address = header.get(16..20)?;
            Some(OuterSource::V4(*address.first_chunk()?))
        }
    }
}

impl RxSkb {
    /// Returns the source and then the destination address of the outer IP header: 16 bytes each for IPv6, or 4 for
    /// IPv4.
    #[inline(always)]
    pub fn outer_addresses<const IPV6: bool>(&self) -> Option<&[u8]> {
        Some(if IPV6 {
            &self.network_array::<IPV6_HEADER_LEN_BYTES>()?[8..]
        } else {
            &self.network_array::<IPV4_HEADER_LEN_BYTES>()?[12..]
        })
    }
}

impl InnerSkb {
    /// Turns the packet into one that a device received: removes what belongs to the outer network
    /// (`skb_scrub_packet()`), and combines the ECN fields of the outer header, of IPv6 or of IPv4, and of the
    /// inner header (RFC 6040).
    ///
    /// Softirq context. After an error the caller must free the packet.
    ///
    /// # Safety
    ///
    /// `device` must be valid for as long as the packet refers to it.
    #[inline(always)]
    pub(crate) unsafe fn enter_device<const IPV6: bool>(
        &mut self,
        device: NonNull<bindings::net_device>,
    ) -> Result<(), Refused> {
        let (ether_type, header_len) = match self.protocol.number() {
            4 => (IPV4_ETHER_TYPE, IPV4_HEADER_LEN_BYTES),
            41 => (IPV6_ETHER_TYPE, IPV6_HEADER_LEN_BYTES),
            _ => return Err(Refused::NoIp),
        };
        let mut skb = self.skb.as_pin_mut();
        if let Err(error) = skb.as_mut().header(header_len) {
            return Err(if error == ENOMEM {
                Refused::NoMemory
            } else {
                Refused::TooShort
            });
        }
        let outer = skb.outer_dsfield::<IPV6>().ok_or(Refused::TooShort)?;
        // SAFETY: By the type invariant the packet is valid, and it is exclusively borrowed. It was received,
        // so it has a device. The caller promises a valid device.
        unsafe {
            bindings::skb_enter_device(skb.as_raw(), device.as_ptr(), ether_type.to_be());
        }
        if outer & ecn::MASK != 0 {
            skb.as_mut().decapsulate_ecn(outer)?;
        }
        skb.prepare_for_pull(IP_HEADERS_LEN_BYTES);
        Ok(())
    }

    /// Does what [`Self::enter_device`] does for a packet that begins with an Ethernet header. ECN fields are
    /// combined if an IP header follows at once.
    ///
    /// # Safety
    ///
    /// `device` must be a valid Ethernet device for as long as the packet refers to it.
    #[inline(always)]
    pub(crate) unsafe fn enter_ethernet_device<const IPV6: bool>(
        &mut self,
        device: NonNull<bindings::net_device>,
    ) -> Result<(), Refused> {
        // In a packet of this protocol, a remote checksum was computed, and not left as a partial checksum.
        if self.protocol.number() != ETHER_IP {
            return Err(Refused::NoIp);
        }
        let mut skb = self.skb.as_pin_mut();
        let short = |error| {
            if error == ENOMEM {
                Refused::NoMemory
            } else {
                Refused::TooShort
            }
        };
        skb.as_mut()
            .header(ETHERNET_HEADER_LEN_BYTES)
            .map_err(short)?;
        let outer = skb.outer_dsfield::<IPV6>().ok_or(Refused::TooShort)?;
        // SAFETY: By the type invariant the packet is valid, and it is exclusively borrowed. It was received, so
        // it has a device. Its Ethernet header is linear, as was just checked. The caller promises a valid device.
        if !unsafe { bindings::skb_enter_ethernet_device(skb.as_raw(), device.as_ptr()) } {
            return Err(Refused::OwnFrame);
        }
        if outer & ecn::MASK != 0 {
            let header_len = match u16::from_be(skb.protocol()) {
                IPV4_ETHER_TYPE => IPV4_HEADER_LEN_BYTES,
                IPV6_ETHER_TYPE => IPV6_HEADER_LEN_BYTES,
                _ => 0,
            };
            // A frame that is shorter than its IP header has no ECN field.
            match skb.as_mut().header(header_len) {
                Ok(bytes) if !bytes.is_empty() => skb.as_mut().decapsulate_ecn(outer)?,
                Err(ENOMEM) => return Err(Refused::NoMemory),
                _ => {}
            }
        }
        skb.prepare_for_pull(FRAME_HEADERS_LEN_BYTES);
        Ok(())
    }

    /// Returns the packet, to be dropped and not given to the stack.
    #[inline]
    pub(crate) fn into_owned(self) -> OwnedSkb {
        self.skb
    }

    /// Returns the protocol of the packet.
    #[inline]
    pub fn protocol(&self) -> InnerProtocol {
        self.protocol
    }
}

impl SkBuff {
    /// Returns the DSCP and ECN byte of the IP header at the network header, of IPv6 or of IPv4.
    #[inline(always)]
    pub(super) fn outer_dsfield<const IPV6: bool>(&self) -> Option<u8> {
        let [first, second] = self.network_array::<2>()?;
        Some(if IPV6 {
            first << 4 | second >> 4
        } else {
            *second
        })
    }

    /// Writes the inner ECN field that follows from the outer DSCP and ECN byte (RFC 6040).
    // Not inlined: few packets have the field.
    #[inline(never)]
    fn decapsulate_ecn(mut self: Pin<&mut Self>, outer: u8) -> Result<(), Refused> {
        // Unclones the packet, so that sockets that share it do not see the change.
        self.as_mut().unclone().map_err(|_| Refused::NoMemory)?;
        // SAFETY: By the type invariant the packet is valid, and it is exclusively borrowed. Its network header
        // is an IP header of the version that `protocol` says, which is linear and private.
        match unsafe { bindings::skb_ecn_decapsulate(self.as_raw(), outer) } {
            2.. => Err(Refused::Ecn),
            result => to_result(result.min(0)).map_err(|_| Refused::NoMemory),
        }
    }
}
