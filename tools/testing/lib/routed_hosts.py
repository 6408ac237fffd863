# SPDX-License-Identifier: GPL-2.0
"""Two hosts with a router between them, whose second wire has a smaller MTU."""

import contextlib

from testing.lib.hosts import Host

# Addresses of the first and of the second host, and of the router on each wire.
OUTER = {4: ("192.0.2.1", "198.51.100.2"), 6: ("2001:db8:1::1", "2001:db8:2::2")}
GATEWAYS = {4: ("192.0.2.9", "198.51.100.9"), 6: ("2001:db8:1::9", "2001:db8:2::9")}


@contextlib.contextmanager
def routed_hosts(path_mtu):
    """Makes two hosts and the router.

      h1                        r                        h2
    +------+        left +-------------+ right        +------+
    | eth0 |-------------|             |--------------| eth0 |
    +------+   MTU 1500  +-------------+   path_mtu   +------+
            192.0.2.0/24                198.51.100.0/24
            2001:db8:1::/64             2001:db8:2::/64
    """
    made = []
    try:
        for name in ("h1", "r", "h2"):
            made.append(Host(name))
        h1, router, h2 = made
        ends = (h1, "eth0", OUTER, 0), (router, "left", GATEWAYS, 0)
        ends += (router, "right", GATEWAYS, 1), (h2, "eth0", OUTER, 1)
        h1.batch("link add eth0 index 99 mtu 1500 type veth peer name left netns r")
        wire = f"link add eth0 index 98 mtu {path_mtu} type veth peer name right mtu {path_mtu}"
        h2.batch(f"{wire} netns r")
        router.sysctl("net.ipv4.ip_forward", 1)
        router.sysctl("net.ipv6.conf.all.forwarding", 1)
        for host, device, addresses, side in ends:
            host.batch(
                "link set lo up",
                f"addr add {addresses[4][side]}/24 dev {device}",
                f"addr add {addresses[6][side]}/64 dev {device} nodad",
                f"link set {device} up",
            )
            # As in `two_hosts`.
            host.sysctl(f"net.ipv6.neigh.{device}.retrans_time_ms", 20)
            host.sysctl(f"net.ipv6.neigh.{device}.mcast_solicit", 100)
            if host == router:
                # A router solicits neighbours of forwarded packets from its link-local address.
                host.ip("addr", "add", "fe80::9/64", "dev", device, "nodad")
            else:
                gateways = (GATEWAYS[version][side] for version in (4, 6))
                host.batch(*(f"route add default via {gateway}" for gateway in gateways))
        yield h1, router, h2
    finally:
        for host in made:
            host.remove()
