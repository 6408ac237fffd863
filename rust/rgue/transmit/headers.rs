// SPDX-License-Identifier: GPL-2.0

//! The headers that a device sends, built when it is configured.

use crate::{
    config::{Config, Remcsum, Variant},
    receive::ETHER_IP,
};
use core::ops::Range;
use gue::{group, header, protocol, DeviceFields, Private, RemoteChecksum, Repr};
use kernel::prelude::*;
use net::{ip_proto::ChecksumPlace, netdev::LinkType};

/// The length of the longest header: base header, group, Linux's private word with a remote checksum, and EtherIP, in
/// bytes.
const MAX_LEN_BYTES: usize = 18;

/// A header before a packet, without the place of a remote checksum.
#[derive(Clone, Copy)]
pub(super) struct Header {
    bytes: [u8; MAX_LEN_BYTES],
    len: usize,
}

/// The headers before IPv4 and IPv6, without and with a remote checksum.
pub(super) struct Headers([[Header; 2]; 2]);

impl Headers {
    /// Builds the headers of a device.
    pub(super) fn new(config: &Config) -> Result<Self> {
        let of = |is_ipv6, remcsum| Header::new(config, is_ipv6, remcsum);
        Ok(Self([
            [of(false, false)?, of(false, true)?],
            [of(true, false)?, of(true, true)?],
        ]))
    }

    /// Returns the header before an inner packet.
    #[inline]
    pub(super) fn of(&self, is_ipv6: bool, remcsum: bool) -> &Header {
        &self.0[usize::from(is_ipv6)][usize::from(remcsum)]
    }
}

impl Header {
    fn new(config: &Config, is_ipv6: bool, remcsum: bool) -> Result<Self> {
        let mut header = Self {
            bytes: [0; MAX_LEN_BYTES],
            len: 0,
        };
        if config.variant == Variant::One {
            return Ok(header);
        }
        // The place is written for each packet.
        let remote = RemoteChecksum::new(0, 0).map_err(|_| EINVAL)?;
        let mut fields = DeviceFields {
            group: config.group,
            ..DeviceFields::NONE
        };
        match config.remcsum {
            Remcsum::Draft if remcsum => fields.remcsum = Some(remote),
            Remcsum::Linux if remcsum => {
                fields.private = Some(Private {
                    remote_checksum: Some(remote),
                });
            }
            _ => {}
        }
        let repr = Repr {
            control: false,
            proto_ctype: proto_ctype(config, is_ipv6),
            fields,
        };
        repr.emit(&mut header.bytes).map_err(|_| EINVAL)?;
        header.len = repr.len_bytes();
        if config.mode == LinkType::Ethernet {
            let to = header.bytes.get_mut(header.len..).ok_or(EINVAL)?;
            *to.first_chunk_mut().ok_or(EINVAL)? = ETHER_IP;
            header.len += ETHER_IP.len();
        }
        Ok(header)
    }

    /// Returns the length in bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes the header, and the place of a remote checksum to its last field.
    #[inline]
    pub(super) fn write(&self, to: &mut [u8], remote: Option<ChecksumPlace>) {
        self.write_bytes(to);
        write_place(to, remote);
    }

    /// Does what [`Self::write`] does, with surplus space after the last field. `to` is longer by the surplus space.
    #[inline(never)]
    pub(super) fn write_with_surplus(
        &self,
        to: &mut [u8],
        remote: Option<ChecksumPlace>,
        surplus: &[u8],
    ) {
        let fields = self.len & !3;
        if let Some(header) = to.get_mut(..fields) {
            self.write(header, remote);
        }
        // Does not fail: the caller has checked that the header has room for the surplus space.
        let Ok(end) = gue::surplus::append(to, fields, surplus) else {
            return;
        };
        // Only EtherIP follows the surplus space.
        if let (Some(to), Some(from)) = (to.get_mut(end..), self.bytes.get(fields..self.len)) {
            to.copy_from_slice(from);
        }
    }

    /// Copies the bytes. Each usual length has code of its own, because a copy of variable length is a call.
    #[inline]
    fn write_bytes(&self, to: &mut [u8]) {
        if let Ok(to) = <&mut [u8; 4]>::try_from(&mut *to) {
            to.copy_from_slice(&self.bytes[..4]);
        } else if let Ok(to) = <&mut [u8; 8]>::try_from(&mut *to) {
            to.copy_from_slice(&self.bytes[..8]);
        } else if let Ok(to) = <&mut [u8; 12]>::try_from(&mut *to) {
            to.copy_from_slice(&self.bytes[..12]);
        } else if let Ok(to) = <&mut [u8; 16]>::try_from(&mut *to) {
            to.copy_from_slice(&self.bytes[..16]);
        } else if let Some(bytes) = self.bytes.get(..to.len()) {
            to.copy_from_slice(bytes);
        }
    }
}

/// Writes the group to a header that has one: it is the first field.
#[inline]
pub(super) fn write_group(header: &mut [u8], group: u32) {
    if let Some(field) = header.get_mut(GROUP) {
        field.copy_from_slice(&group.to_be_bytes());
    }
}

/// The place of the group.
const GROUP: Range<usize> = header::BASE_LEN_BYTES..header::BASE_LEN_BYTES + group::LEN_BYTES;

/// Writes the place of a remote checksum to the last field of a header.
#[inline(always)]
pub(super) fn write_place(header: &mut [u8], remote: Option<ChecksumPlace>) {
    if let Some(ChecksumPlace { start, field }) = remote {
        // Without EtherIP, the length is a multiple of 4.
        let len = header.len() & !3;
        let header = header.get_mut(..len).unwrap_or_default();
        if let Some(place) = header.last_chunk_mut::<4>() {
            place[..2].copy_from_slice(&start.to_be_bytes());
            place[2..].copy_from_slice(&field.to_be_bytes());
        }
    }
}

/// Returns the protocol for the header: EtherIP if the device carries frames, or else the IP version of the inner
/// packet.
pub(super) fn proto_ctype(config: &Config, is_ipv6: bool) -> u8 {
    match (config.mode, is_ipv6) {
        (LinkType::Ethernet, _) => protocol::ETHER_IP,
        (LinkType::Ip, true) => protocol::IPV6,
        (LinkType::Ip, false) => protocol::IPV4,
    }
}
