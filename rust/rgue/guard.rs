// SPDX-License-Identifier: GPL-2.0

//! The protecting fields of received packets: a cookie or a keyed hash, checksum and CRC.
//!
//! The cheap checks come first: a sender must know group, address, key id and coverage before this host
//! computes a hash.

mod lone;

use crate::{
    keys::{check_cookie, Key, KeyRing, KeysInForce},
    reason::Reason,
};
use gue::{
    checksum::{self, Sum as PayloadSum},
    crc, fragment,
    header::MAX_LEN_BYTES,
    layout, nat,
    security::{self, HmacView, Method, SecurityView},
    transform, Addresses, Computation, Covered, Demands, DeviceNotes, Header, Outer, View,
};
use kernel::{prelude::*, sync::Arc};
use net::{
    crypto::crc32c,
    rcu::RcuReader,
    skb::{AfterUdp, OuterSource, RxSkb, SkBuff},
    udp,
};

/// The flags of fields whose values a header walk does not read.
const FLAGS: u16 =
    security::FLAGS | fragment::FLAG | transform::FLAG | checksum::FLAG | nat::FLAG | crc::FLAG;

/// The flags that name methods with a cookie. A cookie is the same in all packets of a flow.
const COOKIE_FLAGS: u16 = Method::Cookie32.flags();

/// Returns `true` if the header has the fragment field.
#[inline(always)]
pub(crate) fn is_fragment(fields: &DeviceNotes) -> bool {
    fields.flags() & fragment::FLAG != 0
}

/// Returns `true` if packets with a header equal to this one may be merged, because the values of its fields are
/// right for the merged packet too. `bytes` returns the header's bytes.
#[inline(always)]
pub(crate) fn may_be_merged<'a>(
    header: &Header<DeviceNotes>,
    bytes: impl FnOnce() -> Option<&'a [u8]>,
) -> bool {
    let flags = header.fields().flags();
    flags & FLAGS & !COOKIE_FLAGS == 0
        || bytes().is_some_and(|bytes| {
            hash_covers_no_payload(flags, bytes)
                && (flags & FLAGS & !security::FLAGS == 0 || sums_cover_no_payload(header, bytes))
        })
}

/// Returns `true` if a header with these flags has no keyed hash, or one that covers no payload.
#[inline(always)]
pub(crate) fn hash_covers_no_payload(flags: u16, header: &[u8]) -> bool {
    security::coverage_of(flags, header).is_none_or(|coverage| coverage == security::Coverage::NONE)
}

#[inline(never)]
fn sums_cover_no_payload(header: &Header<DeviceNotes>, bytes: &[u8]) -> bool {
    let Some(view) = header.view(bytes) else {
        return false;
    };
    view.flags() & (fragment::FLAG | transform::FLAG | nat::FLAG) == 0
        && view.checksum().is_none_or(|field| field.coverage == 0)
        && view.crc().is_none_or(|field| field.coverage == 0)
}

/// The result of [`Guard::glance`].
// `repr` gives the enum its own tag. By default the compiler stores the variant as an invalid tag of `AfterUdp`, and
// then does not connect branches of `glance` with branches of the caller.
#[repr(u8)]
#[derive(Clone, Copy)]
pub(crate) enum FirstCheck {
    /// [`check`] decides.
    Unknown,
    /// The packet has passed. The sum of its header is known if [`KeysInForce::know`] found the header in its first
    /// slot.
    Passes(AfterUdp),
    /// The result of a check of a keyed hash over payload. `None` means [`Self::Unknown`].
    Hashed(Option<Result<(), Reason>>),
}

impl FirstCheck {
    #[inline(always)]
    pub(crate) fn new(passes: bool) -> Self {
        if passes {
            Self::Passes(AfterUdp::Unknown)
        } else {
            Self::Unknown
        }
    }
}

/// The demands of a device on received packets.
#[derive(Clone)]
pub(crate) struct Guard {
    demands: Demands,
    /// The keys, if the device has a method of security.
    keys: Option<Arc<KeyRing>>,
    /// The value of the bits [`FLAGS`] with which a header may pass [`Guard::glance`], or [`NONE_PASSES`].
    passing_flags: u16,
    /// The way to check a header with [`Self::passing_flags`], if there are keys.
    passing: Passing,
}

