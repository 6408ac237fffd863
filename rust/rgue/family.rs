// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `gue`: the keys of devices, and their peers.
//!
//! `Documentation/netlink/gue.yaml` specifies the family. Numbers are never reused for something else.
//! A secret comes in and never leaves: no answer of the family has it, and the request's copy is overwritten.
//! But netlink itself returns a request that breaks the policy, or whose sender lacks the capability, to the
//! sender before the family sees it.

mod peers;

pub(crate) use peers::{peer_lives, peer_moved, pong};

use crate::{
    device::Gue,
    keys::{Direction, Key, KeyInUse, KeyRefusal, KeyRing, RawSecret, MOST_SECRET_LEN_BYTES},
    kind::GueKind,
};
use gue::security::Method;
use kernel::prelude::*;
use net::{
    errno::EOPNOTSUPP,
    module::Scope,
    netdev::{Device, NAME_LEN_BYTES},
    netlink::{
        self, Buffer, Doit, DumpSkBuff, Dumpit, GenlInfo, GenlMsg, MulticastGroup, NetlinkSkBuff,
        NlaPolicy, Notifier, Op, Operations, GENLMSG_DEFAULT_SIZE,
    },
    rtnl::Rtnl,
    rtnl_link::Kind,
};
use peers::{PeerGet, Ping};

/// Attribute numbers.
mod attr {
    pub(super) const IFINDEX: i32 = 1;
    pub(super) const IFNAME: i32 = 2;
    pub(super) const KEY_ID: i32 = 3;
    pub(super) const SECRET: i32 = 4;
    pub(super) const DIRECTION: i32 = 5;
    pub(super) const NAT: i32 = 6;
    pub(super) const AUTH: i32 = 7;
    pub(super) const REMOTE4: i32 = 8;
    pub(super) const REMOTE6: i32 = 9;
    pub(super) const REMOTE_PORT: i32 = 10;
    pub(super) const ALIVE: i32 = 11;
    pub(super) const LAST_HEARD: i32 = 12;
    pub(super) const RTT: i32 = 13;
    pub(super) const MOVES: i32 = 14;
    pub(super) const REPLAYS: i32 = 15;
    pub(super) const AUTH_FAILURES: i32 = 16;
    pub(super) const REQUESTS: i32 = 17;
    pub(super) const REPLIES: i32 = 18;
    pub(super) const LIMITED: i32 = 19;
    pub(super) const SEQUENCE: i32 = 20;
}

/// Command numbers.
mod command {
    pub(super) const KEY_GET: u8 = 1;
    pub(super) const KEY_SET: u8 = 2;
    pub(super) const KEY_DEL: u8 = 3;
    pub(super) const PEER_GET: u8 = 4;
    pub(super) const PING: u8 = 5;
    pub(super) const PONG: u8 = 6;
    pub(super) const PEER_MOVED: u8 = 7;
    pub(super) const PEER_DEAD: u8 = 8;
    pub(super) const PEER_ALIVE: u8 = 9;
}

/// The family's state: the kind of its devices.
struct Family {
    kind: &'static Kind<GueKind>,
}

/// Sends events to the members of the multicast group, and pongs to users.
static NOTIFIER: Notifier<Family> = Notifier::new();

/// Registers the family. Process context, may sleep.
pub(crate) fn register(scope: &'static Scope, kind: &'static Kind<GueKind>) -> Result {
    netlink::register_with_notifier(scope, Family { kind }, &NOTIFIER)
}

impl Operations for Family {
    const NAME: &'static CStr = c"gue";
    const VERSION: u8 = 1;
    const POLICY: &'static [NlaPolicy] = &[
        NlaPolicy::UNSPEC,
        NlaPolicy::U32,                                    // IFINDEX
        NlaPolicy::nul_string(NAME_LEN_BYTES as u8 - 1),   // IFNAME
        NlaPolicy::U32,                                    // KEY_ID
        NlaPolicy::binary(1, MOST_SECRET_LEN_BYTES as u8), // SECRET
        NlaPolicy::U8,                                     // DIRECTION
        NlaPolicy::FLAG,                                   // NAT
    ];
    const OPS: &'static [Op<Self>] = &[
        Op::new::<KeyGet>(command::KEY_GET).dumpit::<KeyGet>(),
        Op::new::<KeySet>(command::KEY_SET).uns_admin_perm(),
        Op::new::<KeyDel>(command::KEY_DEL).uns_admin_perm(),
        Op::new::<PeerGet>(command::PEER_GET).dumpit::<PeerGet>(),
        Op::new::<Ping>(command::PING).uns_admin_perm(),
    ];
    const MCGRPS: &'static [MulticastGroup] = &[MulticastGroup::new(c"peers")];
}

