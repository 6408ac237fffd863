// SPDX-License-Identifier: GPL-2.0

//! Generic netlink families with do and dump operations.
//!
//! A type that implements [`Operations`] describes a family and has its state; [`register`] makes the
//! family known to user space. An operation reads the attributes of a request from [`GenlInfo`] and
//! writes its answer to a [`GenlMsg`].
//!
//! Messages and families have the shape of the kernel crate's `kernel::net::netlink`, which has
//! multicast groups but no operations, and which kernels before 7.3 lack.
//!
//! C headers: [`include/net/genetlink.h`](srctree/include/net/genetlink.h),
//! [`include/net/netlink.h`](srctree/include/net/netlink.h)

mod attr;
mod family;
mod info;
mod msg;

pub use attr::{NlAttr, NlaPolicy};
pub use family::{register, Doit, Dumpit, Op, Operations};
pub use info::GenlInfo;
pub use msg::{Buffer, DumpSkBuff, GenlMsg, NetlinkSkBuff, GENLMSG_DEFAULT_SIZE};
