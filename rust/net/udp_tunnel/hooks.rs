// SPDX-License-Identifier: GPL-2.0

//! The hooks of a tunnel's socket, which UDP and its GRO call.

use super::{EncapReceive, UdpSocket, Verdict};
use crate::{
    gro::{self, GroTunnel, Handlers},
    icmp::QuotedPacket,
    rcu::{RcuBox, RcuReader},
    skb::RxSkb,
    DropReason,
};
use core::{ptr, ptr::NonNull};
use kernel::prelude::*;
use net_bindings as bindings;

/// Returns C's configuration of a socket whose tunnel is a `T`, without user data.
pub(super) fn config<T: EncapReceive>(socket: &UdpSocket) -> bindings::udp_tunnel_sock_cfg {
    bindings::udp_tunnel_sock_cfg {
        // Any value but 0 says that there is a hook.
        encap_type: 1,
        // The IP version is known here, once for all packets.
        encap_rcv: Some(if socket.is_ipv6() {
            encap_rcv::<T, true>
        } else {
            encap_rcv::<T, false>
        }),
        encap_err_lookup: Some(if socket.is_ipv6() {
            encap_err_lookup::<T, true>
        } else {
            encap_err_lookup::<T, false>
        }),
        ..Default::default()
    }
}

/// Does what [`config`] does, for a tunnel whose packets GRO merges.
pub(super) fn config_with_gro<T: EncapReceive + GroTunnel>(
    socket: &UdpSocket,
) -> bindings::udp_tunnel_sock_cfg {
    bindings::udp_tunnel_sock_cfg {
        // One hook for both IP versions: UDP keeps the hooks in a table with few entries, and calls a
        // single hook without reading the socket.
        gro_receive: Some(gro_receive::<T>),
        gro_complete: Some(if socket.is_ipv6() {
            gro_complete::<T, true>
        } else {
            gro_complete::<T, false>
        }),
        ..config::<T>(socket)
    }
}

/// Returns the tunnel of a socket, or `None` if the socket has been closed.
///
/// # Safety
///
/// The caller must be in an RCU read side that lasts as long as the result is used. `sock` must be a socket that
/// [`UdpTunnelSocket`](super::UdpTunnelSocket) set up for `T`.
#[inline]
unsafe fn tunnel_of<'a, T: EncapReceive>(sock: *const bindings::sock) -> Option<&'a T> {
    // SAFETY: The caller promises a valid socket, and is in an RCU read side.
    let data = unsafe { bindings::rcu_dereference_sk_user_data(sock) }.cast::<RcuBox<T>>();
    // SAFETY: `UdpTunnelSocket` set the socket up for `T`, so its user data is an `RcuBox<T>`, or null once the
    // socket is closed. An `RcuBox` that a reader finds is not freed before the end of the RCU read side.
    unsafe { data.as_ref() }.map(RcuBox::value)
}

/// Translates a [`Verdict`] to C's convention: above 0 for "not ours", 0 for "gone", below 0 for the
/// protocol to deliver to.
///
/// # Safety
///
/// Only UDP may call this, under RCU, for a socket of that family that
/// [`UdpTunnelSocket`](super::UdpTunnelSocket) set up for `T`.
unsafe extern "C" fn encap_rcv<T: EncapReceive, const IPV6: bool>(
    sock: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    // SAFETY: UDP calls this in an RCU read side, for a socket that `UdpTunnelSocket` set up for `T`.
    let Some(tunnel) = (unsafe { tunnel_of::<T>(sock) }) else {
        // Closed while the packet was on its way.
        return 1;
    };
    // SAFETY: UDP passes a valid packet, not null, and gives it up. UDP takes the packet back only if the
    // result says so. The tunnel can then return only the packet that it got: see `RxSkb`.
    let skb = unsafe { RxSkb::from_raw(NonNull::new_unchecked(skb)) };
    let len = skb.len();
    // SAFETY: UDP's RCU read side lasts until this function returns, and the tunnel cannot keep the token for
    // longer.
    match tunnel.receive::<IPV6>(skb, unsafe { RcuReader::assume() }) {
        Verdict::Deliver(inner) => {
            let (skb, protocol) = inner.into_parts();
            skb.into_raw();
            -c_int::from(protocol.number())
        }
        Verdict::Consumed => 0,
        // Only a packet of unchanged length goes back to UDP. UDP would pull its header from a shorter packet, which
        // has none any more.
        Verdict::NotOurs(skb) if skb.len() == len => {
            skb.into_raw();
            1
        }
        Verdict::NotOurs(skb) => drop_packet(skb, DropReason::NOT_SPECIFIED),
        Verdict::Drop(skb, reason) => drop_packet(skb, reason),
    }
}

/// Drops a packet, and tells UDP that it is gone.
#[inline]
fn drop_packet(skb: RxSkb, reason: DropReason) -> c_int {
    skb.free(reason);
    0
}

/// # Safety
///
/// Only UDP's GRO may call this, under RCU.
pub(super) unsafe extern "C" fn gro_receive<T: EncapReceive + GroTunnel>(
    sock: *mut bindings::sock,
    held: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
) -> *mut bindings::sk_buff {
    // Each IP version has code of its own, which need not keep the version in a register. The handlers of a
    // device's packets are the same for both.
    let by_version = const { matches!(T::HANDLERS, Handlers::OfOuterIp) };
    // SAFETY: GRO passes a valid socket of UDP. Its IP version decides which function is called, unless the handlers
    // are a device's, for which each function takes both versions. All arguments are GRO's own, and the functions
    // ask for the same caller as this one.
    unsafe {
        if by_version && is_ipv6(sock) {
            gro_receive_v6::<T>(sock, held, skb)
        } else {
            gro_receive_by::<T, false>(sock, held, skb)
        }
    }
}

