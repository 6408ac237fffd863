// SPDX-License-Identifier: GPL-2.0

//! Generic netlink families with do and dump operations, and notifications to multicast groups.
//!
//! A type that implements [`Operations`] describes a family and holds the family's state; [`register`] registers
//! the family. An operation reads the attributes of a request from [`GenlInfo`] and writes its answer to a
//! [`GenlMsg`]. A [`Notifier`] sends a message to the members of a group, or to one socket.
//!
//! The types of messages, groups and families follow the kernel crate's `kernel::net::netlink`. That module has no
//! operations, and kernels before 7.3 do not have the module.
//!
//! C headers: [`include/net/genetlink.h`](srctree/include/net/genetlink.h),
//! [`include/net/netlink.h`](srctree/include/net/netlink.h)

mod attr;
mod family;
mod info;
mod msg;
mod notify;

pub(crate) use attr::refuse;
pub use attr::{NlAttr, NlaPolicy};
pub use family::{register, register_with_notifier, Doit, Dumpit, Op, Operations};
pub use info::{Flags, GenlInfo};
pub(crate) use msg::put;
pub use msg::{Buffer, DumpSkBuff, GenlMsg, NetlinkSkBuff, GENLMSG_DEFAULT_SIZE};
pub use notify::{MulticastGroup, Notifier};
