// SPDX-License-Identifier: GPL-2.0

//! The fields that a receiver demands in each header. Both ends agree on them by other means.

use crate::{
    refusal::Refusal,
    security::{Coverage, Method, SecurityView},
    View,
};

/// The fields that a receiver demands.
///
/// The receiver drops a packet without a demanded field. Otherwise a corrupted flag bit would hide the field
/// from the receiver (gue-extensions-06 §4, §8). Values are checked later, because that may take a hash.
///
/// ```
/// use gue::{security::Method, Demands, Device, Refusal, View};
///
/// let demands = Demands { security: Some(Method::Cookie8), ..Demands::NONE };
/// let header = [0x00, 4, 0, 0];
/// let view = View::parse(&header, Device::ALL).unwrap().unwrap();
/// assert_eq!(demands.check(&view, 28, true), Err(Refusal::SecurityMissing));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demands {
    /// The method of security. Without one, no header may have a security field.
    pub security: Option<Method>,
    /// The number of payload bytes that a keyed hash must cover. A shorter payload must be covered as a whole.
    /// [`Self::WHOLE_PAYLOAD`] demands this for each payload.
    pub hmac_coverage: u16,
    /// A checksum is demanded.
    pub checksum: bool,
    /// An alternate checksum is demanded.
    pub crc: bool,
    /// A remote checksum is accepted only under a UDP checksum.
    pub remcsum_udp_checksum: bool,
}

impl Demands {
    /// No demand.
    pub const NONE: Self = Self {
        security: None,
        hmac_coverage: 0,
        checksum: false,
        crc: false,
        remcsum_udp_checksum: false,
    };

    /// The coverage that includes every payload as a whole: no UDP payload is longer.
    pub const WHOLE_PAYLOAD: u16 = u16::MAX;

    /// Returns the coverage of a keyed hash in a packet with this payload.
    #[inline]
    pub fn coverage(&self, payload_len: usize) -> Coverage {
        Coverage {
            offset: 0,
            // At most `hmac_coverage`, so no bit is lost.
            len: payload_len.min(self.hmac_coverage.into()) as u16,
        }
    }

    /// Refuses a header that does not meet the demands. Checks no cookie, hash or checksum value.
    ///
    /// `udp_checksum` is `true` unless the UDP checksum is zero.
    ///
    /// # Errors
    ///
    /// In the order of the checks: [`Refusal::SecurityMissing`], [`Refusal::SecurityUnexpected`],
    /// [`Refusal::SecurityMethod`], [`Refusal::HmacCoverage`], [`Refusal::ChecksumMissing`],
    /// [`Refusal::CrcMissing`], [`Refusal::NatWithoutUdpChecksum`],
    /// [`Refusal::RemcsumWithoutUdpChecksum`].
    #[inline]
    pub fn check(
        &self,
        view: &View<'_>,
        payload_len: usize,
        udp_checksum: bool,
    ) -> Result<(), Refusal> {
        self.check_security(view, payload_len)?;
        if self.checksum && view.checksum().is_none() {
            return Err(Refusal::ChecksumMissing);
        }
        if self.crc && view.crc().is_none() {
            return Err(Refusal::CrcMissing);
        }
        if !udp_checksum && view.nat().is_some() {
            return Err(Refusal::NatWithoutUdpChecksum);
        }
        if !udp_checksum && self.remcsum_udp_checksum && view.remote_checksum().is_some() {
            return Err(Refusal::RemcsumWithoutUdpChecksum);
        }
        Ok(())
    }

    #[inline]
    fn check_security(&self, view: &View<'_>, payload_len: usize) -> Result<(), Refusal> {
        let found = Method::of(view.flags()).unwrap_or_default();
        match (self.security, found) {
            (None, None) => {}
            (Some(_), None) => return Err(Refusal::SecurityMissing),
            (None, Some(_)) => return Err(Refusal::SecurityUnexpected),
            (Some(demanded), Some(found)) if demanded != found => {
                return Err(Refusal::SecurityMethod)
            }
            (Some(_), Some(_)) => {}
        }
        match view.security() {
            Some(SecurityView::Hmac(hmac)) if hmac.coverage != self.coverage(payload_len) => {
                Err(Refusal::HmacCoverage)
            }
            _ => Ok(()),
        }
    }
}
