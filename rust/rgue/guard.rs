// SPDX-License-Identifier: GPL-2.0

//! The protecting fields of received packets: a cookie or a keyed hash, checksum and CRC.
//!
//! The cheap checks come first: a sender must know group, address, key id and coverage before this host
//! computes a hash.

use crate::{
    digest::CoveredHeader,
    keys::{check_cookie, Key, KeyRing, KeySet},
    reason::Reason,
};
use gue::{
    checksum::{self, Sum},
    crc, fragment, nat,
    refusal::Refusal,
    security::{self, HmacView, SecurityView},
    transform, Addresses, Computation, Covered, Demands, DeviceNotes, Header, Outer, View,
};
use kernel::{prelude::*, sync::Arc};
use net::{
    crypto::crc32c,
    rcu::RcuReader,
    skb::{OuterSource, RxSkb, SkBuff},
    udp,
};

/// The flags of fields that a header walk does not look at.
const FLAGS: u16 =
    security::FLAGS | fragment::FLAG | transform::FLAG | checksum::FLAG | nat::FLAG | crc::FLAG;

/// Returns `true` if [`check`] has nothing to do for a header.
#[inline(always)]
pub(crate) fn is_plain(fields: &DeviceNotes) -> bool {
    fields.flags() & FLAGS == 0
}

/// Returns `true` if packets with equal headers of this kind may be merged: the values of their fields then
/// are those of the merged packet.
#[inline(never)]
pub(crate) fn may_be_merged(header: &Header<DeviceNotes>, bytes: &[u8]) -> bool {
    let Some(view) = header.view(bytes) else {
        return false;
    };
    if view.flags() & (fragment::FLAG | transform::FLAG | nat::FLAG) != 0 {
        return false;
    }
    let covers_payload = match view.security() {
        Some(SecurityView::Hmac(hmac)) => hmac.coverage != security::Coverage::NONE,
        _ => false,
    };
    !covers_payload
        && view.checksum().is_none_or(|field| field.coverage == 0)
        && view.crc().is_none_or(|field| field.coverage == 0)
}

/// The demands of a device on received packets.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) demands: Demands,
    /// The keys, if the device has a method of security.
    pub(crate) keys: Option<Arc<KeyRing>>,
}

/// A received packet, whose header is linear.
struct Received<'a> {
    skb: &'a SkBuff,
    view: View<'a>,
    outer: Outer,
    /// The offset and the length of the payload in the packet, in bytes.
    payload_at: usize,
    payload_len: usize,
}

/// Checks the protecting fields of a packet, over IPv6 or over IPv4, that begins with its UDP header. The
/// header was walked, so it is linear.
// Not inlined: other packets should not save registers for it.
#[inline(never)]
pub(crate) fn check<const IPV6: bool>(
    guard: Option<&Guard>,
    skb: &RxSkb,
    header: &Header<DeviceNotes>,
    rcu: RcuReader<'_>,
) -> Result<(), Reason> {
    let demands = guard.map_or(Demands::NONE, |guard| guard.demands);
    if header.is_direct() {
        // Variant 1 has no field at all.
        return match demands {
            Demands {
                security: Some(_), ..
            } => Err(Reason::AuthMissing),
            Demands { checksum: true, .. } => Err(Reason::ChecksumMissing),
            Demands { crc: true, .. } => Err(Reason::CrcMissing),
            _ => Ok(()),
        };
    }
    let payload_at = udp::HEADER_LEN_BYTES.saturating_add(header.len_bytes());
    let (udp, gue) = skb
        .linear_header(payload_at)
        .and_then(|bytes| bytes.split_first_chunk::<{ udp::HEADER_LEN_BYTES }>())
        .ok_or(Reason::Truncated)?;
    let received = Received {
        view: header.view(gue).ok_or(Reason::Truncated)?,
        outer: outer::<IPV6>(skb, udp).ok_or(Reason::Truncated)?,
        skb,
        payload_at,
        payload_len: skb.len().checked_sub(payload_at).ok_or(Reason::Truncated)?,
    };
    let view = &received.view;
    if view.transform().is_some() {
        return Err(Reason::Transform);
    }
    if view.nat().is_some() {
        return Err(Reason::NatChecksum);
    }
    if view.flags() & fragment::FLAG != 0 {
        return Err(Reason::Fragment);
    }
    let has_udp_checksum = udp[6..] != [0, 0];
    demands.check(view, received.payload_len, has_udp_checksum)?;
    match (guard.and_then(|guard| guard.keys.as_ref()), view.security()) {
        (Some(keys), Some(field)) => received.check_all(keys.read(rcu), &field, rcu),
        // The demands have refused this already.
        (Some(_), None) => Err(Reason::AuthMissing),
        (None, _) => received.check_sums(),
    }
}

