// SPDX-License-Identifier: GPL-2.0

//! Routes to the other end of a tunnel, over IPv4 and IPv6.
//!
//! C headers: [`include/net/route.h`](srctree/include/net/route.h),
//! [`include/net/ip6_route.h`](srctree/include/net/ip6_route.h),
//! [`include/net/dst_cache.h`](srctree/include/net/dst_cache.h)

pub(crate) mod version;

pub use version::{IpVersion, Ipv4, Ipv6};

use crate::{
    errno::ELOOP,
    metadata::{self, TunnelInfo},
    netdev::{DeviceSkb, NetDevice, Operations, Xmit},
    netns::{BareNetns, Tenant},
    rcu::RcuReader,
    skb::GsoType,
    udp::Ports,
    Netns,
};
use core::{marker::PhantomData, mem, ptr::NonNull};
use kernel::{error::to_result, prelude::*, types::Opaque};
use net_bindings as bindings;

/// Returns `true` if the kernel has IPv6, and IPv6 is not disabled (`ipv6.disable=1`).
pub fn ipv6_is_available() -> bool {
    // SAFETY: C reads a variable that does not change after boot.
    unsafe { bindings::ipv6_mod_enabled() }
}

/// The outer packets of a tunnel, as routing sees them.
#[derive(Clone, Copy)]
pub struct Flow<A> {
    /// The source address. If it is zero, routing chooses one.
    pub source: A,
    /// The destination address.
    pub destination: A,
    /// The UDP ports.
    pub ports: Ports,
    /// The IPv4 TOS or the IPv6 traffic class.
    pub tos: u8,
    /// The IPv6 flow label, in host order: 20 bits. IPv4 has none.
    pub flow_label: u32,
    /// The packet's mark.
    pub mark: u32,
    /// The index of the device that the packets must leave by, or 0.
    pub link: u32,
    /// An IPv4 source address need not be an address of this host. An IPv6 source address never has to be.
    pub any_source: bool,
}

/// A route, and the source address of the packets that take it.
///
/// # Invariants
///
/// We own a reference to `dst`, a valid route of the version `V`.
pub struct Route<V: IpVersion> {
    dst: NonNull<bindings::dst_entry>,
    source: V::Address,
}

impl<V: IpVersion> Route<V> {
    /// Looks a route up. Any context but hard interrupts. Fails with an error of routing, for example
    /// `ENETUNREACH`.
    pub fn look_up<'a>(netns: impl Into<BareNetns<'a>>, flow: &Flow<V::Address>) -> Result<Self> {
        let (dst, source) = V::look_up(netns.into(), flow)?;
        // INVARIANT: `look_up` returns a reference.
        Ok(Self { dst, source })
    }

    /// Returns the route of a packet that a device sends: the cached route or, if there is none, the route of
    /// `flow`, which is then stored in the cache. Fails with an error of routing; with `ELOOP` if the route leads
    /// through the sending device.
    ///
    /// All flows that use a cache must have the same addresses, link, mark and TOS.
    #[inline(always)]
    pub fn of_packet<T: Operations>(
        xmit: &Xmit<'_, T>,
        cache: Option<&DstCache<V>>,
        flow: impl FnOnce() -> Flow<V::Address>,
    ) -> Result<Self> {
        let cache = cache.filter(|cache| cache.netns.is_alive(xmit.reader()));
        // SAFETY: Softirqs are off as long as `xmit` lives. The cache is initialized, and its routes' namespace
        // exists.
        if let Some((dst, source)) = cache.and_then(|cache| unsafe { V::cached(cache.cache.get()) })
        {
            // INVARIANT: `cached` returns a reference.
            return Ok(Self { dst, source });
        }
        Self::look_up_for(xmit, cache, &flow())
    }

    /// Does what [`Self::of_packet`] does, with the cache that belongs to the tunnel that `info` was read from.
    pub fn of_metadata<T: Operations>(
        xmit: &Xmit<'_, T>,
        skb: &DeviceSkb,
        info: &TunnelInfo,
        flow: &Flow<V::Address>,
    ) -> Result<Self> {
        // SAFETY: The device is valid. Namespaces are compared by their addresses.
        let crosses_netns = unsafe { bindings::dev_net(xmit.device().as_raw()) }
            != xmit.device().link_net().as_raw();
        // The tunnel's owner frees the cache before the owner's namespace ends, but perhaps not before another
        // namespace ends. The mark is the packet's and the link is the device's, so the tunnel's cache must not
        // hold a route that depends on them.
        let is_usable = info.allows_cache() && !crosses_netns && flow.mark == 0 && flow.link == 0;
        let cache = metadata::route_cache(skb, V::IS_IPV6).filter(|_| is_usable);
        // SAFETY: Softirqs are off as long as `xmit` lives. The cache has routes of this version. It is part of
        // the metadata or the route that the packet refers to, so it lives as long as the packet.
        if let Some((dst, source)) = cache.and_then(|cache| unsafe { V::cached(cache) }) {
            // INVARIANT: `cached` returns a reference.
            return Ok(Self { dst, source });
        }
        let route = Self::look_up_for(xmit, None, flow)?;
        if let Some(cache) = cache {
            // SAFETY: As above. The route is valid, and C takes a reference of its own.
            unsafe { V::store(cache, route.dst.as_ptr(), &route.source) };
        }
        Ok(route)
    }

    /// The slow path of [`Self::of_packet`].
    #[inline(never)]
    fn look_up_for<T: Operations>(
        xmit: &Xmit<'_, T>,
        cache: Option<&DstCache<V>>,
        flow: &Flow<V::Address>,
    ) -> Result<Self> {
        let route = Self::look_up(xmit.device().link_net(), flow)?;
        // SAFETY: The route is valid. The pointer is only compared.
        if unsafe { bindings::dst_dev(route.dst.as_ptr()) } == xmit.device().as_raw() {
            return Err(ELOOP);
        }
        // A cache of another namespace would keep the route for longer than the route's namespace exists.
        if let Some(cache) = cache.filter(|cache| cache.netns.is_of(xmit.device().link_net())) {
            // SAFETY: As in `of_packet`. The route is valid, and C takes a reference of its own.
            unsafe { V::store(cache.cache.get(), route.dst.as_ptr(), &route.source) };
        }
        Ok(route)
    }

    /// Returns the source address.
    #[inline]
    pub fn source(&self) -> &V::Address {
        &self.source
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> *mut bindings::dst_entry {
        self.dst.as_ptr()
    }

    /// Gives the route to C.
    #[inline]
    pub(crate) fn into_raw(self) -> *mut bindings::dst_entry {
        let dst = self.dst.as_ptr();
        mem::forget(self);
        dst
    }

    /// Returns the length of the longest packet that fits the path, in bytes: of the device, or less if an
    /// ICMP error said so.
    #[inline]
    pub fn path_mtu(&self) -> u32 {
        // SAFETY: By the type invariant the route is valid.
        unsafe { bindings::dst_mtu(self.as_raw()) }
    }

    /// Returns the length of the longest packet that the route's first hop takes, in bytes: the MTU that the
    /// route was configured with, or else the device's.
    pub fn hop_mtu(&self, _rcu: RcuReader<'_>) -> u32 {
        // SAFETY: By the type invariant the route is valid. When the route's device is unregistered, C gives the
        // route another device, and waits for RCU readers before it frees the first.
        unsafe {
            match bindings::dst_configured_mtu(self.as_raw()) {
                0 => NetDevice::from_raw(bindings::dst_dev(self.as_raw())).mtu(),
                mtu => mtu,
            }
        }
    }

    /// Returns the number of bytes that a packet needs before its IP header.
    #[inline]
    pub fn headroom(&self, _rcu: RcuReader<'_>) -> u32 {
        // SAFETY: As in `hop_mtu`.
        unsafe { bindings::dst_headroom(self.as_raw()) }
    }

    /// Returns the hop limit (TTL) of the route, or the namespace's default.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        // SAFETY: By the type invariant the route is valid, and of version `V`.
        unsafe { V::hop_limit(self.as_raw()) }
    }

    /// Returns `true` if the route's device segments TCP packets in UDP tunnels of this GSO type.
    #[inline]
    pub fn device_segments(
        &self,
        gso_type: GsoType,
        inner_is_ipv6: bool,
        _rcu: RcuReader<'_>,
    ) -> bool {
        let tcp = if inner_is_ipv6 {
            GsoType::TCPV6
        } else {
            GsoType::TCPV4
        };
        // SAFETY: As in `hop_mtu`.
        let types = unsafe { bindings::dst_gso_types(self.as_raw()) };
        GsoType::from_raw(types).contains(tcp | gso_type)
    }
}

