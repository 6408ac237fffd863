# SPDX-License-Identifier: GPL-2.0
"""Devices that carry Ethernet: EtherIP in GUE, bridges, VLANs.

h1: gue0 10.1.1.1, fd00::1 -- eth0 ===== eth0 -- gue0 10.1.1.2, fd00::2 :h2
"""

import errno
import json
import struct

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

from testing.lib.bridges import bridge_with, learns_mtu
from testing.lib.gue_keys import GueKeys
from testing.lib.gue_link import COOKIE8, HMAC, GueLinks
from testing.lib.hosts import Capture, Host, is_udp_to, wait_until
from testing.lib.netlink import NetlinkError
from testing.lib.rgue_module import reload_rgue
from testing.lib.traffic import tcp_arrives
from testing.lib.tunnels import no_checksum_errors, segment_in_software

ENDS = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
PORT = 6080
ETHER_IP = bytes.fromhex("3000")
DATA = bytes(range(251)) * 2000


class Pair:
    """A device in each host."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.links = [GueLinks(host) for host in hosts]

    def add(self, outer=4, secret=b"", **options):
        """Makes the devices, with addresses of both IP versions, and a key if there is one."""
        for number, (host, links) in enumerate(zip(self.hosts, self.links, strict=True)):
            links.add("gue0", remote=ENDS[outer][1 - number], mode=1, **options)
            if secret:
                keys = GueKeys(host)
                keys.set("gue0", 1, secret)
                keys.close()
            host.batch(
                "link set gue0 up",
                f"addr add 10.1.1.{number + 1}/24 dev gue0",
                f"addr add fd00::{number + 1}/64 dev gue0 nodad",
            )

    def close(self):
        """Closes the sockets."""
        for links in self.links:
            links.close()


@pytest.fixture
def pair(hosts):
    """A device in each host."""
    made = Pair(hosts)
    yield made
    made.close()


def errors(host):
    """Returns the errors that a host's device counts."""
    traffic = host.traffic("gue0")
    return traffic["rx"]["errors"] + traffic["tx"]["errors"]


def test_device_is_an_ethernet_device(hosts, pair):
    """It has an Ethernet address, an MTU with room for a frame's header, and a fixed `mode`."""
    h1 = hosts[0]
    pair.links[0].add("gue0", remote="192.0.2.2", mode=1)
    [link] = json.loads(h1.ip("-j", "-d", "link", "show", "gue0").stdout)
    assert (link["link_type"], link["mtu"]) == ("ether", 1500 - 20 - 8 - 4 - 2 - 14)
    assert set(link["flags"]) >= {"BROADCAST", "MULTICAST"}
    assert int(link["address"][:2], 16) & 3 == 2, "a locally administered unicast address"
    assert pair.links[0].show("gue0")["mode"] == 1
    for options, number, text in (
        ({"mode": 0}, errno.EOPNOTSUPP, "mode cannot be changed"),
        ({"variant": 1}, errno.EINVAL, "variant 1 carries IP alone"),
        (
            {"headercsum": 1, "headercsum_cover": 1},
            errno.EOPNOTSUPP,
            "a coverage above 0 needs mode ip",
        ),
    ):
        with pytest.raises(NetlinkError) as caught:
            pair.links[0].set("gue0", **options)
        assert (caught.value.errno, caught.value.reason) == (number, text)
    h1.ip("link", "set", "gue0", "address", "02:00:00:00:00:05")
    assert h1.mac("gue0") == "02:00:00:00:00:05"
    how = ["type", "gue", "remote", "192.0.2.9", "mode", "ethernet"]
    h1.ip("link", "add", "gue1", "address", "02:00:00:00:00:06", *how)
    assert h1.mac("gue1") == "02:00:00:00:00:06"
    wrong = h1.ip(
        "link",
        "add",
        "gue2",
        "address",
        "03:00:00:00:00:06",
        "type",
        "gue",
        "remote",
        "192.0.2.8",
        "mode",
        "ethernet",
        check=False,
    )
    assert wrong.returncode != 0 and "address must be a unicast Ethernet address" in wrong.stderr
    assert "gue2" not in h1.ip("link").stdout


