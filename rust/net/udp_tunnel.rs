// SPDX-License-Identifier: GPL-2.0

//! Kernel UDP sockets that hand the packets that they receive to a tunnel.
//!
//! C header: [`include/net/udp_tunnel.h`](srctree/include/net/udp_tunnel.h)

mod hooks;
mod socket;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;

pub use socket::{Addresses, Binding, UdpSocket};

use crate::{
    gro::{GroTunnel, Handlers},
    icmp::QuotedPacket,
    rcu::{self, RcuBox, RcuReader},
    skb::{InnerSkb, RxSkb},
    DropReason,
};
use core::{ffi::c_void, ptr::NonNull};
use kernel::prelude::*;
use net_bindings as bindings;

/// A tunnel's decision about a packet that its socket received.
pub enum Verdict {
    /// Deliver the packet to the handler that the outer IP version has for the packet's protocol.
    Deliver(InnerSkb),
    /// Do nothing: the tunnel has freed the packet.
    Consumed,
    /// Pass the packet on as an ordinary datagram of the socket, because it is not for the tunnel. UDP drops
    /// the packet if its UDP header was pulled.
    NotOurs(RxSkb),
    /// Free the packet as one that is dropped for a reason.
    Drop(RxSkb, DropReason),
}

/// A tunnel that decides about the packets that its socket receives.
///
/// A tunnel is dropped in softirq context, after a grace period: its `Drop` must not sleep.
pub trait EncapReceive: Send + Sync + 'static {
    /// Decides about a packet, which begins with its UDP header and came over IPv6 or over IPv4. UDP has
    /// checked the packet's length and checksum. Softirq context, RCU read side.
    fn receive<const IPV6: bool>(&self, skb: RxSkb, rcu: RcuReader<'_>) -> Verdict;

    /// Returns `true` if an ICMP error quotes a packet that a user of this socket sent, from another
    /// socket's port. UDP then records an error about the path's MTU or a redirect for the packet's
    /// destination.
    ///
    /// Otherwise UDP asks the encapsulations of tunnel devices. UDP asks about a packet if this socket's
    /// port is the packet's source port or, failing that, its destination port. Softirq context, RCU read
    /// side.
    fn sent<const IPV6: bool>(&self, _quoted: &mut QuotedPacket<'_>, _rcu: RcuReader<'_>) -> bool {
        false
    }
}

/// A UDP socket that hands the packets that it receives to a tunnel `T`. Dropping it closes the socket.
///
/// # Invariants
///
/// `socket`'s user data is `tunnel` as long as the socket is open. Only `Drop` drops `tunnel`, after a
/// grace period.
pub struct UdpTunnelSocket<T: EncapReceive> {
    socket: UdpSocket,
    tunnel: NonNull<RcuBox<T>>,
}

// SAFETY: By `EncapReceive`, a `T` may be sent and shared, and `UdpSocket` is `Send` and `Sync`. The
// pointer is an owning one: it gives out shared references, and `drop_after_readers` asks for `T: Send`
// alone.
unsafe impl<T: EncapReceive> Send for UdpTunnelSocket<T> {}
// SAFETY: As above.
unsafe impl<T: EncapReceive> Sync for UdpTunnelSocket<T> {}

impl<T: EncapReceive> UdpTunnelSocket<T> {
    /// Gives `socket` to a tunnel: from now on `tunnel` decides about the packets that the socket receives.
    /// May sleep.
    ///
    /// Turns multicast loopback off, and keeps checksums that a device has verified for the inner
    /// packet. Fails with `ENOMEM`, or `ENODEV` if the namespace has ended; the socket is closed then.
    pub fn new(socket: UdpSocket, tunnel: T) -> Result<Self> {
        let config = hooks::config::<T>(&socket);
        Self::set_up(socket, Ok(tunnel), config)
    }

    /// Does what [`Self::new`] does, for a tunnel whose packets GRO merges.
    pub fn new_with_gro(socket: UdpSocket, tunnel: T) -> Result<Self>
    where
        T: GroTunnel,
    {
        Self::pin_init_with_gro(socket, Ok(tunnel))
    }

    /// Does what [`Self::new_with_gro`] does, for a tunnel that is initialized in its place.
    pub fn pin_init_with_gro(socket: UdpSocket, tunnel: impl PinInit<T, Error>) -> Result<Self>
    where
        T: GroTunnel,
    {
        let config = hooks::config_with_gro::<T>(&socket);
        let open = Self::set_up(socket, tunnel, config)?;
        if matches!(T::HANDLERS, Handlers::OfDevice) {
            open.socket.with(|sock| {
                // SAFETY: `with` passes an open socket. C sets a bit of the socket.
                unsafe { bindings::udp_allow_gso(sock) }
            });
        }
        Ok(open)
    }

    /// Sets the socket's user data to `tunnel`, and its hooks to the hooks of `config`, which are for `T`.
    fn set_up(
        socket: UdpSocket,
        tunnel: impl PinInit<T, Error>,
        mut config: bindings::udp_tunnel_sock_cfg,
    ) -> Result<Self> {
        let tunnel = RcuBox::pin_init(tunnel)?;
        config.sk_user_data = tunnel.as_ptr().cast::<c_void>();
        // SAFETY: `with` passes an open socket, which keeps its namespace from being freed while it is
        // open, and which is ours: it has no user data and no hooks yet. The configuration is a local
        // variable, which C copies. `Drop` closes the socket before it gives up the user data, and then
        // waits for RCU readers. The hooks are for `T`, as `hooks` makes them, and the user data is an
        // `RcuBox<T>`.
        let done = socket.with(|sock| unsafe {
            bindings::setup_udp_tunnel_sock(bindings::sock_net(sock), sock, &mut config);
        });
        if done.is_none() {
            // SAFETY: `tunnel` came from `pin_init`. `with` did not call the closure, so no socket has the
            // pointer, and this function returns without it.
            unsafe { RcuBox::drop_now(tunnel) };
            return Err(ENODEV);
        }
        // INVARIANT: The user data was just set.
        Ok(Self { socket, tunnel })
    }

    /// Returns the tunnel.
    #[inline]
    pub fn tunnel(&self) -> &T {
        // SAFETY: By the type invariant only `Drop` drops the data, so it lives as long as `self` is
        // borrowed. Only shared references to it are given out.
        unsafe { self.tunnel.as_ref() }.value()
    }

    /// Closes the socket if it is still open, and waits until no call of [`EncapReceive::receive`] for
    /// this socket is running. May sleep.
    pub fn close_and_wait(&self) {
        self.socket.close();
        rcu::wait_for_readers();
    }

    /// Returns the socket.
    #[inline]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }
}

impl<T: EncapReceive> Drop for UdpTunnelSocket<T> {
    fn drop(&mut self) {
        self.socket.close();
        // The socket has no user data any more, but a reader that loaded it before uses it until the end
        // of its RCU read side.
        // SAFETY: `tunnel` came from `RcuBox::pin_init`, and by the type invariant no other code drops it. The
        // socket is closed, so no new reader finds it there.
        unsafe { RcuBox::drop_after_readers(self.tunnel) };
    }
}