impl Family {
    /// Calls `work` with the device that a request names, and its keys, under RTNL.
    fn with_keys<R>(
        &self,
        info: &GenlInfo,
        work: impl FnOnce(&Device<Gue>, Method, &KeyRing, &mut Rtnl) -> Result<R>,
    ) -> Result<R> {
        self.with_device(info, |dev, rtnl| {
            let method = dev.data().config(rtnl).protection.auth;
            let (Some(method), Some(keys)) = (method, dev.data().keys()) else {
                let text = c"the device was made without auth, and has no keys";
                return Err(info.refuse(EOPNOTSUPP, text, None));
            };
            work(dev, method, keys, rtnl)
        })
    }

    /// Calls `work` with the device that a request names, under RTNL.
    fn with_device<R>(
        &self,
        info: &GenlInfo,
        work: impl FnOnce(&Device<Gue>, &mut Rtnl) -> Result<R>,
    ) -> Result<R> {
        let (index, name) = (info.attr(attr::IFINDEX), info.attr(attr::IFNAME));
        let found = match (index, name) {
            (Some(index), None) => {
                let index = index.get::<u32>()?;
                Rtnl::lock(|rtnl| self.kind.with_device(info.netns(), index, rtnl, work))
            }
            (None, Some(name)) => {
                let mut bytes = [0; NAME_LEN_BYTES];
                name.copy_to(&mut bytes)?;
                let name = CStr::from_bytes_until_nul(&bytes).map_err(|_| EINVAL)?;
                Rtnl::lock(|rtnl| self.kind.with_device_named(info.netns(), name, rtnl, work))
            }
            (Some(_), Some(_)) => {
                let text = c"a device is named by its index or by its name";
                return Err(info.refuse(EINVAL, text, name));
            }
            (None, None) => {
                return Err(info.refuse(EINVAL, c"a device is missing: its index or name", None))
            }
        };
        found.unwrap_or_else(|| {
            let text = c"no gue device has this index or name";
            Err(info.refuse(ENODEV, text, index.or(name)))
        })
    }
}

/// Refuses a sender without `CAP_NET_ADMIN` in the network namespace that the device sends to. Netlink checks only
/// the namespace of the device itself.
fn check_capable(info: &GenlInfo, dev: &Device<Gue>) -> Result {
    if dev.is_link_net_capable() {
        return Ok(());
    }
    let text = c"CAP_NET_ADMIN in the network namespace that the device sends to is missing";
    Err(info.refuse(EPERM, text, None))
}

/// Reads the key's id.
fn key_id(info: &GenlInfo) -> Result<u32> {
    info.attr(attr::KEY_ID)
        .ok_or_else(|| info.refuse(EINVAL, c"key id is missing", None))?
        .get()
}

/// Refuses attributes that describe a new key.
fn refuse_settings(info: &GenlInfo) -> Result {
    if let Some(at) = info.attr(attr::SECRET) {
        at.wipe();
    }
    for number in [attr::SECRET, attr::DIRECTION, attr::NAT] {
        if let Some(at) = info.attr(number) {
            let text = c"only a request to set a key has this attribute";
            return Err(info.refuse(EINVAL, text, Some(at)));
        }
    }
    Ok(())
}

/// Refuses all attributes of a key.
fn refuse_attributes_of_keys(info: &GenlInfo) -> Result {
    refuse_settings(info)?;
    match info.attr(attr::KEY_ID) {
        Some(at) => {
            let text = c"only requests about keys have this attribute";
            Err(info.refuse(EINVAL, text, Some(at)))
        }
        None => Ok(()),
    }
}

/// `KEY_SET`: sets a key.
struct KeySet;

impl Doit<Family> for KeySet {
    fn doit(family: &Family, info: &GenlInfo) -> Result {
        // First, because netlink returns a refused request to its sender.
        let at_secret = info.attr(attr::SECRET);
        let mut secret = KBox::init(RawSecret::zeroed(), GFP_KERNEL)?;
        let taken = at_secret.map(|at| secret.fill(|to| at.take(to)));
        taken.ok_or_else(|| info.refuse(EINVAL, c"secret is missing", None))??;
        let id = key_id(info)?;
        let at_direction = info.attr(attr::DIRECTION);
        let direction = match at_direction {
            None => Direction::Both,
            Some(at) => match at.get::<u8>()? {
                1 => Direction::Accept,
                2 => Direction::Send,
                3 => Direction::Both,
                _ => {
                    let text = c"direction must be 1 (accept), 2 (send) or 3 (both)";
                    return Err(info.refuse(EINVAL, text, at_direction));
                }
            },
        };
        let nat = info.attr(attr::NAT);
        family.with_keys(info, |dev, method, keys, rtnl| {
            check_capable(info, dev)?;
            let refuse = |refusal| match refusal {
                KeyRefusal::SecretLength => info.refuse(EINVAL, length_text(method), at_secret),
                KeyRefusal::NatNeedsHmac => info.refuse(
                    EINVAL,
                    c"nat needs auth hmac: a cookie does not cover addresses",
                    nat,
                ),
                KeyRefusal::NatDirection => info.refuse(
                    EINVAL,
                    c"with nat, accept and send need keys of their own: addresses do not tell directions apart",
                    nat,
                ),
                KeyRefusal::NatSameKey => info.refuse(
                    EINVAL,
                    c"with nat, the keys to accept and to send must differ",
                    at_secret,
                ),
                KeyRefusal::TooMany => info.refuse(
                    ENOSPC,
                    c"the device has 8 keys; delete one first",
                    info.attr(attr::KEY_ID),
                ),
                KeyRefusal::Other(error) => error,
            };
            let key = Key::new(method, id, nat.is_some(), &secret).map_err(refuse)?;
            keys.set(KeyInUse { key, direction }, rtnl).map_err(refuse)
        })
    }
}

