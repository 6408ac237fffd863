// SPDX-License-Identifier: GPL-2.0

//! Configurations of devices in external mode: the metadata of each packet have its group and outer addresses.

use super::{attr, Config, Df, Inherit, Variant};
use kernel::prelude::*;
use net::{rtnl_link::LinkRequest, udp::Checksum};

/// Refuses attributes of a device that has a peer.
pub(super) fn refuse_peer(request: &LinkRequest<'_>) -> Result {
    for (attrtype, text) in [
        (attr::REMOTE, c"external excludes remote"),
        (attr::REMOTE6, c"external excludes remote"),
        (attr::LOCAL, c"external excludes local"),
        (attr::LOCAL6, c"external excludes local"),
        (attr::ID, c"external excludes id"),
    ] {
        let at = request.attr(attrtype);
        if at.is_some() {
            return Err(request.refuse(EINVAL, text, at));
        }
    }
    Ok(())
}

impl Config {
    /// Refuses settings that each packet's metadata decide. Default values are accepted, because `ip -d link` shows
    /// them.
    pub(super) fn check_external(&self, request: &LinkRequest<'_>) -> Result {
        if !self.external {
            return Ok(());
        }
        for (differs, attrtype, or, text) in [
            (
                self.ttl != Inherit::Value(0),
                attr::TTL,
                attr::TTL_INHERIT,
                c"external excludes ttl: it comes with each packet",
            ),
            (
                self.tos != Inherit::Value(0),
                attr::TOS,
                attr::TOS_INHERIT,
                c"external excludes tos: it comes with each packet",
            ),
            (
                self.df != Df::Unset,
                attr::DF,
                attr::DF,
                c"external excludes df: it comes with each packet",
            ),
            (
                self.flow_label != 0,
                attr::FLOWLABEL,
                attr::FLOWLABEL,
                c"external excludes flowlabel: it comes with each packet",
            ),
            (
                self.checksum4 != Checksum::Zero,
                attr::UDP_CSUM,
                attr::UDP_CSUM,
                c"external excludes udpcsum: it comes with each packet",
            ),
            (
                self.checksum6 != Checksum::Full,
                attr::UDP_ZERO_CSUM6_TX,
                attr::UDP_ZERO_CSUM6_TX,
                c"external excludes udp6zerocsumtx: it comes with each packet",
            ),
            (
                self.variant != Variant::Zero,
                attr::VARIANT,
                attr::VARIANT,
                c"variant 1 has no header for the ids of external",
            ),
        ] {
            if differs {
                let at = request.attr(attrtype).or(request.attr(or));
                return Err(request.refuse(EINVAL, text, at));
            }
        }
        Ok(())
    }
}
