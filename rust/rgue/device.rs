// SPDX-License-Identifier: GPL-2.0

//! A device of kind `gue`.

use crate::{config::Config, demux::Entry, socket::Listener, transmit};
use kernel::prelude::*;
use net::{
    netdev::{Device, DeviceSkb, NetDevice, Operations, Sent, Xmit},
    rtnl::{RcuReader, Rtnl, RtnlCell},
    Netns,
};

/// The state of a device.
pub(crate) struct Gue {
    config: RtnlCell<Config>,
    listener: Listener,
}

/// What a device is made of.
pub(crate) struct NewGue {
    pub(crate) config: Config,
    pub(crate) listener: Listener,
}

impl Gue {
    /// Returns the configuration in force.
    #[inline]
    pub(crate) fn config(&self) -> &RtnlCell<Config> {
        &self.config
    }

    /// Changes the configuration. Packets are sent with the old one or the new one as a whole. May sleep.
    pub(crate) fn change(&self, dev: &Device<Self>, new: Config, rtnl: &mut Rtnl) -> Result {
        let accepted = self.config.read_rtnl(rtnl).accepts_zero_checksum6;
        if new.accepts_zero_checksum6 != accepted {
            self.listener.change(|| entry(dev, &new))?;
        }
        self.config.replace(new, rtnl)
    }
}

/// Returns what receive needs to know of a device.
fn entry(dev: &Device<Gue>, config: &Config) -> Entry {
    Entry {
        rx: dev.rx(),
        accepts_zero_checksum6: config.accepts_zero_checksum6,
    }
}

impl Operations for Gue {
    const DRIVER: &'static CStr = c"gue";
    type Config = NewGue;

    fn new(
        NewGue { config, listener }: NewGue,
        _dev: &NetDevice,
        _link_net: &Netns,
        _rtnl: &mut Rtnl,
    ) -> impl PinInit<Self, Error> {
        try_init!(Self {
            config: RtnlCell::new(config)?,
            listener,
        }? Error)
    }

    fn uninit(dev: &Device<Self>, _rtnl: &mut Rtnl) {
        dev.data().listener.release();
    }

    fn open(dev: &Device<Self>, rtnl: &mut Rtnl) -> Result {
        let gue = dev.data();
        let config = gue.config.read_rtnl(rtnl);
        let netns = dev.link_net();
        gue.listener
            .open(netns, config.vrf(netns), entry(dev, config))
    }

    fn stop(dev: &Device<Self>, _rtnl: &mut Rtnl) {
        dev.data().listener.close();
    }

    #[inline]
    fn transmit(xmit: &Xmit<'_, Self>, skb: DeviceSkb) -> Sent {
        transmit::transmit(xmit, skb)
    }

    fn iflink(dev: &Device<Self>) -> u32 {
        RcuReader::with(|reader| dev.data().config.read(reader).link)
    }
}