/// Returns the rule for the length of a secret.
fn length_text(method: Method) -> &'static CStr {
    match method {
        Method::Cookie8 => c"a secret for cookie8 has 8 bytes",
        Method::Cookie16 => c"a secret for cookie16 has 16 bytes",
        Method::Cookie32 => c"a secret for cookie32 has 32 bytes",
        Method::Hmac => c"a secret for hmac has 8 to 128 bytes",
    }
}

/// `KEY_DEL`: removes a key.
struct KeyDel;

impl Doit<Family> for KeyDel {
    fn doit(family: &Family, info: &GenlInfo) -> Result {
        let id = key_id(info)?;
        refuse_settings(info)?;
        family.with_keys(info, |dev, _, keys, rtnl| {
            check_capable(info, dev)?;
            keys.delete(id, rtnl).map_err(|error| match error {
                ENOENT => no_such_key(info),
                _ => error,
            })
        })
    }
}

/// `KEY_GET`: shows one key, or all, without secrets. Needs no capability.
struct KeyGet;

impl Doit<Family> for KeyGet {
    fn doit(family: &Family, info: &GenlInfo) -> Result {
        let id = key_id(info)?;
        refuse_settings(info)?;
        let message = NetlinkSkBuff::new(GENLMSG_DEFAULT_SIZE)?.genlmsg_iput(info)?;
        family
            .with_keys(info, |dev, method, keys, rtnl| {
                let used = keys.read_rtnl(rtnl).iter().find(|used| used.key.id == id);
                let mut message = message;
                describe(
                    dev,
                    method,
                    used.ok_or_else(|| no_such_key(info))?,
                    rtnl,
                    &mut message,
                )?;
                Ok(message)
            })?
            .reply(info)
    }
}

impl Dumpit<Family> for KeyGet {
    fn dumpit(family: &Family, cursor: &mut u64, skb: &mut DumpSkBuff<'_>) -> Result {
        if skb.request_has_attrs() {
            return Err(EINVAL);
        }
        // The device's index, and the number of its keys that were shown.
        let first = u32::try_from(*cursor >> 32)?;
        let netns = skb.netns();
        Rtnl::lock(|rtnl| {
            family
                .kind
                .for_each_device(netns, first, rtnl, |dev, rtnl| {
                    let index = u64::try_from(dev.ifindex())?;
                    if *cursor >> 32 != index {
                        *cursor = index << 32;
                    }
                    let method = dev.data().config(rtnl).protection.auth;
                    let (Some(method), Some(keys)) = (method, dev.data().keys()) else {
                        return Ok(());
                    };
                    let shown = usize::try_from(*cursor & 0xffff_ffff)?;
                    for used in keys.read_rtnl(rtnl).iter().skip(shown) {
                        let mut message = skb.genlmsg_iput()?;
                        describe(dev, method, used, rtnl, &mut message)?;
                        message.end();
                        // Last, because a key that did not fit must come first in the next buffer.
                        *cursor = cursor.saturating_add(1);
                    }
                    Ok(())
                })
        })?;
        // All devices were shown.
        *cursor = (u64::from(u32::MAX) << 32) | (*cursor & 0xffff_ffff);
        Ok(())
    }
}

/// Appends the attributes of a key.
fn describe(
    dev: &Device<Gue>,
    method: Method,
    used: &KeyInUse,
    rtnl: &Rtnl,
    message: &mut GenlMsg<impl Buffer>,
) -> Result {
    put_device(dev, rtnl, message)?;
    message.put_u32(attr::KEY_ID, used.key.id)?;
    let direction = match used.direction {
        Direction::Accept => 1,
        Direction::Send => 2,
        Direction::Both => 3,
    };
    message.put_u8(attr::DIRECTION, direction)?;
    if used.key.nat {
        message.put_flag(attr::NAT)?;
    }
    message.put_u8(attr::AUTH, method as u8)
}

/// Appends the index and the name of a device.
fn put_device(dev: &Device<Gue>, rtnl: &Rtnl, message: &mut GenlMsg<impl Buffer>) -> Result {
    message.put_u32(attr::IFINDEX, u32::try_from(dev.ifindex())?)?;
    let name = dev.name(rtnl);
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| EINVAL)?;
    message.put_string(attr::IFNAME, name)
}

fn no_such_key(info: &GenlInfo) -> Error {
    info.refuse(
        ENOENT,
        c"the device has no key with this id",
        info.attr(attr::KEY_ID),
    )
}
