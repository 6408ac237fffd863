// SPDX-License-Identifier: GPL-2.0

//! Headers with protecting fields: a cookie or a keyed hash, checksum and CRC.

use super::headers::proto_ctype;
use crate::{
    config::{Config, Protection, Remcsum},
    keys::{Key, KeyRing},
    prepared::{Number, Purpose},
    reason::Reason,
};
use gue::{
    checksum::{self, Sum},
    group,
    hashed::{self, Label},
    header::MAX_LEN_BYTES,
    security::{Coverage, Method},
    template::{Absent, Started},
    Addresses, Checksum, Computation, Covered, Crc, DeviceFields, Fragment, Hmac, Outer, Private,
    RemoteChecksum, Repr, Security, Template,
};
use kernel::{prelude::*, sync::Arc};
use net::{crypto::crc32c, ip_proto::ChecksumPlace, netdev::DeviceSkb, rcu::RcuReader, udp::Ports};

/// Makes the headers of a device with protecting fields.
pub(super) struct Protector {
    protection: Protection,
    keys: Option<Arc<KeyRing>>,
    number: Number,
    /// Headers are kept for later packets. Cookies, and keyed hashes that cover only the header and the addresses, are
    /// equal in many packets.
    keeps_headers: bool,
    /// The headers before IPv4 and IPv6, without and with a remote checksum. Their secrets and sums are zero.
    templates: [[Template; 2]; 2],
    /// The headers before IPv4 and IPv6, if a keyed hash is their only field beside a group.
    hashed: Option<Hashed>,
}

/// The headers before IPv4 and IPv6, whose digest and label are zero.
enum Hashed {
    WithoutGroup([hashed::Header<0>; 2]),
    WithGroup([hashed::Header<{ group::LEN_BYTES }>; 2]),
}

impl Hashed {
    fn of(templates: [&Template; 2]) -> Option<Self> {
        fn both<const GROUP: usize>(
            [v4, v6]: [&Template; 2],
        ) -> Option<[hashed::Header<GROUP>; 2]> {
            let of = hashed::Header::of_template;
            Some([of(v4)?, of(v6)?])
        }
        both(templates)
            .map(Self::WithoutGroup)
            .or_else(|| both(templates).map(Self::WithGroup))
    }
}

/// Room for a header with a keyed hash, perhaps a group, and no other field.
// Aligned for copies by words.
#[repr(align(8))]
pub(super) struct Room([u8; hashed::Header::<{ group::LEN_BYTES }>::LEN_BYTES]);

impl Room {
    pub(super) const EMPTY: Self = Self([0; hashed::Header::<{ group::LEN_BYTES }>::LEN_BYTES]);

    /// Stores a header.
    #[inline(always)]
    fn put<const GROUP: usize>(&mut self, header: &hashed::Header<GROUP>) {
        if let Some(to) = self.0.get_mut(..hashed::Header::<GROUP>::LEN_BYTES) {
            to.copy_from_slice(header.as_bytes());
        }
    }

    /// Returns the bytes of a header that was stored.
    #[inline(always)]
    fn bytes<const GROUP: usize>(&self) -> &[u8] {
        let bytes = self.0.get(..hashed::Header::<GROUP>::LEN_BYTES);
        bytes.unwrap_or(&self.0)
    }
}

/// A header that was made for a packet.
pub(super) struct Made {
    bytes: [u8; MAX_LEN_BYTES],
    len: usize,
}

impl Made {
    /// Returns the header's bytes.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// The header that a packet wants.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The header is before an inner IPv6 packet.
    pub(super) is_ipv6: bool,
    /// The checksum that is left to the receiver.
    pub(super) remote: Option<ChecksumPlace>,
    /// The outer source address.
    pub(super) source: &'a [u8],
}

/// The packet that a header is made for.
#[derive(Clone, Copy)]
pub(super) struct Payload<'a> {
    pub(super) skb: &'a DeviceSkb,
    pub(super) wanted: Wanted<'a>,
    /// The group, if it differs between the packets of the device.
    pub(super) group: Option<u32>,
    /// The surplus space of the header.
    pub(super) surplus: &'a [u8],
    pub(super) destination: &'a [u8],
    pub(super) ports: Ports,
    /// The place of a fragment, if the packet is one.
    pub(super) fragment: Option<Fragment>,
}

