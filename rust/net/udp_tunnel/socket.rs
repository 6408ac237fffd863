// SPDX-License-Identifier: GPL-2.0

//! Kernel UDP sockets.

use crate::{
    netns::{Place, Socket},
    udp::PortNumber,
    Netns,
};
use core::{mem::ManuallyDrop, ptr, ptr::NonNull};
use kernel::{error::to_result, prelude::*};
use net_bindings as bindings;

/// The local and the peer address of a UDP socket, both of one IP version. An address of zeros means "any".
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
    /// Returns `true` for IPv6 addresses.
    #[inline]
    pub const fn is_ipv6(&self) -> bool {
        matches!(self, Self::V6 { .. })
    }

    /// Returns `true` if the local address is "any".
    pub fn is_any_local(&self) -> bool {
        match self {
            Self::V4 { local, .. } => *local == [0; 4],
            Self::V6 { local, .. } => *local == [0; 16],
        }
    }

    /// Returns `true` if the peer's address is "any".
    pub fn is_any_peer(&self) -> bool {
        match self {
            Self::V4 { peer, .. } => *peer == [0; 4],
            Self::V6 { peer, .. } => *peer == [0; 16],
        }
    }

    /// Returns `true` if both have the same local address.
    pub fn is_same_local(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::V4 { local, .. }, Self::V4 { local: other, .. }) => local == other,
            (Self::V6 { local, .. }, Self::V6 { local: other, .. }) => local == other,
            _ => false,
        }
    }
}

/// The addresses, ports and device that a UDP socket receives from.
///
/// ```
/// use net::{udp::PortNumber, udp_tunnel::{Addresses, Binding}};
///
/// let port = PortNumber::from_be_bytes(6080_u16.to_be_bytes());
/// let binding = Binding {
///     addresses: Addresses::V4 { local: [0; 4], peer: [0; 4] },
///     local_port: port,
///     peer_port: PortNumber::ANY,
///     ifindex: 0,
/// };
/// assert_eq!(binding, Binding::any(false, port));
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

impl Binding {
    /// Returns the binding to a port on every IPv6 or IPv4 address, from any peer, on any device.
    pub const fn any(is_ipv6: bool, local_port: PortNumber) -> Self {
        let (any4, any6) = ([0; 4], [0; 16]);
        Self {
            addresses: if is_ipv6 {
                Addresses::V6 {
                    local: any6,
                    peer: any6,
                }
            } else {
                Addresses::V4 {
                    local: any4,
                    peer: any4,
                }
            },
            local_port,
            peer_port: PortNumber::ANY,
            ifindex: 0,
        }
    }
}

/// A kernel UDP socket that is bound, and not yet a tunnel's. Dropping it closes the socket.
///
/// Like all kernel sockets it does not keep its network namespace alive: the end of the namespace closes
/// it. The addresses, port and device of a closed socket are "any".
pub struct UdpSocket {
    socket: Socket,
    /// `true` for IPv6, `false` for IPv4.
    is_ipv6: bool,
}

