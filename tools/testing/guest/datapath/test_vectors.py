# SPDX-License-Identifier: GPL-2.0
"""Whole datagrams, byte for byte from the wire reference, and their inner packets."""

import socket

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from testing.lib.hosts import Capture
from testing.lib.netlink import ADD

# On the debug kernel the cannon runs the same code.
pytestmark = pytest.mark.soak_on_debug

INNER = "4500001c00014000400124dc0a0101010a0101020800e5ca12340001"

# Outer IP version, port, its options, the kind of the receiving device, the UDP datagram, and the
# packet on the device.
VECTORS = {
    "FOU, IPIP, no checksum": (
        4, 5555, "ipproto 4", "ipip", "c00115b300240000" + INNER, INNER,
    ),
    "FOU, IPIP, checksum": (
        4, 5555, "ipproto 4", "ipip", "c00115b30024a5ed" + INNER, INNER,
    ),
    "FOU over IPv6, GRE": (
        6, 5555, "ipproto 47", "ip6gre", "c00215b30028c673" + "00000800" + INNER, INNER,
    ),
    "GUE variant 0": (
        4, 6080, "gue", "ipip", "c00317c00028a3d2" + "00040000" + INNER, INNER,
    ),
    "GUE variant 1": (
        4, 6080, "gue", "ipip", "c00317c00024a3de" + INNER, INNER,
    ),
    "GUE remote checksum": (
        4, 6080, "gue", "ipip",
        "c00417c0003cfebc" + "020400018000000000140024"
        "4500002800024000400624ca0a0101010a0101029c400050000000010000000050022000161f0000",
        # The port leaves the checksum to compute: the capture shows its seed.
        "4500002800024000400624ca0a0101010a0101029c400050000000010000000050022000161f0000",
    ),
    "GUE surplus space": (
        4, 6080, "gue", "ipip", "c00317c000300000" + "02040000deadbeefcafef00d" + INNER, INNER,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_vector_is_delivered(hosts, name):
    version, port, how, kind, datagram, inner = VECTORS[name]
    h1, h2 = hosts
    ends = (
        "local 192.0.2.2 remote 192.0.2.1"
        if version == 4
        else "local 2001:db8::2 remote 2001:db8::1 encaplimit none"
    )
    h2.batch(
        f"fou add port {port} {how}" + (" -6" if version == 6 else ""),
        f"link add tun1 type {kind} {ends}",
        "link set tun1 up",
    )
    if version == 4:
        outer = IP(src="192.0.2.1", dst="192.0.2.2", proto=17) / Raw(bytes.fromhex(datagram))
    else:
        outer = IPv6(src="2001:db8::1", dst="2001:db8::2", nh=17) / Raw(bytes.fromhex(datagram))
    frame = Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / outer
    with Capture(h1, "eth0") as wire, Capture(h2, "tun1") as tunnel:
        wire.socket.send(bytes(frame))
        seen = tunnel.frames(lambda f: f.hex() == inner)
    assert len(seen) == 1


def test_ipv6_checksum_of_all_ones_is_accepted(hosts):
    """The payload, no valid IPv4 packet, makes the checksum 0, which is sent as ffff."""
    h1, h2 = hosts
    h2.ip("-6", "fou", "add", "port", "6080", "gue")
    with h2.inside():
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 4)
    raw.settimeout(5)
    datagram = bytes.fromhex("c00717c0000effff00040000cc91")
    outer = IPv6(src="2001:db8::1", dst="2001:db8::2", nh=17) / Raw(datagram)
    wire = h1.packet_socket("eth0")
    wire.send(bytes(Ether(src=h1.mac("eth0"), dst=h2.mac("eth0")) / outer))
    assert raw.recv(100).hex() == "cc91"
    wire.close()
    raw.close()


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("0600010015b30000050004000100000005000200020000000500030004000000", "port 5555 ipproto 4"),
        ("0600010017c00000050002000a000000050004000200000004000500", "port 6080 gue -6"),
    ],
    ids=["FOU", "GUE"],
)
def test_netlink_message_adds_the_port(hosts, fou, body, shown):
    fou.do_raw(ADD, bytes.fromhex(body))
    assert shown in hosts[0].ip("fou", "show").stdout
