// SPDX-License-Identifier: GPL-2.0

//! Devices, and the kind of link that makes and shows them.

use crate::{
    config::{Config, POLICY},
    receive::{Entry, Key},
    socket::{Listener, Ports},
    transmit::{self, Sender},
};
use kernel::prelude::*;
use net::errno::{EADDRINUSE, EOPNOTSUPP};
use net::{
    module::Scope,
    netdev::{Device, DeviceSkb, Dimensions, LinkType, NewDevice, Operations, Sent, Xmit},
    netlink::NlaPolicy,
    netns::{self, Registration},
    rtnl::Rtnl,
    rtnl_link::{LinkInfo, LinkKind, LinkRequest, NewLink},
    Netns,
};

/// The state of a device. It does not change.
pub(crate) struct Geneve {
    sender: Sender,
    listener: Listener,
}

impl Operations for Geneve {
    const DRIVER: &'static CStr = c"geneve_sample";
    type Config = (Config, Listener);

    fn link_type(_config: &Self::Config) -> LinkType {
        LinkType::Ethernet
    }

    fn new(
        (config, listener): Self::Config,
        _dev: NewDevice<'_>,
        link_net: &Netns,
        _rtnl: &mut Rtnl,
    ) -> impl PinInit<Self, Error> {
        try_init!(Self {
            sender: Sender::new(config, link_net)?,
            listener,
        }? Error)
    }

    fn open(dev: &Device<Self>, _rtnl: &mut Rtnl) -> Result {
        let Self { sender, listener } = dev.data();
        listener.start(Entry {
            rx: dev.rx(),
            accepts_zero_checksum6: sender.config.accepts_zero_checksum6,
        })
    }

    fn stop(dev: &Device<Self>, _rtnl: &mut Rtnl) {
        dev.data().listener.stop();
    }

    #[inline]
    fn transmit(xmit: &Xmit<'_, Self>, skb: DeviceSkb) -> Sent {
        transmit::transmit(xmit, &xmit.device().data().sender, skb)
    }
}

/// The kind of link.
pub(crate) struct GeneveKind {
    ports: &'static Registration<Ports>,
}

impl GeneveKind {
    /// Registers the ports, which all devices share. May sleep.
    pub(crate) fn new(scope: &'static Scope) -> Result<Self> {
        Ok(Self {
            ports: netns::register(scope)?,
        })
    }
}

impl LinkKind for GeneveKind {
    const KIND: &'static CStr = c"geneve_sample";
    const POLICY: &'static [NlaPolicy] = &POLICY;
    type Device = Geneve;

    fn newlink(
        &self,
        request: &NewLink<'_>,
        _rtnl: &mut Rtnl,
    ) -> Result<((Config, Listener), Dimensions)> {
        let config = Config::read(request)?;
        let netns = request.link_net();
        let key = Key::new(config.vni, config.remote);
        let listener = self.ports.get(netns).listen(netns, config.binding(), key);
        let listener = listener.map_err(|error| match error {
            EEXIST => request.refuse(error, c"another link has this id, remote and dstport", None),
            EADDRINUSE => request.refuse(error, c"another program has this dstport", None),
            error => error,
        })?;
        let dimensions = config.dimensions(netns);
        Ok(((config, listener), dimensions))
    }

    fn changelink(&self, _: &Device<Geneve>, request: &LinkRequest<'_>, _: &mut Rtnl) -> Result {
        let text = c"a geneve_sample link cannot be changed; delete it and make another";
        Err(request.refuse(EOPNOTSUPP, text, None))
    }

    fn fill_info(dev: &Device<Geneve>, info: &mut LinkInfo<'_>) -> Result {
        dev.data().sender.config.show(info)
    }
}
