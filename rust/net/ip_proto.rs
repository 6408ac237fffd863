// SPDX-License-Identifier: GPL-2.0

//! IP protocols, and the first transport header of a packet that begins with a header of one.

use core::num::NonZeroU8;
use kernel::prelude::*;

pub(crate) const IPV4: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
pub(crate) const IPV6: u8 = 41;
pub(crate) const GRE: u8 = 47;
/// Ethernet in IP (RFC 3378).
pub(crate) const ETHER_IP: u8 = 97;
const UDP_LITE: u8 = 136;

/// The IP protocol of an inner packet. Never 0: UDP reads "deliver to protocol 0" as "consumed",
/// and the packet would leak.
///
/// ```
/// use net::ip_proto::InnerProtocol;
///
/// assert_eq!(InnerProtocol::new(47).map(InnerProtocol::number), Some(47));
/// assert_eq!(InnerProtocol::new(0), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InnerProtocol(NonZeroU8);

impl InnerProtocol {
    /// An Ethernet frame that a device receives, whatever the tunnel's header calls it. Has EtherIP's number;
    /// a tunnel with an EtherIP header has pulled that header.
    pub const ETHERNET: Self = match Self::new(ETHER_IP) {
        Some(protocol) => protocol,
        None => unreachable!(),
    };

    /// IPv4.
    pub const IPV4: Self = match Self::new(IPV4) {
        Some(protocol) => protocol,
        None => unreachable!(),
    };

    /// IPv6.
    pub const IPV6: Self = match Self::new(IPV6) {
        Some(protocol) => protocol,
        None => unreachable!(),
    };

    /// Returns the protocol with an IANA number, `None` for 0.
    #[inline]
    pub const fn new(number: u8) -> Option<Self> {
        match NonZeroU8::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the IANA number.
    #[inline]
    pub const fn number(self) -> u8 {
        self.0.get()
    }

    /// Returns `true` for IPv4, IPv6 and GRE: their packets bring a network header of their own, so GRO
    /// can look into them directly after a tunnel's header.
    #[inline]
    pub(crate) const fn has_network_header(self) -> bool {
        matches!(self.number(), IPV4 | IPV6 | GRE)
    }

    /// Returns `true` for UDP and UDP-Lite.
    #[inline]
    pub(crate) const fn is_udp(self) -> bool {
        matches!(self.number(), UDP | UDP_LITE)
    }

    /// Returns `true` for IPv4 and IPv6.
    #[inline]
    pub const fn is_ip(self) -> bool {
        matches!(self.number(), IPV4 | IPV6)
    }
}

/// The place of a checksum in a packet: the sum from `start` on is stored inverted at `field`. Both
/// are counted in bytes from the packet's first header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumPlace {
    /// The first byte that is summed.
    pub start: u16,
    /// The first byte of the checksum field.
    pub field: u16,
}

impl ChecksumPlace {
    /// Returns the offset of the field's end, in bytes.
    #[inline]
    pub(crate) const fn end(self) -> usize {
        self.field as usize + size_of::<u16>()
    }

    /// Returns `true` if the first transport header of `packet`, which begins with a header of `protocol`,
    /// is TCP's or UDP's and has its checksum here.
    ///
    /// Looks past IPv4, IPv6, and one GRE header before them, but not into fragments, IPv6 extension
    /// headers and further tunnels. `packet` may end after the checksum.
    #[inline]
    pub(crate) fn is_first_transport_headers(self, protocol: InnerProtocol, packet: &[u8]) -> bool {
        match protocol.number() {
            number @ (IPV4 | IPV6) => self.is_after_ip(number, packet, 0),
            GRE => self.is_after_gre(packet),
            number => self.is_of_header(number, 0),
        }
    }

    /// Returns `true` if a header of protocol `number` that begins at `start` has its checksum here.
    #[inline]
    fn is_of_header(self, number: u8, start: usize) -> bool {
        let offset = match number {
            TCP => 16,
            UDP => 6,
            _ => return false,
        };
        usize::from(self.start) == start && self.field.checked_sub(self.start) == Some(offset)
    }

    /// Returns `true` if the header after an IP header, which begins at `ip_at`, has its checksum here.
    #[inline]
    fn is_after_ip(self, version: u8, ip: &[u8], ip_at: usize) -> bool {
        let found = if version == IPV4 {
            ipv4_payload(ip)
        } else {
            ipv6_payload(ip)
        };
        found.is_some_and(|(len, number)| self.is_of_header(number, ip_at.saturating_add(len)))
    }

    /// Returns `true` if the header after GRE and IP has its checksum here.
    // Not inlined: packets of other protocols should not save registers for it.
    #[inline(never)]
    fn is_after_gre(self, gre: &[u8]) -> bool {
        gre_payload(gre).is_some_and(|(ip_at, version)| {
            gre.get(ip_at..)
                .is_some_and(|ip| self.is_after_ip(version, ip, ip_at))
        })
    }
}

/// Returns the length of an IPv4 header (RFC 791) and the protocol after it, `None` for a fragment.
#[inline]
fn ipv4_payload(ip: &[u8]) -> Option<(usize, u8)> {
    let [first, _, _, _, _, _, fragment @ .., _, number] = ip.first_chunk::<10>()?;
    let header_len = usize::from(first & 0xf).saturating_mul(4);
    // All bits but "don't fragment".
    let whole = u16::from_be_bytes(*fragment) & !0x4000 == 0;
    (first >> 4 == 4 && header_len >= 20 && whole).then_some((header_len, *number))
}

