// SPDX-License-Identifier: GPL-2.0

//! The kind of link `gue`: makes, changes and shows devices.

use crate::{
    config::{attr, Config},
    device::{Gue, NewGue},
    reassembly::{self, Queue},
    socket::{self, Listener, Refusal, Sockets},
};
use kernel::prelude::*;
use net::errno::{EADDRINUSE, EADDRNOTAVAIL};
use net::{
    frags::Directory,
    module::Scope,
    netdev::{Device, Dimensions},
    netlink::NlaPolicy,
    netns::Registration,
    rtnl::{RcuReader, Rtnl},
    rtnl_link::{LinkInfo, LinkKind, LinkRequest, NewLink},
    time::monotonic_ns,
};

/// The kind of link.
pub(crate) struct GueKind {
    sockets: &'static Registration<Sockets>,
    fragments: &'static Registration<Directory<Queue>>,
}

impl GueKind {
    /// Registers the state that devices share: sockets and fragments. May sleep.
    pub(crate) fn new(scope: &'static Scope) -> Result<Self> {
        Ok(Self {
            fragments: reassembly::register(scope)?,
            sockets: socket::register(scope)?,
        })
    }
}

impl LinkKind for GueKind {
    const KIND: &'static CStr = c"gue";
    const POLICY: &'static [NlaPolicy] = &attr::POLICY;
    type Device = Gue;

    fn newlink(&self, request: &NewLink<'_>, _rtnl: &mut Rtnl) -> Result<(NewGue, Dimensions)> {
        let config = Config::read(request)?;
        let netns = request.link_net();
        let dimensions = config.dimensions(netns);
        let gets_all = config.liveness.roaming || config.remote_is_any();
        let claim = |binding| {
            let sockets = self.sockets.get(netns);
            sockets
                .claim(netns, binding, config.key(), config.liveness.roaming)
                .map_err(|refusal| refuse(request, refusal, gets_all))
        };
        let (first, second) = config.bindings(netns);
        let listener = Listener::new(claim(first)?, second.map(claim).transpose()?);
        let new = NewGue {
            config,
            listener,
            fragments: self.fragments.get(netns).pieces(),
        };
        Ok((new, dimensions))
    }

    fn changelink(&self, dev: &Device<Gue>, request: &LinkRequest<'_>, rtnl: &mut Rtnl) -> Result {
        let old = dev.data().config(rtnl);
        let new = old.changed(request)?;
        let before = old.dimensions(dev.link_net());
        let after = new.dimensions(dev.link_net());
        dev.data()
            .change(dev, new, rtnl)
            .map_err(|error| match error {
                EEXIST => request.refuse(
                    EEXIST,
                    c"another gue link with this id gets packets from every address, or from this one",
                    request.attr(attr::ROAMING),
                ),
                _ => error,
            })?;
        if before != after {
            // Keep an MTU that the user has set.
            dev.resize(after, dev.mtu() == before.mtu, rtnl)?;
        }
        Ok(())
    }

    const XSTATS: usize = 8;

    fn fill_xstats(dev: &Device<Gue>, to: &mut [u64]) {
        let counts = dev.data().control().peer.counts(monotonic_ns());
        // The order is that of `struct ifla_gue_xstats` in `tools/ip-link-gue`.
        let numbers = [
            counts.last_heard_ms.unwrap_or(u64::MAX),
            counts.rtt_ns.unwrap_or(0),
            counts.moves,
            counts.replays,
            counts.auth_failures,
            counts.requests,
            counts.replies,
            counts.limited,
        ];
        for (to, number) in to.iter_mut().zip(numbers) {
            *to = number;
        }
    }

    fn fill_info(dev: &Device<Gue>, info: &mut LinkInfo<'_>) -> Result {
        RcuReader::with(|reader| dev.data().sender(reader).configured.show(info))
    }
}

/// Refuses a device that cannot get its packets, and says why. `gets_all` is `true` if the device would get the packets
/// of its group from every address.
fn refuse(request: &LinkRequest<'_>, refusal: Refusal, gets_all: bool) -> Error {
    let port = request.attr(attr::PORT).or(request.attr(attr::DPORT));
    match refusal {
        Refusal::SamePackets if request.attr(attr::EXTERNAL).is_some() => request.refuse(
            EEXIST,
            c"another gue link is external on this port",
            request.attr(attr::EXTERNAL),
        ),
        Refusal::SamePackets if gets_all => request.refuse(
            EEXIST,
            c"another gue link has this id and gets packets from every address",
            request.attr(attr::ID),
        ),
        Refusal::SamePackets => request.refuse(
            EEXIST,
            c"another gue link has this id and remote",
            request.attr(attr::ID),
        ),
        Refusal::PortOfGue => request.refuse(
            EADDRINUSE,
            c"another gue link listens on this port, on an overlapping address",
            port,
        ),
        Refusal::PortInUse => request.refuse(
            EADDRINUSE,
            c"a program or another tunnel (ip fou, vxlan ...) listens on this port",
            port,
        ),
        Refusal::NotLocal if request.attr(attr::LOCAL6).is_some() => request.refuse(
            EADDRNOTAVAIL,
            c"local address is not configured in this network namespace, or IPv6 still looks for a duplicate",
            request.attr(attr::LOCAL6),
        ),
        Refusal::NotLocal => request.refuse(
            EADDRNOTAVAIL,
            c"local address is not configured in this network namespace",
            request.attr(attr::LOCAL),
        ),
        Refusal::Other(EACCES) => request.refuse(
            EACCES,
            c"ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE",
            port,
        ),
        Refusal::Other(error) => error,
    }
}
