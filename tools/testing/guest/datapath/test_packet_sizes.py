# SPDX-License-Identifier: GPL-2.0
"""Packet sizes: BIG TCP below a tunnel, and the MTU of tunnel devices."""

import struct

import pytest

from testing.lib.hosts import Capture, wait_until

PORT = 6080


@pytest.mark.soak_on_debug
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("ipip", "type ipip local 192.0.2.{0} remote 192.0.2.{1}"),
        ("ip6tnl", "type ip6tnl mode any local 2001:db8::{0} remote 2001:db8::{1} encaplimit none"),
    ],
    ids=["ipip", "ip6tnl"],
)
@pytest.mark.parametrize("encap", ["fou", "gue"])
def test_tunnel_over_a_device_with_big_tcp(hosts, kind, how, encap):
    """The lower device has GSO packets of over 64 KiB, whose length fields are 0.

    In this kernel tunnel devices refuse that size, and GRO merges no encapsulated packets to it. So
    no such packet reaches a port.
    """
    limits = "gso_max_size 150000 gso_ipv4_max_size 150000 gro_max_size 150000"
    limits += " gro_ipv4_max_size 150000"
    for number, host in enumerate(hosts, start=1):
        family = "-4" if kind == "ipip" else "-6"
        what = ["gue"] if encap == "gue" else ["ipproto", 4]
        host.ip(family, "fou", "add", "port", PORT, *what)
        host.batch(
            f"link add tun1 {how.format(number, 3 - number)} encap {encap} encap-dport {PORT}",
            f"addr add 10.1.1.{number}/24 dev tun1",
            "link set tun1 up",
            f"link set eth0 {limits}",
        )
        host.run("ethtool", "-K", "eth0", "gro", "on")
        assert host.ip("link", "set", "tun1", *limits.split(), check=False).returncode != 0
    h1, h2 = hosts
    # Without a tunnel, packets are that long.
    assert longest_packet(hosts, "192.0.2.2") > 66000
    assert 20000 < longest_packet(hosts, "10.1.1.2") < 66000
    assert h2.snmp("TcpInCsumErrors") == 0
    assert h2.traffic("tun1")["rx"]["errors"] == 0
    assert h1.traffic("tun1")["tx"]["errors"] == 0


def longest_packet(hosts, address):
    """Returns the length in bytes of the longest packet that the second host sees of a transfer."""
    h1, h2 = hosts
    # Otherwise TCP makes packets of what it sends in a millisecond, which may be short.
    h1.sysctl("net.ipv4.tcp_tso_rtt_log", 31)
    server = h2.start("iperf3", "-s", "-1")
    wait_until(lambda: ":1451" in h2.proc_net("tcp6") + h2.proc_net("tcp"), "iperf3 listens")
    longest = 0
    with Capture(h2, "eth0") as wire:
        client = h1.start("iperf3", "-c", address, "-n", "15M", "-l", "512K")
        # Reads frames while they come, because the socket's buffer is smaller than the transfer.
        while client.poll() is None:
            lengths = [len(f) for f in wire.frames(lambda f: True, 1000, timeout=0.2)]
            longest = max([longest, *lengths])
    assert client.returncode == 0
    server.wait(10)
    return longest


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("change", [False, True], ids=["from the start", "changed later"])
@pytest.mark.parametrize("encap", ["fou", "gue"])
@pytest.mark.parametrize("kind", ["ipip", "sit", "gre", "ip6tnl"])
def test_packet_of_mtu_size_is_not_fragmented(hosts, kind, encap, change):
    outer6 = kind == "ip6tnl"
    mode = "mode any encaplimit none" if outer6 else ""
    outer = {"ipip": 20, "sit": 20, "gre": 24, "ip6tnl": 40}[kind] + (8 if encap == "fou" else 12)
    for number, host in enumerate(hosts, start=1):
        prefix = "2001:db8::" if outer6 else "192.0.2."
        protocol = {"ipip": 4, "sit": 41, "gre": 47, "ip6tnl": 4}[kind]
        what = ["gue"] if encap == "gue" else ["ipproto", protocol]
        host.ip("-6" if outer6 else "-4", "fou", "add", "port", PORT, *what)
        ends = f"local {prefix}{number} remote {prefix}{3 - number}"
        how = f"encap {encap} encap-sport auto encap-dport {PORT} encap-csum"
        if change:
            # `link change` keeps the MTU.
            host.batch(
                f"link add tun1 type {kind} {mode} {ends} encap none",
                "link set tun1 up",
                f"link change tun1 type {kind} {mode} {ends} {how}",
                f"link set tun1 mtu {1500 - outer}",
            )
        else:
            host.batch(f"link add tun1 type {kind} {mode} {ends} {how}", "link set tun1 up")
        address = f"fd00::{number}/64" if kind == "sit" else f"10.1.1.{number}/24"
        host.batch(f"addr add {address} dev tun1" + (" nodad" if kind == "sit" else ""))
    h1, h2 = hosts
    mtu = h1.link("tun1")["mtu"]
    assert mtu == 1500 - outer
    address, header = ("fd00::2", 48) if kind == "sit" else ("10.1.1.2", 28)
    with Capture(h2, "eth0") as wire:
        h1.run(
            "ping", "-n", "-c", 2, "-i", "0.01", "-W", 5, "-M", "do", "-s", mtu - header, address
        )
        frames = wire.frames(lambda f: len(f) > 1200, 4, timeout=1)
    ports = {struct.unpack_from("!H", f, 14 + (40 if outer6 else 20) + 2)[0] for f in frames}
    assert ports == {PORT}, "a packet is fragmented, or not encapsulated"
    assert {len(f) for f in frames} == {14 + mtu + outer}