/// # Safety
///
/// As for [`gro_receive`], for a socket of IPv6.
#[inline(never)]
unsafe extern "C" fn gro_receive_v6<T: EncapReceive + GroTunnel>(
    sock: *mut bindings::sock,
    held: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
) -> *mut bindings::sk_buff {
    // SAFETY: The arguments are GRO's own, and the caller promises a socket of IPv6.
    unsafe { gro_receive_by::<T, true>(sock, held, skb) }
}

/// # Safety
///
/// As for [`gro_receive`], for a socket of that IP version, unless `T`'s handlers are [`Handlers::OfDevice`].
#[inline(always)]
unsafe fn gro_receive_by<T: EncapReceive + GroTunnel, const IPV6: bool>(
    sock: *mut bindings::sock,
    held: *mut bindings::list_head,
    skb: *mut bindings::sk_buff,
) -> *mut bindings::sk_buff {
    // When a second kind of tunnel is registered beside the only one, C calls the first kind's hook for the sockets
    // of both kinds, until C has updated its static call.
    // SAFETY: GRO passes a socket of UDP that is valid during the call.
    let tunnel = if unsafe { has_hook::<T>(sock) } {
        // SAFETY: Only `config_with_gro::<T>` has this hook, so `UdpTunnelSocket` set the socket up for
        // `T`. The caller is in an RCU read side until this function returns, and the tunnel is used only
        // here.
        unsafe { tunnel_of::<T>(sock) }
    } else {
        None
    };
    // SAFETY: The pointers are what GRO passes to a socket's `gro_receive`, in an RCU read side. The caller
    // promises the socket's IP version.
    unsafe { gro::receive::<T, IPV6>(tunnel, held, skb) }
}

/// Returns `true` if a socket has the GRO hook for `T`.
///
/// # Safety
///
/// `sock` must be a valid socket of UDP.
#[inline]
pub(super) unsafe fn has_hook<T: EncapReceive + GroTunnel>(sock: *const bindings::sock) -> bool {
    // SAFETY: The caller promises a valid socket of UDP, so it has a `udp_sock` to read the hook from.
    unsafe { bindings::udp_sk_gro_receive(sock) }
        .is_some_and(|hook| ptr::fn_addr_eq(hook, gro_receive::<T> as GroReceive))
}

/// Returns `true` if a socket is of IPv6, `false` if it is of IPv4.
///
/// # Safety
///
/// `sock` must be a valid socket of UDP.
#[inline]
unsafe fn is_ipv6(sock: *const bindings::sock) -> bool {
    // SAFETY: The caller promises a valid socket.
    u32::from(unsafe { bindings::sk_family(sock) }) == bindings::AF_INET6
}

/// C's hook for GRO.
type GroReceive = unsafe extern "C" fn(
    *mut bindings::sock,
    *mut bindings::list_head,
    *mut bindings::sk_buff,
) -> *mut bindings::sk_buff;

/// Translates [`EncapReceive::sent`] to C's convention. An error says that the socket did not send the packet. C
/// then asks the encapsulations of tunnel devices.
///
/// # Safety
///
/// Only UDP may call this, under RCU, for an ICMP error and a socket of that family that
/// [`UdpTunnelSocket`](super::UdpTunnelSocket) set up for `T`.
unsafe extern "C" fn encap_err_lookup<T: EncapReceive, const IPV6: bool>(
    sock: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    // SAFETY: UDP calls this in an RCU read side, for a socket that `UdpTunnelSocket` set up for `T`.
    let Some(tunnel) = (unsafe { tunnel_of::<T>(sock) }) else {
        return ENOENT.to_errno();
    };
    // SAFETY: UDP passes the packet of an ICMP error, whose data begins with the quoted IP header, right after
    // the linear ICMP header, and does not touch the packet during the call. UDP has set the transport header
    // to the quoted UDP header.
    let mut quoted = unsafe { QuotedPacket::from_raw(skb) };
    // SAFETY: UDP's RCU read side lasts until this function returns, and the tunnel cannot keep the token for
    // longer.
    if tunnel.sent::<IPV6>(&mut quoted, unsafe { RcuReader::assume() }) {
        0
    } else {
        ENOENT.to_errno()
    }
}

/// # Safety
///
/// Only UDP's GRO may call this, under RCU, for a socket of that family that
/// [`UdpTunnelSocket`](super::UdpTunnelSocket) set up for `T`.
unsafe extern "C" fn gro_complete<T: EncapReceive + GroTunnel, const IPV6: bool>(
    sock: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
    at: c_int,
) -> c_int {
    let Ok(at) = usize::try_from(at) else {
        return EINVAL.to_errno();
    };
    // SAFETY: GRO calls this in an RCU read side, for a socket of this IP version that `UdpTunnelSocket`
    // set up for `T`. `skb` and `at` are what GRO passes.
    match unsafe { gro::complete::<T, IPV6>(tunnel_of::<T>(sock), skb, at) } {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
