// SPDX-License-Identifier: GPL-2.0

//! The peers of devices: their state, pings, and events.

use super::{attr, check_capable, command, Family, NOTIFIER};
use crate::{
    control::{Asker, NotAsked, Place, Pong, User},
    device::Gue,
    reason::Reason,
};
use kernel::prelude::*;
use net::{
    errno::{EDESTADDRREQ, EHOSTUNREACH, ENETDOWN, ENOKEY, EOPNOTSUPP},
    netdev::Device,
    netlink::{
        Buffer, Doit, DumpSkBuff, Dumpit, GenlInfo, GenlMsg, NetlinkSkBuff, GENLMSG_DEFAULT_SIZE,
    },
    rtnl::Rtnl,
    skb::OuterSource,
    time::monotonic_ns,
};

/// The multicast group of events, by its index in [`super::Family`]'s groups.
pub(super) const PEERS: usize = 0;

/// `PEER_GET`: shows the peer of one device, or of all. Needs no capability.
pub(super) struct PeerGet;

impl Doit<Family> for PeerGet {
    fn doit(family: &Family, info: &GenlInfo) -> Result {
        super::refuse_attributes_of_keys(info)?;
        let message = NetlinkSkBuff::new(GENLMSG_DEFAULT_SIZE)?.genlmsg_iput(info)?;
        family
            .with_device(info, |dev, rtnl| {
                let mut message = message;
                describe(dev, rtnl, &mut message)?;
                Ok(message)
            })?
            .reply(info)
    }
}

impl Dumpit<Family> for PeerGet {
    fn dumpit(family: &Family, cursor: &mut u64, skb: &mut DumpSkBuff<'_>) -> Result {
        if skb.request_has_attrs() {
            return Err(EINVAL);
        }
        let first = u32::try_from(*cursor)?;
        let netns = skb.netns();
        Rtnl::lock(|rtnl| {
            family
                .kind
                .for_each_device(netns, first, rtnl, |dev, rtnl| {
                    let index = u64::try_from(dev.ifindex())?;
                    // A device that does not fit comes first in the next buffer.
                    *cursor = index;
                    let mut message = skb.genlmsg_iput()?;
                    describe(dev, rtnl, &mut message)?;
                    message.end();
                    *cursor = index.saturating_add(1);
                    Ok(())
                })
        })?;
        // All devices were shown.
        *cursor = u32::MAX.into();
        Ok(())
    }
}

/// `PING`: sends an echo request to the peer. The peer's reply comes to the user as `PONG`.
pub(super) struct Ping;

impl Doit<Family> for Ping {
    fn doit(family: &Family, info: &GenlInfo) -> Result {
        super::refuse_attributes_of_keys(info)?;
        let message = NetlinkSkBuff::new(GENLMSG_DEFAULT_SIZE)?.genlmsg_iput(info)?;
        family.with_device(info, |dev, rtnl| {
            check_capable(info, dev)?;
            if !dev.is_up(rtnl) {
                return Err(info.refuse(ENETDOWN, c"the device is down", None));
            }
            let user = User {
                portid: info.portid(),
                netns: dev.netns(rtnl).cookie(),
            };
            let sequence = dev
                .data()
                .control()
                .ask(dev.link_net(), Asker::User(user))
                .map_err(|error| refuse(info, error))?;
            let mut message = message;
            message.put_u32(attr::IFINDEX, u32::try_from(dev.ifindex())?)?;
            message.put_u64(attr::SEQUENCE, sequence)?;
            // Before RTNL is released: pongs are sent under RTNL, so this answer comes before the pong.
            message.reply(info)
        })
    }
}

fn refuse(info: &GenlInfo, error: NotAsked) -> Error {
    let (error, text) = match error {
        NotAsked::NoPeer => (
            EDESTADDRREQ,
            c"the device has remote any, and no peer has come yet",
        ),
        NotAsked::NeverAPeer => (
            EOPNOTSUPP,
            c"the device has no one peer: it is external, or has remote any without roaming",
        ),
        NotAsked::Limited => (
            EAGAIN,
            c"too many messages at once: 100 a second are allowed",
        ),
        NotAsked::Unsent(Reason::NoKey) => (ENOKEY, c"the device has no key to send with"),
        NotAsked::Unsent(Reason::NoMemory) => return ENOMEM,
        NotAsked::Unsent(_) => (EHOSTUNREACH, c"no route leads to the peer"),
    };
    info.refuse(error, text, None)
}

/// Notifies the group that the peer has moved.
pub(crate) fn peer_moved(dev: &Device<Gue>, rtnl: &Rtnl) {
    tell(dev, command::PEER_MOVED, rtnl);
}

/// Notifies the group that the peer is dead, or lives again.
pub(crate) fn peer_lives(dev: &Device<Gue>, alive: bool, rtnl: &Rtnl) {
    let command = if alive {
        command::PEER_ALIVE
    } else {
        command::PEER_DEAD
    };
    tell(dev, command, rtnl);
}

fn tell(dev: &Device<Gue>, command: u8, rtnl: &Rtnl) {
    NOTIFIER.notify_in::<PEERS>(dev.netns(rtnl), command, |message| {
        describe(dev, rtnl, message)
    });
}

/// Sends a user the answer to a ping, unless the device has moved to another namespace.
pub(crate) fn pong(dev: &Device<Gue>, pong: &Pong, rtnl: &Rtnl) {
    let netns = dev.netns(rtnl);
    if netns.cookie() != pong.user.netns {
        return;
    }
    NOTIFIER.unicast(netns, pong.user.portid, command::PONG, |message| {
        message.put_u32(attr::IFINDEX, u32::try_from(dev.ifindex())?)?;
        message.put_u64(attr::SEQUENCE, pong.sequence)?;
        message.put_u64(attr::RTT, pong.rtt_ns)?;
        put_place(pong.from, message)
    });
}

/// Appends the attributes of a device's peer.
fn describe(dev: &Device<Gue>, rtnl: &Rtnl, message: &mut GenlMsg<impl Buffer>) -> Result {
    let control = dev.data().control();
    let config = control.config();
    let counts = control.peer.counts(monotonic_ns());
    super::put_device(dev, rtnl, message)?;
    if let Some(place) = config.peer() {
        put_place(place, message)?;
    }
    if config.liveness.keepalive != 0 && config.peer().is_some() {
        message.put_u8(attr::ALIVE, control.peer.is_alive().into())?;
    }
    if let Some(ms) = counts.last_heard_ms {
        message.put_u64(attr::LAST_HEARD, ms)?;
    }
    if let Some(ns) = counts.rtt_ns {
        message.put_u64(attr::RTT, ns)?;
    }
    for (number, count) in [
        (attr::MOVES, counts.moves),
        (attr::REPLAYS, counts.replays),
        (attr::AUTH_FAILURES, counts.auth_failures),
        (attr::REQUESTS, counts.requests),
        (attr::REPLIES, counts.replies),
        (attr::LIMITED, counts.limited),
    ] {
        message.put_u64(number, count)?;
    }
    Ok(())
}

fn put_place(place: Place, message: &mut GenlMsg<impl Buffer>) -> Result {
    match place.address {
        OuterSource::V4(address) => message.put_in_addr(attr::REMOTE4, &address)?,
        OuterSource::V6(address) => message.put_in6_addr(attr::REMOTE6, &address)?,
    }
    message.put_be16(attr::REMOTE_PORT, place.port.to_be_bytes())
}
