// SPDX-License-Identifier: GPL-2.0

//! Headers with protecting fields: a cookie or a keyed hash, checksum and CRC.

use super::headers::proto_ctype;
use crate::{
    config::{Config, Protection, Remcsum},
    digest::CoveredHeader,
    keys::{Key, KeyRing},
    reason::Reason,
};
use gue::{
    checksum::{self, Sum},
    header::MAX_LEN_BYTES,
    security::{Coverage, Method},
    template::{Absent, Started},
    Checksum, Computation, Covered, Crc, DeviceFields, Hmac, Outer, Private, RemoteChecksum, Repr,
    Security, Template,
};
use kernel::{prelude::*, sync::Arc};
use net::{crypto::crc32c, ip_proto::ChecksumPlace, netdev::DeviceSkb, rcu::RcuReader};

/// Makes the headers of a device with protecting fields.
pub(super) struct Protector {
    protection: Protection,
    keys: Option<Arc<KeyRing>>,
    /// The headers before IPv4 and IPv6, without and with a remote checksum. Their secrets and sums are zero.
    templates: [[Template; 2]; 2],
}

/// A header before a packet.
pub(super) struct Header {
    bytes: [u8; MAX_LEN_BYTES],
    len: usize,
}

impl Header {
    /// Returns the header's bytes.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// The packet that a header is made for.
pub(super) struct Payload<'a> {
    pub(super) skb: &'a DeviceSkb,
    pub(super) is_ipv6: bool,
    /// The checksum that is left to the receiver.
    pub(super) remote: Option<ChecksumPlace>,
    pub(super) outer: Outer,
}

impl Protector {
    /// Prepares the headers. Returns `None` for a configuration without protecting fields.
    pub(super) fn new(config: &Config, keys: Option<Arc<KeyRing>>) -> Result<Option<Self>> {
        let protection = config.protection;
        if protection == Protection::NONE {
            return Ok(None);
        }
        let of = |is_ipv6, remcsum| {
            let repr = Repr {
                control: false,
                proto_ctype: proto_ctype(config, is_ipv6),
                fields: fields(config, remcsum)?,
            };
            Template::new(&repr, &[]).map_err(|_| EINVAL)
        };
        Ok(Some(Self {
            protection,
            keys,
            templates: [
                [of(false, false)?, of(false, true)?],
                [of(true, false)?, of(true, true)?],
            ],
        }))
    }

    /// Returns `true` if a packet must be sent as it goes over the wire, because its bytes are covered.
    #[inline]
    pub(super) fn covers_payload(&self) -> bool {
        self.protection.covers_payload()
    }

    /// Makes the header of a packet.
    pub(super) fn header(
        &self,
        payload: &Payload<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<Header, Reason> {
        let template =
            &self.templates[usize::from(payload.is_ipv6)][usize::from(payload.remote.is_some())];
        let mut header = Header {
            bytes: [0; MAX_LEN_BYTES],
            len: template.len_bytes(),
        };
        let mut started = template
            .start(&mut header.bytes)
            .map_err(|_| Reason::Truncated)?;
        if let Some(ChecksumPlace { start, field }) = payload.remote {
            let remote = RemoteChecksum::new(start, field).map_err(|_| Reason::BadCsumStart)?;
            set(started.set_remote_checksum(&remote))?;
        }
        self.set_coverages(payload.skb.len(), &mut started)?;
        if let Some(keys) = &self.keys {
            let key = keys.read(rcu).to_send().ok_or(Reason::NoKey)?;
            match key.cookie() {
                Some(cookie) => set(started.set_cookie(cookie))?,
                None => {
                    set(started.set_key_id(key.id))?;
                    let digest = digest(key, payload, &started, rcu)?;
                    set(started.set_digest(&digest))?;
                }
            }
        }
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
            let sum = checksum::sum(&covered, &payload.outer, sum);
            set(started.set_checksum(sum.complement()))?;
        }
        Ok(header)
    }

    /// Sets coverages. A coverage above the payload's length covers the payload.
    #[inline]
    fn set_coverages(&self, len: usize, started: &mut Started<'_>) -> Result<(), Reason> {
        if !self.covers_payload() {
            return Ok(());
        }
        let at_most = |coverage: u16| u16::try_from(len).map_or(coverage, |len| len.min(coverage));
        if self.protection.auth == Some(Method::Hmac) {
            let coverage = Coverage {
                offset: 0,
                len: at_most(self.protection.cover),
            };
            set(started.set_hmac_coverage(coverage))?;
        }
        if let Some(coverage) = self.protection.checksum {
            set(started.set_checksum_coverage(at_most(coverage)))?;
        }
        if let Some(coverage) = self.protection.crc {
            set(started.set_crc_coverage(at_most(coverage)))?;
        }
        Ok(())
    }
}

/// Returns the fields of a device's headers, with zeros for what differs between packets.
fn fields(config: &Config, remcsum: bool) -> Result<DeviceFields> {
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

/// The template has the field, because both follow from the configuration.
#[inline]
fn set(result: Result<(), Absent>) -> Result<(), Reason> {
    result.map_err(|_| Reason::Truncated)
}

/// Returns the digest of a header and of the covered part of a packet.
fn digest(
    key: &Key,
    payload: &Payload<'_>,
    started: &Started<'_>,
    rcu: RcuReader<'_>,
) -> Result<[u8; 32], Reason> {
    let covered = covered(started, Computation::Hmac, payload)?.ok_or(Reason::Truncated)?;
    let mut addresses = payload.outer.addresses;
    if key.nat {
        addresses = addresses.zeroed();
    }
    let header = CoveredHeader::new(&addresses, &covered);
    if covered.payload().is_empty() {
        return Ok(key.digest_to_send(&header, rcu)?);
    }
    let hmac = key.hmac().ok_or(Reason::AuthMethod)?;
    hmac.hash(|hash| {
        hash.update(header.as_bytes());
        payload.read(&covered, |piece| hash.update(piece))
    })
}

/// Returns what a computation covers; `None` if the header does not have its field.
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
    /// Passes the covered bytes on.
    fn read(&self, covered: &Covered<'_>, take: impl FnMut(&[u8])) -> Result<(), Reason> {
        self.skb
            .read(covered.payload(), take)
            .map_err(|_| Reason::Truncated)
    }
}
