// SPDX-License-Identifier: GPL-2.0

//! Kernel UDP sockets that hand what they receive to a tunnel.
//!
//! C header: [`include/net/udp_tunnel.h`](srctree/include/net/udp_tunnel.h)

use crate::{
    gro::{self, GroTunnel},
    netns::{Place, Socket},
    rcu::RcuBox,
    skb::Inner,
    udp::PortNumber,
    DropReason, SkBuff,
};
use core::{ffi::c_void, mem::ManuallyDrop, ptr, ptr::NonNull};
use kernel::{bindings, error::to_result, prelude::*};
use net_bindings as extra;

/// The two address families of UDP, with a local and a peer address; all zero means "any".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Addresses {
    /// IPv4.
    V4 {
        /// Address to receive on.
        local: [u8; 4],
        /// Address to receive from.
        peer: [u8; 4],
    },
    /// IPv6; such a socket does not receive IPv4.
    V6 {
        /// Address to receive on.
        local: [u8; 16],
        /// Address to receive from.
        peer: [u8; 16],
    },
}

impl Addresses {
    /// Whether these are IPv6 addresses.
    #[inline]
    pub const fn is_ipv6(&self) -> bool {
        matches!(self, Self::V6 { .. })
    }
}

/// What a UDP socket receives.
///
/// ```
/// use net::{udp::PortNumber, udp_tunnel::{Addresses, Binding}};
///
/// // Port 6080 of every IPv4 address, from any peer, on any device.
/// let binding = Binding {
///     addresses: Addresses::V4 { local: [0; 4], peer: [0; 4] },
///     local_port: PortNumber::from_be_bytes(6080_u16.to_be_bytes()),
///     peer_port: PortNumber::ANY,
///     ifindex: 0,
/// };
/// assert!(!binding.addresses.is_ipv6());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// Addresses to receive on and from.
    pub addresses: Addresses,
    /// Port to receive on; "any" lets the kernel choose one.
    pub local_port: PortNumber,
    /// Port to receive from; the socket is connected to the peer if it is not "any".
    pub peer_port: PortNumber,
    /// Index of the device to receive on; 0 means any.
    pub ifindex: i32,
}

/// A kernel UDP socket that is bound, and not yet a tunnel's. Dropping it closes it.
///
/// Like all sockets of the kernel's own it does not keep its network namespace: it is closed when that
/// ends, if it is still there, and what is asked about it then is answered by "any".
pub struct UdpSocket {
    socket: Socket,
    /// `true` for IPv6, `false` for IPv4.
    is_ipv6: bool,
}

