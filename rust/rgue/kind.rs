// SPDX-License-Identifier: GPL-2.0

//! The kind of link `gue`: makes, changes and shows devices.

use crate::{
    config::{attr, Config},
    device::Gue,
};
use kernel::prelude::*;
use net::{
    module::Scope,
    netdev::{Device, Dimensions},
    netlink::NlaPolicy,
    rtnl::{RcuReader, Rtnl},
    rtnl_link::{LinkInfo, LinkKind, LinkRequest, NewLink},
};

/// The kind of link.
pub(crate) struct GueKind;

impl GueKind {
    /// Makes what all devices share. May sleep.
    pub(crate) fn new(_scope: &'static Scope) -> Result<Self> {
        Ok(Self)
    }
}

impl LinkKind for GueKind {
    const KIND: &'static CStr = c"gue";
    const POLICY: &'static [NlaPolicy] = &attr::POLICY;
    type Device = Gue;

    fn newlink(
        &'static self,
        request: &NewLink<'_>,
        _rtnl: &mut Rtnl,
    ) -> Result<(Config, Dimensions)> {
        let config = Config::read(request)?;
        let dimensions = config.dimensions(request.link_net());
        Ok((config, dimensions))
    }

    fn changelink(
        &'static self,
        dev: &Device<Gue>,
        request: &LinkRequest<'_>,
        rtnl: &mut Rtnl,
    ) -> Result {
        let old = dev.data().config().read_rtnl(rtnl);
        let new = old.changed(request)?;
        let before = old.dimensions(dev.link_net());
        let after = new.dimensions(dev.link_net());
        dev.data().change(new, rtnl)?;
        if before != after {
            // A user's own MTU stays.
            dev.resize(after, dev.mtu() == before.mtu, rtnl)?;
        }
        Ok(())
    }

    fn fill_info(dev: &Device<Gue>, info: &mut LinkInfo<'_>) -> Result {
        RcuReader::with(|reader| dev.data().config().read(reader).show(info))
    }
}
