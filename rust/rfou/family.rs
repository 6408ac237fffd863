// SPDX-License-Identifier: GPL-2.0

//! The generic netlink family `rfou`: the ports of the family `fou`, with counters and notifications.
//!
//! `Documentation/netlink/rfou.yaml` specifies the family. Numbers are never reused for something else.

mod describe;
mod request;

use crate::{
    counters::Totals,
    port::{Lookup, Port, Ports, Settings},
};
use describe::describe;
use kernel::prelude::*;
use net::{
    errno::{EADDRINUSE, EALREADY},
    netlink::{
        Doit, DumpSkBuff, Dumpit, Flags, GenlInfo, MulticastGroup, NetlinkSkBuff, NlaPolicy,
        Notifier, Op, Operations, GENLMSG_DEFAULT_SIZE,
    },
    netns,
    udp_tunnel::{Binding, UdpSocket},
};

/// Attribute numbers of a port.
mod attr {
    pub(super) const FAMILY: i32 = 1;
    pub(super) const PORT: i32 = 2;
    pub(super) const ENCAP: i32 = 3;
    pub(super) const PROTOCOL: i32 = 4;
    pub(super) const REMCSUM_NOPARTIAL: i32 = 5;
    pub(super) const LOCAL_V4: i32 = 6;
    pub(super) const LOCAL_V6: i32 = 7;
    pub(super) const PEER_V4: i32 = 8;
    pub(super) const PEER_V6: i32 = 9;
    pub(super) const PEER_PORT: i32 = 10;
    pub(super) const IFINDEX: i32 = 11;
    pub(super) const COUNTERS: i32 = 12;
}

/// Command numbers.
mod command {
    pub(super) const PORT_GET: u8 = 1;
    pub(super) const PORT_ADD: u8 = 2;
    pub(super) const PORT_DEL: u8 = 3;
    pub(super) const PORT_ADDED: u8 = 4;
    pub(super) const PORT_DELETED: u8 = 5;
}

/// Values of [`attr::ENCAP`].
mod encap {
    pub(super) const FOU: u8 = 1;
    pub(super) const GUE: u8 = 2;
}

/// Values of [`attr::FAMILY`].
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The family's state: the ports of all network namespaces.
pub(crate) struct Family {
    pub(crate) ports: &'static netns::Registration<Ports>,
}

/// Sends the family's notifications.
pub(crate) static NOTIFIER: Notifier<Family> = Notifier::new();

/// The index of the group `ports`.
const PORTS_GROUP: usize = 0;

impl Operations for Family {
    const NAME: &'static CStr = c"rfou";
    const VERSION: u8 = 1;
    // Requests have no attributes with higher numbers.
    const POLICY: &'static [NlaPolicy] = &[
        NlaPolicy::UNSPEC,
        NlaPolicy::U8,            // FAMILY
        NlaPolicy::BE16,          // PORT
        NlaPolicy::U8,            // ENCAP
        NlaPolicy::U8,            // PROTOCOL
        NlaPolicy::FLAG,          // REMCSUM_NOPARTIAL
        NlaPolicy::BE32,          // LOCAL_V4
        NlaPolicy::exact_len(16), // LOCAL_V6
        NlaPolicy::BE32,          // PEER_V4
        NlaPolicy::exact_len(16), // PEER_V6
        NlaPolicy::BE16,          // PEER_PORT
        NlaPolicy::U32,           // IFINDEX
    ];
    const OPS: &'static [Op<Self>] = &[
        Op::new::<PortGet>(command::PORT_GET).dumpit::<PortGet>(),
        Op::new::<PortAdd>(command::PORT_ADD).uns_admin_perm(),
        Op::new::<PortDel>(command::PORT_DEL).uns_admin_perm(),
    ];
    // From `PORT_DEL` on, netlink refuses the flags that `PortAdd` understands. `PortGet` refuses them itself.
    const RESV_START_OP: u8 = command::PORT_ADD + 1;
    const MCGRPS: &'static [MulticastGroup] = &[MulticastGroup::new(c"ports")];
}

/// Notifies the group of a port that the sender of a request has added, by this family or by `fou`.
pub(crate) fn notify_added(info: &GenlInfo, port: &Port) {
    NOTIFIER.notify::<PORTS_GROUP>(info, command::PORT_ADDED, |message| {
        describe(&port.binding(), port.settings(), &port.totals(), message)
    });
}

