// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the kernel's networking API, for tunnels.
//!
//! All `unsafe` code of this project is in this crate, and nothing in it knows a tunnel's protocol.
//! Each module turns one C contract into types:
//!
//! - [`bpf`]: sets of functions for BPF programs (kfuncs);
//! - [`checksum`]: the Internet checksum's arithmetic;
//! - [`crypto`]: secrets, keyed hashes and CRCs;
//! - [`drop_reason`]: the reasons that packets are dropped for;
//! - [`ecn`]: the bits of congestion notification;
//! - [`netlink`]: generic netlink families with do and dump operations and notifications;
//! - [`errno`]: error codes that older kernel crates lack;
//! - [`frags`]: reassembly of packets that arrive in pieces;
//! - [`gro`]: merging of tunnelled packets on receive;
//! - [`icmp`]: errors about packets that a tunnel sent;
//! - [`ip_proto`]: IP protocols, and the place of a packet's first transport checksum;
//! - [`ip_tunnel`], [`ip6_tunnel`]: the encapsulation hooks of tunnel devices;
//! - [`metadata`]: the tunnels of single packets, for devices without a remote address of their own;
//! - [`module`](mod@module): modules whose registrations end with them;
//! - [`netdev`]: network devices, and the operations of a module's own;
//! - [`netns`]: network namespaces, and state that exists once in each;
//! - [`own_packet`]: UDP packets that a tunnel makes itself;
//! - [`percpu`]: counters that each CPU increments on its own;
//! - [`random`]: numbers that nobody can guess;
//! - [`rcu`]: the RCU read side of hooks;
//! - [`rcu_slots`]: small caches that hooks read and fill under RCU;
//! - [`rcu_table`]: hash tables that hooks read under RCU;
//! - [`route`]: routes to the other end of a tunnel;
//! - [`rtnl`]: the lock of network configuration, and values that it guards;
//! - [`rtnl_link`]: kinds of links, which `ip link` makes, changes and shows;
//! - [`rx_device`]: the receive side of a tunnel's device;
//! - [`skb`]: packets, owned and borrowed, and views of their headers that cannot outlive a pull;
//! - [`softirq`]: values that softirqs and tasks share;
//! - [`time`]: the kernel's clocks;
//! - [`tracepoint`]: places in the code that programs can watch;
//! - [`udp`]: UDP ports and checksums;
//! - [`udp_send`]: UDP packets that a tunnel device sends;
//! - [`udp_tunnel`]: kernel UDP sockets that hand the packets that they receive to a tunnel;
//! - [`udp_xmit`]: UDP headers on transmit, source ports from the inner flow.
//!
//! Registrations belong to the module's [`Scope`](module::Scope): its end undoes them, also if the module's
//! `init` fails half way.
//!
//! Modules import each other in one direction only: there is no circle.

pub mod bpf;
pub mod checksum;
pub mod crypto;
mod device_work;
pub mod drop_reason;
pub mod ecn;
pub mod errno;
mod flow_hash;
pub mod frags;
pub mod gro;
pub mod icmp;
pub mod ip6_tunnel;
pub mod ip_proto;
pub mod ip_tunnel;
pub mod metadata;
pub mod module;
pub mod netdev;
pub mod netlink;
pub mod netns;
pub mod own_packet;
pub mod percpu;
pub mod random;
pub mod rcu;
pub mod rcu_slots;
pub mod rcu_table;
pub mod route;
pub mod rtnl;
pub mod rtnl_link;
pub mod rx_device;
mod segmentation;
pub mod skb;
pub mod softirq;
mod sysctl;
pub mod time;
pub mod tracepoint;
pub mod udp;
pub mod udp_send;
pub mod udp_tunnel;
pub mod udp_xmit;

pub use drop_reason::DropReason;
pub use netns::Netns;
pub use skb::SkBuff;