/// The way to check a header at a glance, on a device with a method of security.
#[derive(Clone, Copy)]
enum Passing {
    Cookie,
    /// A keyed hash that covers no payload.
    Hmac,
    /// A keyed hash that covers payload.
    HmacOverPayload,
}

/// A value that no header has: a method of security with all flags set is reserved.
const NONE_PASSES: u16 = FLAGS;

impl Guard {
    /// Makes the guard of a device. `keys` are the keys of a device that has a method of security.
    pub(crate) fn new(demands: Demands, keys: Option<Arc<KeyRing>>) -> Self {
        let passing_flags = if demands.checksum
            || demands.crc
            // No device is like this: it would accept unchecked packets.
            || demands.security.is_some() != keys.is_some()
        {
            NONE_PASSES
        } else {
            demands.security.map_or(0, Method::flags)
        };
        let passing = match demands.security {
            Some(Method::Hmac) if demands.hmac_coverage == 0 => Passing::Hmac,
            Some(Method::Hmac) => Passing::HmacOverPayload,
            _ => Passing::Cookie,
        };
        Self {
            demands,
            passing_flags,
            passing,
            keys,
        }
    }

    /// Returns `true` if the device has a method of security.
    pub(crate) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Returns [`FirstCheck::Passes`] for a packet that [`check`] would accept, if that is clear without a look at each
    /// field. Most packets pass here: they have no protecting field and need none, or they have an accepted cookie, or
    /// a keyed hash that an earlier check accepted. If the hash must cover payload, computes it, and returns
    /// [`FirstCheck::Hashed`]. Control messages and fragments do not pass.
    #[inline(always)]
    pub(crate) fn glance(
        &self,
        skb: &RxSkb,
        header: &Header<DeviceNotes>,
        addresses: &[u8],
        rcu: RcuReader<'_>,
    ) -> FirstCheck {
        if header.is_control() || header.fields().flags() & FLAGS != self.passing_flags {
            return FirstCheck::Unknown;
        }
        match &self.keys {
            // Without keys, the device demands no field, or no header has `passing_flags`.
            None => FirstCheck::Passes(AfterUdp::Unknown),
            Some(keys) => self
                .look(keys, skb, header, addresses, rcu)
                .unwrap_or(FirstCheck::Unknown),
        }
    }

    /// Does what [`Self::glance`] does, for a header with `passing_flags` on a device with keys. Returns `None` for a
    /// header that is too short.
    #[inline(always)]
    fn look(
        &self,
        keys: &KeyRing,
        skb: &RxSkb,
        header: &Header<DeviceNotes>,
        addresses: &[u8],
        rcu: RcuReader<'_>,
    ) -> Option<FirstCheck> {
        const COOKIE8: u16 = Method::Cookie8.flags();
        const COOKIE16: u16 = Method::Cookie16.flags();
        match self.passing {
            Passing::Cookie => {
                let keys = keys.read(rcu);
                let at = udp::HEADER_LEN_BYTES
                    + layout::offset_of(header.fields().flags(), security::FLAGS);
                Some(FirstCheck::new(match self.passing_flags {
                    COOKIE8 => keys.accepts_cookie::<8>(skb.linear_array(at)?),
                    COOKIE16 => keys.accepts_cookie::<16>(skb.linear_array(at)?),
                    _ => keys.accepts_cookie::<32>(skb.linear_array(at)?),
                }))
            }
            Passing::Hmac => Some(keys.read(rcu).know(skb, header, addresses, rcu)),
            Passing::HmacOverPayload => {
                let checked = lone::check(self, skb, header, addresses, rcu);
                Some(FirstCheck::Hashed(checked))
            }
        }
    }
}

/// A received packet, whose header is linear.
struct Received<'a> {
    skb: &'a SkBuff,
    header: &'a Header<DeviceNotes>,
    view: View<'a>,
    outer: Outer,
    /// The outer addresses, source first.
    addresses: &'a [u8],
    /// The offset and the length of the payload in the packet, in bytes.
    payload_at: usize,
    payload_len: usize,
}