impl<V: IpVersion> Drop for Route<V> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own a reference, which no other code gives up.
        unsafe { bindings::dst_release(self.as_raw()) };
    }
}

/// A cache of one route for each CPU (`struct dst_cache`), for the packets that devices send to one namespace.
///
/// # Invariants
///
/// The cache is initialized, and has routes of version `V` in `netns` alone. The routes are used only while
/// `netns` is alive, because an IPv6 route refers to its namespace, but does not keep it alive.
pub struct DstCache<V: IpVersion> {
    cache: Opaque<bindings::dst_cache>,
    netns: Tenant,
    _version: PhantomData<fn(V) -> V>,
}

// SAFETY: A CPU reads and writes its own entry, with softirqs off. Any thread may drop the cache when no
// other code uses it.
unsafe impl<V: IpVersion> Send for DstCache<V> {}
// SAFETY: As above.
unsafe impl<V: IpVersion> Sync for DstCache<V> {}

impl<V: IpVersion> DstCache<V> {
    /// Makes an empty cache. May sleep. Fails with `ENOMEM`; with `EINVAL` if the module has registered no
    /// [kind of link](crate::rtnl_link::register).
    pub fn new(netns: &Netns) -> Result<Self> {
        let netns = Tenant::of(netns)?;
        let cache = Opaque::new(bindings::dst_cache::default());
        // SAFETY: C initializes the cache, which has no pointer to itself, so it may be moved.
        to_result(unsafe { bindings::dst_cache_init(cache.get(), bindings::GFP_KERNEL) })?;
        // INVARIANT: C has initialized it, and only `Route<V>` stores routes in it.
        Ok(Self {
            cache,
            netns,
            _version: PhantomData,
        })
    }
}

impl<V: IpVersion> Drop for DstCache<V> {
    fn drop(&mut self) {
        RcuReader::with(|rcu| {
            // The routes of an ended namespace are leaked: there is nothing to give them back to.
            if self.netns.is_alive(rcu) {
                // SAFETY: By the type invariant the cache is initialized. It is exclusively borrowed, so
                // unused. C does not sleep. The routes' namespace exists until the reader's end.
                unsafe { bindings::dst_cache_destroy(self.cache.get()) };
            }
        });
    }
}
