// SPDX-License-Identifier: GPL-2.0

//! The IP headers of packets that a tunnel device sends.

use super::{ETH_P_IP, ETH_P_IPV6};
use crate::{ecn, errno::EPROTONOSUPPORT, netdev::DeviceSkb};
use kernel::prelude::*;
use net_bindings as bindings;

/// The EtherTypes of VLAN tags, in network order.
const ETH_P_8021Q: u16 = (bindings::ETH_P_8021Q as u16).to_be();
const ETH_P_8021AD: u16 = (bindings::ETH_P_8021AD as u16).to_be();

/// The length of an Ethernet header, and of a VLAN tag, in bytes.
pub(super) const LINK: usize = bindings::ETH_HLEN as usize;
const TAG: usize = 4;
/// The most bytes of an Ethernet header and VLAN tags before an IP header: 8 tags, as in C (`VLAN_MAX_DEPTH`).
const MOST_TAGGED: usize = LINK + 8 * TAG;

/// The fields of an inner IP header that an outer header may inherit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerIp {
    /// `true` for IPv6, `false` for IPv4.
    pub is_ipv6: bool,
    /// The IPv4 TOS or the IPv6 traffic class.
    pub tos: u8,
    /// The IPv4 TTL or the IPv6 hop limit.
    pub hop_limit: u8,
    /// The "don't fragment" flag of IPv4. Always set for IPv6, because routers do not fragment IPv6 packets.
    pub dont_fragment: bool,
}

impl DeviceSkb {
    /// Reads the IP header that the packet begins with. Fails with `EPROTONOSUPPORT` if the packet is
    /// neither IPv4 nor IPv6, with `EINVAL` if it is too short, or with `ENOMEM`.
    #[inline(always)]
    pub fn inner_ip(&mut self) -> Result<InnerIp> {
        let inner = match self.0.protocol() {
            ETH_P_IP => {
                let header = self.as_skb().header(20)?;
                let header: &[u8; 20] = header.first_chunk().ok_or(EINVAL)?;
                if header[0] >> 4 != 4 {
                    return Err(EPROTONOSUPPORT);
                }
                InnerIp {
                    is_ipv6: false,
                    tos: header[1],
                    hop_limit: header[8],
                    dont_fragment: header[6] & 0x40 != 0,
                }
            }
            ETH_P_IPV6 => {
                let header = self.as_skb().header(40)?;
                let header: &[u8; 40] = header.first_chunk().ok_or(EINVAL)?;
                if header[0] >> 4 != 6 {
                    return Err(EPROTONOSUPPORT);
                }
                InnerIp {
                    is_ipv6: true,
                    tos: header[0] << 4 | header[1] >> 4,
                    hop_limit: header[7],
                    dont_fragment: true,
                }
            }
            _ => return Err(EPROTONOSUPPORT),
        };
        Ok(inner)
    }

    /// Reads the IP header after the Ethernet header that the packet begins with, and after VLAN tags. All fields are
    /// 0 if no IP header follows. Fails with `EINVAL` if the packet is shorter than an Ethernet header, or with
    /// `ENOMEM`.
    ///
    /// The ECN field of a packet with a tag is 0, because the receiver combines the inner and outer ECN fields only
    /// if there is no tag.
    pub fn inner_frame(&mut self) -> Result<InnerIp> {
        self.as_skb().header(LINK)?;
        match self.0.protocol() {
            ETH_P_8021Q | ETH_P_8021AD => self.inner_tagged(),
            protocol => self.inner_ip_at(protocol, LINK),
        }
    }

    /// Does what [`Self::inner_frame`] does for a packet with VLAN tags.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    fn inner_tagged(&mut self) -> Result<InnerIp> {
        let (mut protocol, mut at) = (ETH_P_8021Q, LINK);
        while matches!(protocol, ETH_P_8021Q | ETH_P_8021AD) {
            at = at.saturating_add(TAG);
            protocol = match self.as_skb().header(at) {
                Ok(bytes) if at <= MOST_TAGGED => bytes
                    .last_chunk()
                    .map_or(0, |number| u16::from_ne_bytes(*number)),
                Err(ENOMEM) => return Err(ENOMEM),
                _ => 0,
            };
        }
        let inner = self.inner_ip_at(protocol, at)?;
        Ok(InnerIp {
            tos: inner.tos & !ecn::MASK,
            ..inner
        })
    }

    /// Reads the IP header after `at` bytes, if the EtherType says that there is one.
    #[inline(always)]
    fn inner_ip_at(&mut self, protocol: u16, at: usize) -> Result<InnerIp> {
        let len = match protocol {
            ETH_P_IP => 20,
            ETH_P_IPV6 => 40,
            _ => 0,
        };
        let header = match self.as_skb().header(at.saturating_add(len)) {
            Ok(bytes) => bytes.get(at..).unwrap_or_default(),
            Err(ENOMEM) => return Err(ENOMEM),
            Err(_) => &[],
        };
        Ok(match *header {
            [first, tos, _, _, _, _, fragment, _, ttl, ..]
                if protocol == ETH_P_IP && first >> 4 == 4 =>
            {
                InnerIp {
                    is_ipv6: false,
                    tos,
                    hop_limit: ttl,
                    dont_fragment: fragment & 0x40 != 0,
                }
            }
            [first, second, _, _, _, _, _, hop_limit, ..]
                if protocol == ETH_P_IPV6 && first >> 4 == 6 =>
            {
                InnerIp {
                    is_ipv6: true,
                    tos: first << 4 | second >> 4,
                    hop_limit,
                    dont_fragment: true,
                }
            }
            _ => InnerIp {
                is_ipv6: false,
                tos: 0,
                hop_limit: 0,
                dont_fragment: false,
            },
        })
    }
}
