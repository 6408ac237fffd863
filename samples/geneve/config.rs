// SPDX-License-Identifier: GPL-2.0

//! The configuration of a device.

use crate::header::{BASE_LEN_BYTES, MAX_VNI};
use kernel::prelude::*;
use net::errno::{EOPNOTSUPP, EPFNOSUPPORT};
use net::{
    netdev::Dimensions,
    netlink::NlaPolicy,
    rcu::RcuReader,
    route::{self, Flow, IpVersion, Ipv4, Ipv6, Route},
    rtnl_link::{LinkInfo, NewLink},
    skb::OuterSource,
    udp::{self, Checksum, PortNumber, Ports},
    udp_tunnel::Binding,
    Netns,
};

// The attributes of Linux's own Geneve device (`IFLA_GENEVE_*`), by their numbers.
const ID: i32 = 1;
const REMOTE: i32 = 2;
const TTL: i32 = 3;
const TOS: i32 = 4;
const PORT: i32 = 5;
const COLLECT_METADATA: i32 = 6;
const REMOTE6: i32 = 7;
const UDP_CSUM: i32 = 8;
const UDP_ZERO_CSUM6_TX: i32 = 9;
const UDP_ZERO_CSUM6_RX: i32 = 10;
const LABEL: i32 = 11;

/// The policy of each attribute. Netlink refuses the others.
pub(crate) const POLICY: [NlaPolicy; 12] = [
    NlaPolicy::UNSPEC,
    NlaPolicy::U32,           // ID
    NlaPolicy::BE32,          // REMOTE
    NlaPolicy::U8,            // TTL
    NlaPolicy::U8,            // TOS
    NlaPolicy::BE16,          // PORT
    NlaPolicy::FLAG,          // COLLECT_METADATA
    NlaPolicy::exact_len(16), // REMOTE6
    NlaPolicy::U8,            // UDP_CSUM
    NlaPolicy::U8,            // UDP_ZERO_CSUM6_TX
    NlaPolicy::U8,            // UDP_ZERO_CSUM6_RX
    NlaPolicy::BE32,          // LABEL
];

/// The port that IANA has assigned to Geneve.
const ASSIGNED_PORT: PortNumber = PortNumber::from_be_bytes(6081_u16.to_be_bytes());

/// The length of an inner Ethernet header, in bytes.
const ETHERNET_LEN_BYTES: usize = 14;

/// The configuration of a device.
pub(crate) struct Config {
    pub(crate) vni: u32,
    /// The source of the packets that the device receives, and the destination of those that it sends.
    pub(crate) remote: OuterSource,
    /// The UDP port that the device receives from and sends to.
    pub(crate) port: PortNumber,
    /// 0 leaves it to the route.
    pub(crate) ttl: u8,
    /// The UDP checksum of sent packets.
    pub(crate) checksum: Checksum,
    /// Packets over IPv6 may have a UDP checksum of zero.
    pub(crate) accepts_zero_checksum6: bool,
}

impl Config {
    /// Reads a request for a new device.
    pub(crate) fn read(request: &NewLink<'_>) -> Result<Self> {
        let metadata = request.attr(COLLECT_METADATA);
        if metadata.is_some() {
            return Err(request.refuse(EOPNOTSUPP, c"external is not supported", metadata));
        }
        // `ip` always sends both; 0 stands for none.
        for (attrtype, text) in [
            (TOS, c"a tos is not supported"),
            (LABEL, c"a flowlabel is not supported"),
        ] {
            let mut value = [0; 4];
            if let Some(at) = request.attr(attrtype) {
                at.copy_to(&mut value)?;
                if value != [0; 4] {
                    return Err(request.refuse(EOPNOTSUPP, text, Some(at)));
                }
            }
        }
        let remote = read_remote(request)?;
        let mut config = Self {
            vni: 0,
            remote,
            port: ASSIGNED_PORT,
            ttl: 0,
            checksum: match remote {
                OuterSource::V4(_) if !read_bool(request, UDP_CSUM)? => Checksum::Zero,
                OuterSource::V6(_) if read_bool(request, UDP_ZERO_CSUM6_TX)? => Checksum::Zero,
                _ => Checksum::Full,
            },
            accepts_zero_checksum6: read_bool(request, UDP_ZERO_CSUM6_RX)?,
        };
        if let Some(at) = request.attr(ID) {
            config.vni = at.get()?;
            if config.vni > MAX_VNI {
                return Err(request.refuse(ERANGE, c"id has 24 bits", Some(at)));
            }
        }
        if let Some(at) = request.attr(PORT) {
            config.port = PortNumber::from_be_bytes(at.get()?);
            if config.port.specific().is_none() {
                return Err(request.refuse(EINVAL, c"dstport must not be 0", Some(at)));
            }
        }
        if let Some(at) = request.attr(TTL) {
            config.ttl = at.get()?;
        }
        Ok(config)
    }