def frame(source="02:00:00:00:00:01", target="ff:ff:ff:ff:ff:ff", mark=b""):
    """Returns the bytes of a frame."""
    return bytes(Ether(src=source, dst=target) / ARP(psrc="10.1.1.1", pdst="10.1.1.2") / mark)


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("group", [None, 7])
def test_bytes_on_the_wire(hosts, pair, outer, group):
    """The wire has EtherIP's two bytes and the frame, which the other device receives."""
    h1, h2 = hosts
    pair.add(outer, **({} if group is None else {"id": group}))
    header = struct.pack("!BBH", 0, 97, 0)
    if group is not None:
        header = struct.pack("!BBHI", 1, 97, 0x8000, group)
    for data in (frame(), frame(target="02:00:00:00:00:09", mark=bytes(range(200)))):
        with Capture(h2, "eth0") as wire, Capture(h2, "gue0") as out:
            with h1.packet_socket("gue0", 0) as into:
                into.send(data)
            [packet] = wire.frames(lambda seen, data=data: is_udp_to(seen, PORT) and data in seen)
            assert packet.endswith(header + ETHER_IP + data)
            assert out.frames(lambda seen, data=data: data[:14] == seen[:14]) == [data]
    assert errors(h1) == errors(h2) == 0


MODES = {
    "plain": {},
    "id and checksum": {"id": 7, "udp_csum": 1},
    "remcsum": {"udp_csum": 1, "remcsum": 1},
    "Linux's remcsum": {"udp_csum": 1, "remcsum": 2},
    "cookie": {"auth": COOKIE8, "secret": b"12345678"},
    "hmac and sums": {"auth": HMAC, "headercsum": 1, "crc": 1, "secret": b"a secret of bytes"},
}


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("outer", [4, 6])
def test_tcp_passes_both_ways(hosts, pair, outer, mode):
    pair.add(outer, **MODES[mode])
    for software in (False, True):
        for address in ("10.1.1.", "fd00::"):
            assert tcp_arrives(*hosts, f"{address}2", DATA), software
            assert tcp_arrives(*reversed(hosts), f"{address}1", DATA), software
        for host in hosts:
            segment_in_software(host)
    assert all(no_checksum_errors(host) for host in hosts)
    assert [errors(host) for host in hosts] == [0, 0]


def test_vlans_pass(hosts, pair):
    pair.add()
    for number, host in enumerate(hosts, start=1):
        host.batch(
            "link add link gue0 name vlan5 type vlan id 5",
            "link set vlan5 up",
            f"addr add 10.5.5.{number}/24 dev vlan5",
        )
    assert tcp_arrives(*hosts, "10.5.5.2", DATA)
    assert all(no_checksum_errors(host) for host in hosts)


def test_bridge_learns_behind_the_device(hosts, pair):
    """A third host behind the second one's bridge talks to the first one."""
    h1, h2 = hosts
    pair.add()
    third = Host("third")
    try:
        h2.batch(
            "addr flush dev gue0",
            "link add br0 type bridge",
            "link set gue0 master br0",
            "link add port0 type veth peer name eth0 netns " + third.name,
            "link set port0 master br0 up",
            "link set br0 up",
        )
        third.batch("link set eth0 mtu 1452 up", "addr add 10.1.1.3/24 dev eth0")
        wait_until(lambda: tcp_arrives(h1, third, "10.1.1.3", b"x"), "the bridge forwards")
        assert tcp_arrives(h1, third, "10.1.1.3", DATA)
        assert tcp_arrives(third, h1, "10.1.1.1", DATA)
        learned = h2.run("bridge", "fdb", "show", "dev", "gue0").stdout
        assert h1.mac("gue0") in learned
        assert all(no_checksum_errors(host) for host in (h1, third))
    finally:
        third.remove()


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("outer", [4, 6])
def test_bridged_sender_learns_the_path_mtu(hosts, pair, outer):
    """A frame that is too long for the path gets an ICMP error to its sender behind a bridge."""
    h1, h2 = hosts
    pair.add(outer)
    third = Host("third")
    try:
        bridge_with(h1, third, "gue0")
        h2.batch("link set gue0 mtu 1500")
        fits = 1500 - (48 if outer == 4 else 68)
        assert learns_mtu(third, h2, fits)
        assert h1.traffic("gue0")["tx"]["errors"] > 0
        # The packets that fit pass.
        assert tcp_arrives(third, h2, "10.1.1.2", DATA)
        assert tcp_arrives(third, h2, "fd00::2", DATA)
    finally:
        third.remove()