/// Checks the protecting fields of a packet, over IPv6 or over IPv4, that begins with its UDP header. The
/// header was walked, so it is linear.
// Not inlined: other packets should not save registers for it.
#[inline(never)]
pub(crate) fn check<const IPV6: bool>(
    guard: &Guard,
    skb: &RxSkb,
    header: &Header<DeviceNotes>,
    rcu: RcuReader<'_>,
) -> Result<(), Reason> {
    check_with::<IPV6>(guard, &guard.demands, skb, header, rcu)
}

/// Does what [`check`] does, for a control message. A keyed hash must cover the whole message.
pub(crate) fn check_control<const IPV6: bool>(
    guard: &Guard,
    skb: &RxSkb,
    header: &Header<DeviceNotes>,
    rcu: RcuReader<'_>,
) -> Result<(), Reason> {
    let demands = Demands {
        hmac_coverage: Demands::WHOLE_PAYLOAD,
        ..guard.demands
    };
    check_with::<IPV6>(guard, &demands, skb, header, rcu)
}

#[inline(always)]
fn check_with<const IPV6: bool>(
    guard: &Guard,
    demands: &Demands,
    skb: &RxSkb,
    header: &Header<DeviceNotes>,
    rcu: RcuReader<'_>,
) -> Result<(), Reason> {
    if header.is_direct() {
        // Variant 1 has no field at all.
        return match *demands {
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
        addresses: skb.outer_addresses::<IPV6>().ok_or(Reason::Truncated)?,
        skb,
        header,
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
    let has_udp_checksum = udp[6..] != [0, 0];
    demands.check(view, received.payload_len, has_udp_checksum)?;
    match (&guard.keys, view.security()) {
        (Some(keys), Some(field)) => received.check_all(keys.read(rcu), &field, rcu),
        // `demands.check` has refused this already.
        (Some(_), None) => Err(Reason::AuthMissing),
        (None, _) if demands.security.is_some() => Err(Reason::NoKey),
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
        keys: &KeysInForce,
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
                self.check_hash(keys, key, hmac, rcu)
            }
        }
    }

    /// Checks checksum and CRC, if the header has them.
    #[inline]
    fn check_sums(&self) -> Result<(), Reason> {
        if let Some(field) = self.view.checksum() {
            if let Some(covered) = self.covered(Computation::Checksum)? {
                let mut payload = PayloadSum::default();
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
        keys: &KeysInForce,
        key: &Key,
        field: &HmacView<'_>,
        rcu: RcuReader<'_>,
    ) -> Result<(), Reason> {
        let Some(covered) = self.covered(Computation::Hmac)? else {
            return Ok(());
        };
        // Do not keep the header if it differs in each packet. The coverage of a checksum or CRC over the payload
        // follows the payload's length, and the headers of fragments have different offsets. The hash of a control
        // message covers the message.
        let is_constant = covered.payload().is_empty()
            && !self.header.is_control()
            && sums_cover_no_payload(self.header, self.view.as_bytes());
        if !is_constant {
            return self.compare_hash(key, field, &covered);
        }
        let addresses = key.covered_addresses(self.addresses);
        let mut copy = [0; MAX_LEN_BYTES];
        let bytes = self.view.without_sums(&mut copy);
        if !keys.verified.has(self.header, bytes, addresses, rcu) {
            self.compare_hash(key, field, &covered)?;
            keys.verified.keep(self.header, bytes, addresses, rcu);
        }
        Ok(())
    }

    fn compare_hash(
        &self,
        key: &Key,
        field: &HmacView<'_>,
        covered: &Covered<'_>,
    ) -> Result<(), Reason> {
        let digest = key.hash(&self.outer.addresses, covered, |hash| {
            self.read(covered, |piece| hash.update(piece))
        })?;
        Ok(field.check_digest(&digest)?)
    }

    fn covered(&self, computation: Computation) -> Result<Option<Covered<'_>>, Reason> {
        Ok(self.view.covered(computation, self.payload_len)?)
    }

    /// Calls `take` with the covered bytes of the payload, in pieces.
    fn read(&self, covered: &Covered<'_>, take: impl FnMut(&[u8])) -> Result<(), Reason> {
        let payload = covered.payload();
        let start = payload.start.saturating_add(self.payload_at);
        let end = payload.end.saturating_add(self.payload_at);
        self.skb
            .read(start..end, take)
            .map_err(|_| Reason::Truncated)
    }
}
