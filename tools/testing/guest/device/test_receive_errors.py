# SPDX-License-Identifier: GPL-2.0
"""ICMP errors about packets that devices of kind gue sent."""

import struct

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether

from testing.lib.hosts import wait_until

PORT = 6080


def send_error(hosts, version, kind, payload, sport=50000):
    """Sends an ICMP error from the second host about a packet that the first host sent."""
    h1, h2 = hosts
    udp = UDP(sport=sport, dport=PORT) / (payload + bytes(200))
    if version == 4:
        quoted = IP(src="192.0.2.1", dst="192.0.2.2") / udp
        code = {"unreachable": {"code": 1}, "too big": {"code": 4, "nexthopmtu": 1400}}[kind]
        error = IP(src="192.0.2.2", dst="192.0.2.1") / ICMP(type=3, **code)
    else:
        quoted = IPv6(src="2001:db8::1", dst="2001:db8::2") / udp
        error = IPv6(src="2001:db8::2", dst="2001:db8::1")
        error /= (
            ICMPv6DestUnreach(code=3) if kind == "unreachable" else ICMPv6PacketTooBig(mtu=1400)
        )
    raw = h2.packet_socket("eth0", 0)
    raw.send(bytes(Ether(src=h2.mac("eth0"), dst=h1.mac("eth0")) / error / bytes(quoted)))
    raw.close()


def is_taken(hosts, version, kind, payload, **options):
    """Sends an error; returns whether a socket took it. The core counts others as InErrors."""
    h1 = hosts[0]
    prefix = "Icmp6" if version == 6 else "Icmp"
    wrong, came = h1.snmp(f"{prefix}InErrors"), h1.snmp(f"{prefix}InMsgs")
    send_error(hosts, version, kind, payload, **options)
    wait_until(lambda: h1.snmp(f"{prefix}InMsgs") > came, "the error arrives")
    return h1.snmp(f"{prefix}InErrors") == wrong


@pytest.mark.parametrize("kind", ["unreachable", "too big"])
@pytest.mark.parametrize("version", [4, 6])
def test_error_about_a_devices_packet_is_taken_and_no_other(hosts, gue, version, kind):
    remote = "192.0.2.2" if version == 4 else "2001:db8::2"
    number = {4: 4, 6: 41}[version]
    plain = struct.pack("!BBH", 0, number, 0)
    of_group = struct.pack("!BBHI", 1, number, 0x8000, 7)
    other_group = struct.pack("!BBHI", 1, number, 0x8000, 8)
    gue.add("gue0", remote=remote, id=7, up=True)
    assert is_taken(hosts, version, kind, of_group)
    assert not is_taken(hosts, version, kind, other_group)
    assert not is_taken(hosts, version, kind, plain)
    assert not is_taken(hosts, version, kind, bytes.fromhex("00040020"))
    gue.add("gue1", remote=remote, up=True)
    assert is_taken(hosts, version, kind, plain)
    assert is_taken(hosts, version, kind, bytes.fromhex("45000000"))
    # Also if the device sends from the port that it listens on.
    assert is_taken(hosts, version, kind, of_group, sport=PORT)
    gue.delete("gue0")
    assert not is_taken(hosts, version, kind, of_group)


@pytest.mark.parametrize("version", [4, 6])
def test_smaller_mtu_of_the_path_is_recorded(hosts, gue, version):
    h1 = hosts[0]
    remote = "192.0.2.2" if version == 4 else "2001:db8::2"
    gue.add("gue0", remote=remote, up=True)
    assert is_taken(hosts, version, "too big", bytes.fromhex("00040000"))
    wait_until(
        lambda: "mtu 1400" in h1.ip("route", "get", remote).stdout, "the route has the path's MTU"
    )
