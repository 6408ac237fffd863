# SPDX-License-Identifier: GPL-2.0
"""Devices of kind gue whose peer is on the same host.

Follows the kernel's test_vxlan_nolocalbypass.sh. A gue device has no shortcut to another device
of the host, as VXLAN has by default: outer packets pass the loopback device, with its filters.

h1: gue0 192.0.2.1 port 4789 -- lo -- 198.51.100.1 port 4790 gue1
         2001:db8::1                  2001:db8:9::1
"""

import json
import socket

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testing.lib.hosts import Capture, wait_until

ENDS = {4: ("192.0.2.1", "198.51.100.1"), 6: ("2001:db8::1", "2001:db8:9::1")}
PORTS = (4789, 4790)
FRAME = bytes(
    Ether(src="00:01:02:03:04:05", dst="00:0a:0b:0c:0d:0e")
    / IP(src="10.1.1.1", dst="10.1.1.2")
    / UDP(sport=9, dport=7777)
    / bytes(100)
)
PACKETS = {"ethernet": FRAME, "ip": bytes(IPv6(src="fd00::1", dst="fd00::2") / UDP() / bytes(100))}
HEADERS = {"ethernet": "01618000 00000064 3000", "ip": "01298000 00000064"}


@pytest.fixture
def host(hosts):
    """The first host, with addresses for a second end of a tunnel."""
    hosts[0].batch(f"addr add {ENDS[4][1]}/32 dev lo", f"addr add {ENDS[6][1]}/128 dev lo nodad")
    return hosts[0]


def add(host, number, outer, mode, up=True):
    """Makes the first or the second end."""
    here, there = ENDS[outer][number], ENDS[outer][1 - number]
    host.batch(
        f"link add gue{number} type gue id 100 local {here} remote {there} port {PORTS[number]}"
        f" dport {PORTS[1 - number]} mode {mode}",
        f"link set gue{number} addrgenmode none {'up' if up else 'down'}",
    )


def arrives(host, sender, receiver, packet):
    """Sends a packet through one device of the host; returns whether another one receives it."""
    with Capture(host, receiver) as capture, host.packet_socket(sender, 0) as into:
        into.send(packet)
        return capture.frames(lambda frame: frame == packet, timeout=0.5) == [packet]


def dropped_on_lo(host):
    """Returns how many packets the filter of the loopback device has dropped."""
    shown = json.loads(host.run("tc", "-s", "-j", "filter", "show", "dev", "lo", "ingress").stdout)
    return sum(
        action["stats"]["packets"]
        for rule in shown
        for action in rule.get("options", {}).get("actions", [])
    )


# The debug kernel has no actions of tc.
@pytest.mark.stock_only
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("mode", ["ethernet", "ip"])
def test_packets_reach_a_device_of_the_same_host_by_loopback(host, outer, mode):
    """Both ways, unless a filter of the loopback device drops the outer packets."""
    add(host, 0, outer, mode)
    add(host, 1, outer, mode)
    packet = PACKETS[mode]
    assert arrives(host, "gue0", "gue1", packet)
    assert arrives(host, "gue1", "gue0", packet)
    host.run("tc", "qdisc", "add", "dev", "lo", "clsact")
    protocol = "ip" if outer == 4 else "ipv6"
    where = ("dev", "lo", "ingress", "pref", 1)
    host.run("tc", "filter", "add", *where, "protocol", protocol, "flower", "ip_proto", "udp",
             "dst_port", PORTS[1], "action", "drop")  # fmt: skip
    assert not arrives(host, "gue0", "gue1", packet), "there is a way past the loopback device"
    assert dropped_on_lo(host) == 1
    assert arrives(host, "gue1", "gue0", packet), "the filter is for the other port"
    host.run("tc", "filter", "del", *where)
    assert arrives(host, "gue0", "gue1", packet)
    for device in ("gue0", "gue1"):
        traffic = host.traffic(device)
        assert traffic["tx"]["errors"] == traffic["rx"]["errors"] == 0
    assert host.traffic("gue1")["rx"]["packets"] == 2


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("mode", ["ethernet", "ip"])
def test_packets_reach_a_program_of_the_same_host(host, outer, mode):
    """A socket of a program receives the header and the inner packet, from the device's address."""
    add(host, 0, outer, mode)
    family = socket.AF_INET if outer == 4 else socket.AF_INET6
    with host.inside():
        program = socket.socket(family, socket.SOCK_DGRAM)
    with program, host.packet_socket("gue0", 0) as into:
        program.bind((ENDS[outer][1], PORTS[1]))
        program.settimeout(5)
        into.send(PACKETS[mode])
        data, source = program.recvfrom(2000)
        assert data == bytes.fromhex(HEADERS[mode]) + PACKETS[mode]
        assert source[0] == ENDS[outer][0]
        # And the other way: the device receives what the program sends.
        with Capture(host, "gue0") as capture:
            program.sendto(data, (ENDS[outer][0], PORTS[0]))
            assert capture.frames(lambda frame: frame == PACKETS[mode]), "nothing came"
    assert host.traffic("gue0")["rx"]["errors"] == 0


def test_device_that_is_down_receives_nothing(host):
    """Its port is closed, and UDP refuses the packet."""
    add(host, 0, 4, "ip")
    add(host, 1, 4, "ip", up=False)
    before = host.snmp("UdpNoPorts")
    with host.packet_socket("gue0", 0) as into:
        into.send(PACKETS["ip"])
    wait_until(lambda: host.snmp("UdpNoPorts") == before + 1, "UDP refuses the packet")
    host.ip("link", "set", "gue1", "up")
    assert arrives(host, "gue0", "gue1", PACKETS["ip"])
