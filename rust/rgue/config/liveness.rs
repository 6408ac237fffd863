// SPDX-License-Identifier: GPL-2.0

//! Keepalive and roaming: settings of a device that are based on control messages.

use super::{attr, read::boolean, Config, SourcePort, Variant};
use kernel::prelude::*;
use net::{
    netlink::NlAttr,
    rtnl_link::{LinkInfo, LinkRequest},
};

/// The settings of keepalive and roaming. Each device answers echo requests, whatever its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Liveness {
    /// The time, in seconds, after which the device sends an echo request to a silent peer. 0: never.
    pub(crate) keepalive: u16,
    /// The time, in seconds, after which a silent peer is dead. 0: three times `keepalive`.
    dead: u16,
    /// The peer may move to another address and port.
    pub(crate) roaming: bool,
}

impl Liveness {
    /// No keepalive, and no roaming.
    pub(crate) const OFF: Self = Self {
        keepalive: 0,
        dead: 0,
        roaming: false,
    };

    /// Returns the time, in seconds, after which a silent peer is dead.
    pub(crate) fn dead_seconds(&self) -> u16 {
        match self.dead {
            0 => self.keepalive.saturating_mul(3),
            dead => dead,
        }
    }
}

impl Config {
    /// Applies the attributes of a request.
    pub(super) fn apply_liveness(&mut self, request: &LinkRequest<'_>) -> Result {
        if let Some(at) = request.attr(attr::KEEPALIVE) {
            self.liveness.keepalive = at.get()?;
        }
        if let Some(at) = request.attr(attr::DEAD) {
            self.liveness.dead = at.get()?;
        }
        if let Some(on) = boolean(request, attr::ROAMING, c"roaming must be 0 or 1")? {
            self.liveness.roaming = on;
        }
        Ok(())
    }

    /// Refuses settings that exclude each other. Without a keepalive, resets the time after which a peer is dead.
    pub(super) fn check_liveness(&mut self, request: &LinkRequest<'_>) -> Result {
        let first = |numbers: &[i32]| numbers.iter().find_map(|number| request.attr(*number));
        let refuse =
            |text, at: Option<NlAttr<'_>>| -> Result { Err(request.refuse(EINVAL, text, at)) };
        let Liveness {
            keepalive,
            dead,
            roaming,
        } = self.liveness;
        if keepalive == 0 {
            if dead != 0 && request.attr(attr::DEAD).is_some() {
                return refuse(c"dead needs keepalive", request.attr(attr::DEAD));
            }
            self.liveness.dead = 0;
        } else {
            if self.liveness.dead_seconds() <= keepalive {
                let at = first(&[attr::DEAD, attr::KEEPALIVE]);
                return refuse(c"dead must be greater than keepalive", at);
            }
            if self.external {
                let at = request.attr(attr::KEEPALIVE);
                return refuse(c"external excludes keepalive: there is no one peer", at);
            }
            if self.remote_is_any() && !roaming {
                let at = first(&[attr::KEEPALIVE, attr::ROAMING]);
                return refuse(
                    c"keepalive needs a remote, or roaming: there is no peer to ask",
                    at,
                );
            }
        }
        if !roaming {
            return Ok(());
        }
        if self.external {
            let at = request.attr(attr::ROAMING);
            return refuse(c"external excludes roaming: there is no one peer", at);
        }
        let at = first(&[attr::ROAMING, attr::SPORT, attr::SPORT_RANGE, attr::PORT]);
        if self.protection.auth.is_none() {
            return refuse(
                c"roaming needs auth: anybody could move the peer without",
                at,
            );
        }
        if self.variant == Variant::One {
            return refuse(
                c"roaming needs variant 0: variant 1 has no header for auth",
                at,
            );
        }
        let is_fixed = match self.source_port {
            SourcePort::Fixed(port) => port == self.port,
            SourcePort::Flow(Some((low, high))) => low == high && low == self.port,
            SourcePort::Flow(None) => false,
        };
        if !is_fixed {
            return refuse(
                c"roaming needs a fixed sport equal to port: a NAT maps one port",
                at,
            );
        }
        Ok(())
    }

    /// Writes the attributes to a message.
    pub(super) fn show_liveness(&self, info: &mut LinkInfo<'_>) -> Result {
        info.put_u16(attr::KEEPALIVE, self.liveness.keepalive)?;
        if self.liveness.keepalive != 0 {
            info.put_u16(attr::DEAD, self.liveness.dead_seconds())?;
        }
        info.put_u8(attr::ROAMING, self.liveness.roaming.into())
    }
}