impl UdpSocket {
    /// Opens and binds a socket in a namespace. May sleep.
    ///
    /// Errors are those of `bind(2)` and `connect(2)`: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` for a
    /// privileged port, `EINVAL` and `ENODEV` for a bad interface; `EPFNOSUPPORT` or `EAFNOSUPPORT`
    /// where the kernel has no IPv6. `EINVAL` also where the module has no state by network namespace
    /// ([`netns::register`](crate::netns::register)).
    pub fn open<'a>(place: impl Into<Place<'a>>, binding: &Binding) -> Result<Self> {
        let mut config = extra::udp_port_cfg {
            local_udp_port: binding.local_port.to_be(),
            peer_udp_port: binding.peer_port.to_be(),
            bind_ifindex: binding.ifindex,
            ..Default::default()
        };
        match binding.addresses {
            Addresses::V4 { local, peer } => {
                config.family = bindings::AF_INET as u8;
                config.__bindgen_anon_1.local_ip = in_addr(local);
                config.__bindgen_anon_2.peer_ip = in_addr(peer);
            }
            Addresses::V6 { local, peer } => {
                config.family = bindings::AF_INET6 as u8;
                config.set_ipv6_v6only(1);
                config.__bindgen_anon_1.local_ip6 = in6_addr(local);
                config.__bindgen_anon_2.peer_ip6 = in6_addr(peer);
            }
        }
        let open = |net| {
            let mut socket = ptr::null_mut();
            // SAFETY: The namespace is valid, and both other pointers are for the duration of the
            // call.
            to_result(unsafe { extra::udp_sock_create(net, &mut config, &mut socket) })?;
            // SAFETY: On success C has stored a socket, which is ours and has a `sock`.
            let sock = NonNull::new(unsafe { (*socket).sk }).ok_or(EINVAL)?;
            // Connecting or sending errors must not wait for memory in softirq context.
            // SAFETY: The socket is ours alone.
            unsafe { extra::sk_set_allocation(sock.as_ptr(), bindings::GFP_ATOMIC) };
            Ok(sock)
        };
        Ok(Self {
            // SAFETY: `open` makes a socket of the kernel's own in that namespace, for us alone.
            socket: unsafe { Socket::open(place.into(), open) }?,
            is_ipv6: binding.addresses.is_ipv6(),
        })
    }

    /// Returns the addresses that the socket is bound to now: connecting may have chosen the local
    /// one. May sleep.
    ///
    /// The local port is not told, since a tunnel is known by the one that it asked for.
    pub fn addresses(&self) -> Addresses {
        // Words that do not change, unless the administrator destroys the socket (`ss -K`), and then
        // each of them is an old or a new one.
        if self.is_ipv6 {
            // SAFETY: The socket is open; one of IPv6 has these fields. All variants of the union are
            // plain bytes.
            let found = self.socket.with(|sock| unsafe {
                (
                    (*extra::sk_v6_rcv_saddr(sock)).in6_u.u6_addr8,
                    (*extra::sk_v6_daddr(sock)).in6_u.u6_addr8,
                )
            });
            let (local, peer) = found.unwrap_or_default();
            Addresses::V6 { local, peer }
        } else {
            let found = self.socket.with(|sock| {
                // SAFETY: The socket is open.
                unsafe { (extra::sk_rcv_saddr(sock), extra::sk_daddr(sock)) }
            });
            let (local, peer) = found.unwrap_or_default();
            Addresses::V4 {
                local: local.to_ne_bytes(),
                peer: peer.to_ne_bytes(),
            }
        }
    }

    /// Returns the peer's port that the socket is connected to, or "any". May sleep.
    pub fn peer_port(&self) -> PortNumber {
        // SAFETY: The socket is open.
        let port = self.socket.with(|sock| unsafe { extra::sk_dport(sock) });
        PortNumber::from_be(port.unwrap_or_default())
    }

    /// Returns the index of the device that the socket is bound to, or 0. May sleep.
    pub fn ifindex(&self) -> i32 {
        let index = self.socket.with(|sock| {
            // SAFETY: The socket is open.
            unsafe { extra::sk_bound_dev_if(sock) }
        });
        index.unwrap_or_default()
    }
}

/// An address as it stands in a header, the way C wants it.
fn in_addr(bytes: [u8; 4]) -> ManuallyDrop<bindings::in_addr> {
    ManuallyDrop::new(bindings::in_addr {
        s_addr: u32::from_ne_bytes(bytes),
    })
}

/// An address as it stands in a header, the way C wants it.
fn in6_addr(bytes: [u8; 16]) -> ManuallyDrop<bindings::in6_addr> {
    let mut address = bindings::in6_addr::default();
    address.in6_u.u6_addr8 = bytes;
    ManuallyDrop::new(address)
}

/// What a tunnel decides about a packet that its socket received.
pub enum Verdict {
    /// Hand the packet to its protocol, as one of the outer IP version. A packet that was not the one
    /// received is dropped.
    Deliver(Inner),
    /// The tunnel has seen to the packet.
    Consumed,
    /// The packet is not for the tunnel; let it be an ordinary datagram of the socket. It is dropped
    /// if its UDP header has been taken off.
    NotOurs(SkBuff),
    /// Free the packet and say why.
    Drop(SkBuff, DropReason),
}

/// What a tunnel does with the packets that its socket receives.
///
/// A tunnel is dropped in softirq context, after a grace period: its `Drop` must not sleep.
pub trait EncapReceive: Send + Sync + 'static {
    /// Decides about a packet, which starts with its UDP header and came by IPv6 or by IPv4. UDP has
    /// checked its length and checksum. Softirq context, RCU read side.
    fn receive<const IPV6: bool>(&self, skb: SkBuff) -> Verdict;
}

/// A UDP socket that hands what it receives to a tunnel `T`. Dropping it closes it.
///
/// # Invariants
///
/// `socket`'s user data is `tunnel` as long as it is open. Nobody but `Drop` drops `tunnel`, after a
/// grace period.
pub struct UdpTunnelSocket<T: EncapReceive> {
    socket: UdpSocket,
    tunnel: NonNull<RcuBox<T>>,
}

