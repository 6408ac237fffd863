# SPDX-License-Identifier: GPL-2.0
"""A host that reaches a tunnel through a bridge, and the path MTU that it learns."""

import socket

from testing.lib.hosts import wait_until

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
IPV6_MTU_DISCOVER = 23


def bridge_with(host, third, device):
    """Joins a third host and a tunnel's device by a bridge, whose ports take 1500 bytes.

    third: eth0 10.1.1.3, fd00::3 -- port0 -- br0 -- device :host
    """
    host.batch(
        f"addr flush dev {device}",
        f"link set {device} mtu 1500",
        "link add br0 type bridge",
        f"link set {device} master br0",
        f"link add port0 type veth peer name eth0 netns {third.name}",
        "link set port0 master br0 up",
        "link set br0 up",
    )
    third.batch(
        "link set eth0 up",
        "addr add 10.1.1.3/24 dev eth0",
        "addr add fd00::3/64 dev eth0 nodad",
    )
    third.sysctl("net.ipv6.neigh.eth0.retrans_time_ms", 20)
    third.sysctl("net.ipv6.neigh.eth0.mcast_solicit", 100)


def learns_mtu(sender, target, mtu):
    """Sends packets of 1500 bytes that may not be fragmented; waits until an MTU is learned.

    Fails if the sender does not learn it over IPv4 and over IPv6. Returns True.
    """
    for address in ("10.1.1.2", "fd00::2"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        level, option = socket.IPPROTO_IP, IP_MTU_DISCOVER
        if family == socket.AF_INET6:
            level, option = socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER
        # Before a packet of full size can get an answer, neighbours and the bridge must be known.
        wait_until(
            lambda to=address: sender.run("ping", "-c1", "-W1", to, check=False).returncode == 0,
            f"{target.name} answers",
        )
        with sender.inside(), socket.socket(family, socket.SOCK_DGRAM) as full:
            full.setsockopt(level, option, IP_PMTUDISC_DO)
            full.sendto(bytes(1500 - (28 if family == socket.AF_INET else 48)), (address, 9))

        def learned(to=address):
            return f"mtu {mtu}" in sender.ip("route", "get", to).stdout

        wait_until(learned, f"{sender.name} learns {mtu} for {address}", 5)
    return True
