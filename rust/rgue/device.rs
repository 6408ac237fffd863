// SPDX-License-Identifier: GPL-2.0

//! A device of kind `gue`.

use crate::{config::Config, transmit};
use kernel::prelude::*;
use net::{
    netdev::{Device, DeviceSkb, NetDevice, Operations, Sent, Xmit},
    rtnl::{RcuReader, Rtnl, RtnlCell},
    Netns,
};

/// The state of a device.
pub(crate) struct Gue {
    config: RtnlCell<Config>,
}

impl Gue {
    /// Returns the configuration in force.
    #[inline]
    pub(crate) fn config(&self) -> &RtnlCell<Config> {
        &self.config
    }

    /// Changes the configuration. Packets are sent with the old one or the new one as a whole. May sleep.
    pub(crate) fn change(&self, new: Config, rtnl: &mut Rtnl) -> Result {
        self.config.replace(new, rtnl)
    }
}

impl Operations for Gue {
    const DRIVER: &'static CStr = c"gue";
    type Config = Config;

    fn new(
        config: Config,
        _dev: &NetDevice,
        _link_net: &Netns,
        _rtnl: &mut Rtnl,
    ) -> impl PinInit<Self, Error> {
        try_init!(Self {
            config: RtnlCell::new(config)?,
        }? Error)
    }

    fn open(_dev: &Device<Self>, _rtnl: &mut Rtnl) -> Result {
        Ok(())
    }

    fn stop(_dev: &Device<Self>, _rtnl: &mut Rtnl) {}

    #[inline]
    fn transmit(xmit: &Xmit<'_, Self>, skb: DeviceSkb) -> Sent {
        transmit::transmit(xmit, skb)
    }

    fn iflink(dev: &Device<Self>) -> u32 {
        RcuReader::with(|reader| dev.data().config.read(reader).link)
    }
}