// SAFETY: A `T` may be sent and shared, and so may the socket.
unsafe impl<T: EncapReceive> Send for UdpTunnelSocket<T> {}
// SAFETY: As above.
unsafe impl<T: EncapReceive> Sync for UdpTunnelSocket<T> {}

impl<T: EncapReceive> UdpTunnelSocket<T> {
    /// Makes `socket` the tunnel's: from now on `tunnel` decides about what it receives. May sleep.
    ///
    /// Multicast loop is turned off, and checksums that a device verified are kept for the inner
    /// packet. Fails with `ENOMEM`, or `ENODEV` if the namespace has ended; the socket is closed then.
    pub fn new(socket: UdpSocket, tunnel: T) -> Result<Self> {
        Self::set_up(socket, tunnel, |_| {})
    }

    /// As [`Self::new`], for a tunnel whose packets are merged by GRO.
    pub fn new_with_gro(socket: UdpSocket, tunnel: T) -> Result<Self>
    where
        T: GroTunnel,
    {
        let ipv6 = socket.is_ipv6;
        Self::set_up(socket, tunnel, |config| {
            // One hook for both IP versions: UDP keeps the hooks in a table of a few places, and calls
            // the only one that there is without a look at the socket.
            config.gro_receive = Some(gro_receive::<T>);
            config.gro_complete = Some(if ipv6 {
                gro_complete::<T, true>
            } else {
                gro_complete::<T, false>
            });
        })
    }

    fn set_up(
        socket: UdpSocket,
        tunnel: T,
        configure: impl FnOnce(&mut extra::udp_tunnel_sock_cfg),
    ) -> Result<Self> {
        let tunnel = RcuBox::new(tunnel)?;
        let mut config = extra::udp_tunnel_sock_cfg {
            sk_user_data: tunnel.as_ptr().cast::<c_void>(),
            // Any value but 0 says that there is a hook.
            encap_type: 1,
            // What a packet came by is known here, once for all.
            encap_rcv: Some(if socket.is_ipv6 {
                encap_rcv::<T, true>
            } else {
                encap_rcv::<T, false>
            }),
            encap_err_lookup: Some(not_this_socket),
            ..Default::default()
        };
        configure(&mut config);
        // SAFETY: The socket is open and ours, its namespace is there, and the configuration is valid
        // during the call. The user data lives until no RCU reader can find it, and the hooks are all
        // for an `RcuBox<T>`.
        let done = socket.socket.with(|sock| unsafe {
            extra::setup_udp_tunnel_sock(extra::sock_net(sock), sock, &mut config);
        });
        if done.is_none() {
            // SAFETY: No socket was given it.
            unsafe { RcuBox::drop_now(tunnel) };
            return Err(ENODEV);
        }
        // INVARIANT: The user data was just set.
        Ok(Self { socket, tunnel })
    }

    /// The tunnel.
    #[inline]
    pub fn tunnel(&self) -> &T {
        // SAFETY: By the type invariant the data lives at least until `self` is dropped.
        unsafe { self.tunnel.as_ref() }.value()
    }

    /// The socket.
    #[inline]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }
}

impl<T: EncapReceive> Drop for UdpTunnelSocket<T> {
    fn drop(&mut self) {
        self.socket.socket.close();
        // The socket has no user data any more, but whoever read it before goes on using it until
        // the end of its RCU read side.
        // SAFETY: By the type invariant nobody else drops it.
        unsafe { RcuBox::drop_after_readers(self.tunnel) };
    }
}

/// The tunnel whose socket this is, unless that has been closed.
///
/// # Safety
///
/// RCU read side, in which the result is used. `sock` must be a socket that
/// [`UdpTunnelSocket::set_up`] set up for `T`.
#[inline]
unsafe fn tunnel_of<'a, T: EncapReceive>(sock: *const bindings::sock) -> Option<&'a T> {
    // SAFETY: The socket is valid, and the caller holds the RCU read lock.
    let data = unsafe { extra::rcu_dereference_sk_user_data(sock) }.cast::<RcuBox<T>>();
    // SAFETY: The user data of a socket with our hooks is an `RcuBox<T>` or null, and it is not
    // freed before the end of the RCU read side.
    unsafe { data.as_ref() }.map(RcuBox::value)
}

