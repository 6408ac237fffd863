// SPDX-License-Identifier: GPL-2.0

//! Fragments in a configuration, from requests.

use super::{attr, protection, Config, Variant};
use gue::fragment;
use kernel::prelude::*;
use net::rtnl_link::LinkRequest;

/// The least payload of a fragment other than the last, in bytes: with less, the longest packet would take more
/// fragments than a receiver joins.
const MIN_PAYLOAD_BYTES: usize =
    net::frags::MAX_LEN_BYTES.div_ceil(net::frags::MAX_PIECES as usize);

impl Config {
    /// Applies the attributes of a request.
    pub(super) fn apply_fragment(&mut self, request: &LinkRequest<'_>) -> Result {
        self.fragment = protection::coverage(
            request,
            self.fragment,
            (attr::FRAGMENT, attr::FRAGMENT_SIZE),
            c"fragment must be 0 or 1",
            c"a size needs fragment",
        )?;
        let Some(size) = self.fragment else {
            return Ok(());
        };
        if self.variant == Variant::One {
            let at = request.attr(attr::FRAGMENT);
            return Err(request.refuse(
                EINVAL,
                c"variant 1 has no header for fragment",
                at.or(request.attr(attr::VARIANT)),
            ));
        }
        if self.external {
            let at = request.attr(attr::FRAGMENT);
            return Err(request.refuse(EINVAL, c"external excludes fragment", at));
        }
        let least = self.fragment_overhead_bytes() + MIN_PAYLOAD_BYTES;
        if size != 0 && usize::from(size) < least {
            return Err(request.refuse(
                EINVAL,
                c"the size must have room for the outer headers and 256 bytes",
                request.attr(attr::FRAGMENT_SIZE),
            ));
        }
        Ok(())
    }

    /// Returns the length of the headers before each fragment, in bytes.
    pub(crate) fn fragment_overhead_bytes(&self) -> usize {
        // A fragment leaves no checksum to the receiver, and the payload of fragments has EtherIP and Ethernet headers.
        let whole = Self {
            remcsum: super::Remcsum::Off,
            mode: net::netdev::LinkType::Ip,
            ..*self
        };
        whole.overhead_bytes() + fragment::LEN_BYTES
    }
}