impl Protector {
    /// Prepares the headers. Returns `None` for a configuration without protecting fields.
    pub(super) fn new(config: &Config, keys: Option<Arc<KeyRing>>) -> Result<Option<Self>> {
        if config.protection == Protection::NONE {
            return Ok(None);
        }
        Self::with(config, keys, None).map(Some)
    }

    /// Prepares the headers of fragments, which may have no protecting field.
    pub(super) fn for_fragments(config: &Config, keys: Option<Arc<KeyRing>>) -> Result<Self> {
        let config = Config {
            remcsum: Remcsum::Off,
            ..*config
        };
        Self::with(&config, keys, Fragment::new(0, false, 0, [0; 5]))
    }

    fn with(
        config: &Config,
        keys: Option<Arc<KeyRing>>,
        fragment: Option<Fragment>,
    ) -> Result<Self> {
        let of = |is_ipv6, remcsum| {
            let repr = Repr {
                control: false,
                proto_ctype: proto_ctype(config, is_ipv6),
                fields: DeviceFields {
                    fragment,
                    ..fields(config, remcsum)?
                },
            };
            Template::new(&repr, &[]).map_err(|_| EINVAL)
        };
        let templates = [
            [of(false, false)?, of(false, true)?],
            [of(true, false)?, of(true, true)?],
        ];
        Ok(Self {
            protection: config.protection,
            hashed: Hashed::of([&templates[0][0], &templates[1][0]]),
            keys,
            number: Number::next(),
            keeps_headers: !config.protection.covers_payload()
                && fragment.is_none()
                && !config.external,
            templates,
        })
    }

    /// Returns `true` if a field covers bytes of the payload. The device must then segment the packet and write its
    /// checksums before it computes the field.
    #[inline]
    pub(super) fn covers_payload(&self) -> bool {
        self.protection.covers_payload()
    }

    /// Returns the header before a packet, with zero for secrets and sums and for the place of a remote checksum.
    #[inline(always)]
    pub(super) fn template(&self, wanted: Wanted<'_>) -> &Template {
        &self.templates[usize::from(wanted.is_ipv6)][usize::from(wanted.remote.is_some())]
    }

    /// Returns `true` if headers have a checksum or a CRC.
    #[inline(always)]
    pub(super) fn has_sums(&self) -> bool {
        self.protection.checksum.is_some() || self.protection.crc.is_some()
    }