/// Translates a [`Verdict`] to C's convention: above 0 for "not ours", 0 for "gone", below 0 for the
/// protocol to deliver to.
///
/// # Safety
///
/// To be called by UDP alone, under RCU, for a socket of that family that
/// [`UdpTunnelSocket::set_up`] set up for `T`.
unsafe extern "C" fn encap_rcv<T: EncapReceive, const IPV6: bool>(
    sock: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    // SAFETY: Promised by the caller.
    let Some(tunnel) = (unsafe { tunnel_of::<T>(sock) }) else {
        // Closed while the packet was on its way.
        return 1;
    };
    // SAFETY: UDP passes a valid packet.
    let received = unsafe { NonNull::new_unchecked(skb) };
    // SAFETY: As above.
    let len = unsafe { received.as_ref().len } as usize;
    // SAFETY: UDP lets us have the packet: it takes it back only where the result says so.
    match tunnel.receive::<IPV6>(unsafe { SkBuff::from_raw(received) }) {
        Verdict::Deliver(inner) => {
            let (mut skb, protocol) = inner.into_parts();
            if is_other(&skb, received) {
                return drop_packet(skb, DropReason::NOT_SPECIFIED);
            }
            skb.settle_head();
            skb.into_raw();
            -c_int::from(protocol.number())
        }
        Verdict::Consumed => 0,
        // UDP would pull its header from a packet that has none any more.
        Verdict::NotOurs(skb) if skb.len() == len && !is_other(&skb, received) => {
            skb.into_raw();
            1
        }
        Verdict::NotOurs(skb) => drop_packet(skb, DropReason::NOT_SPECIFIED),
        Verdict::Drop(skb, reason) => drop_packet(skb, reason),
    }
}

/// Returns whether a packet is another one than UDP's. Its own has been kept or freed by the tunnel then,
/// and UDP must not have it back.
#[inline]
fn is_other(skb: &SkBuff, received: NonNull<bindings::sk_buff>) -> bool {
    !ptr::eq(skb.as_raw(), received.as_ptr())
}

/// Drops a packet, and tells UDP that it is gone.
#[inline]
fn drop_packet(skb: SkBuff, reason: DropReason) -> c_int {
    skb.free(reason);
    0
}

/// # Safety
///
/// To be called by UDP's GRO alone, under RCU.
unsafe extern "C" fn gro_receive<T: EncapReceive + GroTunnel>(
    sock: *mut bindings::sock,
    head: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
) -> *mut bindings::sk_buff {
    // Each IP version has code of its own, which need not keep the version in a register.
    // SAFETY: GRO passes a valid socket of UDP; the rest is promised by the caller.
    unsafe {
        if is_ipv6(sock) {
            gro_receive_v6::<T>(sock, head, skb)
        } else {
            gro_receive_by::<T, false>(sock, head, skb)
        }
    }
}

/// # Safety
///
/// As for [`gro_receive`], for a socket of IPv6.
#[inline(never)]
unsafe extern "C" fn gro_receive_v6<T: EncapReceive + GroTunnel>(
    sock: *mut bindings::sock,
    head: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
) -> *mut bindings::sk_buff {
    // SAFETY: Promised by the caller.
    unsafe { gro_receive_by::<T, true>(sock, head, skb) }
}

/// # Safety
///
/// As for [`gro_receive`], for a socket of that IP version.
#[inline(always)]
unsafe fn gro_receive_by<T: EncapReceive + GroTunnel, const IPV6: bool>(
    sock: *mut bindings::sock,
    head: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
) -> *mut bindings::sk_buff {
    // While the only kind of tunnel is becoming one of two, C still calls the first one's hook for the
    // sockets of both.
    // SAFETY: GRO passes a valid socket of UDP.
    let tunnel = if unsafe { has_hook::<T>(sock) } {
        // SAFETY: A socket with this hook is one of ours for `T`. The caller holds the RCU read lock.
        unsafe { tunnel_of::<T>(sock) }
    } else {
        None
    };
    // SAFETY: The pointers are what GRO passes.
    unsafe { gro::receive::<T, IPV6>(tunnel, head, NonNull::new_unchecked(skb)) }
}

