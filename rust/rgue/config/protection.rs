// SPDX-License-Identifier: GPL-2.0

//! The protecting fields of a configuration, from requests.

use super::{attr, read::boolean, Config, Protection, Remcsum, Variant};
use gue::security::Method;
use kernel::prelude::*;
use net::{errno::EOPNOTSUPP, netdev::LinkType, netlink::NlAttr, rtnl_link::LinkRequest};

/// Returns the number that stands for a method in [`attr::AUTH`].
pub(super) fn number_of(auth: Option<Method>) -> u8 {
    auth.map_or(0, |method| method as u8)
}

impl Config {
    /// Applies the attributes of a request.
    pub(super) fn apply_protection(&mut self, request: &LinkRequest<'_>) -> Result {
        if let Some(at) = request.attr(attr::AUTH) {
            self.protection.auth = match at.get::<u8>()? {
                0 => None,
                1 => Some(Method::Cookie8),
                2 => Some(Method::Cookie16),
                3 => Some(Method::Cookie32),
                4 => Some(Method::Hmac),
                _ => return Err(request.refuse(
                    EINVAL,
                    c"auth must be 0 (none), 1 (cookie8), 2 (cookie16), 3 (cookie32) or 4 (hmac)",
                    Some(at),
                )),
            };
        }
        if let Some(at) = request.attr(attr::COVER) {
            self.protection.cover = at.get()?;
            if self.protection.auth != Some(Method::Hmac) {
                return Err(request.refuse(EINVAL, c"cover needs auth hmac", Some(at)));
            }
        }
        self.protection.checksum = coverage(
            request,
            self.protection.checksum,
            (attr::HEADERCSUM, attr::HEADERCSUM_COVER),
            c"headercsum must be 0 or 1",
            c"a coverage needs headercsum",
        )?;
        self.protection.crc = coverage(
            request,
            self.protection.crc,
            (attr::CRC, attr::CRC_COVER),
            c"crc must be 0 or 1",
            c"a coverage needs crc",
        )?;
        self.check_protection(request)
    }

    /// Refuses settings that exclude each other.
    fn check_protection(&self, request: &LinkRequest<'_>) -> Result {
        let Protection {
            auth,
            checksum,
            crc,
            ..
        } = self.protection;
        let first = |numbers: &[i32]| numbers.iter().find_map(|number| request.attr(*number));
        let at: Option<NlAttr<'_>> = first(&[attr::AUTH, attr::HEADERCSUM, attr::CRC]);
        if self.variant == Variant::One && (auth.is_some() || checksum.is_some() || crc.is_some()) {
            return Err(request.refuse(
                EINVAL,
                c"variant 1 has no header for auth, headercsum and crc",
                at.or(request.attr(attr::VARIANT)),
            ));
        }
        if self.mode == LinkType::Ethernet && self.protection.covers_payload() {
            return Err(request.refuse(
                EOPNOTSUPP,
                c"a coverage above 0 needs mode ip",
                first(&[
                    attr::COVER,
                    attr::HEADERCSUM_COVER,
                    attr::CRC_COVER,
                    attr::MODE,
                ]),
            ));
        }
        if self.remcsum != Remcsum::Off && self.protection.covers_payload() {
            return Err(request.refuse(
                EINVAL,
                c"remcsum leaves a checksum open, which a coverage above 0 would cover",
                first(&[
                    attr::COVER,
                    attr::HEADERCSUM_COVER,
                    attr::CRC_COVER,
                    attr::REMCSUM,
                ]),
            ));
        }
        Ok(())
    }

    /// Refuses a change of the method of security: the method fixes the length of the header, and keys belong to it.
    pub(super) fn check_auth_is(&self, old: &Self, request: &LinkRequest<'_>) -> Result {
        if self.protection.auth == old.protection.auth {
            return Ok(());
        }
        Err(request.refuse(
            EOPNOTSUPP,
            c"auth cannot be changed",
            request.attr(attr::AUTH),
        ))
    }
}

/// Reads a switch, and the number that belongs to it, such as a coverage. Returns `None` if the switch is off.
pub(super) fn coverage(
    request: &LinkRequest<'_>,
    old: Option<u16>,
    (switch, cover): (c_int, c_int),
    switch_text: &'static CStr,
    cover_text: &'static CStr,
) -> Result<Option<u16>> {
    let on = boolean(request, switch, switch_text)?;
    let bytes = match request.attr(cover) {
        Some(at) => Some(at.get()?),
        None => None,
    };
    match (on, old) {
        (Some(true), _) => Ok(Some(bytes.unwrap_or(0))),
        (None, Some(old)) => Ok(Some(bytes.unwrap_or(old))),
        _ if bytes.is_some() => Err(request.refuse(EINVAL, cover_text, request.attr(cover))),
        _ => Ok(None),
    }
}
