# SPDX-License-Identifier: GPL-2.0
"""Tunnels of every kind over FOU and GUE between two hosts, and traffic through them."""

from testing.lib.hosts import is_udp_to
from testing.lib.traffic import tcp_arrives

PORT = 5555
# By kind: outer IP version, inner IP version, the FOU port's IP protocol, the device's type.
KINDS = {
    "ipip": (4, 4, 4, "type ipip"),
    "sit": (4, 6, 41, "type sit"),
    "gre": (4, 4, 47, "type gre"),
    "gretap": (4, 4, 47, "type gretap"),
    "ip4ip6": (6, 4, 4, "type ip6tnl mode ipip6 encaplimit none"),
    "ip6ip6": (6, 6, 41, "type ip6tnl mode ip6ip6 encaplimit none"),
    "ip6gre": (6, 4, 47, "type ip6gre encaplimit none"),
    "ip6gretap": (6, 6, 47, "type ip6gretap encaplimit none"),
}
OPTIONS = {
    "plain": "no{csum} noencap-remcsum",
    "checksum": "{csum} noencap-remcsum",
    "remcsum": "{csum} encap-remcsum",
}


def inner_address(kind, number):
    """Returns a host's address inside the tunnel."""
    return f"10.1.1.{number}" if KINDS[kind][1] == 4 else f"fd00::{number}"


def add_port(host, kind, encap):
    """Opens a host's port of a tunnel."""
    outer, _, protocol, _ = KINDS[kind]
    what = ["gue"] if encap == "gue" else ["ipproto", protocol]
    host.ip("fou", "add", "port", PORT, *what, *(["-6"] if outer == 6 else []))


def make_end(host, number, kind, encap, options="plain", sport="auto"):
    """Makes host 1's or host 2's end of a tunnel, with a port."""
    add_port(host, kind, encap)
    make_device(host, number, kind, encap, options, sport)


def make_device(host, number, kind, encap, options="plain", sport="auto"):
    """Makes the device of host 1's or host 2's end of a tunnel."""
    outer, inner, _, how = KINDS[kind]
    csum = "encap-csum" if outer == 4 else "encap-udp6-csum"
    prefix = "192.0.2." if outer == 4 else "2001:db8::"
    host.batch(
        f"link add tun1 {how} local {prefix}{number} remote {prefix}{3 - number}"
        f" encap {encap} encap-sport {sport} encap-dport {PORT} "
        + OPTIONS[options].format(csum=csum),
        f"addr add {inner_address(kind, number)}/{24 if inner == 4 else 64} dev tun1"
        + ("" if inner == 4 else " nodad"),
        "link set tun1 up",
    )


def make_tunnel(hosts, kind, encap, options="plain", sport="auto"):
    """Makes a tunnel between two hosts, with a port on each.

    h1: tun1 10.1.1.1 or fd00::1 -- eth0 ===== eth0 -- tun1 10.1.1.2 or fd00::2 :h2
    """
    # First the ports: IPv6 counts a packet without a checksum as a wrong one if no socket has it.
    for host in hosts:
        add_port(host, kind, encap)
    for number, host in enumerate(hosts, start=1):
        make_device(host, number, kind, encap, options, sport)


def transfer(hosts, kind, size):
    """Sends bytes over TCP through the tunnel; returns whether they arrive unchanged."""
    data = bytes(range(251)) * (size // 251)
    return tcp_arrives(*hosts, inner_address(kind, 2), data)


def no_checksum_errors(host):
    """Returns whether every checksum that this host has verified was right."""
    names = ("TcpInCsumErrors", "UdpInCsumErrors", "Udp6InCsumErrors", "IcmpInCsumErrors")
    return not any(host.snmp(name) for name in names)


def to_port(frame):
    """Returns whether a frame is UDP to the tunnels' port."""
    return is_udp_to(frame, PORT)


def segment_in_software(host):
    """Has the host's stack segment GSO packets, because the device no longer does."""
    host.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")
    for feature in ("tx-udp_tnl-segmentation", "tx-udp_tnl-csum-segmentation"):
        host.run("ethtool", "-K", "eth0", feature, "off", check=False)
