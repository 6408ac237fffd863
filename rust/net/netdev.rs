// SPDX-License-Identifier: GPL-2.0

//! Network devices, and the operations of devices that a module implements.
//!
//! A type that implements [`Operations`] has the state of one device. The kind of link that makes such
//! devices is a [`LinkKind`](crate::rtnl_link::LinkKind).
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

mod device;
mod links;
mod ops;
mod pieces;
mod segments;
mod work;
mod xmit;

pub(crate) use device::Private;
pub use device::{Device, Dimensions, NetDevice, NewDevice, NAME_LEN_BYTES};
pub(crate) use links::Links;
pub(crate) use ops::{register_device, setup, PRIVATE_ALIGN};
pub use ops::{LinkType, Operations};
pub use segments::Segments;
pub use xmit::{DeviceSkb, Sent, Spent, TxError, Xmit};