    /// Writes the configuration to a message.
    pub(crate) fn show(&self, info: &mut LinkInfo<'_>) -> Result {
        let zero = self.checksum == Checksum::Zero;
        match &self.remote {
            OuterSource::V4(remote) => {
                info.put_bytes(REMOTE, remote)?;
                info.put_u8(UDP_CSUM, (!zero).into())?;
            }
            OuterSource::V6(remote) => {
                info.put_bytes(REMOTE6, remote)?;
                info.put_u8(UDP_ZERO_CSUM6_TX, zero.into())?;
                info.put_u8(UDP_ZERO_CSUM6_RX, self.accepts_zero_checksum6.into())?;
            }
        }
        info.put_u32(ID, self.vni)?;
        info.put_u8(TTL, self.ttl)?;
        info.put_bytes(PORT, &self.port.to_be_bytes())
    }

    /// Returns the binding of the device's socket: any address of this host.
    pub(crate) fn binding(&self) -> Binding {
        Binding::any(matches!(self.remote, OuterSource::V6(_)), self.port)
    }

    /// Returns the length of all headers before an inner network header, in bytes.
    pub(crate) fn overhead_bytes(&self) -> u32 {
        let ip = match self.remote {
            OuterSource::V4(_) => Ipv4::HEADER_LEN_BYTES,
            OuterSource::V6(_) => Ipv6::HEADER_LEN_BYTES,
        };
        // Less than a hundred.
        (ip + udp::HEADER_LEN_BYTES + BASE_LEN_BYTES + ETHERNET_LEN_BYTES) as u32
    }

    /// Returns the sizes of a device: the MTU of its route less the headers, and the headroom. May sleep.
    pub(crate) fn dimensions(&self, netns: &Netns) -> Dimensions {
        let below = match self.remote {
            OuterSource::V4(remote) => self.sizes_of_route::<Ipv4>(netns, remote, [0; 4]),
            OuterSource::V6(remote) => self.sizes_of_route::<Ipv6>(netns, remote, [0; 16]),
        };
        // Ethernet's, if there is no route yet.
        let (mtu, headroom) = below.unwrap_or((1500, 0));
        let overhead = self.overhead_bytes();
        Dimensions {
            mtu: mtu.saturating_sub(overhead),
            max_mtu: u32::from(u16::MAX) - overhead,
            headroom: u16::try_from(headroom.saturating_add(overhead)).unwrap_or(u16::MAX),
        }
    }

    /// Returns the MTU of the route to an address, and the bytes that a packet needs before its IP header.
    fn sizes_of_route<V: IpVersion>(
        &self,
        netns: &Netns,
        remote: V::Address,
        any: V::Address,
    ) -> Option<(u32, u32)> {
        let ports = Ports {
            source: PortNumber::ANY,
            destination: self.port,
        };
        let route = Route::<V>::look_up(netns, &flow(any, remote, ports, 0)).ok()?;
        Some(RcuReader::with(|rcu| {
            (route.hop_mtu(rcu), route.headroom(rcu))
        }))
    }
}

/// Returns a flow to the remote address, by any device.
#[inline]
pub(crate) fn flow<A>(any: A, remote: A, ports: Ports, mark: u32) -> Flow<A> {
    Flow {
        source: any,
        destination: remote,
        ports,
        tos: 0,
        flow_label: 0,
        mark,
        link: 0,
        any_source: false,
    }
}

/// Reads the remote address: a unicast address that is not link-local.
fn read_remote(request: &NewLink<'_>) -> Result<OuterSource> {
    let (at, remote, is_unicast) = match (request.attr(REMOTE), request.attr(REMOTE6)) {
        (None, None) => return Err(request.refuse(EINVAL, c"remote is missing", None)),
        (Some(_), Some(at)) => {
            return Err(request.refuse(EINVAL, c"remote can be given once", Some(at)))
        }
        (Some(at), None) => {
            let remote: [u8; 4] = at.get()?;
            let refused = matches!(
                remote,
                [0, 0, 0, 0] | [224..=239, ..] | [255, 255, 255, 255]
            );
            (at, OuterSource::V4(remote), !refused)
        }
        (None, Some(at)) if !route::ipv6_is_available() => {
            return Err(request.refuse(EPFNOSUPPORT, c"IPv6 is not available", Some(at)))
        }
        (None, Some(at)) => {
            let remote: [u8; 16] = at.get()?;
            let is_any_or_ipv4 = remote.starts_with(&[0; 10]);
            let refused = is_any_or_ipv4 || matches!(remote, [0xff, ..] | [0xfe, 0x80..=0xbf, ..]);
            (at, OuterSource::V6(remote), !refused)
        }
    };
    if !is_unicast {
        let text = c"remote must be a unicast address, and not a link-local one";
        return Err(request.refuse(EINVAL, text, Some(at)));
    }
    Ok(remote)
}

/// Reads an attribute that is 0, the default, or 1.
fn read_bool(request: &NewLink<'_>, attrtype: c_int) -> Result<bool> {
    match request.attr(attrtype) {
        None => Ok(false),
        Some(at) => match at.get::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(request.refuse(EINVAL, c"this attribute must be 0 or 1", Some(at))),
        },
    }
}
