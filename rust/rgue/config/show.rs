// SPDX-License-Identifier: GPL-2.0

//! Configurations as attributes.

use super::{attr, protection, Config, Inherit, Protection, SourcePort, Variant};
use gue::security::Method;
use kernel::prelude::*;
use net::{
    netdev::LinkType,
    rtnl_link::LinkInfo,
    udp::{Checksum, PortNumber},
    udp_tunnel::Addresses,
};

impl Config {
    /// Writes the configuration to a message.
    pub(crate) fn show(&self, info: &mut LinkInfo<'_>) -> Result {
        if let Some(group) = self.group {
            info.put_u32(attr::ID, group)?;
        }
        match self.addresses {
            _ if self.external => info.put_flag(attr::EXTERNAL)?,
            Addresses::V4 { local, peer } => {
                info.put_bytes(attr::REMOTE, &peer)?;
                if local != [0; 4] {
                    info.put_bytes(attr::LOCAL, &local)?;
                }
            }
            Addresses::V6 { local, peer } => {
                info.put_bytes(attr::REMOTE6, &peer)?;
                if local != [0; 16] {
                    info.put_bytes(attr::LOCAL6, &local)?;
                }
            }
        }
        if self.link != 0 {
            info.put_u32(attr::LINK, self.link)?;
        }
        info.put_bytes(attr::PORT, &self.port.to_be_bytes())?;
        info.put_bytes(attr::DPORT, &self.destination_port.to_be_bytes())?;
        let (port, range) = match self.source_port {
            SourcePort::Fixed(port) => (port, None),
            SourcePort::Flow(range) => (PortNumber::ANY, range),
        };
        info.put_bytes(attr::SPORT, &port.to_be_bytes())?;
        if let Some((low, high)) = range {
            let ([l0, l1], [h0, h1]) = (low.to_be_bytes(), high.to_be_bytes());
            info.put_bytes(attr::SPORT_RANGE, &[l0, l1, h0, h1])?;
        }
        info.put_u8(attr::MODE, (self.mode == LinkType::Ethernet).into())?;
        info.put_u8(attr::VARIANT, (self.variant == Variant::One).into())?;
        for (field, value, inherit) in [
            (self.ttl, attr::TTL, attr::TTL_INHERIT),
            (self.tos, attr::TOS, attr::TOS_INHERIT),
        ] {
            let (number, inherited) = match field {
                Inherit::Inner => (0, true),
                Inherit::Value(number) => (number, false),
            };
            info.put_u8(value, number)?;
            info.put_u8(inherit, inherited.into())?;
        }
        info.put_u8(attr::DF, self.df as u8)?;
        info.put_bytes(attr::FLOWLABEL, &self.flow_label.to_be_bytes())?;
        info.put_u8(attr::UDP_CSUM, (self.checksum4 == Checksum::Full).into())?;
        info.put_u8(
            attr::UDP_ZERO_CSUM6_TX,
            (self.checksum6 == Checksum::Zero).into(),
        )?;
        info.put_u8(attr::UDP_ZERO_CSUM6_RX, self.accepts_zero_checksum6.into())?;
        info.put_u8(attr::REMCSUM, self.remcsum as u8)?;
        self.show_protection(info)?;
        self.show_liveness(info)?;
        info.put_u8(attr::FRAGMENT, self.fragment.is_some().into())?;
        match self.fragment {
            None | Some(0) => Ok(()),
            Some(size) => info.put_u16(attr::FRAGMENT_SIZE, size),
        }
    }

    fn show_protection(&self, info: &mut LinkInfo<'_>) -> Result {
        let Protection {
            auth,
            cover,
            checksum,
            crc,
        } = self.protection;
        info.put_u8(attr::AUTH, protection::number_of(auth))?;
        if auth == Some(Method::Hmac) {
            info.put_u16(attr::COVER, cover)?;
        }
        for (field, switch, cover) in [
            (checksum, attr::HEADERCSUM, attr::HEADERCSUM_COVER),
            (crc, attr::CRC, attr::CRC_COVER),
        ] {
            info.put_u8(switch, field.is_some().into())?;
            if let Some(bytes) = field {
                info.put_u16(cover, bytes)?;
            }
        }
        Ok(())
    }
}
