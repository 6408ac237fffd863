// SPDX-License-Identifier: GPL-2.0

//! A device of kind `gue`.

use crate::{
    config::{Config, Protection},
    demux::Entry,
    guard::Guard,
    keys::KeyRing,
    socket::Listener,
    transmit::{self, Sender},
};
use kernel::{prelude::*, sync::Arc};
use net::{
    netdev::{Device, DeviceSkb, LinkType, NewDevice, Operations, Sent, Xmit},
    rtnl::{RcuReader, Rtnl, RtnlCell, RtnlValue},
    Netns,
};

/// The state of a device.
pub(crate) struct Gue {
    sender: RtnlCell<Sender>,
    listener: Listener,
    /// If the device has a method of security.
    keys: Option<Arc<KeyRing>>,
}

/// The configuration and the listener that a device is made of.
pub(crate) struct NewGue {
    pub(crate) config: Config,
    pub(crate) listener: Listener,
}

impl Gue {
    /// Returns what packets are sent by, with the configuration in force.
    #[inline]
    pub(crate) fn sender<'a>(&'a self, reader: RcuReader<'a>) -> &'a Sender {
        self.sender.read(reader)
    }

    /// Returns the configuration in force.
    pub(crate) fn config<'a>(&'a self, rtnl: &'a Rtnl) -> &'a Config {
        &self.sender.read_rtnl(rtnl).config
    }

    /// Returns the device's keys; `None` if the device has no method of security.
    pub(crate) fn keys(&self) -> Option<&KeyRing> {
        self.keys.as_deref()
    }

    /// Changes the configuration. Packets are sent with the old one or the new one as a whole. May sleep.
    pub(crate) fn change(&self, dev: &Device<Self>, new: Config, rtnl: &mut Rtnl) -> Result {
        // All memory comes first, so that a refused change changes nothing.
        let sender = RtnlValue::new(Sender::new(new, self.keys.clone(), dev.link_net())?)?;
        let old = self.config(rtnl);
        if new.accepts_zero_checksum6 != old.accepts_zero_checksum6
            || new.protection.demands() != old.protection.demands()
        {
            self.listener.change(|| entry(dev, &new))?;
        }
        self.sender.replace(sender, rtnl);
        Ok(())
    }
}

/// Returns what receive needs to know of a device.
fn entry(dev: &Device<Gue>, config: &Config) -> Entry {
    Entry {
        rx: dev.rx(),
        accepts_zero_checksum6: config.accepts_zero_checksum6,
        carries_frames: config.mode == LinkType::Ethernet,
        guard: (config.protection != Protection::NONE).then(|| Guard {
            demands: config.protection.demands(),
            keys: dev.data().keys.clone(),
        }),
    }
}

impl Operations for Gue {
    const DRIVER: &'static CStr = c"gue";
    type Config = NewGue;

    fn link_type(new: &NewGue) -> LinkType {
        new.config.mode
    }

    fn new(
        NewGue { config, listener }: NewGue,
        dev: NewDevice<'_>,
        link_net: &Netns,
        rtnl: &mut Rtnl,
    ) -> impl PinInit<Self, Error> {
        dev.set_carrier(!config.remote_is_any(), rtnl);
        try_init!(Self {
            keys: match config.protection.auth {
                Some(_) => Some(KeyRing::new()?),
                None => None,
            },
            sender: RtnlCell::new(Sender::new(config, keys.clone(), link_net)?)?,
            listener,
        }? Error)
    }

    fn uninit(&self, _rtnl: &mut Rtnl) {
        self.listener.release();
    }

    fn open(dev: &Device<Self>, rtnl: &mut Rtnl) -> Result {
        let gue = dev.data();
        let config = gue.config(rtnl);
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

    fn iflink(&self) -> u32 {
        RcuReader::with(|reader| self.sender(reader).config.link)
    }
}