/// Returns a function that notifies the group of a port that the sender of a request has deleted. Returns `None` if
/// the group has no members.
pub(crate) fn notify_deleted(
    info: &GenlInfo,
) -> Option<impl FnOnce(&Binding, &Settings, &Totals) + '_> {
    NOTIFIER.has_listeners::<PORTS_GROUP>(info).then_some(
        |binding: &Binding, settings: &Settings, totals: &Totals| {
            NOTIFIER.notify::<PORTS_GROUP>(info, command::PORT_DELETED, |message| {
                describe(binding, settings, totals, message)
            });
        },
    )
}

/// `PORT_ADD`: opens a port.
struct PortAdd;

impl Doit<Family> for PortAdd {
    fn doit(family: &Family, info: &GenlInfo) -> Result {
        // `REPLACE` and `EXCL` never come together: netlink takes a request with both for a dump request.
        let flags = info.flags(Flags::REPLACE | Flags::EXCL | Flags::CREATE)?;
        let replace = flags.contains(Flags::REPLACE);
        let binding = request::parse_binding(info)?;
        if binding.local_port.specific().is_none() {
            return Err(info.refuse(EINVAL, c"port must not be 0", info.attr(attr::PORT)));
        }
        let settings = request::parse_settings(info)?;
        let ports = family.ports.get(info.netns());
        match ports.find(&binding, Lookup::ActualOrAsked, |port| Ok(*port.settings())) {
            Ok(existing) if replace => return request::compare(info, &existing, &settings),
            Ok(_) => return Err(info.refuse(EEXIST, c"rfou has this port already", None)),
            Err(_) => {}
        }
        let socket = UdpSocket::open(info.netns(), &binding).map_err(|error| match error {
            EADDRINUSE if ports.is_taken(&binding) => info.refuse(
                if replace { EBUSY } else { EEXIST },
                c"rfou has this port already, with other addresses or another device; delete that port first",
                info.attr(attr::PORT),
            ),
            error => request::refuse_binding(info, error),
        })?;
        ports
            .add(&binding, socket, settings, |port| notify_added(info, port))
            .map_err(|error| match error {
                EALREADY => info.refuse(EEXIST, c"rfou has this port already", None),
                _ => error,
            })
    }
}

/// `PORT_DEL`: closes a port.
struct PortDel;

impl Doit<Family> for PortDel {
    fn doit(family: &Family, info: &GenlInfo) -> Result {
        let binding = request::parse_binding(info)?;
        request::refuse_settings(info)?;
        family
            .ports
            .get(info.netns())
            .remove(&binding, Lookup::ActualOrAsked, notify_deleted(info))
            .map_err(|_| info.refuse(ENOENT, c"rfou has no such port", info.attr(attr::PORT)))
    }
}

/// `PORT_GET`: shows one port, or all.
struct PortGet;

impl Doit<Family> for PortGet {
    fn doit(family: &Family, info: &GenlInfo) -> Result {
        info.flags(Flags::NONE)?;
        let binding = request::parse_binding(info)?;
        request::refuse_settings(info)?;
        let mut message = NetlinkSkBuff::new(GENLMSG_DEFAULT_SIZE)?.genlmsg_iput(info)?;
        family
            .ports
            .get(info.netns())
            .find(&binding, Lookup::ActualOrAsked, |port| {
                describe(
                    &port.binding(),
                    port.settings(),
                    &port.totals(),
                    &mut message,
                )
            })
            .map_err(|error| match error {
                ESRCH => info.refuse(ENOENT, c"rfou has no such port", info.attr(attr::PORT)),
                _ => error,
            })?;
        message.reply(info)
    }
}

impl Dumpit<Family> for PortGet {
    fn dumpit(family: &Family, cursor: &mut u64, skb: &mut DumpSkBuff<'_>) -> Result {
        if skb.request_has_attrs() {
            return Err(EINVAL);
        }
        let ports = family.ports.get(skb.netns());
        ports.for_each_before(*cursor, |port| {
            let mut message = skb.genlmsg_iput()?;
            describe(
                &port.binding(),
                port.settings(),
                &port.totals(),
                &mut message,
            )?;
            message.end();
            // Last, because a port that did not fit must come first in the next buffer.
            *cursor = port.serial();
            Ok(())
        })
    }
}