/// Returns the length of an IPv6 header (RFC 8200) and the protocol after it.
#[inline]
fn ipv6_payload(ip: &[u8]) -> Option<(usize, u8)> {
    let [first, _, _, _, _, _, number] = ip.first_chunk::<7>()?;
    (first >> 4 == 6).then_some((40, *number))
}

/// Returns the length of a GRE header (RFC 2784, RFC 2890), with the Ethernet header after it if
/// there is one, and the protocol of the IP header that follows.
#[inline]
fn gre_payload(gre: &[u8]) -> Option<(usize, u8)> {
    const CHECKSUM_KEY_SEQUENCE: [u8; 3] = [0x80, 0x20, 0x10];
    let [flags, version, ether_type @ ..] = gre.first_chunk::<4>()?;
    if flags & !0xb0 != 0 || *version != 0 {
        return None;
    }
    let mut len: usize = 4;
    for flag in CHECKSUM_KEY_SEQUENCE {
        if flags & flag != 0 {
            len = len.checked_add(4)?;
        }
    }
    let mut ether_type = *ether_type;
    if ether_type == [0x65, 0x58] {
        ether_type = *gre.get(len.checked_add(12)?..)?.first_chunk()?;
        len = len.checked_add(14)?;
    }
    match ether_type {
        [0x08, 0x00] => Some((len, IPV4)),
        [0x86, 0xdd] => Some((len, IPV6)),
        _ => None,
    }
}

#[kunit_tests(rfou_net_ip_proto)]
mod tests {
    use super::*;

    type Header = &'static [u8];

    const IPV4_TCP: Header = b"\x45\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\0\0";
    const IPV4_UDP_DF: Header = b"\x45\0\0\0\0\0\x40\0\0\x11\0\0\0\0\0\0\0\0\0\0";
    const IPV4_TCP_OPTION: Header = b"\x46\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\0\0\x01\x01\x01\0";
    const IPV4_FIRST_FRAGMENT: Header = b"\x45\0\0\0\0\0\x20\0\0\x06\0\0\0\0\0\0\0\0\0\0";
    const IPV4_LAST_FRAGMENT: Header = b"\x45\0\0\0\0\0\0\x01\0\x06\0\0\0\0\0\0\0\0\0\0";
    const IPV4_ICMP: Header = b"\x45\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0";
    const IPV4_IPV4: Header = b"\x45\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\0\0\0";
    const IPV4_SHORT: Header = b"\x44\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\0\0\0";
    const IPV6_TCP: Header = &ipv6(TCP);
    const IPV6_UDP: Header = &ipv6(UDP);
    const IPV6_FRAGMENT: Header = &ipv6(44);

    const fn ipv6(number: u8) -> [u8; 40] {
        let mut header = [0; 40];
        header[0] = 0x60;
        header[6] = number;
        header
    }

    /// The protocol of the first header, the headers, and the expected checksum.
    const CASES: &[(u8, &[Header], Option<(u16, u16)>)] = &[
        (IPV4, &[IPV4_TCP], Some((20, 36))),
        (IPV4, &[IPV4_UDP_DF], Some((20, 26))),
        (IPV4, &[IPV4_TCP_OPTION], Some((24, 40))),
        (IPV4, &[IPV4_FIRST_FRAGMENT], None),
        (IPV4, &[IPV4_LAST_FRAGMENT], None),
        (IPV4, &[IPV4_ICMP], None),
        (IPV4, &[IPV4_IPV4, IPV4_TCP], None),
        (IPV4, &[IPV4_SHORT], None),
        (IPV4, &[IPV6_TCP], None),
        (IPV6, &[IPV6_TCP], Some((40, 56))),
        (IPV6, &[IPV6_UDP], Some((40, 46))),
        (IPV6, &[IPV6_FRAGMENT], None),
        (IPV6, &[IPV4_TCP], None),
        (GRE, &[b"\0\0\x08\0", IPV4_TCP], Some((24, 40))),
        (
            GRE,
            &[b"\xb0\0\x86\xdd", &[0; 12], IPV6_UDP],
            Some((56, 62)),
        ),
        (
            GRE,
            &[b"\x20\0\x65\x58", &[0; 16], b"\x08\0", IPV4_TCP],
            Some((42, 58)),
        ),
        (GRE, &[b"\0\0\x65\x58", &[0; 12], b"\x81\0"], None),
        (GRE, &[b"\x40\0\x08\0", IPV4_TCP], None),
        (GRE, &[b"\0\x01\x08\0", IPV4_TCP], None),
        (GRE, &[b"\0\0\x88\x47", IPV4_TCP], None),
        (TCP, &[], Some((0, 16))),
        (UDP, &[], Some((0, 6))),
        (1, &[], None),
    ];

    #[test]
    fn first_transport_headers_checksum_and_no_other() -> Result {
        for (number, headers, expected) in CASES {
            let mut packet = KVec::new();
            for header in *headers {
                packet.extend_from_slice(header, GFP_KERNEL)?;
            }
            packet.extend_from_slice(&[0; 40], GFP_KERNEL)?;
            let protocol = InnerProtocol::new(*number).ok_or(EINVAL)?;
            for start in 0..70 {
                for field in 0..80 {
                    let found = ChecksumPlace { start, field }
                        .is_first_transport_headers(protocol, &packet);
                    assert_eq!(found, *expected == Some((start, field)));
                }
            }
            // Of any shorter packet.
            for len in 0..packet.len() {
                let part = packet.get(..len).ok_or(EINVAL)?;
                let place = ChecksumPlace { start: 0, field: 1 };
                assert!(!place.is_first_transport_headers(protocol, part));
            }
        }
        Ok(())
    }
}
