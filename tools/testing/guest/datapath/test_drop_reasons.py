# SPDX-License-Identifier: GPL-2.0
"""rfou's own drop reasons, except the reasons about GUE headers."""

import socket
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

pytestmark = [
    pytest.mark.rfou_only,
    pytest.mark.stock_only,
    pytest.mark.usefixtures("own_drop_reasons"),
]

PORT = 5555
SOL_PACKET, PACKET_VNET_HDR = 263, 15
GUE = bytes.fromhex("00040000")
INNER = bytes(IP(src="10.1.1.1", dst="10.1.1.2", proto=253) / bytes(200))
# By encapsulation: options of the port, and a payload for it.
PORTS = {"fou": ("ipproto 4", INNER), "gue": ("gue", GUE + INNER)}


def add_port(host, version, what):
    """Adds a port to a host."""
    host.ip(f"-{version}", "fou", "add", "port", PORT, *what.split())


def datagram(version, payload):
    """Returns an IP packet to the second host's port."""
    if version == 4:
        outer = IP(src="192.0.2.1", dst="192.0.2.2")
    else:
        outer = IPv6(src="2001:db8::1", dst="2001:db8::2")
    return outer / UDP(sport=49155, dport=PORT) / payload


def reason(hosts, drop_monitor, packet, virtio=bytes(10)):
    """Sends an IP packet with a virtio header; returns why the second host drops it."""
    h1, h2 = hosts
    with h1.inside():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sender.bind(("eth0", 0))
        link = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0"))
        sender.send(virtio + bytes(link / packet))
        mark = struct.pack("!HH", 49155, PORT)
        return drop_monitor.reason_for(lambda packet: mark in packet)


@pytest.mark.parametrize("encap", PORTS)
def test_overwritten_checksum_start(hosts, drop_monitor, encap):
    """UDP overwrites a `csum_start` in the IP header when it verifies its own checksum.

    Over IPv6, UDP first computes the checksum that `csum_start` asks for.
    """
    what, payload = PORTS[encap]
    add_port(hosts[1], 4, what)
    lost = struct.pack("<BBHHHH", 1, 0, 0, 0, 24, 8)
    assert reason(hosts, drop_monitor, datagram(4, payload), lost) == "RFOU_BAD_CSUM_START"


@pytest.mark.parametrize("encap", PORTS)
@pytest.mark.parametrize("version", [4, 6])
def test_outer_length_shorter_than_the_headers(hosts, drop_monitor, version, encap):
    """IP verifies the length, but not after segment routing has decapsulated the packet."""
    h2 = hosts[1]
    what, payload = PORTS[encap]
    add_port(h2, version, what)
    action = "End.DX4 nh4 192.0.2.2" if version == 4 else "End.DT6 table 255"
    h2.ip("-6", "route", "add", "fc00::1/128", "encap", "seg6local", "action", *action.split(),
          "dev", "eth0")  # fmt: skip
    inner = bytearray(bytes(datagram(version, payload)))
    field = 2 if version == 4 else 4
    inner[field : field + 2] = b"\0\7"
    around = IPv6(src="2001:db8::1", dst="fc00::1", nh=4 if version == 4 else 41)
    assert reason(hosts, drop_monitor, around / bytes(inner)) == "RFOU_BAD_OUTER_LENGTH"


@pytest.mark.parametrize(
    ("levels", "why"), [(84, "RFOU_GUE_CONTROL"), (85, "RFOU_NESTED_TOO_DEEP")]
)
def test_headers_in_each_other_up_to_a_kilobyte(hosts, drop_monitor, levels, why):
    """The innermost header is a control message. IP takes 20 bytes, each level 12."""
    add_port(hosts[1], 4, "gue")
    packet = bytes.fromhex("20ff0000") + bytes(8)
    for _ in range(levels - 1):
        packet = (
            bytes.fromhex("00110000") + struct.pack("!4H", 1, PORT, 8 + len(packet), 0) + packet
        )
    assert reason(hosts, drop_monitor, datagram(4, packet)) == why