/// Returns the outer addresses and ports.
fn outer<const IPV6: bool>(skb: &RxSkb, udp: &[u8; udp::HEADER_LEN_BYTES]) -> Option<Outer> {
    let source = skb.outer_source::<IPV6>()?;
    let destination = skb.outer_destination::<IPV6>()?;
    Some(Outer {
        addresses: match (source, destination) {
            (OuterSource::V4(source), OuterSource::V4(destination)) => {
                Addresses::V4(source, destination)
            }
            (OuterSource::V6(source), OuterSource::V6(destination)) => {
                Addresses::V6(source, destination)
            }
            _ => return None,
        },
        source_port: u16::from_be_bytes([udp[0], udp[1]]),
        destination_port: u16::from_be_bytes([udp[2], udp[3]]),
    })
}

impl Received<'_> {
    /// Checks a cookie or a keyed hash, and the sums.
    fn check_all(
        &self,
        keys: &KeySet,
        field: &SecurityView<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<(), Reason> {
        match field {
            SecurityView::Cookie(_) => {
                if keys.accepted().next().is_none() {
                    return Err(Reason::NoKey);
                }
                check_cookie(field, keys)?;
                self.check_sums()
            }
            SecurityView::Hmac(hmac) => {
                if keys.accepted().next().is_none() {
                    return Err(Reason::NoKey);
                }
                let key = hmac.key(keys.accepted().map(|key| (key.id, key)))?;
                // Sums cost less than a hash.
                self.check_sums()?;
                self.check_hash(key, hmac, rcu)
            }
        }
    }

    /// Checks checksum and CRC, if the header has them.
    #[inline]
    fn check_sums(&self) -> Result<(), Reason> {
        if let Some(field) = self.view.checksum() {
            if let Some(covered) = self.covered(Computation::Checksum)? {
                let mut payload = Sum::default();
                self.read(&covered, |piece| payload = payload.with(piece))?;
                field.check(checksum::sum(&covered, &self.outer, payload))?;
            }
        }
        if let Some(field) = self.view.crc() {
            if let Some(covered) = self.covered(Computation::Crc)? {
                let mut crc = covered.header().fold(0, crc32c);
                self.read(&covered, |piece| crc = crc32c(crc, piece))?;
                field.check(crc32c(crc, covered.padding()))?;
            }
        }
        Ok(())
    }

    fn check_hash(
        &self,
        key: &Key,
        field: &HmacView<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<(), Reason> {
        let Some(covered) = self.covered(Computation::Hmac)? else {
            return Ok(());
        };
        let mut addresses = self.outer.addresses;
        if key.nat {
            addresses = addresses.zeroed();
        }
        let header = CoveredHeader::new(&addresses, &covered);
        if covered.payload().is_empty() {
            return Ok(key.check_digest(field, &header, rcu)?);
        }
        let hmac = key.hmac().ok_or(Refusal::SecurityMethod)?;
        let digest = hmac.hash(|hash| {
            hash.update(header.as_bytes());
            self.read(&covered, |piece| hash.update(piece))
        })?;
        Ok(field.check_digest(&digest)?)
    }

    fn covered(&self, computation: Computation) -> Result<Option<Covered<'_>>, Reason> {
        Ok(self.view.covered(computation, self.payload_len)?)
    }

    /// Passes the covered bytes of the payload on.
    fn read(&self, covered: &Covered<'_>, take: impl FnMut(&[u8])) -> Result<(), Reason> {
        let payload = covered.payload();
        let start = payload.start.saturating_add(self.payload_at);
        let end = payload.end.saturating_add(self.payload_at);
        self.skb
            .read(start..end, take)
            .map_err(|_| Reason::Truncated)
    }
}