@pytest.fixture
def reasons():
    """The module with its own drop reasons; the default is back afterwards."""
    reload_rgue("own_drop_reasons=1")
    yield
    reload_rgue()


@pytest.mark.stock_only
@pytest.mark.usefixtures("reasons")
def test_each_drop_has_its_reason(hosts, drop_monitor):
    h1, h2 = hosts
    links = GueLinks(h2)
    links.add("gue0", remote=ENDS[4][0], mode=1, up=True)
    h2.sysctl("net.ipv6.conf.gue0.disable_ipv6", 1)
    wire = h1.packet_socket("eth0", 0)
    ether = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0"))
    start = IP(src=ENDS[4][0], dst=ENDS[4][1])
    mark = struct.pack("!HH", 50000, PORT)
    packet = bytes(IP(src="10.1.1.1", dst="10.1.1.2") / ICMP())
    header = struct.pack("!BBH", 0, 97, 0)
    for payload, reason in (
        (struct.pack("!BBH", 0, 4, 0) + packet, "RGUE_NOT_ETHERNET"),
        (packet, "RGUE_NOT_ETHERNET"),
        (header, "RGUE_TRUNCATED"),
        (header + ETHER_IP[:1], "RGUE_TRUNCATED"),
        (header + ETHER_IP + frame()[:13], "RGUE_TRUNCATED"),
        (header + b"\x40\0" + frame(), "RGUE_BAD_ETHERIP"),
        (header + b"\x30\1" + frame(), "RGUE_BAD_ETHERIP"),
        (header + ETHER_IP + frame(source=h2.mac("gue0")), "RGUE_OWN_FRAME"),
        (
            struct.pack("!BBHHH", 1, 97, 0x0200, 1, 20) + ETHER_IP + frame(),
            "RGUE_BAD_REMCSUM",
        ),
    ):
        udp = struct.pack("!HHHH", 50000, PORT, 8 + len(payload), 0)
        ip = start.copy()
        ip.proto = 17
        wire.send(bytes(ether / ip / (udp + payload)))
        found = drop_monitor.reason_for(
            lambda seen: mark in seen or seen == b"" or frame()[20:] in seen
        )
        assert found == reason, payload.hex()
    assert h2.traffic("gue0")["rx"]["packets"] == 0
    assert h2.traffic("gue0")["rx"]["errors"] == 9
    wire.close()
    links.close()


@pytest.mark.soak_on_debug
@pytest.mark.parametrize("outer", [4, 6])
def test_congestion_marks_pass_both_ways(hosts, pair, outer):
    """The outer header has the inner ECN field. A mark set on the path reaches the inner packet."""
    h1, h2 = hosts
    # Without UDP checksums, because captured packets have partial ones.
    pair.add(outer, udp_zero_csum6_tx=1, udp_zero_csum6_rx=1)
    packet = IP(src="10.1.1.1", dst="10.1.1.2", tos=2) / ICMP() / b"mark me"
    data = bytes(Ether(src=h1.mac("gue0"), dst=h2.mac("gue0")) / packet)
    with Capture(h2, "eth0") as wire:
        with h1.packet_socket("gue0", 0) as into:
            into.send(data)
        [seen] = wire.frames(lambda got: is_udp_to(got, PORT) and b"mark me" in got)
    assert (seen[15] if outer == 4 else seen[15] >> 4) & 3 == 2
    marked = Ether(seen)
    if outer == 4:
        marked[IP].tos |= 3
        del marked[IP].chksum
    else:
        marked.payload.tc |= 3
    with Capture(h2, "gue0") as out:
        with h1.packet_socket("eth0", 0) as sender:
            sender.send(bytes(marked))
        [came] = out.frames(lambda got: b"mark me" in got)
    assert IP(came[14:]).tos & 3 == 3