impl UdpSocket {
    /// Opens and binds a socket in a namespace. May sleep.
    ///
    /// Fails with the errors of `bind(2)` and `connect(2)`: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` for a
    /// privileged port, `EINVAL` and `ENODEV` for a bad interface; `EPFNOSUPPORT` or `EAFNOSUPPORT` if the
    /// kernel has no IPv6; `EINVAL` also if the module has registered no state of network namespaces
    /// ([`netns::register`](crate::netns::register)); `ENODEV` also if the namespace has ended; `ENOMEM`.
    pub fn open<'a>(place: impl Into<Place<'a>>, binding: &Binding) -> Result<Self> {
        let mut config = bindings::udp_port_cfg {
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
            // SAFETY: `Socket::open` passes a valid namespace, and calls this in process context, which may
            // sleep. The other pointers are to local variables, and C keeps neither. `config` has addresses
            // of its family.
            to_result(unsafe { bindings::udp_sock_create(net, &mut config, &mut socket) })?;
            // SAFETY: On success C has stored a pointer to a valid socket, which is ours.
            let sock = NonNull::new(unsafe { (*socket).sk }).ok_or(EINVAL)?;
            // Softirqs may allocate memory for the socket, and must not sleep.
            // SAFETY: `sock` belongs to the socket that was just opened. No other code has a pointer to it
            // yet, so the plain write races with nothing.
            unsafe { bindings::sk_set_allocation(sock.as_ptr(), bindings::GFP_ATOMIC) };
            Ok(sock)
        };
        Ok(Self {
            // SAFETY: `open` makes a kernel socket of UDP in the namespace that it is given, and returns
            // the only pointer to it, which nothing else closes.
            socket: unsafe { Socket::open(place.into(), open) }?,
            is_ipv6: binding.addresses.is_ipv6(),
        })
    }

    /// Returns the addresses that the socket is bound to now: connecting may have chosen the local
    /// one. May sleep.
    pub fn addresses(&self) -> Addresses {
        // These words do not change, unless the administrator destroys the socket (`ss -K`). Then each word
        // has its old or its new value.
        if self.is_ipv6 {
            // SAFETY: `with` passes an open socket. It is of IPv6, so it has these fields, and the pointers
            // to them are valid. All variants of the union are plain bytes.
            let found = self.socket.with(|sock| unsafe {
                (
                    (*bindings::sk_v6_rcv_saddr(sock)).in6_u.u6_addr8,
                    (*bindings::sk_v6_daddr(sock)).in6_u.u6_addr8,
                )
            });
            let (local, peer) = found.unwrap_or_default();
            Addresses::V6 { local, peer }
        } else {
            let found = self.socket.with(|sock| {
                // SAFETY: `with` passes an open socket. Every IP socket has these fields.
                unsafe { (bindings::sk_rcv_saddr(sock), bindings::sk_daddr(sock)) }
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
        let port = self.socket.with(|sock| {
            // SAFETY: `with` passes an open socket.
            unsafe { bindings::sk_dport(sock) }
        });
        PortNumber::from_be(port.unwrap_or_default())
    }

    /// Returns the port that the socket is bound to: the one that the kernel chose, if it was asked for
    /// "any". May sleep.
    pub fn local_port(&self) -> PortNumber {
        let number = self.socket.with(|sock| {
            // SAFETY: `with` passes an open socket.
            unsafe { bindings::sk_num(sock) }
        });
        PortNumber::from_be_bytes(number.unwrap_or_default().to_be_bytes())
    }

    /// Returns the index of the device that the socket is bound to, or 0. May sleep.
    pub fn ifindex(&self) -> i32 {
        let index = self.socket.with(|sock| {
            // SAFETY: `with` passes an open socket.
            unsafe { bindings::sk_bound_dev_if(sock) }
        });
        index.unwrap_or_default()
    }

    /// Returns the number of the socket's namespace ([`Netns::inum`]), or 0 if the socket is closed. May
    /// sleep.
    pub fn netns_inum(&self) -> u32 {
        let inum = self.socket.with(|sock| {
            // SAFETY: `with` passes an open socket. Its namespace is valid as long as the socket is open.
            unsafe { Netns::from_raw(bindings::sock_net(sock)) }.inum()
        });
        inum.unwrap_or_default()
    }

    /// Returns `true` for a socket of IPv6.
    #[inline]
    pub(super) fn is_ipv6(&self) -> bool {
        self.is_ipv6
    }

    /// Calls a function with the open socket: see [`Socket::with`].
    pub(super) fn with<R>(&self, work: impl FnOnce(*mut bindings::sock) -> R) -> Option<R> {
        self.socket.with(work)
    }

    /// Closes the socket, if it is still open. May sleep.
    pub(super) fn close(&self) {
        self.socket.close();
    }
}

/// Converts the bytes of a header to C's type.
fn in_addr(bytes: [u8; 4]) -> ManuallyDrop<bindings::in_addr> {
    ManuallyDrop::new(bindings::in_addr {
        s_addr: u32::from_ne_bytes(bytes),
    })
}

/// Converts the bytes of a header to C's type.
fn in6_addr(bytes: [u8; 16]) -> ManuallyDrop<bindings::in6_addr> {
    let mut address = bindings::in6_addr::default();
    address.in6_u.u6_addr8 = bytes;
    ManuallyDrop::new(address)
}
