// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the kernel's networking API, for tunnels.
//!
//! All `unsafe` code of this project is in this crate, and nothing in it knows a tunnel's protocol.
//! Each module turns one C contract into types:
//!
//! - [`bpf`]: sets of functions for BPF programs (kfuncs);
//! - [`checksum`]: the Internet checksum's arithmetic;
//! - [`skb`]: packets, owned and borrowed, and views of their headers that cannot outlive a pull;
//! - [`udp`]: UDP headers on transmit, source ports from the inner flow;
//! - [`udp_tunnel`]: kernel UDP sockets that hand what they receive to a tunnel;
//! - [`gro`]: merging of tunnelled packets on receive;
//! - [`ip_tunnel`], [`ip6_tunnel`]: the encapsulation hooks of tunnel devices;
//! - [`icmp`]: errors about packets that a tunnel sent;
//! - [`drop_reason`]: why packets are dropped;
//! - [`netns`]: state that exists once per network namespace;
//! - [`netlink`]: generic netlink families with do and dump operations;
//! - [`ip_proto`]: IP protocols, and where a packet's first transport checksum is;
//! - [`module`](mod@module): modules whose registrations end with them.
//!
//! Registrations belong to the module's [`Scope`](module::Scope): its end undoes them, also where a
//! set-up fails half way.

pub mod bpf;
pub mod checksum;
pub mod drop_reason;
mod flow_hash;
pub mod gro;
pub mod icmp;
pub mod ip6_tunnel;
pub mod ip_proto;
pub mod ip_tunnel;
pub mod module;
pub mod netlink;
pub mod netns;
mod rcu;
mod segmentation;
pub mod skb;
pub mod udp;
pub mod udp_tunnel;

pub use drop_reason::DropReason;
pub use netns::Netns;
pub use skb::{Outgoing, SkBuff, Skb};