    /// Returns the header of a packet if it is kept, with zero for sums.
    #[inline(always)]
    pub(super) fn kept<'a>(&'a self, wanted: Wanted<'_>, rcu: RcuReader<'a>) -> Option<&'a [u8]> {
        let prepared = &self.keys.as_ref()?.read(rcu).prepared;
        // The compiler knows in each branch if there is a place.
        let kept = match wanted.remote {
            None => prepared.find(
                &self.purpose(Wanted {
                    remote: None,
                    ..wanted
                }),
                rcu,
            ),
            Some(_) => prepared.find_with_place(&self.purpose(wanted), rcu),
        };
        Some(kept?.as_bytes())
    }

    #[inline(always)]
    fn purpose(&self, wanted: Wanted<'_>) -> Purpose {
        Purpose::new(self.number, wanted.is_ipv6, wanted.remote, wanted.source)
    }

    /// Makes the header of a packet.
    // Not inlined: other packets should not save registers for it.
    #[inline(never)]
    pub(super) fn make(&self, payload: &Payload<'_>, rcu: RcuReader<'_>) -> Result<Made, Reason> {
        let template = self.template(payload.wanted);
        let mut header = Made {
            bytes: [0; MAX_LEN_BYTES],
            len: template.len_bytes().saturating_add(payload.surplus.len()),
        };
        let mut started = if payload.surplus.is_empty() {
            template.start(&mut header.bytes)
        } else {
            template.start_with_surplus(&mut header.bytes, payload.surplus)
        }
        .map_err(|_| Reason::Truncated)?;
        self.set_all_but_sums(payload, &mut started, rcu)?;
        // In this order: the CRC covers the digest, and the checksum covers both.
        if let Some(covered) = covered(&started, Computation::Crc, payload)? {
            let mut crc = covered.header().fold(0, crc32c);
            payload.read(&covered, |piece| crc = crc32c(crc, piece))?;
            let crc = crc32c(crc, covered.padding());
            set(started.set_crc(crc))?;
        }
        if let Some(covered) = covered(&started, Computation::Checksum, payload)? {
            let mut sum = Sum::default();
            payload.read(&covered, |piece| sum = sum.with(piece))?;
            let sum = checksum::sum(&covered, &payload.outer()?, sum);
            set(started.set_checksum(sum.complement()))?;
        }
        Ok(header)
    }

    /// Makes the header of a packet in `room`, if a keyed hash is the only field beside a group.
    #[inline(always)]
    pub(super) fn make_hashed<'a>(
        &self,
        room: &'a mut Room,
        payload: &Payload<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<&'a [u8], Reason> {
        let key = self.keys.as_ref().and_then(|keys| keys.read(rcu).to_send());
        let key = key.ok_or(Reason::NoKey)?;
        let index = usize::from(payload.wanted.is_ipv6);
        match &self.hashed {
            Some(Hashed::WithoutGroup(headers)) => self.hash(&headers[index], key, room, payload),
            Some(Hashed::WithGroup(headers)) => self.hash(&headers[index], key, room, payload),
            // There are such headers, by the choice of `Course`.
            None => Err(Reason::Truncated),
        }
    }

    /// Sets label and digest of a header, and stores it in `room`.
    #[inline(always)]
    fn hash<'a, const GROUP: usize>(
        &self,
        header: &hashed::Header<GROUP>,
        key: &Key,
        room: &'a mut Room,
        payload: &Payload<'_>,
    ) -> Result<&'a [u8], Reason> {
        let coverage = self.coverage(payload.skb.len());
        let header = header.with_label(Label::new(key.id, coverage));
        let covered = (0, usize::from(coverage.len));
        let (source, destination) = (payload.wanted.source, payload.destination);
        let put = |digest: &_| room.put(&header.with_digest(*digest));
        // The compiler knows the lengths.
        match (source.try_into(), destination.try_into()) {
            (Ok(source), Ok(destination)) => key.hash_packet::<4, GROUP, _>(
                &header,
                [source, destination],
                payload.skb,
                covered,
                put,
            ),
            _ => {
                let source = source.try_into().map_err(|_| Reason::NoRoute)?;
                let destination = destination.try_into().map_err(|_| Reason::NoRoute)?;
                key.hash_packet::<16, GROUP, _>(
                    &header,
                    [source, destination],
                    payload.skb,
                    covered,
                    put,
                )
            }
        }?;
        Ok(room.bytes::<GROUP>())
    }

    fn set_all_but_sums(
        &self,
        payload: &Payload<'_>,
        started: &mut Started<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<(), Reason> {
        if self.keeps_headers
            && self
                .kept(payload.wanted, rcu)
                .is_some_and(|kept| started.set_all(kept))
        {
            return Ok(());
        }
        if let Some(group) = payload.group {
            set(started.set_group(group))?;
        }
        if let Some(fragment) = &payload.fragment {
            started.set_proto_ctype(fragment.proto_ctype(false));
            set(started.set_fragment(fragment))?;
        }
        if let Some(ChecksumPlace { start, field }) = payload.wanted.remote {
            let remote = RemoteChecksum::new(start, field).map_err(|_| Reason::BadCsumStart)?;
            set(started.set_remote_checksum(&remote))?;
        }
        self.set_coverages(payload.skb.len(), started)?;
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let keys = keys.read(rcu);
        let key = keys.to_send().ok_or(Reason::NoKey)?;
        if let Some(cookie) = key.cookie() {
            set(started.set_cookie(cookie))?;
        } else {
            set(started.set_key_id(key.id))?;
            let digest = digest(key, payload, started)?;
            set(started.set_digest(&digest))?;
        }
        if self.keeps_headers {
            keys.prepared
                .keep(&self.purpose(payload.wanted), started.as_bytes());
        }
        Ok(())
    }

    /// Returns the part of a payload of `len` bytes that a keyed hash covers.
    #[inline(always)]
    fn coverage(&self, len: usize) -> Coverage {
        Coverage {
            offset: 0,
            len: at_most(self.protection.cover, len),
        }
    }

    /// Sets coverages. A coverage above the payload's length is reduced to that length.
    #[inline]
    fn set_coverages(&self, len: usize, started: &mut Started<'_>) -> Result<(), Reason> {
        if !self.covers_payload() {
            return Ok(());
        }
        if self.protection.auth == Some(Method::Hmac) {
            set(started.set_hmac_coverage(self.coverage(len)))?;
        }
        let at_most = |coverage| at_most(coverage, len);
        if let Some(coverage) = self.protection.checksum {
            set(started.set_checksum_coverage(at_most(coverage)))?;
        }
        if let Some(coverage) = self.protection.crc {
            set(started.set_crc_coverage(at_most(coverage)))?;
        }
        Ok(())
    }
}

