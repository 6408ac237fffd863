// SPDX-License-Identifier: GPL-2.0

//! The kind of link `gue`: makes, changes and shows devices.

use crate::{
    config::{attr, Config},
    demux::Key,
    device::{Gue, NewGue},
    socket::{self, Refusal, Sockets},
};
use kernel::prelude::*;
use net::errno::{EADDRINUSE, EADDRNOTAVAIL};
use net::{
    module::Scope,
    netdev::{Device, Dimensions},
    netlink::NlaPolicy,
    netns::Registration,
    rtnl::{RcuReader, Rtnl},
    rtnl_link::{LinkInfo, LinkKind, LinkRequest, NewLink},
};

/// The kind of link.
pub(crate) struct GueKind {
    sockets: &'static Registration<Sockets>,
}

impl GueKind {
    /// Makes what all devices share. May sleep.
    pub(crate) fn new(scope: &'static Scope) -> Result<Self> {
        Ok(Self {
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
        let key = Key::of_device(config.group, config.addresses);
        let listener = self
            .sockets
            .get(netns)
            .claim(netns, config.binding(netns), key)
            .map_err(|refusal| refuse(request, refusal))?;
        Ok((NewGue { config, listener }, dimensions))
    }

    fn changelink(&self, dev: &Device<Gue>, request: &LinkRequest<'_>, rtnl: &mut Rtnl) -> Result {
        let old = dev.data().config(rtnl);
        let new = old.changed(request)?;
        let before = old.dimensions(dev.link_net());
        let after = new.dimensions(dev.link_net());
        dev.data().change(dev, new, rtnl)?;
        if before != after {
            // A user's own MTU stays.
            dev.resize(after, dev.mtu() == before.mtu, rtnl)?;
        }
        Ok(())
    }

    fn fill_info(dev: &Device<Gue>, info: &mut LinkInfo<'_>) -> Result {
        RcuReader::with(|reader| dev.data().sender(reader).config.show(info))
    }
}

/// Says why a device cannot have its packets.
fn refuse(request: &LinkRequest<'_>, refusal: Refusal) -> Error {
    let port = request.attr(attr::PORT).or(request.attr(attr::DPORT));
    match refusal {
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