/// Returns `true` if [`UdpTunnelSocket::new_with_gro`] set the socket up for `T`.
///
/// # Safety
///
/// `sock` must be a valid socket of UDP.
#[inline]
unsafe fn has_hook<T: EncapReceive + GroTunnel>(sock: *const bindings::sock) -> bool {
    // SAFETY: Promised by the caller.
    unsafe { extra::udp_sk_gro_receive(sock) }
        .is_some_and(|hook| ptr::fn_addr_eq(hook, gro_receive::<T> as GroReceive))
}

/// Returns `true` if a socket is of IPv6, `false` if it is of IPv4.
///
/// # Safety
///
/// `sock` must be a valid socket of UDP.
#[inline]
unsafe fn is_ipv6(sock: *const bindings::sock) -> bool {
    // SAFETY: Promised by the caller.
    u32::from(unsafe { extra::sk_family(sock) }) == bindings::AF_INET6
}

/// C's hook for GRO.
type GroReceive = unsafe extern "C" fn(
    *mut bindings::sock,
    *mut bindings::list_head,
    *mut bindings::sk_buff,
) -> *mut bindings::sk_buff;

/// Says that an ICMP error about a packet from this socket's port is not for the socket: who sends by
/// it is a tunnel device, which C asks then.
extern "C" fn not_this_socket(_sock: *mut bindings::sock, _skb: *mut bindings::sk_buff) -> c_int {
    ENOENT.to_errno()
}

/// # Safety
///
/// To be called by UDP's GRO alone, under RCU, for a socket of that family that
/// [`UdpTunnelSocket::set_up`] set up for `T`.
unsafe extern "C" fn gro_complete<T: EncapReceive + GroTunnel, const IPV6: bool>(
    sock: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
    at: c_int,
) -> c_int {
    let Ok(at) = usize::try_from(at) else {
        return EINVAL.to_errno();
    };
    // SAFETY: Promised by the caller; the packet is what GRO passes.
    let result =
        unsafe { gro::complete::<T, IPV6>(tunnel_of::<T>(sock), NonNull::new_unchecked(skb), at) };
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

#[kunit_tests(rfou_net_udp_tunnel)]
mod tests {
    use super::*;
    use crate::{
        gro::{NoMerge, Packet},
        ip_proto::InnerProtocol,
        Netns,
    };

    extern "C" {
        // A type of its own: what the whole of it holds is no matter here.
        static init_net: [u8; 0];
    }

    /// Tunnels of protocols that differ, or a compiler may make one hook of two.
    struct Tunnel<const PROTOCOL: u8>;

    impl<const PROTOCOL: u8> EncapReceive for Tunnel<PROTOCOL> {
        fn receive<const IPV6: bool>(&self, skb: SkBuff) -> Verdict {
            Verdict::NotOurs(skb)
        }
    }

    impl<const PROTOCOL: u8> GroTunnel for Tunnel<PROTOCOL> {
        fn gro_receive(&self, _packet: &mut Packet<'_>) -> Result<InnerProtocol, NoMerge> {
            InnerProtocol::new(PROTOCOL).ok_or(NoMerge)
        }
    }

    fn open() -> Result<UdpSocket> {
        // SAFETY: The initial namespace is there for good.
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

    #[test]
    fn hook_is_told_from_those_of_other_sockets() -> Result {
        let socket = match open() {
            // This module has no state by network namespace, hence no sockets: nothing to be told.
            Err(EINVAL) => return Ok(()),
            result => result?,
        };
        let with_gro = UdpTunnelSocket::new_with_gro(socket, Tunnel::<4>)?;
        let without = UdpTunnelSocket::new(open()?, Tunnel::<4>)?;
        // SAFETY: The sockets are open.
        let found = unsafe {
            (
                with_gro
                    .socket
                    .socket
                    .with(|sock| has_hook::<Tunnel<4>>(sock)),
                with_gro
                    .socket
                    .socket
                    .with(|sock| has_hook::<Tunnel<41>>(sock)),
                without
                    .socket
                    .socket
                    .with(|sock| has_hook::<Tunnel<4>>(sock)),
            )
        };
        assert_eq!(found, (Some(true), Some(false), Some(false)));
        Ok(())
    }
}
