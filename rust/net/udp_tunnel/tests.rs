// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the sockets of tunnels.

use super::{
    hooks::has_hook, Addresses, Binding, EncapReceive, UdpSocket, UdpTunnelSocket, Verdict,
};
use crate::{
    gro::{GroTunnel, NoMerge, Packet},
    ip_proto::InnerProtocol,
    rcu::RcuReader,
    skb::RxSkb,
    udp::PortNumber,
    Netns,
};
use kernel::prelude::*;

extern "C" {
    // Declared with another type, because the content does not matter here.
    static init_net: [u8; 0];
}

/// A tunnel. The protocols differ, because the compiler could otherwise merge the hooks of two types
/// into one function.
struct Tunnel<const PROTOCOL: u8>;

impl<const PROTOCOL: u8> EncapReceive for Tunnel<PROTOCOL> {
    fn receive<const IPV6: bool>(&self, skb: RxSkb, _rcu: RcuReader<'_>) -> Verdict {
        Verdict::NotOurs(skb)
    }
}

impl<const PROTOCOL: u8> GroTunnel for Tunnel<PROTOCOL> {
    fn gro_receive(&self, _packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
        InnerProtocol::new(PROTOCOL).ok_or(NoMerge)
    }
}

fn open() -> Result<UdpSocket> {
    // SAFETY: `init_net` is a static variable of the kernel, which is never freed.
    let netns: &Netns = unsafe { Netns::from_raw((&raw const init_net).cast()) };
    let any = [0; 4];
    UdpSocket::open(
        netns,
        &Binding {
            addresses: Addresses::V4 {
                local: any,
                peer: any,
            },
            local_port: PortNumber::ANY,
            peer_port: PortNumber::ANY,
            ifindex: 0,
        },
    )
}

#[kunit_tests(rfou_net_udp_tunnel)]
mod udp_tunnel {
    use super::*;

    #[test]
    fn hook_is_told_from_those_of_other_sockets() -> Result {
        let socket = match open() {
            // This module has registered no state of network namespaces, so it can open no sockets:
            // there is nothing to test.
            Err(EINVAL) => return Ok(()),
            result => result?,
        };
        let with_gro = UdpTunnelSocket::new_with_gro(socket, Tunnel::<4>)?;
        let without = UdpTunnelSocket::new(open()?, Tunnel::<4>)?;
        // SAFETY: `with` passes open sockets, which `UdpSocket` opened as sockets of UDP.
        let found = unsafe {
            (
                with_gro.socket().with(|sock| has_hook::<Tunnel<4>>(sock)),
                with_gro.socket().with(|sock| has_hook::<Tunnel<41>>(sock)),
                without.socket().with(|sock| has_hook::<Tunnel<4>>(sock)),
            )
        };
        assert_eq!(found, (Some(true), Some(false), Some(false)));
        Ok(())
    }
}