/// Returns the fields of a device's headers, with zeros for the values that differ between packets.
pub(crate) fn fields(config: &Config, remcsum: bool) -> Result<DeviceFields> {
    let Protection {
        auth,
        checksum,
        crc,
        ..
    } = config.protection;
    let mut fields = DeviceFields {
        group: config.group,
        security: auth.map(|method| match method {
            Method::Cookie8 => Security::Cookie8([0; 8]),
            Method::Cookie16 => Security::Cookie16([0; 16]),
            Method::Cookie32 => Security::Cookie32([0; 32]),
            Method::Hmac => Security::Hmac(Hmac {
                key_id: 0,
                coverage: Coverage::NONE,
                digest: [0; 32],
            }),
        }),
        checksum: checksum.map(|_| Checksum {
            value: 0,
            coverage: 0,
        }),
        crc: crc.map(|_| Crc {
            value: 0,
            coverage: 0,
        }),
        ..DeviceFields::NONE
    };
    if remcsum {
        let remote = RemoteChecksum::new(0, 0).map_err(|_| EINVAL)?;
        match config.remcsum {
            Remcsum::Draft => fields.remcsum = Some(remote),
            Remcsum::Linux => {
                fields.private = Some(Private {
                    remote_checksum: Some(remote),
                });
            }
            Remcsum::Off => {}
        }
    }
    Ok(fields)
}

#[inline(always)]
fn at_most(coverage: u16, len: usize) -> u16 {
    u16::try_from(len).map_or(coverage, |len| len.min(coverage))
}

/// Maps an error that cannot occur: the template has each field that is set, because both follow from the
/// configuration.
#[inline]
fn set(result: Result<(), Absent>) -> Result<(), Reason> {
    result.map_err(|_| Reason::Truncated)
}

/// Returns the digest of a header and of the covered part of a packet.
fn digest(key: &Key, payload: &Payload<'_>, started: &Started<'_>) -> Result<[u8; 32], Reason> {
    let covered = covered(started, Computation::Hmac, payload)?.ok_or(Reason::Truncated)?;
    key.hash(&payload.outer()?.addresses, &covered, |hash| {
        payload.read(&covered, |piece| hash.update(piece))
    })
}

/// Returns the bytes that a computation covers; `None` if the header does not have the field of the computation.
#[inline]
fn covered<'a>(
    started: &'a Started<'_>,
    computation: Computation,
    payload: &Payload<'_>,
) -> Result<Option<Covered<'a>>, Reason> {
    let view = started.view().ok_or(Reason::Truncated)?;
    Ok(view.covered(computation, payload.skb.len())?)
}

impl Payload<'_> {
    fn outer(&self) -> Result<Outer, Reason> {
        let addresses = Addresses::from_slices(self.wanted.source, self.destination);
        Ok(Outer {
            addresses: addresses.ok_or(Reason::NoRoute)?,
            source_port: u16::from_be_bytes(self.ports.source.to_be_bytes()),
            destination_port: u16::from_be_bytes(self.ports.destination.to_be_bytes()),
        })
    }

    /// Calls `take` with the covered bytes of the packet, in pieces.
    fn read(&self, covered: &Covered<'_>, take: impl FnMut(&[u8])) -> Result<(), Reason> {
        self.skb
            .read(covered.payload(), take)
            .map_err(|_| Reason::Truncated)
    }
}
